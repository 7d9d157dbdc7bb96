// SPDX-License-Identifier: Apache-2.0

// The ledger: business results, and asking with SQL.

package bursar

import "time"

// OutcomeState is what an Outcome says.
type OutcomeState int32

// The states.
const (
	OutcomeStated    OutcomeState = 1 // by who produced it
	OutcomeVerified  OutcomeState = 2 // by somebody else
	OutcomeDisputed  OutcomeState = 3
	OutcomeCorrected OutcomeState = 4 // another value, or rework
	OutcomeWithdrawn OutcomeState = 5
)

// Outcome is a business result, or a revision of one. It is credited to a Session (also one that
// was closed), a Workflow or a Label, which it says when it is stated.
type Outcome struct {
	State      OutcomeState // 0 = stated
	Name       string       // "invoice_processed"
	ID         string       // your own; without one it is never revised
	Session    ID
	Workflow   string // a budget's path
	Label      string // "key=value"
	Value      string // "$3.20"; empty = unknown, or as it was
	Rework     Nanos  // what putting it right cost
	ReworkTime time.Duration
	By         string // who says so; empty = the runtime's name, or its user
	Reason     string
	At         time.Time // when it came about; zero = now
}

// Outcome states a business result, or revises one by its Name and ID. Stating it again changes
// nothing; with another value it is ErrConflict. Verifying it is ErrRole for who stated it.
func (rt *Runtime) Outcome(outcome Outcome) error {
	return rt.detailed(abiOutcome(rt.engine(), &outcome))
}

// Outcome states a business result of the session: value is "$3.20", or empty where it is unknown.
func (s *Session) Outcome(name, id, value string) error {
	return s.runtime.Outcome(Outcome{Name: name, ID: id, Value: value, Session: s.id})
}

const (
	valueNull      = 0
	valueInteger   = 1
	valueReal      = 2
	valueText      = 3
	valueBlob      = 4
	queryAsWritten = 1
)

// Row is a row of a query by column name: int64, float64, string, []byte, or nil for NULL.
type Row map[string]any

// Query returns the rows of one SELECT over the ledger's views: see docs/ledger.md. Parameters
// stand for `?`. It sees all that was settled before; an *Error with ErrQuery has the Line and
// the Column.
func (rt *Runtime) Query(sql string, parameters ...any) ([]Row, error) {
	parameters = append([]any(nil), parameters...) // the caller's stay
	for i, parameter := range parameters {
		switch p := parameter.(type) {
		case int:
			parameters[i] = int64(p)
		case Nanos:
			parameters[i] = int64(p)
		}
	}
	q, columns, err := abiQuery(rt.engine(), 0, sql, parameters)
	if err != nil {
		return nil, rt.detailed(err)
	}
	defer abiQueryClose(q)
	names := make([]string, columns)
	for i := range names {
		names[i], _ = readText(func(buf []byte) (int, Status) { return abiQueryColumn(q, i, buf) })
		for _, other := range names[:i] {
			if names[i] == other {
				return nil, &Error{Status: ErrQuery, Message: "two columns are called " + other + ": rename one with AS"}
			}
		}
	}
	var rows []Row
	values := make([]any, columns)
	for {
		found, err := abiQueryNext(q, values)
		if err != nil || !found {
			return rows, err
		}
		row := make(Row, columns)
		for i, name := range names {
			row[name] = values[i]
		}
		rows = append(rows, row)
	}
}
