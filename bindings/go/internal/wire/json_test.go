// SPDX-License-Identifier: Apache-2.0

// Reading beside encoding/json, and changing members.

package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

var texts = []string{
	`{}`, `[]`, `{"a":1,"a":2}`, ` { "a" : [ 1 , -2.5e+3 , true , false , null , "x\u00e9\n" ] } `, `"\ud83d\ude00"`,
	`"\ud83d"`, `{"a":}`, `{"a" 1}`, `{"a":1,}`, `[1,]`, `[1 2]`, `01`, `-`, `1.`, `1e`, `.5`, `+1`, `nul`, `truex`,
	`"`, `"\`, `"\x"`, "\"\n\"", "\"\xff\"", `{"a":1}{}`, `{a:1}`, ``, ` `, `{"a":{"b":[{"c":"]}\""}]}}`, `0`, `-0`, `1E5`,
	`[[[[]]]]`, `{"":""}`, `"\u12"`, `{"a":"\\"}`, `NaN`, `Infinity`, "[\f1]",
}

func FuzzParse(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
		got, err := Parse(text)
		var want any
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		valid := json.Valid(text) && utf8.Valid(text) && bytes.Count(text, []byte("[")) < depthMax && bytes.Count(text, []byte("{")) < depthMax
		if valid {
			if decoder.Decode(&want) != nil {
				t.Skip()
			}
		}
		if (err == nil) != valid && !(err == nil && bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) >= depthMax) {
			t.Fatalf("%q: got %v, want valid %v", text, err, valid)
		}
		if valid && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, want %#v", text, got, want)
		}
		if o, is := got.(Object); is && err == nil {
			changed, err := With(text, Field{Name: "a", Value: 7}, Field{Name: "b", Removed: true})
			if err != nil {
				t.Fatal(err)
			}
			o["a"] = Number("7")
			delete(o, "b")
			if again, err := Parse(changed); err != nil || !reflect.DeepEqual(again, any(o)) {
				t.Fatalf("%q: changed to %q: %v", text, changed, err)
			}
		}
	})
}

func TestParseMark(t *testing.T) {
	if value, err := Parse([]byte("\ufeff[1]")); err != nil || len(list(value)) != 1 {
		t.Errorf("after a byte order mark: %v, %v", value, err)
	}
}

func TestParseDepth(t *testing.T) {
	for _, depth := range []int{depthMax, depthMax + 2, 1_000_000} {
		_, err := Parse([]byte(strings.Repeat("[", depth) + strings.Repeat("]", depth)))
		if (err == nil) != (depth <= depthMax) {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

func TestWith(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{"a":1,"b":2}`, `{"a":7}`},
		{`{"b":1 , "a":2}`, `{ "a":7}`},
		{`{"b":1}`, `{"a":7}`},
		{`{ }`, `{"a":7 }`},
		{` { "x" : "<&>\/" , "a":{"a":[1]} , "a" : "2" } `, ` { "x" : "<&>\/" , "a":7 , "a" : 7 } `},
		{`{"x":1,"b":[1,{"b":2}],"y":"]"}`, `{"x":1,"y":"]","a":7}`},
		{`{"\u0061":1}`, `{"\u0061":7}`},
	} {
		got, err := With([]byte(test.text), Field{Name: "a", Value: 7}, Field{Name: "b", Removed: true})
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(`{"messages":[` + strings.TrimSuffix(strings.Repeat(`{"role":"user","content":"What is the weather like in Oslo?"},`, 400), ",") + `]}`)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for i := 0; i < b.N; i++ {
			Parse(text)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for i := 0; i < b.N; i++ {
			var value any
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.UseNumber()
			decoder.Decode(&value)
		}
	})
}
