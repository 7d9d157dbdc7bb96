// SPDX-License-Identifier: Apache-2.0

// Answers that come in pieces, over bytes that are split anywhere: server-sent events, and
// the elements of a JSON array.

package wire

import "bytes"

// Event is one server-sent event. Data is valid until the next call of Take.
type Event struct {
	Name string
	Data []byte
	Raw  []byte // the event's bytes with the blank line that ends it
}

// SSE finds the events of a stream (WHATWG HTML, section 9.2). Lines end with LF, CRLF or CR.
type SSE struct {
	held  []byte // of an event that has not ended
	lines int    // bytes of it that are whole lines
	data  []byte
}

// Most is how many bytes of an event are held back: what is longer goes on unread.
const Most = 16 << 20

// Take adds bytes and calls each with every event that they end, until each answers false:
// then the rest is dropped.
func (s *SSE) Take(more []byte, each func(Event) bool) {
	s.held = append(s.held, more...)
	start := 0
	for {
		end := s.end(start)
		if end == 0 {
			break
		}
		s.lines = 0
		if !each(s.event(s.held[start:end])) {
			s.held = s.held[:0]
			return
		}
		start = end
	}
	s.held = s.held[:copy(s.held, s.held[start:])]
}

// Held is what came after the last event that ended.
func (s *SSE) Held() []byte { return s.held }

// Drop forgets what is held.
func (s *SSE) Drop() { s.held, s.lines = s.held[:0], 0 }

// end is where the event at start ends, after its blank line; 0 when it has not ended.
func (s *SSE) end(start int) int {
	for at := start + s.lines; ; {
		line := newline(s.held[at:])
		if line < 0 {
			return 0
		}
		next := at + line + 1
		if s.held[next-1] == '\r' {
			if next == len(s.held) && line > 0 {
				return 0 // a LF may follow
			}
			if next < len(s.held) && s.held[next] == '\n' {
				next++
			}
		}
		if line == 0 {
			return next
		}
		at, s.lines = next, next-start
	}
}

func newline(b []byte) int {
	feed := bytes.IndexByte(b, '\n')
	if feed >= 0 {
		b = b[:feed]
	}
	if carriage := bytes.IndexByte(b, '\r'); carriage >= 0 {
		return carriage
	}
	return feed
}

func (s *SSE) event(raw []byte) Event {
	e := Event{Raw: raw}
	s.data = s.data[:0]
	for rest := raw; len(rest) > 0; {
		end := newline(rest)
		line := rest[:end]
		rest = rest[end+1:]
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			e.Name = string(value)
		case "data":
			if len(s.data) > 0 {
				s.data = append(s.data, '\n')
			}
			s.data = append(s.data, value...)
		}
	}
	e.Data = s.data
	return e
}

// Array finds the elements of a JSON array, which are objects.
type Array struct {
	held   []byte
	depth  int
	inside bool // a string
	escape bool
	other  bool // no array
}

// Take adds bytes and calls each with every element that they end.
func (a *Array) Take(more []byte, each func(element []byte) bool) {
	start := 0
	for i, c := range more {
		switch {
		case a.other:
			return
		case a.escape:
			a.escape = false
		case a.inside:
			a.escape = c == '\\'
			a.inside = c != '"'
		case c == '"':
			a.inside = true
		case c == '{' || c == '[':
			a.other = a.depth == 0 && c == '{'
			if a.depth == 1 {
				start, a.held = i, a.held[:0]
			}
			a.depth++
		case c == '}' || c == ']':
			a.depth--
			if a.depth == 1 {
				a.held = append(a.held, more[start:i+1]...)
				if !each(a.held) {
					return
				}
				a.held, start = a.held[:0], i+1
			}
		}
	}
	if a.depth > 1 && len(a.held)+len(more)-start <= Most {
		a.held = append(a.held, more[start:]...)
	}
}
