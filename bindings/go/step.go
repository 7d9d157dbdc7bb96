// SPDX-License-Identifier: Apache-2.0

// Steps: the path that every call of a model takes. It allocates nothing as long
// as the caller keeps the *Step to itself: Session.Step is small enough to be
// inlined, so the Step is the caller's own, and the library keeps no pointer.

package bursar

import "context"

// Step is one priced action that was admitted. It belongs to one goroutine at a time. End it
// with Settle, Release or, for any way out of the function, `defer step.End()`.
type Step struct {
	Decision Decision // what was granted
	session  *Session
	ended    bool
}

// Step reserves the worst case of a step at every budget above the session. The error is the
// context's cause when it is done, and a *Decision when the step is refused; then the step is
// nil, on which End does nothing.
func (s *Session) Step(ctx context.Context, request Request) (*Step, error) {
	return s.reserve(ctx, &request, &Step{session: s})
}

// Tool reserves a call of a tool, at the tool's price.
func (s *Session) Tool(ctx context.Context, tool Tool) (*Step, error) {
	return s.Step(ctx, Request{Tool: tool})
}

func (s *Session) reserve(ctx context.Context, request *Request, step *Step) (*Step, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	status := abiReserve(s.runtime.engine(), s.id, request, &step.Decision)
	if status != OK {
		return nil, s.runtime.refused(status, &step.Decision)
	}
	return step, nil
}

// Model is the model to call: the one wanted, or a lower rung.
func (step *Step) Model() Model { return step.Decision.Model }

// ModelName is the name of Model, for the provider.
func (step *Step) ModelName() string {
	name, _ := step.session.runtime.ModelName(step.Decision.Model)
	return name
}

// MaxOutput is how many output tokens were granted: tell the provider.
func (step *Step) MaxOutput() int64 { return step.Decision.MaxOutput }

// Begin says that a step reserved with RequestHold goes out now. After ErrExpired it must not.
func (step *Step) Begin() error {
	if step == nil {
		return ErrInvalid
	}
	rt := step.session.runtime
	return rt.check(abiBegin(rt.engine(), step.Decision.Reservation))
}

// Stream reports how many output tokens have come so far. After an error, stop reading and
// settle: the session was stopped, or the output is used up.
func (step *Step) Stream(output int64) error {
	if step == nil {
		return ErrInvalid
	}
	rt := step.session.runtime
	var reason Reason
	status := abiStream(rt.engine(), step.Decision.Reservation, output, &reason)
	if status == OK {
		return nil
	}
	return step.stopped(status, reason)
}

func (step *Step) stopped(status Status, reason Reason) error {
	rt := step.session.runtime
	if status != ErrRefused {
		return rt.check(status)
	}
	verdict := VerdictHalt
	if reason == ReasonPaused || reason == ReasonUnattended {
		verdict = VerdictPause
	}
	return &Decision{Verdict: verdict, Reason: reason, Remedy: RemedyStop, Budget: step.session.id,
		Reservation: step.Decision.Reservation, text: "stop the stream: " + reason.String()}
}

// Settle replaces what the step held by what it used. Settling again with the same usage
// answers with the first result, with other usage ErrConflict. After an error the step is
// not settled, and End will settle it at its worst case.
func (step *Step) Settle(usage Usage) (receipt Receipt, err error) {
	if step == nil {
		return receipt, ErrInvalid
	}
	rt := step.session.runtime
	status := abiSettle(rt.engine(), step.Decision.Reservation, &usage, &receipt)
	if status != OK {
		return Receipt{}, rt.check(status)
	}
	step.ended = true
	return receipt, nil
}

// Release gives back what the step held: it did not happen and is not billed.
func (step *Step) Release() error {
	if step == nil {
		return ErrInvalid
	}
	rt := step.session.runtime
	status := abiRelease(rt.engine(), step.Decision.Reservation)
	if status != OK {
		return rt.check(status)
	}
	step.ended = true
	return nil
}

// End settles the step at its worst case, flagged as estimated, unless it was settled or
// released: nothing that may have been billed is lost. On nil it does nothing.
func (step *Step) End() {
	if step == nil || step.ended {
		return
	}
	step.Settle(Usage{Flags: UsageWorst})
	step.ended = true
}

// unsettled is no status of the library's: what Next finds when a call did not come to settling.
const unsettled Status = 1

// Next settles the step and reserves the next one in the same session, in one call: for
// loops. The receipt is the settled step's; the step becomes the next one. When settling
// fails nothing is reserved and the step stays as it was; when reserving fails it has ended.
func (step *Step) Next(ctx context.Context, usage Usage, request Request) (receipt Receipt, err error) {
	if step == nil {
		return receipt, ErrInvalid
	}
	if ctx.Err() != nil {
		if receipt, err = step.Settle(usage); err == nil {
			err = context.Cause(ctx)
		}
		return receipt, err
	}
	s := step.session
	settled := unsettled
	var decision Decision
	status := abiSettleAndReserve(s.runtime.engine(), step.Decision.Reservation, &usage, &receipt, &settled,
		s.id, &request, &decision)
	if settled == unsettled {
		settled = status
	}
	if settled != OK {
		return Receipt{}, s.runtime.check(settled)
	}
	if status != OK {
		step.ended = true
		return receipt, s.runtime.refused(status, &decision)
	}
	step.Decision, step.ended = decision, false
	return receipt, nil
}
