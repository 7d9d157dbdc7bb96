// SPDX-License-Identifier: Apache-2.0

// Steps: settle, release, replay, overrun, expiry, streams, charges, prices.

package bursar

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAStepIsReservedAtItsWorstCaseAndSettledAtWhatItUsed(t *testing.T) {
	rt := open(t)
	plain := model(t, rt, "plain")
	ctx, s := session(t, rt, "acme/support", Limits("$2", "200 steps"), Agent("extractor"))
	step, err := s.Step(ctx, Request{Model: plain, Input: 1200, MaxOutput: 1024})
	must(t, err)
	defer step.End()
	equal(t, "verdict", step.Decision.Verdict, VerdictAllow)
	equal(t, "model", step.ModelName(), "plain")
	equal(t, "output granted", step.MaxOutput(), 1024)
	equal(t, "reserved", step.Decision.Reserved, 2224*1000)

	receipt, err := step.Settle(Usage{Input: 1200, Output: 300})
	must(t, err)
	equal(t, "cost", receipt.Cost, 1500*1000)
	equal(t, "held", receipt.Reserved, 2224*1000)
	equal(t, "overrun", receipt.Overrun, 0)
	view, err := rt.Read(s.ID())
	must(t, err)
	equal(t, "spent", view.Spent, 1500*1000)
	equal(t, "reserved", view.Reserved, 0)
	equal(t, "steps", view.Steps, 1)

	rows, err := rt.Spend()
	must(t, err)
	if len(rows) != 1 || rows[0].Path != "acme/support" || rows[0].Agent != "extractor" ||
		rows[0].Cost != 1500*1000 || rows[0].Model != plain {
		t.Errorf("spend is %+v", rows)
	}
}

func TestSettlingTwiceReplaysOrConflicts(t *testing.T) {
	rt := open(t)
	ctx, s := session(t, rt, "acme", Limits("$2"))
	step, err := s.Step(ctx, Request{Model: model(t, rt, "plain"), Input: 10, MaxOutput: 10})
	must(t, err)
	first, err := step.Settle(Usage{Input: 10, Output: 5})
	must(t, err)
	again, err := step.Settle(Usage{Input: 10, Output: 5})
	must(t, err)
	equal(t, "cost", again.Cost, first.Cost)
	equal(t, "replay", again.Flags&ReceiptReplay, uint32(ReceiptReplay))
	_, err = step.Settle(Usage{Input: 10, Output: 6})
	wants(t, "other usage", err, ErrConflict)
	wants(t, "release", step.Release(), ErrConflict)
}

func TestAReleasedStepCostsNothingAndCannotBeSettled(t *testing.T) {
	rt := open(t)
	ctx, s := session(t, rt, "acme", Limits("$2"))
	step, err := s.Step(ctx, Request{Model: model(t, rt, "plain"), Input: 10, MaxOutput: 10})
	must(t, err)
	must(t, step.Release())
	must(t, step.Release())
	_, err = step.Settle(Usage{Input: 10})
	wants(t, "settle after release", err, ErrReleased)
	step.End()
	view, err := rt.Read(s.ID())
	must(t, err)
	equal(t, "spent", view.Spent, 0)
	equal(t, "reserved", view.Reserved, 0)
}

func TestAStepLeftWithoutSettlingCostsItsWorstCase(t *testing.T) {
	rt := open(t)
	plain := model(t, rt, "plain")
	ctx, s := session(t, rt, "acme", Limits("$2"))
	func() {
		step, err := s.Step(ctx, Request{Model: plain, Input: 100, MaxOutput: 50})
		must(t, err)
		defer step.End()
	}()
	view, err := rt.Read(s.ID())
	must(t, err)
	equal(t, "spent", view.Spent, 150*1000)
	rows, err := rt.Spend()
	must(t, err)
	equal(t, "estimated", rows[0].EstimatedSteps, 1)
	var none *Step
	none.End() // what `defer step.End()` does after a refusal
	_, err = none.Settle(Usage{})
	wants(t, "settling no step", err, ErrInvalid)
}

func TestUsageAboveTheReservationIsRecordedAndTripsTheNextAdmission(t *testing.T) {
	rt := open(t)
	plain := model(t, rt, "plain")
	ctx, s := session(t, rt, "acme", Limits("200 tokens"))
	step, err := s.Step(ctx, Request{Model: plain, Input: 50, MaxOutput: 50})
	must(t, err)
	receipt, err := step.Settle(Usage{Input: 150, Output: 100})
	must(t, err)
	equal(t, "cost", receipt.Cost, 250*1000)
	equal(t, "overrun", receipt.Overrun, 150*1000)
	equal(t, "flag", receipt.Flags&ReceiptOverrun, uint32(ReceiptOverrun))
	_, err = s.Step(ctx, Request{Model: plain, Input: 1, MaxOutput: 1})
	wants(t, "the next", err, ErrBudgetExceeded)
	var decision *Decision
	if errors.As(err, &decision) {
		equal(t, "committed", decision.Committed, 250)
		equal(t, "remaining", decision.Remaining, 0)
		equal(t, "limit", decision.Limit, 200)
		equal(t, "meter", decision.Meter, MeterTokens)
	}
}

func TestAnAbortedStreamIsNeverSettledBelowWhatWasSeen(t *testing.T) {
	rt := open(t)
	plain := model(t, rt, "plain")
	ctx, s := session(t, rt, "acme", Limits("$2"))
	step, err := s.Step(ctx, Request{Model: plain, Input: 100, MaxOutput: 50, Flags: RequestStream})
	must(t, err)
	must(t, step.Stream(20))
	receipt, err := step.Settle(Usage{Flags: UsageIncomplete})
	must(t, err)
	if receipt.Cost < 120*1000 {
		t.Errorf("cost %v of a stream that brought 20 tokens", receipt.Cost)
	}
	step, err = s.Step(ctx, Request{Model: plain, Input: 100, MaxOutput: 50})
	must(t, err)
	receipt, err = step.Settle(Usage{})
	must(t, err)
	equal(t, "an explicit zero", receipt.Cost, 0)
}

func TestALateSettleCorrectsTheEstimate(t *testing.T) {
	rt := open(t, ReservationTTL(30*time.Millisecond))
	events := rt.Events(context.Background())
	ctx, s := session(t, rt, "acme", Limits("$2"))
	step, err := s.Step(ctx, Request{Model: model(t, rt, "plain"), Input: 100, MaxOutput: 50})
	must(t, err)
	orphan := next(t, events, EventOrphan)
	equal(t, "orphan", orphan.Reservation, step.Decision.Reservation)
	receipt, err := step.Settle(Usage{Input: 100, Output: 10})
	must(t, err)
	equal(t, "late", receipt.Flags&ReceiptLate, uint32(ReceiptLate))
	equal(t, "cost", receipt.Cost, 110*1000)
	view, err := rt.Read(s.ID())
	must(t, err)
	equal(t, "spent", view.Spent, 110*1000)
}

func TestAHoldThatRanOutMustNotBeSent(t *testing.T) {
	rt := open(t)
	plain := model(t, rt, "plain")
	ctx, s := session(t, rt, "acme", Limits("$2"))
	step, err := s.Step(ctx, Request{Model: plain, Input: 1, MaxOutput: 1, Flags: RequestHold})
	must(t, err)
	must(t, step.Begin())
	_, err = step.Settle(Usage{Input: 1, Output: 1})
	must(t, err)

	step, err = s.Step(ctx, Request{Model: plain, Input: 1, MaxOutput: 1, Flags: RequestHold,
		TTL: time.Millisecond})
	must(t, err)
	deadline := time.Now().Add(patience)
	for view := (View{}); ; {
		view, err = rt.Read(s.ID())
		must(t, err)
		if view.Reserved == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the hold did not run out")
		}
		time.Sleep(5 * time.Millisecond)
	}
	wants(t, "begin", step.Begin(), ErrExpired)
}

func TestALoopSettlesAndReservesInOneCall(t *testing.T) {
	rt := open(t)
	plain := model(t, rt, "plain")
	ctx, s := session(t, rt, "acme", Limits("3 steps"))
	request := Request{Model: plain, Input: 10, MaxOutput: 10}
	step, err := s.Step(ctx, request)
	must(t, err)
	defer step.End()
	for i := 0; i < 2; i++ {
		receipt, err := step.Next(ctx, Usage{Input: 10, Output: 1}, request)
		must(t, err)
		equal(t, "cost", receipt.Cost, 11*1000)
	}
	_, err = step.Next(ctx, Usage{Input: 11, CacheReadInput: 12}, request)
	wants(t, "wrong usage", err, ErrInvalid)
	receipt, err := step.Next(ctx, Usage{Input: 10, Output: 1}, request)
	wants(t, "the fourth", err, ErrBudgetExceeded)
	equal(t, "cost of the third", receipt.Cost, 11*1000)
	view, err := rt.Read(s.ID())
	must(t, err)
	equal(t, "spent", view.Spent, 33*1000)
}

func TestChargesToolsAndNamedMetersCount(t *testing.T) {
	rt := open(t)
	search, err := rt.Tool("web_search")
	must(t, err)
	must(t, rt.ToolPrice(search, Dollar/100))
	seconds, err := rt.Meter("gpu_seconds")
	must(t, err)
	budget, err := rt.Budget("acme", Limits("$1", "2 calls(web_search)/session", "5 gpu_seconds"))
	must(t, err)
	ctx, s := session(t, rt, "acme")

	receipt, err := s.Charge(Charge{Nanos: Dollar / 50, Key: [2]uint64{1, 2}})
	must(t, err)
	equal(t, "cost", receipt.Cost, Dollar/50)
	receipt, err = s.Charge(Charge{Nanos: Dollar / 50, Key: [2]uint64{1, 2}})
	must(t, err)
	equal(t, "replay", receipt.Flags&ReceiptReplay, uint32(ReceiptReplay))
	_, err = s.Charge(Charge{Nanos: Dollar / 25, Key: [2]uint64{1, 2}})
	wants(t, "the key with another amount", err, ErrConflict)

	for i := 0; i < 2; i++ {
		step, err := s.Tool(ctx, search)
		must(t, err)
		receipt, err := step.Settle(Usage{})
		must(t, err)
		equal(t, "price of a call", receipt.Cost, Dollar/100)
	}
	_, err = s.Tool(ctx, search)
	wants(t, "the third call", err, ErrBudgetExceeded)

	_, err = s.Charge(Charge{Meter: seconds, Units: 6})
	wants(t, "too many seconds", err, ErrBudgetExceeded)
	_, err = s.Charge(Charge{Meter: seconds, Units: 6, Flags: ChargeForce})
	must(t, err)
	meter, err := rt.ReadMeter(budget, seconds)
	must(t, err)
	equal(t, "seconds", meter.Spent, 6)
	view, err := rt.Read(budget)
	must(t, err)
	equal(t, "spent", view.Spent, Dollar/50+2*Dollar/100)
}

func TestTheLadderAndTheClampComeBeforeARefusal(t *testing.T) {
	rt := open(t)
	must(t, rt.Price("dear", Rates{Input: "$100/M", Output: "$100/M"}))
	ctx, s := session(t, rt, "acme", Limits("$0.01"), Ladder("dear", "plain"))
	step, err := s.Step(ctx, Request{Model: model(t, rt, "dear"), Input: 1000, MaxOutput: 1000, MinOutput: 500})
	must(t, err)
	equal(t, "model", step.ModelName(), "plain")
	equal(t, "verdict", step.Decision.Verdict, VerdictDowngrade)
	must(t, step.Release())
	step, err = s.Step(ctx, Request{Model: model(t, rt, "plain"), Input: 1000, MaxOutput: 20000, MinOutput: 500})
	must(t, err)
	equal(t, "output granted", step.MaxOutput(), 9000)
	equal(t, "clamped", step.Decision.Flags&DecisionClamped, uint32(DecisionClamped))
	must(t, step.Release())
}

func TestPricesAreExact(t *testing.T) {
	rt := open(t)
	must(t, rt.Price("own", Rates{Input: "$0.28/M", CacheRead: "$0.028/M", Output: "$0.42/M", Request: 5}))
	own := model(t, rt, "own")
	rates, err := rt.Rates(own)
	must(t, err)
	equal(t, "rates", rates, Rates{Input: "$0.28/M", CacheRead: "$0.028/M", CacheWrite: "$0.28/M",
		CacheWrite1h: "$0.28/M", Output: "$0.42/M", Reasoning: "$0.42/M", Request: 5})
	cost, err := rt.Quote(own, VariantStandard, Usage{Input: 1000, CacheReadInput: 800, Output: 100})
	must(t, err)
	equal(t, "cost", cost, 200*280+800*28+100*420+5)
	amount, err := ParseMoney("$1.25")
	must(t, err)
	equal(t, "amount", amount, 1_250_000_000)
	equal(t, "text", amount.String(), "$1.25")
	_, err = ParseMoney("1.25 EUR")
	wants(t, "euros", err, ErrMoneyText)
	wants(t, "a malformed rate", rt.Price("own", Rates{Input: "cheap"}), ErrMoneyText)
	_, err = rt.Rates(model(t, rt, "nobody knows"))
	wants(t, "an unknown model's rates", err, ErrPrice)
}
