// SPDX-License-Identifier: Apache-2.0

// The table: which requests are priced, by the end of their path, and what speaks for each.

package wire

import "strings"

var chat = &openAI{
	name:        "openai.chat",
	inputs:      []string{"messages", "tools", "functions", "response_format", "prediction"},
	limits:      []string{"max_completion_tokens", "max_tokens"},
	usageOption: true,
}

var byEnd = []struct {
	end     string
	dialect Dialect
}{
	{"/chat/completions", chat},
}

// DialectOf is the dialect of a priced request, on any host, or nil.
func DialectOf(method, path string) Dialect {
	if method != "POST" {
		return nil
	}
	path, _, _ = strings.Cut(path, "?")
	for _, row := range byEnd {
		if strings.HasSuffix(path, row.end) {
			return row.dialect
		}
	}
	return nil
}

// Unmetered is what a request costs money for although no dialect can meter it, or "".
func Unmetered(method, path string) string { return "" }
