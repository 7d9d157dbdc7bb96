// SPDX-License-Identifier: Apache-2.0

// What an input weighs: bytes by kind, and what is no text in tokens.

package wire

import "strings"

// Weight is bytes of UTF-8 by kind, and tokens of everything else.
type Weight struct {
	Text  int64 // bytes of prose in ASCII
	Wide  int64 // bytes of texts with other characters in them
	JSON  int64 // bytes of schemas of tools and formats, arguments of calls
	Fixed int64 // tokens: frames of messages, images, audio, files, inputs given as tokens
}

const (
	messageTokens      = 4      // what a provider adds around one message
	imageTokens        = 5_000  // one image, at the highest resolution that is billed by itself
	fileTokens         = 50_000 // one document that is only referred to
	audioBytesPerToken = 40     // base64 of compressed speech
)

// Tokens of so many bytes of text at most: size / 2.5, rounded up.
func textTokens(size int64) int64 { return (size*2 + 4) / 5 }

// Tokens is how many there are at most.
func (w Weight) Tokens() int64 { return textTokens(w.Text+w.Wide+w.JSON) + w.Fixed }

// OutputTokens is how many tokens so many bytes of output are at most.
func OutputTokens(size int64) int64 { return textTokens(size) }

var structuredNames = set("tools", "functions", "response_format", "format", "toolConfig",
	"responseSchema", "responseJsonSchema", "input_schema", "parameters", "arguments", "args",
	"functionCall", "functionResponse", "output_config", "output_format", "tool_choice")

func set(names ...string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, name := range names {
		s[name] = true
	}
	return s
}

// weigh is the weight of some members of a body.
func weigh(body Object, names ...string) (w Weight) {
	for _, name := range names {
		if value, is := body[name]; is {
			w.add(value, structuredNames[name])
		}
	}
	return w
}

func (w *Weight) add(value any, structured bool) {
	switch value := value.(type) {
	case string:
		w.bytes(int64(len(value)), structured, !structured && !ascii(value))
	case Object:
		if media := mediaTokens(value); media > 0 {
			w.Fixed += media
			return
		}
		if _, is := value["role"]; is {
			w.Fixed += messageTokens
		}
		for key, item := range value {
			w.bytes(characters(key)+2, structured, false)
			w.add(item, structured || structuredNames[key])
		}
	case []any:
		if len(value) > 0 && isWhole(value[0]) {
			w.Fixed += int64(len(value)) // an input given as tokens
			return
		}
		for _, item := range value {
			w.add(item, structured)
		}
	case bool:
		w.JSON += 5
		if value {
			w.JSON--
		}
	case Number:
		w.JSON += 6
		if !isWhole(value) {
			w.JSON += 18
		}
	default:
		w.JSON += 6
	}
}

func (w *Weight) bytes(size int64, structured, wide bool) {
	switch {
	case structured:
		w.JSON += size
	case wide:
		w.Wide += size
	default:
		w.Text += size
	}
}

func isWhole(value any) bool {
	n, is := value.(Number)
	return is && !strings.ContainsAny(string(n), ".eE")
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
func characters(s string) int64 {
	n := int64(0)
	for range s {
		n++
	}
	return n
}

// mediaTokens are the tokens of a part that is no text, or 0.
func mediaTokens(part Object) int64 {
	kind := text(part["type"])
	if _, is := part["image_url"]; is || strings.Contains(kind, "image") {
		return imageTokens
	}
	if strings.Contains(kind, "audio") {
		return longest(part)/audioBytesPerToken + 1
	}
	return 0
}

func longest(part Object) (found int64) {
	for _, value := range part {
		switch value := value.(type) {
		case string:
			found += characters(value)
		case Object:
			for _, item := range value {
				found += characters(text(item))
			}
		}
	}
	return found
}
