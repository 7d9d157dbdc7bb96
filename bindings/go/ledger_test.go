// SPDX-License-Identifier: Apache-2.0

// The ledger: rows by column name, what is wrong with a query, outcomes.

package bursar

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestAQueryGivesRowsByName(t *testing.T) {
	rt := openHome(t, Name("worker"))
	_, err := rt.Budget("beta", Limits("$10"), Owner("ada"))
	must(t, err)
	_, s := session(t, rt, "beta/support")
	for k := int64(1); k <= 5; k++ {
		_, err = s.Charge(Charge{Nanos: Dollar / 10})
		must(t, err)
		rows, err := rt.Query("SELECT owner, sum(cost_nanos) cost, NULL unknown, ? half, x'00' bytes FROM v_steps"+
			" WHERE workflow = ? AND cost_nanos < ?", 0.5, "beta/support", Dollar)
		must(t, err)
		want := []Row{{"owner": "ada", "cost": k * int64(Dollar/10), "unknown": nil, "half": 0.5, "bytes": []byte{0}}}
		if !reflect.DeepEqual(rows, want) {
			t.Errorf("got %v, want %v", rows, want)
		}
	}
	_, err = rt.Query("SELECT 1,\n nope FROM v_steps")
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrQuery) || e.Line != 2 || e.Column != 2 {
		t.Errorf("got %#v", err)
	}
	_, err = rt.Query("SELECT 1 a, 2 a")
	wants(t, "two columns of one name", err, ErrQuery)
	given := []any{1, Dollar}
	_, err = rt.Query("SELECT ? a, ? b", given...)
	must(t, err)
	if !reflect.DeepEqual(given, []any{1, Dollar}) {
		t.Errorf("the caller's parameters became %#v", given)
	}
	_, err = rt.Query("SELECT ?", struct{}{})
	wants(t, "a parameter of no type", err, ErrInvalid)
	_, err = open(t).Query("SELECT 1")
	wants(t, "a private runtime", err, ErrUnsupported)
}

func TestAnOutcomeIsVerifiedBySomebodyElse(t *testing.T) {
	rt := openHome(t, Name("worker"))
	_, err := rt.Budget("acme", Limits("$10"))
	must(t, err)
	support, err := rt.Budget("acme/support", Limits("$10"), Earn("$2", "$20"), EarnOutcome("paid"))
	must(t, err)
	_, s := session(t, rt, "acme/support")
	must(t, s.Outcome("paid", "1", "$3.20"))
	must(t, s.Outcome("paid", "1", "$3.20"))
	wants(t, "another value", s.Outcome("paid", "1", "$4"), ErrConflict)
	verified := Outcome{State: OutcomeVerified, Name: "paid", ID: "1"}
	wants(t, "verified by its producer", rt.Outcome(verified), ErrRole)
	verified.By, verified.Rework, verified.ReworkTime = "ada", Dollar/10, time.Minute
	must(t, rt.Outcome(verified))
	must(t, rt.Outcome(Outcome{Name: "won", ID: "2", Workflow: "acme", Reason: "called"}))
	limits, err := rt.ReadLimits(support)
	must(t, err)
	if limits[0].Earned != int64(2*Dollar) || limits[0].Remaining != int64(12*Dollar) {
		t.Errorf("got %v", limits)
	}
	rows, err := rt.Query("SELECT state, value_nanos v, rework_nanos r, rework_ns w, who FROM v_outcomes ORDER BY id")
	must(t, err)
	want := []Row{
		{"state": "verified", "v": int64(3_200_000_000), "r": int64(Dollar / 10), "w": int64(time.Minute), "who": "ada"},
		{"state": "stated", "v": nil, "r": int64(0), "w": int64(0), "who": "worker"},
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("got %v, want %v", rows, want)
	}
}
