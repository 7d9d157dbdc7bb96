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
	Name  string
	Value any
}

// With returns an object with some members replaced, wherever they stand and however often, or
// added at its end. All other bytes stay.
func With(text []byte, fields ...Field) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	values := make([][]byte, len(fields))
	found := make([]bool, len(fields))
	for i, field := range fields {
		value, err := json.Marshal(field.Value)
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	out := make([]byte, 0, len(text)+64)
	written, members := 0, 0
	for ; decoder.More(); members++ {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, err
		}
		for i, field := range fields {
			if name == field.Name {
				end := int(decoder.InputOffset())
				out = append(append(out, text[written:end-len(raw)]...), values[i]...)
				written, found[i] = end, true
			}
		}
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	end := int(decoder.InputOffset()) - 1
	out = append(out, text[written:end]...)
	for i, field := range fields {
		if found[i] {
			continue
		}
		if members > 0 {
			out = append(out, ',')
		}
		members++
		name, _ := json.Marshal(field.Name)
		out = append(append(append(out, name...), ':'), values[i]...)
	}
	return append(out, text[end:]...), nil
}
