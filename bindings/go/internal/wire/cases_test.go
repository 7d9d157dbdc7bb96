// SPDX-License-Identifier: Apache-2.0

// The cases that every binding must answer alike, from Tests/wire.

package wire

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

type caseFile struct {
	Cases  []caseOf
	Shapes []struct {
		Name, Provider string
		Value          Object
		Usage          json.RawMessage
	}
}

type caseOf struct {
	Name, Method, Path, Host string
	Dialect                  *string
	Body                     json.RawMessage
	Ask                      json.RawMessage
	Unmetered                string
	Grants                   []struct {
		Model     string
		MaxOutput int64 `json:"max_output_tokens"`
		Body      json.RawMessage
		Path      string
	}
	Answers []struct {
		Body  json.RawMessage
		Usage json.RawMessage
		beside
	}
	Streams []struct {
		Bytes       string
		Pieces      json.RawMessage
		Usage       json.RawMessage
		Final       bool
		PassedOn    *string `json:"passed_on"`
		ContentType string  `json:"content_type"`
		beside
	}
}

type beside struct {
	Stored        []string
	Tools, Others json.RawMessage
}

func TestCases(t *testing.T) {
	text, err := os.ReadFile("../../../../Tests/wire/cases.json")
	if os.IsNotExist(err) {
		t.Skip("not in the project's repository")
	}
	var all caseFile
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err != nil || decoder.Decode(&all) != nil || len(all.Cases) == 0 {
		t.Fatal("the cases cannot be read", err)
	}
	for _, c := range all.Cases {
		t.Run(c.Name, c.run)
	}
	for _, shape := range all.Shapes {
		t.Run(shape.Name, func(t *testing.T) {
			usage, err := UsageOf(shape.Value, shape.Provider)
			sameUsage(t, "usage", &usage, err, shape.Usage)
		})
	}
	t.Logf("%d cases, %d shapes", len(all.Cases), len(all.Shapes))
}

func (c *caseOf) run(t *testing.T) {
	dialect := DialectOf(c.Method, c.Path)
	if c.Dialect == nil {
		if dialect != nil {
			t.Errorf("it is taken for %s", dialect.Name())
		}
		if found := Unmetered(c.Method, c.Path, c.Host); found != c.Unmetered {
			t.Errorf("unmetered: got %q, want %q", found, c.Unmetered)
		}
		return
	}
	if dialect == nil || dialect.Name() != *c.Dialect {
		t.Fatalf("it is taken for %v, want %s", dialect, *c.Dialect)
	}
	parsed, err := Parse(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	body := object(parsed)
	ask := dialect.Ask(body, c.Path, c.Host)
	same(t, "ask", c.said(ask), c.Ask)
	if ask == nil {
		return
	}
	for _, grant := range c.Grants {
		fields, path := dialect.Grant(body, c.Path, ask, grant.Model, grant.MaxOutput)
		granted, err := With(c.Body, fields...)
		if err != nil {
			t.Error(err)
		}
		same(t, "granted", granted, grant.Body)
		if grant.Path == "" {
			grant.Path = c.Path
		}
		if path != grant.Path {
			t.Errorf("granted path: got %s, want %s", path, grant.Path)
		}
	}
	for _, answer := range c.Answers {
		said, err := Parse(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		usage, err := dialect.Usage(object(said))
		sameUsage(t, "usage of "+string(answer.Body), usage, err, answer.Usage)
		answer.check(t, dialect, object(said))
	}
	for _, stream := range c.Streams {
		passed := stream.Bytes
		if stream.PassedOn != nil {
			passed = *stream.PassedOn
		}
		for _, size := range []int{1, 2, 3, 7, 100, len(stream.Bytes)} {
			events := NewEvents(dialect, ask, strings.Contains(stream.ContentType, "json"))
			var raw strings.Builder
			pieces := []any{}
			each := func(event Event) bool {
				raw.Write(event.Raw)
				if event.Piece != nil {
					pieces = append(pieces, pieceOf(event.Piece))
				}
				return true
			}
			for rest := stream.Bytes; rest != ""; {
				n := min(size, len(rest))
				events.Feed([]byte(rest[:n]), each)
				rest = rest[n:]
			}
			events.Finish(each)
			if raw.String() != passed {
				t.Errorf("in pieces of %d: passed on %q, want %q", size, raw.String(), passed)
			}
			same(t, "pieces", jsonOf(pieces), stream.Pieces)
			sameUsage(t, "a stream's usage", events.Usage, nil, stream.Usage)
			if events.Final != stream.Final {
				t.Errorf("final: got %v, want %v", events.Final, stream.Final)
			}
			stream.check(t, dialect, events.Answer)
		}
	}
}

func (b *beside) check(t *testing.T, dialect Dialect, answer Object) {
	t.Helper()
	if found := dialect.Stored(answer); strings.Join(found, " ") != strings.Join(b.Stored, " ") {
		t.Errorf("stored: got %v, want %v", found, b.Stored)
	}
	same(t, "tools", usesOf(dialect.Tools(answer)), orNone(b.Tools))
	others := []any{}
	for _, other := range dialect.Others(answer) {
		others = append(others, []any{other.Model, usageNames(&other.Usage)})
	}
	same(t, "others", jsonOf(others), orNone(b.Others))
}

func orNone(text json.RawMessage) json.RawMessage {
	if text == nil {
		return json.RawMessage("[]")
	}
	return text
}

// said is an Ask as the cases write it: what is as usual is left out.
func (c *caseOf) said(ask *Ask) []byte {
	if ask == nil {
		return []byte("null")
	}
	said := Object{"max_output_tokens": nil}
	if ask.HasLimit {
		said["max_output_tokens"] = ask.MaxOutput
	}
	weight := Object{}
	put(weight, "text_bytes", ask.Weight.Text, 0)
	put(weight, "wide_bytes", ask.Weight.Wide, 0)
	put(weight, "json_bytes", ask.Weight.JSON, 0)
	put(weight, "fixed_tokens", ask.Weight.Fixed, 0)
	said["weight"] = weight
	said["model"] = ask.Model
	said["input_tokens"] = ask.Input
	put(said, "choices", ask.Choices, 1)
	put(said, "stream", ask.Stream, false)
	put(said, "variant", ask.Variant, "standard")
	put(said, "cache_write", ask.CacheWrite, "")
	if len(ask.Limits) > 0 {
		said["limits"] = ask.Limits
	}
	put(said, "usage_asked", ask.UsageAsked, true)
	if len(ask.Tools) > 0 {
		said["tools"] = json.RawMessage(usesOf(ask.Tools))
	}
	put(said, "previous", ask.Previous, "")
	put(said, "as_asked", ask.AsAsked, false)
	return jsonOf(said)
}

func put[T comparable](o Object, name string, value, usual T) {
	if value != usual {
		o[name] = value
	}
}

func pieceOf(piece *Piece) Object {
	o := Object{}
	if piece.Usage != nil {
		o["usage"] = usageNames(piece.Usage)
	}
	put(o, "content_bytes", piece.Content, 0)
	put(o, "final", piece.Final, false)
	put(o, "hide", piece.Hide, false)
	return o
}

func usageNames(u *Usage) Object {
	o := Object{}
	put(o, "input_tokens", u.Input, 0)
	put(o, "cache_read_input_tokens", u.CacheReadInput, 0)
	put(o, "cache_write_input_tokens", u.CacheWriteInput, 0)
	put(o, "cache_write_1h_input_tokens", u.CacheWrite1hInput, 0)
	put(o, "output_tokens", u.Output, 0)
	put(o, "reasoning_output_tokens", u.ReasoningOutput, 0)
	put(o, "audio_input_tokens", u.AudioInput, 0)
	put(o, "cache_read_audio_input_tokens", u.CacheReadAudioInput, 0)
	put(o, "audio_output_tokens", u.AudioOutput, 0)
	put(o, "image_input_tokens", u.ImageInput, 0)
	put(o, "image_output_tokens", u.ImageOutput, 0)
	return o
}

func usesOf(uses []Uses) []byte {
	all := []any{}
	for _, one := range uses {
		all = append(all, []any{one.Tool, one.Count})
	}
	return jsonOf(all)
}

func jsonOf(value any) []byte {
	text, _ := json.Marshal(value)
	return text
}

func sameUsage(t *testing.T, what string, usage *Usage, err error, want json.RawMessage) {
	t.Helper()
	switch {
	case err != nil:
		same(t, what, []byte(`"error"`), want)
	case usage == nil:
		same(t, what, []byte("null"), want)
	default:
		same(t, what, jsonOf(usageNames(usage)), want)
	}
}

// same compares JSON.
func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Errorf("%s: %v in %s", what, err, got)
	}
	if err := json.Unmarshal(want, &b); err != nil {
		t.Errorf("%s: %v in the case's %s", what, err, want)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s:\n got %s\nwant %s", what, jsonOf(a), jsonOf(b))
	}
}
