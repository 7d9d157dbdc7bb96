// SPDX-License-Identifier: Apache-2.0

// The table: which requests are priced, by the end of their path, and what speaks for each.

package wire

import (
	"net/url"
	"strings"
)

var (
	chatDialect = &chat{openAI{name: "openai.chat", provider: "openai", unlimited: -1, usageOption: true,
		inputs: []string{"messages", "tools", "functions", "response_format", "prediction"},
		limits: []string{"max_completion_tokens", "max_tokens"}}}
	completionsDialect = &completions{chat{openAI{name: "openai.completions", provider: "openai", unlimited: 16,
		usageOption: true, inputs: []string{"prompt", "suffix"}, limits: []string{"max_tokens"}}}}
	fimDialect = &chat{openAI{name: "mistral.fim", provider: "mistral", unlimited: -1,
		inputs: []string{"prompt", "suffix"}, limits: []string{"max_tokens"}}}
	embeddingsDialect = &embeddings{openAI{name: "openai.embeddings", provider: "openai", inputs: []string{"input"}}}
	responsesInputs   = []string{"input", "instructions", "tools", "text", "prompt"}
	responsesDialect  = &responses{openAI{name: "openai.responses", provider: "openai", unlimited: -1,
		inputs: responsesInputs, limits: []string{"max_output_tokens"}}}
	compactDialect = &responses{openAI{name: "openai.responses.compact", provider: "openai", inputs: responsesInputs,
		unlimited: 16_384}} // held; nothing keeps the provider to it
	messagesDialect = &messages{}
	vertexDialect   = &messages{vertex: true}
	generateDialect = &generate{}
	embedDialect    = &embed{}
)

type row struct {
	end     string // or what must be inside
	dialect Dialect
}

// By the last part of the path: what it must end with, first match wins.
var byName = map[string][]row{
	"completions": {
		{"/chat/completions", chatDialect}, {"/fim/completions", fimDialect},
		{"/completions", completionsDialect},
	},
	"responses":  {{"/responses", responsesDialect}},
	"compact":    {{"/responses/compact", compactDialect}},
	"embeddings": {{"/embeddings", embeddingsDialect}},
	"messages":   {{"/v1/messages", messagesDialect}, {"/anthropic/messages", messagesDialect}},
	"chat":       {{"/v2/chat", &cohereChat{}}},
	"embed":      {{"/v2/embed", &cohereEmbed{}}},
}

// By the verb after the last colon: what the path must have in it.
var byVerb = map[string]row{
	"generateContent":       {"/", generateDialect},
	"streamGenerateContent": {"/", generateDialect},
	"embedContent":          {"/", embedDialect},
	"batchEmbedContents":    {"/", embedDialect},
	"rawPredict":            {"/publishers/anthropic/", vertexDialect},
	"streamRawPredict":      {"/publishers/anthropic/", vertexDialect},
	"predict":               {"embedding", embedDialect},
}

// DialectOf is the dialect of a priced request, on any host and with any prefix, or nil.
func DialectOf(method, path string) Dialect {
	if !strings.EqualFold(method, "POST") {
		return nil
	}
	path, _, _ = strings.Cut(path, "?")
	path = strings.TrimRight(path, "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	for _, row := range byName[name] {
		if strings.HasSuffix(path, row.end) && !strings.HasSuffix(path, "/agents/completions") {
			return row.dialect
		}
	}
	if colon := strings.LastIndexByte(name, ':'); colon >= 0 {
		if row := byVerb[name[colon+1:]]; row.dialect != nil && strings.Contains(path, row.end) {
			return row.dialect
		}
	}
	return nil
}

// What costs money although no dialect meters it; then on hosts where a common word means that.
var (
	unmetered = [][2]string{
		{"/images/generations", "images"}, {"/images/edits", "images"}, {"/images/variations", "images"},
		{"/audio/speech", "audio"}, {"/audio/transcriptions", "audio"}, {"/audio/translations", "audio"},
		{"/messages/batches", "batches"}, {":batchGenerateContent", "batches"},
		{":asyncBatchEmbedContent", "batches"}, {":predictLongRunning", "video"},
		{"/agents/completions", "agents"}, {"/realtime/client_secrets", "realtime"},
		{"/realtime/calls", "realtime"}, {"/realtime/sessions", "realtime"},
		{"/live/sessions", "realtime"},
	}
	unmeteredHosts = []string{"openai.", "anthropic.", "googleapis.", "mistral.ai", "cohere.", "bedrock-runtime."}
	unmeteredThere = [][2]string{
		{"/batches", "batches"}, {"/batch/jobs", "batches"}, {"/videos", "video"},
		{"/fine_tuning/jobs", "fine-tuning"}, {"/rerank", "rerank"}, {"/ocr", "documents"},
		{"/remix", "video"}, {"/videos/edits", "video"}, {"/videos/extensions", "video"},
		{"/interactions", "interactions"}, {"/decisions", "decisions"}, {"/live/sessions", "realtime"},
		{"/events", "agents"}, {"/invocations", "agents"}, {"/dreams", "agents"},
		{"/runs", "assistants"}, {"/v1/complete", "completions before messages"},
		{"/v1/chat", "chat before v2"}, {"/v1/embed", "embeddings before v2"}, {"/v1/generate", "completions before chat"},
		{"/conversations", "agents"}, {":predict", "predictions"}, {"/converse", "Bedrock"},
		{"/converse-stream", "Bedrock"}, {"/invoke", "Bedrock"}, {"/invoke-with-response-stream", "Bedrock"},
	}
)

// Unmetered is what a request costs money for although no dialect meters it ("images",
// "batches", …), or "".
func Unmetered(method, path, host string) string {
	path, _, _ = strings.Cut(path, "?")
	path = strings.TrimRight(path, "/")
	if strings.EqualFold(method, "GET") && strings.HasSuffix(path, "/realtime") {
		return "realtime"
	}
	if !strings.EqualFold(method, "POST") || DialectOf(method, path) != nil {
		return ""
	}
	for _, row := range unmetered {
		if strings.HasSuffix(path, row[0]) {
			return row[1]
		}
	}
	for _, part := range unmeteredHosts {
		if !strings.Contains(host, part) {
			continue
		}
		for _, row := range unmeteredThere {
			if strings.HasSuffix(path, row[0]) && !(row[0] == "/conversations" && strings.Contains(host, "openai.")) {
				return row[1]
			}
		}
	}
	return ""
}

// quote escapes all but letters, digits, "_.-~" and what is safe.
func quote(s, safe string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("_.-~", c) >= 0 || strings.IndexByte(safe, c) >= 0 {
			b.WriteByte(c)
		} else {
			const digits = "0123456789ABCDEF"
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// unquote undoes it; what is no escape stays.
func unquote(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
