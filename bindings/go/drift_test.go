// SPDX-License-Identifier: Apache-2.0

// The header, this package and the library must not drift apart. Values and
// layouts are compared while compiling (layout.go); here: that nothing of the
// header is missing, and that the library exports the header's functions.

package bursar

import (
	"debug/elf"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"
)

var (
	comments  = regexp.MustCompile(`(?s)/\*.*?\*/`)
	functions = regexp.MustCompile(`\b(bursar_\w+)\(`)
	constants = regexp.MustCompile(`(?m)^#define (BURSAR_\w+)[ (]`)
	structs   = regexp.MustCompile(`(?s)typedef struct (bursar_\w+) \{(.*?)\n\}`)
	fields    = regexp.MustCompile(`(\w+)(?:\[\d+\])?[;,]`)
)

// What the header has and this package has not, and why.
var absent = map[string]string{
	"bursar_events_callback": "the descriptor is polled instead",
	"BURSAR_VERSION_MAJOR":   "part of VERSION_NUMBER",
	"BURSAR_VERSION_MINOR":   "part of VERSION_NUMBER",
	"BURSAR_VERSION_PATCH":   "part of VERSION_NUMBER",
	"BURSAR_TEXT":            "a macro of C",
	"BURSAR_API":             "a macro of C",
	"BURSAR_NONNULL":         "a macro of C",
	"BURSAR_NULLABLE":        "a macro of C",
	"BURSAR_STATIC_ASSERT":   "a macro of C",
	"open_options.loop":      "a uv_loop_t of the caller's: no Go program has one",
	"session_options.flags":  "none yet",
	"value.reserved":         "padding",
	"error.size":             "written as d.c.size",
	"event.reserved":         "padding",
	"process.reserved":       "padding",
	"spend.reserved":         "padding",
	"limit_view.reserved":    "padding",
	"rates.reserved":         "padding",
	"error.reserved":         "padding",
	"error.status":           "the function's result",
}

func header(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("bursar.h")
	must(t, err)
	return string(text)
}

func source(t *testing.T, names ...string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		all.Write(text)
	}
	return all.String()
}

// declared are the header's functions.
func declared(t *testing.T) map[string]bool {
	names := map[string]bool{}
	for _, declaration := range strings.Split(comments.ReplaceAllString(header(t), ""), "BURSAR_API ")[1:] {
		if m := functions.FindStringSubmatch(declaration); m != nil {
			names[m[1]] = true
		}
	}
	if len(names) < 50 {
		t.Fatalf("found only %d functions in the header", len(names))
	}
	return names
}

func TestEveryFunctionIsBound(t *testing.T) {
	called := map[string]bool{}
	for _, m := range regexp.MustCompile(`\bC\.(bursar_\w+)\(`).FindAllStringSubmatch(source(t, "abi.go"), -1) {
		called[m[1]] = true
	}
	for name := range declared(t) {
		if _, without := absent[name]; !called[name] && !without {
			t.Errorf("%s is not bound", name)
		}
	}
}

func TestEveryConstantIsCompared(t *testing.T) {
	layout := source(t, "layout.go")
	for _, m := range constants.FindAllStringSubmatch(header(t), -1) {
		if _, without := absent[m[1]]; without || strings.HasSuffix(m[1], "_INIT") {
			continue
		}
		if !regexp.MustCompile(`C\.` + m[1] + `\b`).MatchString(layout) {
			t.Errorf("%s is not compared in layout.go", m[1])
		}
	}
}

func TestEveryFieldIsKnown(t *testing.T) {
	layout := source(t, "layout.go")
	conversions := strings.Split(source(t, "abi.go"), "\nfunc ")
	found := structs.FindAllStringSubmatch(comments.ReplaceAllString(header(t), ""), -1)
	if len(found) < 15 {
		t.Fatalf("found only %d structs in the header", len(found))
	}
	for _, m := range found {
		name := strings.TrimPrefix(m[1], "bursar_")
		var about strings.Builder // the functions that fill or read this struct
		for _, conversion := range conversions {
			if strings.Contains(conversion, "C."+m[1]+"_t") || name == "error" && strings.Contains(conversion, "d *details") {
				about.WriteString(conversion)
			}
		}
		for _, field := range fields.FindAllStringSubmatch(m[2], -1) {
			if _, without := absent[name+"."+field[1]]; without {
				continue
			}
			compared := strings.Contains(layout, "C."+m[1]+"_t{}."+field[1]+")")
			converted := regexp.MustCompile(`(c\._?` + field[1] + `\b|\b` + field[1] + `:)`).MatchString(about.String())
			if !compared && !converted && !(field[1] == "size" && strings.Contains(about.String(), ".size = ")) {
				t.Errorf("field %s of %s is not known", field[1], m[1])
			}
		}
	}
}

// loaded is the library that this process runs with.
func loaded(t *testing.T) string {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("no /proc to find the library by")
	}
	path := regexp.MustCompile(`\S*/libbursar\.so\S*`).FindString(string(maps))
	if path == "" {
		t.Fatal("libbursar.so is not loaded")
	}
	return path
}

func TestTheLibraryExportsTheHeader(t *testing.T) {
	library, err := elf.Open(loaded(t))
	must(t, err)
	defer library.Close()
	symbols, err := library.DynamicSymbols()
	must(t, err)
	want := declared(t)
	for _, symbol := range symbols {
		if symbol.Section == elf.SHN_UNDEF || elf.ST_BIND(symbol.Info) == elf.STB_LOCAL ||
			!strings.HasPrefix(symbol.Name, "bursar_") {
			continue
		}
		if !want[symbol.Name] {
			t.Errorf("the library exports %s, which the header does not have", symbol.Name)
		}
		delete(want, symbol.Name)
	}
	var missing []string
	for name := range want {
		missing = append(missing, name)
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("the library does not export %v", missing)
	}
	equal(t, "version of header and library", LibraryVersion(), VersionNumber)
}
