// SPDX-License-Identifier: Apache-2.0

// Sessions and their contexts.

package bursar

import "context"

// Session is one run of one agent.
type Session struct {
	runtime *Runtime
	id      ID
	node    *node
	context context.Context         // the latest, guarded by watch.mutex
	cancel  context.CancelCauseFunc // its own, guarded by watch.mutex

	attached bool // another process opened it
}

// Session opens a session under the budget at path, which is created without limits when
// absent. The context that it returns carries the session (see FromContext) and is cancelled,
// with a *Decision as its cause, when the session or a budget above it is killed, paused or
// halted by a time limit. On an error it is ctx itself.
func (rt *Runtime) Session(ctx context.Context, path string, options ...SessionOption) (
	context.Context, *Session, error) {
	o := sessionOptions{path: path}
	for _, option := range options {
		option.session(&o)
	}
	return rt.session(ctx, &o)
}

// Child opens a session below this one, for a sub-agent: what it spends counts here at once.
// Whatever ctx is, the child's context also ends when this session is stopped.
func (s *Session) Child(ctx context.Context, agent string, options ...SessionOption) (
	context.Context, *Session, error) {
	o := sessionOptions{parent: s.id, agent: agent}
	for _, option := range options {
		option.session(&o)
	}
	return s.runtime.session(ctx, &o)
}

func (rt *Runtime) session(ctx context.Context, o *sessionOptions) (context.Context, *Session, error) {
	s := &Session{runtime: rt}
	open := func(e *engine) (ID, error) { return abiSessionOpen(e, o) }
	if err := rt.watch.open(s, open); err != nil {
		return ctx, nil, rt.detailed(err)
	}
	return s.Context(ctx), s, nil
}

// Runtime is the runtime that the session was opened in, or attached to.
func (s *Session) Runtime() *Runtime { return s.runtime }

// ID names the session in Runtime.Read, Kill and the others.
func (s *Session) ID() ID { return s.id }

// Context returns a fresh context of the session that derives from parent, in place of the
// one it had, which is cancelled: for a session that goes on after a pause. It is cancelled
// at once when the session is stopped already.
func (s *Session) Context(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, sessionKey{}, s))
	s.runtime.watch.attach(s, ctx, cancel)
	return ctx
}

type sessionKey struct{}

// FromContext returns the session that ctx comes from, or nil.
func FromContext(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// Close closes the session and its children and cancels its context with ErrClosed: nothing
// more is admitted; steps in flight can still be settled. Closing again, or closing nil, does
// nothing. A session from Attach stays open for the others: Close only lets go of it here.
func (s *Session) Close() error {
	if s == nil || !s.runtime.watch.close(s) || s.attached {
		return nil
	}
	return s.runtime.check(abiSessionClose(s.runtime.engine(), s.id))
}

// Charge charges a priced thing that has no model: reserve and settle in one.
func (s *Session) Charge(charge Charge) (Receipt, error) {
	var decision Decision
	var receipt Receipt
	status := abiCharge(s.runtime.engine(), s.id, &charge, &decision, &receipt)
	if status != OK {
		return Receipt{}, s.runtime.refused(status, &decision)
	}
	return receipt, nil
}

// refused is the error of a step or charge that was not admitted.
func (rt *Runtime) refused(status Status, decision *Decision) error {
	if status != ErrRefused {
		return rt.check(status)
	}
	refusal := new(Decision)
	*refusal = *decision
	refusal.runtime = rt
	return refusal
}
