// SPDX-License-Identifier: Apache-2.0

// The limit grammar: the project's table, row by row, through the library.

package bursar

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
)

// unescape turns \t, \n, \r, \\ and \xHH of the table into bytes.
func unescape(t *testing.T, text string) string {
	t.Helper()
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	must(t, err)
	return out
}

func TestLimitTextMeansWhatTheTableSays(t *testing.T) {
	rt := open(t)
	for _, name := range []string{"credits", "gpu_seconds"} {
		_, err := rt.Meter(name)
		must(t, err)
	}
	table, err := os.ReadFile("../../Tests/limits.tsv")
	must(t, err)
	rows := 0
	for number, line := range strings.Split(string(table), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != 5 {
			t.Fatalf("line %d of limits.tsv has %d cells", number+1, len(cells))
		}
		rows++
		text, expected := unescape(t, cells[1]), unescape(t, cells[3])
		parse := ParseLimits
		if cells[0] == "session" {
			parse = ParseSessionLimits
		}
		canonical, err := parse(rt, text)
		var failure *Error
		switch {
		case cells[2] == "ok" && err != nil:
			t.Errorf("line %d, %q: %v", number+1, text, err)
		case cells[2] == "ok":
			if canonical != expected {
				t.Errorf("line %d, %q: canonical text %q, want %q", number+1, text, canonical, expected)
			}
			if again, err := parse(rt, canonical); again != canonical {
				t.Errorf("line %d: %q parses back to %q, %v", number+1, canonical, again, err)
			}
		case !errors.As(err, &failure) || !errors.Is(err, ErrLimitText):
			t.Errorf("line %d, %q: got %q and %v, want a limit text error", number+1, text, canonical, err)
		default:
			if !strings.Contains(failure.Message, expected) {
				t.Errorf("line %d, %q: sentence %q has no %q", number+1, text, failure.Message, expected)
			}
			if strconv.Itoa(failure.Column) != cells[4] {
				t.Errorf("line %d, %q: column %d, want %s", number+1, text, failure.Column, cells[4])
			}
		}
	}
	if rows < 200 {
		t.Errorf("only %d rows", rows)
	}
}
