// SPDX-License-Identifier: Apache-2.0

// What an input weighs: bytes by kind, and what is no text in tokens. Only what a provider
// decodes counts as media; the words beside it count as words.

package wire

import (
	"math/big"
	"math/bits"
	"strings"
)

// Weight is bytes of UTF-8 by kind, and tokens of everything else.
type Weight struct {
	Text  int64 // bytes of prose in ASCII
	Wide  int64 // bytes of texts with other characters in them
	JSON  int64 // bytes of schemas of tools and formats, arguments of calls
	Fixed int64 // tokens: frames of messages, images, audio, files, inputs given as tokens
}

const (
	promptTokens       = 8          // what begins and ends a prompt
	messageTokens      = 4          // what a provider adds around one message
	imageTokens        = 5_000      // one image, at the highest resolution that is billed by itself
	fileTokens         = 50_000     // one document that is only referred to
	storedTokens       = fileTokens // what the provider has stored and nobody here has seen
	videoTokens        = 300_000    // a video that is only referred to: 17 minutes at 290 a second
	audioBytesPerToken = 40         // base64 of compressed speech
	urlMax             = 8_192
)

// TextTokens is how many tokens so many bytes of text are at most: size / 2.5, rounded up.
func TextTokens(size int64) int64 { return (size*2 + 4) / 5 }

// Bytes is all bytes of text.
func (w Weight) Bytes() int64 { return w.Text + w.Wide + w.JSON }

// Tokens is how many there are at most.
func (w Weight) Tokens() int64 { return TextTokens(w.Bytes()) + w.Fixed }

// rule is what stands under a name.
type rule int

const (
	ruleNone rule = iota
	ruleJSON      // JSON to the model, pictures in it too
	ruleImage
	ruleData
	ruleFile
	ruleSource
	ruleVideo
	ruleCache
	ruleSound
)

var rules = ruled(map[rule]string{
	ruleJSON: "tools functions response_format format toolConfig responseSchema responseJsonSchema " +
		"input_schema parameters arguments args response output_config output_format tool_choice input " +
		"generationConfig generation_config",
	ruleImage:  "image_url",
	ruleData:   "data result",
	ruleFile:   "file_id file_data file_url fileUri file_uri",
	ruleSource: "source",
	ruleVideo:  "video_url",
	ruleSound:  "audio",
	ruleCache:  "cache_control prompt_cache_breakpoint",
})

func ruled(names map[rule]string) map[string]rule {
	all := map[string]rule{}
	for r, list := range names {
		for _, name := range strings.Fields(list) {
			all[name] = r
		}
	}
	return all
}

// scale is a weight being taken.
type scale struct {
	Weight
	cached string // how long it asks to be kept: "5m", "1h" or ""
}

// weigh is the weight of some members of a body, and how long it asks for them to be cached.
func weigh(body Object, names ...string) (Weight, string) {
	s := scale{Weight: Weight{Fixed: promptTokens}}
	for _, name := range names {
		if value, is := body[name]; is {
			s.add(value, name != "input" && rules[name] == ruleJSON)
		}
	}
	return s.Weight, s.cached
}

func (s *scale) add(value any, isJSON bool) {
	switch value := value.(type) {
	case string:
		switch size := int64(len(value)); {
		case isJSON:
			s.JSON += size
		case ascii(value):
			s.Text += size
		default:
			s.Wide += size
		}
	case Object:
		if _, is := value["role"]; is {
			s.Fixed += messageTokens
		}
		for key, item := range value {
			if isJSON {
				s.JSON += int64(len(key)) + 2
			} else {
				s.Text += int64(len(key)) + 2
			}
			s.member(value, key, item, isJSON)
		}
	case []any:
		if !isJSON && len(value) > 0 && allWhole(value) {
			s.Fixed += int64(len(value)) // an input given as tokens
			return
		}
		for _, item := range value {
			s.add(item, isJSON)
		}
	case Number:
		if isWhole(value) {
			s.JSON += int64(bitLength(value)*5>>4) + 2
		} else {
			s.JSON += 24
		}
	default:
		s.JSON += 5
	}
}

func (s *scale) member(part Object, key string, item any, isJSON bool) {
	switch r := rules[key]; {
	case r == ruleNone:
		s.add(item, isJSON)
	case r == ruleCache:
		switch object(item)["ttl"] {
		case "1h", "12h", "24h":
			s.cached = "1h"
		default:
			if s.cached == "" {
				s.cached = "5m"
			}
		}
	case r == ruleJSON || isJSON:
		s.add(item, true)
	default:
		tokens, rest := media(r, key, item, part)
		s.Fixed += tokens
		if rest != nil {
			s.add(rest, false)
		}
	}
}

// media is the tokens of what stands under a name that may lead to media, and what of it is
// text.
func media(r rule, key string, item any, part Object) (int64, any) {
	words, isText := item.(string)
	kind := text(part["type"])
	switch r {
	case ruleImage, ruleVideo:
		tokens := int64(imageTokens)
		if r == ruleVideo {
			tokens = videoTokens
		}
		if o, is := item.(Object); is {
			if !isAddress(o["url"]) {
				return tokens, item
			}
			rest := Object{}
			for name, more := range o {
				if name != "url" {
					rest[name] = more
				}
			}
			return tokens, rest
		}
		if isAddress(item) {
			return tokens, nil
		}
		return tokens, item
	case ruleData:
		if !isText {
			return 0, item
		}
		if key == "result" {
			if kind == "image_generation_call" {
				return imageTokens, nil
			}
			return 0, item
		}
		return decoded(mimeOf(part), words)
	case ruleFile:
		return file(key, item, words, isText, part)
	case ruleSound: // an earlier answer's sound
		if _, is := object(item)["id"]; is {
			return imageTokens, nil
		}
		return 0, item
	}
	if o := object(item); o["type"] == "url" || o["type"] == "file" { // a source
		size := int64(0)
		for _, value := range o {
			size += characters(text(value))
		}
		var long any
		if size > urlMax {
			long = item
		}
		if kind == "image" {
			return imageTokens, long
		}
		return fileTokens, long
	}
	return 0, item
}

func file(key string, item any, words string, isText bool, part Object) (int64, any) {
	if !isText {
		return 0, item
	}
	if key == "file_data" {
		return decoded("", words)
	}
	kind := part["type"]
	switch kind {
	case nil, "input_file", "input_image", "file":
	default:
		return 0, item // a citation
	}
	mime := mimeOf(part)
	if strings.HasPrefix(mime, "video") || strings.Contains(words, "youtu") {
		if isAddress(item) {
			return videoTokens, nil
		}
		return videoTokens, item
	}
	if characters(words) <= urlMax {
		item = nil
	}
	if kind == "input_image" || strings.HasPrefix(mime, "image") {
		return imageTokens, item
	}
	return fileTokens, item
}

func isAddress(value any) bool {
	s := text(value)
	return strings.HasPrefix(s, "data:") || strings.HasPrefix(s, "http") && characters(s) <= urlMax
}

func mimeOf(part Object) string {
	for _, name := range []string{"media_type", "mimeType", "mime_type", "format"} {
		if value, is := part[name].(string); is {
			return value
		}
	}
	return ""
}

var sounds = map[string]bool{"audio": true, "video": true, "wav": true, "mp3": true, "flac": true,
	"opus": true, "aac": true, "ogg": true, "m4a": true, "pcm16": true}

// decoded is the tokens of base64, and what of it is text instead.
func decoded(mime, data string) (int64, any) {
	isData := strings.HasPrefix(data, "data:")
	if mime == "" && isData {
		mime, _, _ = strings.Cut(data[5:min(64, len(data))], ";")
	}
	kind, _, _ := strings.Cut(mime, "/")
	size := characters(data)
	switch {
	case kind == "image":
		return imageTokens, nil
	case sounds[kind]:
		return size/audioBytesPerToken + 1, nil
	case kind == "text" || mime == "" && !isData && size <= 256:
		return 0, data
	}
	return max(TextTokens(size), min(size, fileTokens)), nil
}

func isWhole(n Number) bool { return !strings.ContainsAny(string(n), ".eE") }

func allWhole(values []any) bool {
	for _, value := range values {
		if n, is := value.(Number); !is || !isWhole(n) {
			return false
		}
	}
	return true
}

func bitLength(n Number) int {
	if whole, err := n.Int64(); err == nil {
		if whole < 0 {
			return bits.Len64(-uint64(whole))
		}
		return bits.Len64(uint64(whole))
	}
	if whole, ok := new(big.Int).SetString(string(n), 10); ok {
		return whole.BitLen()
	}
	return 0
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// characters are what Python counts as the length of a text.
func characters(s string) (n int64) {
	if ascii(s) {
		return int64(len(s))
	}
	for range s {
		n++
	}
	return n
}
