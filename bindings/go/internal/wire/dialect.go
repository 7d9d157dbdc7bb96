// SPDX-License-Identifier: Apache-2.0

// Package wire knows what providers' HTTP says: which requests are priced, what they ask for,
// what they were billed. Pure functions over JSON and bytes, without I/O and without a session.
// The Python binding has the same table; Tests/wire/cases.json says what both must answer.
package wire

import (
	"strconv"
	"strings"
)

// tokensMax is what larger counts in a request are taken as.
const tokensMax = 1<<31 - 1

// Uses is how often a hosted tool is used; 0 = unknown.
type Uses struct {
	Tool  string
	Count int64
}

// Other is what a further model used.
type Other struct {
	Model string
	Usage Usage
}

// Ask is what a request wants, as far as its price goes.
type Ask struct {
	Model      string // "" = it names none
	Input      int64  // tokens at most; what Previous brings is not in it
	MaxOutput  int64  // tokens of each choice, with HasLimit
	HasLimit   bool   // the caller names a limit, or the API has one
	Choices    int64
	Stream     bool
	Variant    string   // "standard", "flex", "priority" or "batch"
	CacheWrite string   // "5m" or "1h": input may be written to the cache, kept so long
	Limits     []string // the fields that the granted limit goes into; none: none to set
	UsageAsked bool     // the caller sees the usage event of a stream
	Weight     Weight
	Tools      []Uses // that the provider runs and bills, most uses of each
	Previous   string // a stored answer, conversation or cache that becomes input too
	AsAsked    bool   // another model would be of no use: embeddings
}

// Piece is what one event of a stream says.
type Piece struct {
	Usage   *Usage // so far, of the whole answer
	Content int64  // bytes of output in this event
	Final   bool   // Usage is the bill
	Hide    bool   // there only because usage was asked for
	Answer  Object // so much of the whole answer as Tools, Others and Stored read
}

// Dialect is one kind of priced request.
type Dialect interface {
	Name() string // as in "openai.chat"

	// Ask is what a body wants; nil when there is nothing in it that would be billed.
	Ask(body Object, path, host string) *Ask

	// Grant is what to change in the body, and the path, for what was granted; model "" = as asked.
	Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string)

	// Usage is what a whole answer reports; nil when it has none. The error is of a usage that
	// contradicts itself or is not made of numbers.
	Usage(answer Object) (*Usage, error)

	// Tools are the hosted tools that a whole answer used and that are billed by the use.
	Tools(answer Object) []Uses

	// Others is what further models, called by the provider, used beside Usage.
	Others(answer Object) []Other

	// Stored are the names by which a later request's Previous may bring this answer back.
	Stored(answer Object) []string

	// Piece is what an event says. The dialect keeps in seen what later events leave out.
	Piece(event string, data, seen Object) Piece

	// StreamsArrays says that a stream which is not of events is a JSON array.
	StreamsArrays() bool
}

// plain is what most dialects answer.
type plain struct{}

func (plain) Tools(Object) []Uses    { return nil }
func (plain) Others(Object) []Other  { return nil }
func (plain) Stored(Object) []string { return nil }
func (plain) StreamsArrays() bool    { return false }

// count is a count in a request: a whole number from 0, held to tokensMax.
func count(value any) (int64, bool) {
	n, is := value.(Number)
	if !is {
		return 0, false
	}
	if isWhole(n) {
		whole, err := n.Int64()
		if err != nil {
			return tokensMax, !strings.HasPrefix(string(n), "-")
		}
		return min(whole, tokensMax), whole >= 0
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil && f == 0 || f < 0 {
		return 0, false
	}
	if f > tokensMax {
		return tokensMax, true
	}
	return int64(f), f == float64(int64(f))
}

// counted is a count, or 0.
func counted(value any) int64 {
	n, ok := count(value)
	if !ok {
		return 0
	}
	return n
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

// truthy is what Python takes for true.
func truthy(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case bool:
		return value
	case string:
		return value != ""
	case Number:
		f, err := value.Float64()
		return err != nil || f != 0
	case Object:
		return len(value) > 0
	case []any:
		return len(value) > 0
	}
	return true
}

// first is the first value that is truthy.
func first(values ...any) any {
	for _, value := range values {
		if truthy(value) {
			return value
		}
	}
	return nil
}

// reported is the usage that a whole answer has under a name.
func reported(answer Object, name, provider string) (*Usage, error) {
	found := object(answer[name])
	if len(found) == 0 {
		return nil, nil
	}
	usage, err := UsageOf(found, provider)
	if err != nil {
		return nil, err
	}
	return &usage, nil
}

// smaller is a thinking budget that was below the limit asked for, below the limit granted: its
// share of the limit stays (half, where none was asked for), but never less than least; 0 = no
// room for one. Not ok: leave it as it is.
func smaller(budget any, ask *Ask, granted, least int64) (smaller int64, ok bool) {
	given, asked := counted(budget), ask.MaxOutput
	if !ask.HasLimit {
		asked = 2 * given
	}
	if given == 0 || given >= asked || granted >= asked {
		return 0, false
	}
	if granted <= least {
		return 0, true
	}
	return max(least, given*granted/asked), true
}

// with is an object with one member changed.
func with(o Object, name string, value any) Object {
	changed := make(Object, len(o)+1)
	for key, item := range o {
		changed[key] = item
	}
	changed[name] = value
	return changed
}
