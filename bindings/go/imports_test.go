// SPDX-License-Identifier: Apache-2.0

// Outcomes from files: the table that all bindings share, files that come again, many lines.

package bursar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

type importCase struct {
	Says, File, Error string
	Latin1            bool
	Options           struct {
		Format, By        string
		Columns, Defaults map[string]string
		IgnoreUnknown     bool `json:"ignore_unknown"`
	}
	Counts [3]int
	Failed [][3]any
	Rows   [][]any
}

func number(t *testing.T, rt *Runtime, sql string) int64 {
	t.Helper()
	rows, err := rt.Query("SELECT (" + sql + ") n")
	must(t, err)
	n, _ := rows[0]["n"].(int64)
	return n
}

func TestEveryCaseOfTheTable(t *testing.T) {
	table, err := os.ReadFile("../../Tests/imports.json")
	must(t, err)
	var cases []importCase
	must(t, json.Unmarshal(table, &cases))
	for _, c := range cases {
		t.Run(c.Says, func(t *testing.T) { c.run(t) })
	}
}

func (c *importCase) run(t *testing.T) {
	rt := openHome(t, Name("worker"))
	_, s := session(t, rt, "acme/support", Labels(map[string]string{"customer": "hooli"}))
	file := strings.NewReplacer("{session}", fmt.Sprint(s.ID()), "{key}",
		fmt.Sprint(number(t, rt, "SELECT session FROM v_sessions"))).Replace(c.File)
	data := []byte(file)
	if c.Latin1 {
		data = data[:0]
		for _, r := range file {
			data = append(data, byte(r))
		}
	}
	options := ImportOptions(c.Options)
	done, err := rt.ImportOutcomes(bytes.NewReader(data), options)
	if c.Error != "" {
		wants(t, c.Says, err, ErrInvalid)
		if !strings.Contains(fmt.Sprint(err), c.Error) || number(t, rt, "SELECT count(*) FROM outcomes") != 0 {
			t.Errorf("got %v, want %s", err, c.Error)
		}
		return
	}
	must(t, err)
	if counts := [3]int{done.Stated, done.Revised, done.Unchanged}; counts != c.Counts || len(done.Failed) != len(c.Failed) {
		t.Fatalf("got %v, want %v %v", done, c.Counts, c.Failed)
	}
	for k, want := range c.Failed {
		f := done.Failed[k]
		if float64(f.Line) != want[0] || f.Column != want[1] || !strings.Contains(f.Reason, want[2].(string)) {
			t.Errorf("got %v, want %v", f, want)
		}
	}
	rows, err := rt.Query("SELECT name, key, state, value_nanos, rework_nanos, rework_ns, CASE WHEN session IS NOT NULL" +
		" THEN 'session' WHEN label_key IS NOT NULL THEN label_key||'='||label_value ELSE workflow END credit, at, who, why" +
		" FROM v_outcomes ORDER BY name, length(key), key")
	must(t, err)
	if c.Rows != nil && len(rows) != len(c.Rows) {
		t.Fatalf("got %v, want %v", rows, c.Rows)
	}
	for k, want := range c.Rows {
		for j, column := range []string{"name", "key", "state", "value_nanos", "rework_nanos", "rework_ns", "credit", "at", "who", "why"} {
			got := rows[k][column]
			if n, isNumber := want[j].(float64); isNumber {
				want[j] = int64(n) // exact: all are below 2^53, or even
			}
			if got != want[j] && !(column == "at" && want[j] == nil) {
				t.Errorf("row %d: %s is %v, want %v", k, column, got, want[j])
			}
		}
	}
	revisions, err := rt.Query("SELECT * FROM v_revisions")
	must(t, err)
	again, err := rt.ImportOutcomes(bytes.NewReader(data), options)
	must(t, err)
	if want := (Imported{0, 0, c.Counts[0] + c.Counts[1] + c.Counts[2], done.Failed}); !reflect.DeepEqual(again, want) {
		t.Errorf("again: got %v, want %v", again, want)
	}
	same, err := rt.Query("SELECT * FROM v_revisions")
	must(t, err)
	if !reflect.DeepEqual(revisions, same) {
		t.Error("the same file again changed something")
	}
}

func TestManyLines(t *testing.T) {
	count := 3000
	if os.Getenv("BURSAR_BENCH") != "" {
		count = 20_000
	}
	rt := openHome(t)
	var text strings.Builder
	text.WriteString("name,id,label:customer,value,at\n")
	for k := 0; k < count; k++ {
		fmt.Fprintf(&text, "won,d-%d,c%d,$%d.25,2024-10-%02d\n", k, k%500, k%977, k%31+1)
	}
	for _, want := range []Imported{{Stated: count}, {Unchanged: count}} {
		start := time.Now()
		done, err := rt.ImportOutcomes(strings.NewReader(text.String()), ImportOptions{By: "crm"})
		must(t, err)
		if !reflect.DeepEqual(done, want) {
			t.Errorf("got %v, want %v", done, want)
		}
		t.Logf("%d lines: %.0f outcomes/s", count, float64(count)/time.Since(start).Seconds())
	}
	if n := number(t, rt, "SELECT count(*) FROM outcomes"); n != int64(count) {
		t.Errorf("got %d outcomes, want %d", n, count)
	}
	_, err := open(t).ImportOutcomes(strings.NewReader(text.String()), ImportOptions{})
	wants(t, "a private runtime", err, ErrUnsupported)
}

// Random files are ErrInvalid or name their lines; none of them panics.
func TestRandomFiles(t *testing.T) {
	rt := openHome(t)
	dice := rand.New(rand.NewSource(7))
	good := []string{
		"name,id,workflow,value,at\nwon,1,acme,$3,\nlost,2,acme,,2024-10-31\n",
		`[{"name":"won","id":"1","workflow":"acme"},` + "\n" + `{"name":"b","id":2,"label":"a=b"}]`,
		`{"name":"won","id":"1","workflow":"acme"}` + "\n" + `{"name":"b","id":2,"label":"a=b"}`,
	}
	bits := []string{",", `"`, "\n", "\r", "\x00", "\xff", "=", "{", "}", "[", "]", ":", ";", "\t", `\ud800`, "null"}
	for k := 0; k < 300; k++ {
		data := []byte(good[dice.Intn(len(good))])
		for n := dice.Intn(8); n >= 0; n-- {
			at := dice.Intn(len(data))
			switch dice.Intn(3) {
			case 0:
				data = append(data[:at:at], data[min(at+1+dice.Intn(8), len(data)-1):]...)
			case 1:
				data = append(data[:at:at], append([]byte(bits[dice.Intn(len(bits))]), data[at:]...)...)
			default:
				data[at] = byte(dice.Intn(256))
			}
		}
		before := number(t, rt, "SELECT count(*) FROM v_outcomes")
		done, err := rt.ImportOutcomes(bytes.NewReader(data), ImportOptions{})
		if err != nil {
			wants(t, string(data), err, ErrInvalid)
		}
		for _, f := range done.Failed {
			if f.Line < 1 || f.Line > bytes.Count(data, []byte("\n"))+bytes.Count(data, []byte("\r"))+2 || f.Reason == "" {
				t.Errorf("%q: %v", data, f)
			}
		}
		if after := number(t, rt, "SELECT count(*) FROM v_outcomes"); after != before+int64(done.Stated) {
			t.Errorf("%q: %v, and %d more", data, done, after-before)
		}
	}
}
