// SPDX-License-Identifier: Apache-2.0

// What the tests share: a runtime with one simple model, and waits that end.

package bursar

import (
	"context"
	"errors"
	"testing"
	"time"
)

const patience = 10 * time.Second // how long a test waits for what must come

// open opens a runtime where a token of "plain" costs a thousand nano-dollars and a call of
// "dime" ten cents, and checks at the end that its books balance.
func open(t testing.TB, options ...OpenOption) *Runtime {
	t.Helper()
	rt, err := Open(options...)
	must(t, err)
	t.Cleanup(func() {
		if rt.engine() != nil {
			must(t, rt.Verify())
		}
		must(t, rt.Close())
	})
	must(t, rt.Price("plain", Rates{Input: "$1/M", Output: "$1/M"}))
	must(t, rt.Price("dime", Rates{Request: Dollar / 10}))
	return rt
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func model(t testing.TB, rt *Runtime, name string) Model {
	t.Helper()
	m, err := rt.Model(name)
	must(t, err)
	return m
}

func session(t testing.TB, rt *Runtime, path string, options ...SessionOption) (context.Context, *Session) {
	t.Helper()
	ctx, s, err := rt.Session(context.Background(), path, options...)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return ctx, s
}

// wants fails unless err is of the kind of target (nil = no error).
func wants(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got error %v, want %v", what, err, target)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// ends waits for a context and returns its cause.
func ends(t testing.TB, ctx context.Context) error {
	t.Helper()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(patience):
		t.Fatal("the context was not cancelled")
		return nil
	}
}

// next waits for an event of a type.
func next(t testing.TB, events <-chan Event, want EventType) Event {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case event, ok := <-events:
			if !ok {
				t.Fatalf("events ended before %v came", want)
			}
			if event.Type == want {
				return event
			}
		case <-timeout:
			t.Fatalf("no event %v came", want)
		}
	}
}
