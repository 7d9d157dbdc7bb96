// SPDX-License-Identifier: Apache-2.0

// Bodies of requests: read into plain values, and written again with few fields changed and
// every other byte as it was.

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Number is a number as it was written.
type Number = json.Number

// Object is a JSON object; its numbers are Number.
type Object = map[string]any

// Parse reads a request's or an answer's JSON.
func Parse(text []byte) (any, error) {
	value, err := parsed(text)
	if err != nil {
		return nil, fmt.Errorf("the body is no JSON: %w", err)
	}
	return value, nil
}

func parsed(text []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err = decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err = decoder.Token(); err != io.EOF {
		return nil, errors.New("more than one value")
	}
	return value, nil
}

// Field is a member of an object with its new value.
type Field struct {
	Name    string
	Value   any
	Removed bool
}

// With returns an object with some members replaced, wherever they stand and however often,
// added at its end, or removed. All other bytes stay.
func With(text []byte, fields ...Field) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	start := int(decoder.InputOffset())
	out := append(make([]byte, 0, len(text)+64), text[:start]...)
	left := append([]Field(nil), fields...)
	members := 0
	for from := start; decoder.More(); {
		first := from == start
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err = decoder.Decode(&raw); err != nil {
			return nil, err
		}
		to := int(decoder.InputOffset())
		member := text[from:to] // with the comma before it
		if members == 0 && !first {
			member = bytes.TrimPrefix(bytes.TrimLeft(member, " \t\r\n"), []byte(","))
		}
		from = to
		if i := find(fields, name); i < 0 {
			out = append(out, member...)
		} else if fields[i].Removed {
			continue
		} else {
			value, err := json.Marshal(fields[i].Value)
			if err != nil {
				return nil, err
			}
			left[i].Removed = true
			out = append(append(out, member[:len(member)-len(raw)]...), value...)
		}
		members++
	}
	rest := int(decoder.InputOffset())
	for _, field := range left {
		if field.Removed {
			continue
		}
		if members > 0 {
			out = append(out, ',')
		}
		members++
		name, _ := json.Marshal(field.Name)
		value, err := json.Marshal(field.Value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, text[rest:]...), nil
}

func find(fields []Field, name any) int {
	for i, field := range fields {
		if field.Name == name {
			return i
		}
	}
	return -1
}
