// SPDX-License-Identifier: Apache-2.0

// Package wire knows what providers' HTTP says: which requests are priced, what they ask for,
// what they were billed. Pure functions over JSON and bytes, without I/O and without a session;
// Tests/wire/cases.json says what each must answer, here and in the Python binding.
package wire

import (
	"fmt"
	"strings"
)

// tokensMax is what larger counts in a request are taken as.
const tokensMax = 1<<31 - 1

// Uses is how often a hosted tool is used; 0 = unknown.
type Uses struct {
	Tool  string
	Count int64
}

// Ask is what a request wants, as far as its price goes.
type Ask struct {
	Model      string // "" = it names none
	Input      int64  // tokens at most; what Previous brings is not in it
	MaxOutput  int64  // tokens of each choice, with HasLimit
	HasLimit   bool   // the caller names a limit
	Choices    int64
	Stream     bool
	Variant    string   // "standard", "flex", "priority" or "batch"
	CacheWrite string   // "5m" or "1h": input may be written to the cache, kept so long
	Limits     []string // the fields that the granted limit goes into; none: no output
	UsageAsked bool     // the caller sees the usage event of a stream
	Weight     Weight
	Tools      []Uses // that the provider runs and bills
	Previous   string // a stored response or conversation that becomes input too
}

// Piece is what one event of a stream says.
type Piece struct {
	Usage   *Usage // so far, of the whole answer
	Content int64  // bytes of output in this event
	Final   bool   // Usage is the bill
	Hide    bool   // there only because usage was asked for
	Tools   []Uses // so far
}

// Dialect is one kind of priced request.
type Dialect interface {
	Name() string

	// Ask is what a body wants; nil when there is nothing in it that would be billed.
	Ask(body any, path, host string) *Ask

	// Grant is what to change in the body, and the path, for what was granted; model "" = as asked.
	Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string)

	// Usage is what a whole answer reports; nil when it has none. The error is of a usage that
	// contradicts itself or is not made of numbers.
	Usage(answer any) (*Usage, error)

	// Tools are the hosted tools that a whole answer used.
	Tools(answer any) []Uses

	// Piece is what an event says. The dialect keeps in seen what later events leave out.
	Piece(event string, data any, seen Object) Piece

	// StreamsArrays says that a stream which is not of events is a JSON array.
	StreamsArrays() bool
}

// count is a count in a request: a whole number from 0, held to tokensMax.
func count(value any) (int64, bool) {
	n, ok := value.(Number)
	if !ok {
		return 0, false
	}
	if whole, err := n.Int64(); err == nil {
		return min(whole, tokensMax), whole >= 0
	}
	f, err := n.Float64()
	if err != nil || f < 0 { // also a whole number of too many digits
		return tokensMax, err != nil && !strings.HasPrefix(string(n), "-")
	}
	if f > tokensMax {
		return tokensMax, true
	}
	return int64(f), f == float64(int64(f))
}

func object(value any) Object {
	o, _ := value.(Object)
	return o
}

func list(value any) []any {
	l, _ := value.([]any)
	return l
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

// textSize is the bytes of a text; 0 for all else.
func textSize(value any) int64 { return int64(len(text(value))) }

// reported is the usage that a whole answer has under a name.
func reported(answer any, name, provider string) (*Usage, error) {
	found := object(object(answer)[name])
	if len(found) == 0 {
		return nil, nil
	}
	usage, err := UsageOf(found, provider)
	if err != nil {
		return nil, fmt.Errorf("the answer's %s: %w", name, err)
	}
	return &usage, nil
}
