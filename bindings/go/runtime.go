// SPDX-License-Identifier: Apache-2.0

// Package bursar is the budget runtime that lives inside AI agents.
//
// A program opens a Runtime, declares budgets, opens a Session for each run of
// an agent, and wraps every priced step in Session.Step and Step.Settle. A step
// reserves its worst case at every budget above the session, or says precisely
// why not, and settling replaces it by what was used. No grant ever passes a
// limit, with any number of goroutines.
//
//	rt, err := bursar.Open(bursar.Private())
//	defer rt.Close()
//	ctx, s, err := rt.Session(ctx, "acme/support/triage", bursar.Limits("$2", "200 steps"))
//	defer s.Close()
//	step, err := s.Step(ctx, bursar.Request{Model: m, Input: 1200, MaxOutput: 1024})
//	if err != nil {
//		return err // errors.Is(err, bursar.ErrBudgetExceeded), errors.As(err, &decision)
//	}
//	defer step.End()
//	// call the provider with step.ModelName() and step.MaxOutput()
//	receipt, err := step.Settle(bursar.Usage{Input: 1200, Output: 300})
//
// Limit text is that of docs/limits.md: "$500/month alert 80%", "2M tokens/day".
// Everything may be used from any goroutine at the same time, but for a Step,
// which belongs to one at a time.
package bursar

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Runtime is an open handle on a set of budgets. It owns one event loop with a thread.
type Runtime struct {
	handle atomic.Pointer[engine] // nil once closed
	watch  *watch
}

// abiExpected is the BURSAR_ABI_VERSION that this package is written for.
const abiExpected = 1

// VersionNumber is major * 1000000 + minor * 1000 + patch of the header that this package mirrors.
const VersionNumber = 1000

// LibraryVersion is the VersionNumber of the library that was loaded.
func LibraryVersion() int { return int(abiVersionNumber()) }

// collected is what options say together.
func collected(options []OpenOption) (o openOptions) {
	for _, option := range options {
		option.open(&o)
	}
	return o
}

// Open opens a runtime.
func Open(options ...OpenOption) (*Runtime, error) {
	if found := abiVersion(); found != abiExpected {
		return nil, &Error{Status: ErrUnsupported, Values: [2]int64{int64(found), abiExpected},
			Message: fmt.Sprintf("libbursar has ABI version %d, this package needs %d", found, abiExpected)}
	}
	o := collected(options)
	var err error
	if o.home, err = directory(o.home); err != nil {
		return nil, err
	}
	handle, err := abiOpen(&o)
	if err != nil {
		return nil, err
	}
	rt := &Runtime{}
	rt.handle.Store(handle)
	if rt.watch, err = startWatch(rt); err != nil {
		abiClose(handle)
		return nil, err
	}
	return rt, nil
}

// Close ends the runtime and its thread: contexts of sessions are cancelled with ErrClosed,
// channels of Events are closed after what was waiting, and every later call answers
// ErrClosed. What is in flight is forgotten in a private runtime; in a home it is settled at an
// estimate when it expires, or when the next process looks. Closing again does nothing.
func (rt *Runtime) Close() error {
	if rt == nil {
		return nil
	}
	handle := rt.handle.Swap(nil)
	if handle == nil {
		return nil
	}
	rt.watch.stop(handle)
	return abiClose(handle).err()
}

// engine is what the library knows the runtime by, or nil, which it answers with an error.
func (rt *Runtime) engine() *engine { return rt.handle.Load() }

// check is the error of a status: ErrClosed for anything that went wrong after Close.
func (rt *Runtime) check(status Status) error {
	engine := rt.engine()
	if status != OK && engine == nil {
		return ErrClosed
	}
	if status == ErrHome { // what became of it says a call that changes nothing and has details
		if _, err := abiLimitsParse(engine, 0, "$1", nil); statusOf(err) == ErrHome {
			return err
		}
	}
	return status.err()
}

// detailed is check for calls that bring details.
func (rt *Runtime) detailed(err error) error {
	if err != nil && rt.engine() == nil {
		return ErrClosed
	}
	return err
}

// Budget makes sure that a budget is there. Absent, it is created with these limits; with the
// same limits nothing happens; with others the stored ones stay and an event says so, unless
// Replace is given. So a worker that restarts never undoes an operator's cut.
func (rt *Runtime) Budget(path string, options ...BudgetOption) (ID, error) {
	var o budgetOptions
	for _, option := range options {
		option.budget(&o)
	}
	id, err := abiBudgetDeclare(rt.engine(), path, &o)
	return id, rt.detailed(err)
}

// Find returns the budget at path, or ErrNotFound.
func (rt *Runtime) Find(path string) (ID, error) {
	id, status := abiBudgetFind(rt.engine(), path)
	return id, rt.check(status)
}

// Remove removes a budget without children, or answers ErrInUse. What was spent stays in its
// ancestors.
func (rt *Runtime) Remove(budget ID) error { return rt.detailed(abiBudgetRemove(rt.engine(), budget)) }

// SetLimits replaces the limits of a budget or session, at once and for every goroutine.
func (rt *Runtime) SetLimits(id ID, limits ...string) error {
	return rt.detailed(abiLimitsSet(rt.engine(), id, joined(limits)))
}

// TopUp adds an amount, "$5" or "200k tokens", to every limit that id has on that meter, until
// its window ends or for a time (0 = does not expire by itself). It wakes what `then pause`
// paused.
func (rt *Runtime) TopUp(id ID, amount string, lasting time.Duration, reason string) error {
	return rt.detailed(abiTopUp(rt.engine(), id, amount, lasting, reason))
}

// Observe counts, decides and reports at id (or Everything) but stops nobody, or ends that.
func (rt *Runtime) Observe(id ID, on bool) error {
	var flag int32
	if on {
		flag = 1
	}
	return rt.check(abiObserve(rt.engine(), id, flag))
}

// Attend says that somebody looked: `unattended` starts again.
func (rt *Runtime) Attend(id ID, who string) error {
	return rt.check(abiAttend(rt.engine(), id, who))
}

// Kill stops a session, a budget's whole subtree, or Everything: the next step there is
// refused and contexts are cancelled with ErrKilled. The reason is recorded.
func (rt *Runtime) Kill(id ID, reason string) error {
	return rt.check(abiKill(rt.engine(), id, reason))
}

// Revive undoes a kill. Contexts that were cancelled stay so: see Session.Context.
func (rt *Runtime) Revive(id ID, reason string) error {
	return rt.check(abiRevive(rt.engine(), id, reason))
}

// Pause is Kill that Resume undoes.
func (rt *Runtime) Pause(id ID, reason string) error {
	return rt.check(abiPause(rt.engine(), id, reason))
}

// Resume undoes a pause, also one by a limit: time limits start again.
func (rt *Runtime) Resume(id ID, reason string) error {
	return rt.check(abiResume(rt.engine(), id, reason))
}

// Meter names a meter, or finds it.
func (rt *Runtime) Meter(name string) (Meter, error) {
	meter, err := abiMeterDefine(rt.engine(), name)
	return meter, rt.detailed(err)
}

// Tool resolves a tool's name, once for many steps.
func (rt *Runtime) Tool(name string) (Tool, error) {
	tool, err := abiToolFind(rt.engine(), name)
	return tool, rt.detailed(err)
}

// ToolPrice sets what one call of a tool costs; 0 is the default.
func (rt *Runtime) ToolPrice(tool Tool, price Nanos) error {
	return rt.check(abiToolPriceSet(rt.engine(), tool, price))
}

// Model resolves a model's name, once for many steps. A name without a price gets one too.
func (rt *Runtime) Model(name string) (Model, error) {
	model, status := abiModelFind(rt.engine(), name)
	return model, rt.check(status)
}

// ModelName is the name that Model was given.
func (rt *Runtime) ModelName(model Model) (string, error) {
	name, status := readText(func(buf []byte) (int, Status) {
		return abiModelName(rt.engine(), model, buf)
	})
	return name, rt.check(status)
}

// Health returns figures for a health page.
func (rt *Runtime) Health() (Health, error) {
	var h Health
	status := abiHealth(rt.engine(), &h)
	return h, rt.check(status)
}

// Verify checks that every counter equals what is spent and held. Meaningful when no other
// call is running.
func (rt *Runtime) Verify() error { return rt.detailed(abiVerify(rt.engine())) }
