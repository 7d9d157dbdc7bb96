// SPDX-License-Identifier: Apache-2.0

// JSON as plain values. Every request and every piece of a stream is read, so this reads
// without copying: texts are parts of one string.

package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Number is a number as it was written.
type Number = json.Number

// Object is a JSON object; its numbers are Number.
type Object = map[string]any

// depthMax is how deep a value may be; deeper ones are not read everywhere.
const depthMax = 1000

// Parse reads a request's or an answer's JSON: RFC 8259, one value, in UTF-8, also after a byte
// order mark. Of members with the same name the last counts.
func Parse(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("the body is no JSON: it is not UTF-8")
	}
	p := parser{text: strings.TrimPrefix(string(text), "\ufeff")}
	value, ok := p.value(0)
	p.blanks()
	if !ok || p.at < len(p.text) {
		return nil, fmt.Errorf("the body is no JSON: byte %d is not as expected", p.at)
	}
	return value, nil
}

type parser struct {
	text string
	at   int
}

func (p *parser) blanks() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\n', '\t', '\r':
			p.at++
		default:
			return
		}
	}
}

// next skips blanks and tells what follows; 0 at the end.
func (p *parser) next() byte {
	p.blanks()
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// take skips blanks and a sign, if it follows.
func (p *parser) take(sign byte) bool {
	if p.next() != sign {
		return false
	}
	p.at++
	return true
}

func (p *parser) value(depth int) (any, bool) {
	if depth > depthMax {
		return nil, false
	}
	switch p.next() {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"':
		s, ok := p.string()
		return s, ok
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	}
	n, ok := p.number()
	return n, ok
}

func (p *parser) word(word string) bool {
	if !strings.HasPrefix(p.text[p.at:], word) {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) object(depth int) (Object, bool) {
	p.at++
	object := Object{}
	if p.take('}') {
		return object, true
	}
	for {
		if p.next() != '"' {
			return nil, false
		}
		name, ok := p.string()
		if !ok || !p.take(':') {
			return nil, false
		}
		value, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		object[name] = value
		if p.take('}') {
			return object, true
		}
		if !p.take(',') {
			return nil, false
		}
	}
}

func (p *parser) array(depth int) ([]any, bool) {
	p.at++
	array := []any{}
	if p.take(']') {
		return array, true
	}
	for {
		value, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		array = append(array, value)
		if p.take(']') {
			return array, true
		}
		if !p.take(',') {
			return nil, false
		}
	}
}

// string reads a text, which begins here.
func (p *parser) string() (string, bool) {
	start, escaped := p.at, false
	for i := p.at + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			p.at = i + 1
			if !escaped {
				return p.text[start+1 : i], true
			}
			var s string
			err := json.Unmarshal([]byte(p.text[start:p.at]), &s)
			return s, err == nil
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			p.at = i
			return "", false
		}
	}
	p.at = len(p.text)
	return "", false
}

func (p *parser) number() (Number, bool) {
	start := p.at
	p.sign("-")
	if !p.sign("0") && !p.digits() {
		return "", false
	}
	if p.sign(".") && !p.digits() {
		return "", false
	}
	if p.sign("eE") {
		p.sign("+-")
		if !p.digits() {
			return "", false
		}
	}
	return Number(p.text[start:p.at]), true
}

func (p *parser) sign(any string) bool {
	if p.at < len(p.text) && strings.IndexByte(any, p.text[p.at]) >= 0 {
		p.at++
		return true
	}
	return false
}

func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}

// Field is a member of an object with its new value.
type Field struct {
	Name    string
	Value   any
	Removed bool
}

// With returns the text of an object, which Parse has read, with some members replaced wherever
// they stand and however often, added at its end, or removed. All other bytes stay.
func With(text []byte, fields ...Field) ([]byte, error) {
	values := make([][]byte, len(fields))
	for i, field := range fields {
		value, err := json.Marshal(field.Value)
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	p := parser{text: string(text)}
	if !p.take('{') {
		return nil, fmt.Errorf("no object")
	}
	out := append(make([]byte, 0, len(text)+64), text[:p.at]...)
	written := make([]bool, len(fields))
	members, comma := 0, false
	for from := p.at; p.next() != '}'; from = p.at {
		if comma && members == 0 {
			p.take(',')
			from = p.at
		} else if comma {
			p.take(',')
		}
		comma = true
		p.blanks()
		name, ok := p.string()
		if !ok || !p.take(':') {
			return nil, fmt.Errorf("no object")
		}
		p.blanks()
		start := p.at
		p.skip()
		if i := find(fields, name); i < 0 {
			out = append(out, p.text[from:p.at]...)
		} else if fields[i].Removed {
			continue
		} else {
			out = append(append(out, p.text[from:start]...), values[i]...)
			written[i] = true
		}
		members++
		from = p.at
	}
	end := len(strings.TrimRight(p.text[:p.at], " \t\r\n"))
	for i, field := range fields {
		if written[i] || field.Removed {
			continue
		}
		if members > 0 {
			out = append(out, ',')
		}
		members++
		name, _ := json.Marshal(field.Name)
		out = append(append(append(out, name...), ':'), values[i]...)
	}
	return append(out, p.text[end:]...), nil
}

func find(fields []Field, name string) int {
	for i, field := range fields {
		if field.Name == name {
			return i
		}
	}
	return -1
}

// skip passes a value by.
func (p *parser) skip() {
	depth := 0
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return
			}
			depth--
			if depth == 0 {
				p.at++
				return
			}
		case '"':
			p.past()
			if depth == 0 {
				return
			}
			continue
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return
			}
		}
		p.at++
	}
}

// past passes a text by.
func (p *parser) past() {
	for p.at++; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '\\':
			p.at++
		case '"':
			p.at++
			return
		}
	}
}
