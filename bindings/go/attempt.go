// SPDX-License-Identifier: Apache-2.0

// One attempt of a request to a model: a step, from its reservation to its settling.

package bursar

import (
	"context"
	"crypto/tls"
	"errors"
	"hash/maphash"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bursar-dev/bursar/bindings/go/internal/wire"
)

// unnamed is the model of a request that names none: what is unknown has no price, and is not
// free.
const unnamed = "(no model)"

type attempt struct {
	transport *Transport
	session   *Session
	dialect   wire.Dialect
	ask       *wire.Ask
	request   Request
	content   []byte // of the request as the caller wrote it
	signed    bool   // by AWS, body and all: it goes as it is, or not at all

	mutex       sync.Mutex
	step        *Step
	reservation Reservation // the first of this request's
	ended       bool

	trace  httptrace.ClientTrace
	traced atomic.Bool // the base tells what it does
	sent   atomic.Bool // headers of the latest try were written
	whole  atomic.Bool // all of it was
	http2  atomic.Bool // which sends again only what was not looked at
}

// first reserves the attempt. The error is a *Decision, or why there is none.
func (a *attempt) first(ctx context.Context, header http.Header) error {
	rt := a.session.runtime
	name := a.ask.Model
	if name == "" {
		name = unnamed
	}
	model, err := rt.Model(name)
	if err != nil {
		return err
	}
	a.request = Request{Model: model, Input: a.ask.Input, Choices: int32(a.ask.Choices),
		Variant: variants[a.ask.Variant], MaxOutput: a.ask.MaxOutput}
	if !a.ask.HasLimit && len(a.ask.Limits) > 0 {
		a.request.MaxOutput = a.transport.MaxOutput
		if a.request.MaxOutput == 0 {
			a.request.MaxOutput = defaultMaxOutput
		}
	}
	a.request.Input += a.transport.stored.get(a.ask.Previous)
	if a.ask.Stream {
		a.request.Flags |= RequestStream
	}
	if a.ask.AsAsked || a.signed {
		a.request.Flags |= RequestAsAsked
	}
	if a.signed {
		a.request.MinOutput = a.request.MaxOutput
	}
	switch a.ask.CacheWrite {
	case "5m":
		a.request.Flags |= RequestCacheWrite
	case "1h":
		a.request.Flags |= RequestCacheWrite1h
	}
	if header.Get(retryCount) != "0" {
		a.request.Parent, a.request.Attempt = a.transport.retries.of(a)
	}
	a.trace = httptrace.ClientTrace{
		GetConn: func(string) { a.traced.Store(true) },
		GotConn: func(got httptrace.GotConnInfo) {
			a.sent.Store(false)
			a.whole.Store(false)
			c, is := got.Conn.(*tls.Conn)
			a.http2.Store(is && c.ConnectionState().NegotiatedProtocol == "h2")
		},
		WroteHeaders: func() { a.sent.Store(true) },
		WroteRequest: func(wrote httptrace.WroteRequestInfo) { a.whole.Store(wrote.Err == nil) },
	}
	return a.admit(ctx)
}

var variants = map[string]Variant{"batch": VariantBatch, "flex": VariantFlex, "priority": VariantPriority}

// admit reserves, and waits where waiting helps.
func (a *attempt) admit(ctx context.Context) error {
	most := a.transport.Wait
	if most == 0 {
		most = defaultWait
	}
	until := time.Now().Add(most)
	if deadline, has := ctx.Deadline(); has && deadline.Before(until) {
		until = deadline
	}
	// What steps in flight hold comes back at any moment: ask again soon, then less often.
	for soon := 20 * time.Millisecond; ; soon = min(2*soon, time.Second) {
		step, err := a.session.Step(ctx, a.request)
		if err == nil {
			a.mutex.Lock()
			a.step, a.ended = step, false
			if a.reservation == 0 {
				a.reservation = step.Decision.Reservation
			}
			a.mutex.Unlock()
			return nil
		}
		var refused *Decision
		if !errors.As(err, &refused) || refused.Remedy != RemedyWait {
			return err
		}
		delay := refused.RetryAfter
		if delay <= 0 {
			delay = soon
		}
		if time.Now().Add(delay).After(until) {
			return err
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// again is called before the base sends the same bytes once more. Where the provider may have
// answered them, and billed it, that is an attempt of its own.
func (a *attempt) again(ctx context.Context) error {
	if !a.whole.Load() || a.http2.Load() {
		return nil
	}
	a.mutex.Lock()
	granted := a.step.Decision
	a.mutex.Unlock()
	a.worst()
	a.sent.Store(false)
	a.whole.Store(false)
	if a.request.Parent == 0 {
		a.request.Parent = granted.Reservation
	}
	a.request.Attempt++
	a.request.Flags |= RequestAsAsked
	a.request.Model = granted.Model
	a.request.MaxOutput, a.request.MinOutput = granted.MaxOutput, granted.MaxOutput
	return a.admit(ctx)
}

// failed ends an attempt that has no answer.
func (a *attempt) failed(err error) {
	var dial *net.OpError
	never := a.traced.Load() && !a.sent.Load() || errors.As(err, &dial) && dial.Op == "dial"
	if never {
		a.release()
		return
	}
	a.worst()
	a.transport.retries.note(a)
}

// cause is why the session was stopped, where that ended ctx, else err.
func (a *attempt) cause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); isStop(cause) {
		return cause
	}
	return err
}

// isStop says whether a context ended because its session was stopped or closed.
func isStop(cause error) bool {
	var stopped *Decision
	return errors.As(cause, &stopped) || errors.Is(cause, ErrClosed)
}

func (a *attempt) release() {
	a.once(func() { a.step.Release() })
}

// worst settles what is not known.
func (a *attempt) worst() {
	a.once(func() { a.step.End() })
}

// settle settles from the bill.
func (a *attempt) settle(used *wire.Usage, answer wire.Object) {
	a.once(func() {
		usage := usageOf(used)
		usage.Extra = a.others(answer)
		_, err := a.step.Settle(usage)
		if err != nil && !errors.Is(err, ErrClosed) {
			a.transport.warn("settled at the worst case: " + err.Error())
		}
		a.step.End()
		a.transport.retries.done(a)
		for _, name := range a.dialect.Stored(answer) {
			a.transport.stored.put(name, used.Input+used.Output)
		}
		a.tools(answer)
	})
}

// others is the cost of further models that the provider called for an answer.
func (a *attempt) others(answer wire.Object) (cost Nanos) {
	for _, other := range a.dialect.Others(answer) {
		model, err := a.session.runtime.Model(other.Model)
		if err == nil {
			var more Nanos
			more, err = a.session.runtime.Quote(model, VariantStandard, usageOf(&other.Usage))
			cost += more
		}
		a.uncounted(err, other.Model)
	}
	return cost
}

// tools charges tools that the provider ran, at the prices that Runtime.ToolPrice set. It has
// happened: no limit refuses it.
func (a *attempt) tools(answer wire.Object) {
	for _, uses := range a.dialect.Tools(answer) {
		tool, err := a.session.runtime.Tool(uses.Tool)
		for n := int64(0); n < min(uses.Count, toolUsesMax) && err == nil; n++ {
			_, err = a.session.Charge(Charge{Tool: tool, Flags: ChargeForce})
		}
		a.uncounted(err, uses.Tool)
	}
}

const toolUsesMax = 1_000 // of a tool in an answer

func (a *attempt) uncounted(err error, what string) {
	if err != nil && !errors.Is(err, ErrClosed) {
		a.transport.once("uncounted "+what, "an answer's use of "+what+" is not counted: "+err.Error())
	}
}

// seen settles a stream at what came.
func (a *attempt) seen(events *wire.Events) {
	a.once(func() {
		tokens := min(max(events.Pieces, wire.TextTokens(events.Content)), a.output())
		var used Usage
		if events.Usage != nil {
			used = usageOf(events.Usage)
			tokens = max(tokens, used.Output)
		}
		// Output 0 has the library settle at what it was told, flagged as estimated.
		a.step.Stream(tokens)
		used.Output, used.ReasoningOutput, used.AudioOutput, used.ImageOutput = 0, 0, 0, 0
		used.Flags = UsageIncomplete
		a.step.Settle(used)
		a.step.End()
		a.transport.retries.note(a)
	})
}

// output is how many tokens were granted, of all choices.
func (a *attempt) output() int64 { return a.step.MaxOutput() * max(1, a.ask.Choices) }

func (a *attempt) once(end func()) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if !a.ended && a.step != nil {
		a.ended = true
		end()
	}
}

// stream reports what a stream has brought; an error cuts it. A piece with content counts as a
// token, which is never too many: providers keep to the limit that they were given.
func (a *attempt) stream(pieces int64) error {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.ended {
		return nil
	}
	err := a.step.Stream(pieces)
	var stopped *Decision
	if !errors.As(err, &stopped) {
		return nil // also when it was settled at an estimate, which settling corrects
	}
	if stopped.Reason == ReasonLimit && pieces <= a.output() {
		return nil // it used up its output: it is ending by itself
	}
	return err
}

func usageOf(u *wire.Usage) Usage {
	return Usage{Input: u.Input, CacheReadInput: u.CacheReadInput, CacheWriteInput: u.CacheWriteInput,
		CacheWrite1hInput: u.CacheWrite1hInput, Output: u.Output, ReasoningOutput: u.ReasoningOutput,
		AudioInput: u.AudioInput, CacheReadAudioInput: u.CacheReadAudioInput, AudioOutput: u.AudioOutput,
		ImageInput: u.ImageInput, ImageOutput: u.ImageOutput}
}

// retries remembers attempts that failed and may have been billed, so that the same request
// again says which it retries.
type retries struct {
	mutex  sync.Mutex
	failed map[uint64]retried
}

type retried struct {
	first Reservation
	count int32
	when  time.Time
}

const (
	retriesMax  = 1_024            // more are forgotten, any of them
	retryWithin = 15 * time.Minute // what is sent again later is a request of its own
)

var seed = maphash.MakeSeed()

// textOf is a key of the request's text in its session.
func textOf(a *attempt) uint64 {
	return maphash.Bytes(seed, a.content) ^ uint64(a.session.id)
}

// of is which step a request retries, and how many attempts were before.
func (r *retries) of(a *attempt) (Reservation, int32) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(r.failed) == 0 {
		return 0, 0
	}
	before := r.failed[textOf(a)]
	if time.Since(before.when) > retryWithin {
		return 0, 0
	}
	return before.first, before.count
}

// note remembers a failed attempt.
func (r *retries) note(a *attempt) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.failed == nil {
		r.failed = map[uint64]retried{}
	}
	for key := range r.failed {
		if len(r.failed) < retriesMax {
			break
		}
		delete(r.failed, key)
	}
	key := textOf(a)
	before := r.failed[key]
	if before.count == 0 || a.request.Attempt == 0 {
		before = retried{first: a.reservation}
	}
	r.failed[key] = retried{before.first, max(before.count, a.request.Attempt) + 1, time.Now()}
}

// done forgets a request that succeeded.
func (r *retries) done(a *attempt) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(r.failed) > 0 {
		delete(r.failed, textOf(a))
	}
}

// stored remembers how many tokens the answers have that a provider keeps, with their input: a
// later request may bring them back by name.
type stored struct {
	mutex  sync.Mutex
	tokens map[string]int64
}

const storedMax = 4096 // more are forgotten, any of them

func (s *stored) put(name string, tokens int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.tokens == nil {
		s.tokens = map[string]int64{}
	}
	for old := range s.tokens {
		if len(s.tokens) < storedMax {
			break
		}
		delete(s.tokens, old)
	}
	s.tokens[name] = tokens
}

func (s *stored) get(name string) int64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.tokens[name]
}
