// SPDX-License-Identifier: Apache-2.0

// A stream's bytes as events: split anywhere, read, and passed on as they came.

package wire

import "bytes"

// eventMax is how many bytes of an event are held back: what is longer goes on unread.
const eventMax = 32 << 20

// Event is bytes for the caller, valid until the next call, and what they say.
type Event struct {
	Raw   []byte // empty: to be hidden
	Piece *Piece // nil: nothing (comments, [DONE])
}

// Events is one answer's stream: server-sent events as the HTML standard has them, or the JSON
// array that Google streams when it is not asked for events. Bytes are held back only until the
// event that they belong to is complete.
type Events struct {
	Usage   *Usage // so far; the bill if Final
	Final   bool
	Answer  Object // so much as the dialect's readers need
	Pieces  int64  // events with content
	Content int64  // bytes of content

	dialect Dialect
	ask     *Ask
	seen    Object
	held    []byte
	looked  int // bytes of held in which no event ends; of events, whole lines
	data    []byte

	array    bool
	inString bool
	escaped  bool
	depth    int
}

// NewEvents begins a stream. JSON is not events but an array.
func NewEvents(dialect Dialect, ask *Ask, json bool) *Events {
	return &Events{dialect: dialect, ask: ask, seen: Object{}, array: json}
}

// Feed adds bytes and calls each with the events that they complete, until it answers false:
// then what is left is dropped.
func (e *Events) Feed(more []byte, each func(Event) bool) {
	e.held = append(e.held, more...)
	start := 0
	for {
		end := e.end(start)
		if end == 0 {
			break
		}
		e.looked = 0
		if !each(e.event(e.held[start:end])) {
			e.held = e.held[:0]
			return
		}
		start = end
	}
	left := e.held[start:]
	if plain := e.array && e.depth == 0 && !e.inString; len(left) > 0 && (plain || len(left) > eventMax) {
		e.looked = 0
		each(Event{Raw: left})
		left = nil
	}
	e.held = e.held[:copy(e.held, left)]
}

// Finish calls each with what is left when the stream ends, wherever it ends: an event that is
// complete but for its blank line counts as one.
func (e *Events) Finish(each func(Event) bool) {
	if len(e.held) > 0 {
		each(e.event(e.held))
	}
	e.held = nil
}

// end is where the event at start ends; 0 when it has not ended.
func (e *Events) end(start int) int {
	if e.array {
		return e.elementEnd(start)
	}
	for at := start + e.looked; ; {
		line := newline(e.held[at:])
		if line < 0 {
			return 0
		}
		next := at + line + 1
		if e.held[next-1] == '\r' {
			if next == len(e.held) {
				return 0 // a LF may follow
			}
			if e.held[next] == '\n' {
				next++
			}
		}
		if line == 0 {
			return next
		}
		at, e.looked = next, next-start
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

// elementEnd is the same for an element of an array, which ends with its last brace.
func (e *Events) elementEnd(start int) int {
	for at := start + e.looked; at < len(e.held); at++ {
		switch c := e.held[at]; {
		case e.escaped:
			e.escaped = false
		case e.inString && c == '\\':
			e.escaped = true
		case c == '"':
			e.inString = !e.inString
		case e.inString:
		case c == '{':
			e.depth++
		case c == '}':
			e.depth = max(0, e.depth-1)
			if e.depth == 0 {
				return at + 1
			}
		}
	}
	e.looked = len(e.held) - start
	return 0
}

var (
	done    = []byte("[DONE]")
	dataTag = []byte("data:")
	nameTag = []byte("event:")
)

func (e *Events) event(raw []byte) Event {
	if e.array {
		return Event{raw, e.read("", bytes.Trim(raw, " \t\r\n[],"))}
	}
	name := ""
	e.data = e.data[:0]
	for rest := raw; len(rest) > 0; {
		line := rest
		if end := newline(rest); end >= 0 {
			line, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		if value, is := bytes.CutPrefix(line, dataTag); is {
			if len(e.data) > 0 {
				e.data = append(e.data, '\n')
			}
			e.data = append(e.data, bytes.TrimPrefix(value, []byte(" "))...)
		} else if value, is := bytes.CutPrefix(line, nameTag); is {
			name = string(bytes.TrimSpace(value))
		}
	}
	if len(e.data) == 0 {
		return Event{Raw: raw}
	}
	if bytes.Equal(e.data, done) {
		e.Final = e.Usage != nil
		return Event{Raw: raw}
	}
	piece := e.read(name, e.data)
	if piece != nil && piece.Hide && !e.ask.UsageAsked {
		raw = nil
	}
	return Event{raw, piece}
}

func (e *Events) read(name string, data []byte) *Piece {
	said, err := Parse(data)
	if err != nil {
		return nil
	}
	piece := e.dialect.Piece(name, object(said), e.seen)
	if piece.Usage != nil {
		e.Usage, e.Final = piece.Usage, piece.Final
	} else if piece.Content > 0 {
		e.Final = false
	}
	if piece.Answer != nil {
		e.Answer = piece.Answer
	}
	if piece.Content > 0 {
		e.Pieces++
		e.Content += piece.Content
	}
	return &piece
}
