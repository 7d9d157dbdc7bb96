// SPDX-License-Identifier: Apache-2.0

// Contexts end with their cause; kill, pause, top up, observe, events, bad input.

package bursar

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestKillingABudgetCancelsTheContextsBelowIt(t *testing.T) {
	rt := open(t)
	team, err := rt.Budget("acme/support", Limits("$5"))
	must(t, err)
	below, s := session(t, rt, "acme/support/triage")
	childCtx, child, err := s.Child(context.Background(), "searcher")
	must(t, err)
	defer child.Close()
	beside, other := session(t, rt, "acme/sales")

	must(t, rt.Kill(team, "runaway"))
	cause := ends(t, below)
	wants(t, "cause", cause, ErrKilled)
	wants(t, "cause", cause, ErrHalted)
	wants(t, "cause", cause, ErrRefused)
	var decision *Decision
	if !errors.As(cause, &decision) || decision.Budget != team {
		t.Errorf("cause is %#v", cause)
	}
	if !strings.Contains(cause.Error(), "runaway") {
		t.Errorf("cause %q does not say why", cause)
	}
	wants(t, "the child's cause", ends(t, childCtx), ErrKilled)
	equal(t, "beside", beside.Err(), nil)

	_, err = s.Step(below, Request{})
	wants(t, "a step with the context", err, ErrKilled)
	_, err = s.Step(context.Background(), Request{Model: model(t, rt, "plain"), MaxOutput: 1})
	wants(t, "a step without it", err, ErrKilled)
	late, laterSession, err := rt.Session(context.Background(), "acme/support/triage")
	must(t, err)
	defer laterSession.Close()
	wants(t, "a session opened later", ends(t, late), ErrKilled)

	must(t, rt.Revive(team, "fixed"))
	fresh := s.Context(context.Background())
	equal(t, "revived", fresh.Err(), nil)
	step, err := s.Step(fresh, Request{Model: model(t, rt, "plain"), MaxOutput: 1})
	must(t, err)
	must(t, step.Release())

	must(t, rt.Kill(Everything, "fire"))
	wants(t, "everything", ends(t, beside), ErrKilled)
	wants(t, "everything", ends(t, fresh), ErrKilled)
	must(t, rt.Revive(Everything, ""))
	must(t, other.Close())
}

func TestAPausedSessionGoesOnWithAFreshContext(t *testing.T) {
	rt := open(t)
	ctx, s := session(t, rt, "acme", Limits("$5"))
	must(t, rt.Pause(s.ID(), "lunch"))
	wants(t, "cause", ends(t, ctx), ErrPaused)
	_, err := s.Step(context.Background(), Request{Model: model(t, rt, "plain"), MaxOutput: 1})
	wants(t, "a step", err, ErrPaused)
	reason, err := rt.Text(s.ID(), TextReason)
	must(t, err)
	equal(t, "reason", reason, "lunch")
	must(t, rt.Resume(s.ID(), ""))
	step, err := s.Step(s.Context(context.Background()), Request{Model: model(t, rt, "plain"), MaxOutput: 1})
	must(t, err)
	must(t, step.Release())
}

func TestADeadlineCancelsTheContext(t *testing.T) {
	rt := open(t)
	ctx, s := session(t, rt, "acme", Limits("$5", "1s wall"))
	wants(t, "cause", ends(t, ctx), ErrDeadline)
	_, err := s.Step(context.Background(), Request{Model: model(t, rt, "plain"), MaxOutput: 1})
	wants(t, "a step", err, ErrDeadline)
}

func TestClosingEndsContextsAndEverythingElse(t *testing.T) {
	rt := open(t)
	events := rt.Events(context.Background())
	ctx, s := session(t, rt, "acme", Limits("$5"))
	if FromContext(ctx) != s || FromContext(context.Background()) != nil {
		t.Error("the context does not carry its session")
	}
	must(t, s.Close())
	must(t, s.Close())
	wants(t, "cause", ends(t, ctx), ErrClosed)
	_, err := s.Step(context.Background(), Request{Model: model(t, rt, "plain"), MaxOutput: 1})
	if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNotFound) {
		t.Errorf("a step in a closed session: %v", err)
	}
	ctx, s = session(t, rt, "acme", Limits("$5"))
	must(t, rt.Close())
	must(t, rt.Close())
	wants(t, "cause", ends(t, ctx), ErrClosed)
	for range events {
	}
	_, err = s.Step(context.Background(), Request{})
	wants(t, "a step", err, ErrClosed)
	_, err = rt.Budget("acme")
	wants(t, "a budget", err, ErrClosed)
	_, _, err = rt.Session(context.Background(), "acme")
	wants(t, "a session", err, ErrClosed)
	_, err = rt.Read(1)
	wants(t, "read", err, ErrClosed)
	wants(t, "kill", rt.Kill(Everything, ""), ErrClosed)
	wants(t, "verify", rt.Verify(), ErrClosed)
	_, err = rt.Spend()
	wants(t, "spend", err, ErrClosed)
	for range rt.Events(context.Background()) {
	}
}

func TestTheParentContextEndsTheSessions(t *testing.T) {
	rt := open(t)
	parent, cancel := context.WithCancel(context.Background())
	ctx, s, err := rt.Session(parent, "acme", Limits("$5"))
	must(t, err)
	defer s.Close()
	cancel()
	wants(t, "cause", ends(t, ctx), context.Canceled)
	_, err = s.Step(ctx, Request{})
	wants(t, "a step", err, context.Canceled)
}

func TestEventsTellWhatHappened(t *testing.T) {
	rt := open(t)
	stop, cancel := context.WithCancel(context.Background())
	events := rt.Events(stop)
	budget, err := rt.Budget("acme", Limits("$1 alert 50%"), Owner("ops"), CostCenter("4711"))
	must(t, err)
	ctx, s := session(t, rt, "acme/triage", Labels(map[string]string{"feature": "invoices", "a": "b"}))
	for i := 0; i < 6; i++ {
		step, err := s.Step(ctx, Request{Model: model(t, rt, "dime")})
		must(t, err)
		_, err = step.Settle(Usage{})
		must(t, err)
	}
	event := next(t, events, EventThreshold)
	equal(t, "budget", event.ID, budget)
	equal(t, "share", event.Percent, 50)
	equal(t, "path", event.Path, "acme")
	_, err = rt.Budget("acme", Limits("$2"))
	must(t, err)
	next(t, events, EventDeclared)
	must(t, rt.TopUp(budget, "$1", 0, "more"))
	next(t, events, EventTopUp)
	limits, err := rt.ReadLimits(budget)
	must(t, err)
	if len(limits) != 1 || limits[0].Text != "$1 alert 50%" || limits[0].Extra != int64(Dollar) ||
		limits[0].Remaining != int64(2*Dollar-6*Dollar/10) {
		t.Errorf("limits are %+v", limits)
	}
	for which, want := range map[int32]string{TextOwner: "ops", TextCostCenter: "4711",
		TextPath: "acme/triage", TextLabels: "a=b\nfeature=invoices"} {
		text, err := rt.Text(s.ID(), which)
		must(t, err)
		equal(t, "text", strings.TrimSpace(text), want)
	}
	cancel()
	for range events { // ends
	}
}

func TestASlowListenerIsToldHowManyEventsItLost(t *testing.T) {
	l := &listener{events: make(chan Event, 2)}
	for i := int64(1); i <= 5; i++ {
		l.send(Event{Type: EventTopUp, Sequence: i})
	}
	<-l.events
	<-l.events
	l.send(Event{Type: EventTopUp, Sequence: 6})
	lost := <-l.events
	equal(t, "type", lost.Type, EventLost)
	equal(t, "lost", lost.Amount, 3)
	equal(t, "after", (<-l.events).Sequence, 6)
}

func TestObservedLimitsStopNobody(t *testing.T) {
	rt := open(t, Observed())
	ctx, s := session(t, rt, "acme", Limits("1 step"))
	for i := 0; i < 3; i++ {
		step, err := s.Step(ctx, Request{Model: model(t, rt, "plain"), MaxOutput: 1})
		must(t, err)
		must(t, step.Release())
	}
}

func TestBadInputGetsAStatusAndASentence(t *testing.T) {
	rt := open(t)
	plain := model(t, rt, "plain")
	ctx, s := session(t, rt, "acme", Limits("$5"))
	refused := func(request Request) error {
		step, err := s.Step(ctx, request)
		step.End()
		return err
	}
	wants(t, "negative input", refused(Request{Model: plain, Input: -1}), ErrInvalid)
	wants(t, "negative output", refused(Request{Model: plain, MaxOutput: -1}), ErrInvalid)
	wants(t, "negative extra", refused(Request{Model: plain, Extra: -1}), ErrInvalid)
	if err := refused(Request{Model: plain, Input: math.MaxInt64, MaxOutput: math.MaxInt64}); !errors.Is(err, ErrInvalid) &&
		!errors.Is(err, ErrBudgetExceeded) {
		t.Errorf("overflowing amounts: %v", err)
	}
	wants(t, "a model without a name", refused(Request{Model: 1 << 30, MaxOutput: 1}), ErrInvalid)
	wants(t, "a negative model", refused(Request{Model: -1, MaxOutput: 1}), ErrInvalid)
	wants(t, "unknown price", refused(Request{Model: model(t, rt, "nobody knows"), MaxOutput: 1}), ErrPriceUnknown)

	step, err := s.Step(ctx, Request{Model: plain, Input: 10, MaxOutput: 10})
	must(t, err)
	for what, usage := range map[string]Usage{
		"negative":                 {Input: -1},
		"cached above input":       {Input: 10, CacheReadInput: 11},
		"reasoning above output":   {Output: 1, ReasoningOutput: 2},
		"overflowing":              {Input: math.MaxInt64, Output: math.MaxInt64},
		"one hour above all cache": {Input: 9, CacheWriteInput: 1, CacheWrite1hInput: 2},
	} {
		_, err = step.Settle(usage)
		wants(t, what, err, ErrInvalid)
	}
	_, err = step.Settle(Usage{Input: 10, Output: 10})
	must(t, err)

	_, err = s.Charge(Charge{Nanos: -1})
	wants(t, "a negative charge", err, ErrInvalid)
	_, err = rt.Read(1 << 40)
	wants(t, "an unknown id", err, ErrNotFound)
	wants(t, "killing an unknown id", rt.Kill(1<<40, ""), ErrNotFound)
	_, err = rt.Find("no/such/budget")
	wants(t, "an unknown path", err, ErrNotFound)
	wants(t, "topping up what has no limit", rt.TopUp(s.ID(), "5 tokens", 0, ""), ErrNotFound)
	for _, path := range []string{"", "/", "a//b", "a/b/c/d/e/f/g/h/i", "a\x00b"} {
		_, err = rt.Budget(path, Limits("$1"))
		wants(t, "path "+path, err, ErrPath)
	}
	_, err = rt.Budget("acme/x", Limits("2m tokens/day"))
	wants(t, "limit text", err, ErrLimitText)
	var failure *Error
	if errors.As(err, &failure) {
		equal(t, "column", failure.Column, 2)
	}
	_, _, err = rt.PricesLoad([]byte("{\n \"model\": nonsense}"))
	wants(t, "a malformed price book", err, ErrPrice)
	if errors.As(err, &failure) {
		equal(t, "line", failure.Line, 2)
	}
	_, err = Open(Home("/dev/null/somewhere"))
	wants(t, "a home in a file", err, ErrHome)
	if errors.As(err, &failure) && failure.Message == "" {
		t.Error("an error without a sentence")
	}
	if text := Status(-12345).Error(); text == "bursar: " {
		t.Error("a status of a newer library has no text")
	}
}

func TestUnknownModelsFollowThePolicy(t *testing.T) {
	for _, policy := range []UnknownModel{UnknownModelDearest, UnknownModelFree} {
		rt := open(t, policy)
		ctx, s := session(t, rt, "acme", Limits("$5"))
		step, err := s.Step(ctx, Request{Model: model(t, rt, "nobody knows"), Input: 100, MaxOutput: 1})
		must(t, err)
		equal(t, "flag", step.Decision.Flags&DecisionUnpriced, uint32(DecisionUnpriced))
		receipt, err := step.Settle(Usage{Input: 100, Output: 1})
		must(t, err)
		equal(t, "flag", receipt.Flags&ReceiptUnpriced, uint32(ReceiptUnpriced))
		equal(t, "free", receipt.Cost == 0, policy == UnknownModelFree)
	}
	rt := open(t, UndeclaredRefuse)
	ctx, s := session(t, rt, "nowhere")
	_, err := s.Step(ctx, Request{Model: model(t, rt, "plain"), MaxOutput: 1})
	wants(t, "undeclared", err, ErrUndeclared)
}

func TestARateThrottlesAndSaysHowLong(t *testing.T) {
	rt := open(t)
	ctx, s := session(t, rt, "acme", Limits("60 steps/min burst 2"))
	request := Request{Model: model(t, rt, "plain"), MaxOutput: 1}
	for i := 0; i < 2; i++ {
		step, err := s.Step(ctx, request)
		must(t, err)
		_, err = step.Settle(Usage{Output: 1})
		must(t, err)
	}
	_, err := s.Step(ctx, request)
	wants(t, "the third", err, ErrThrottled)
	if errors.Is(err, ErrBudgetExceeded) {
		t.Error("a throttled step has not exceeded a budget")
	}
	var decision *Decision
	if errors.As(err, &decision) && (decision.RetryAfter <= 0 || decision.RetryAfter > time.Second) {
		t.Errorf("retry after %v", decision.RetryAfter)
	}
}
