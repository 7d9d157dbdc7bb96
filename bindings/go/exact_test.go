// SPDX-License-Identifier: Apache-2.0

// No grant passes a limit, with any number of goroutines.

package bursar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestOfAHundredGoroutinesExactlyTenAreAdmitted(t *testing.T) {
	for levels := 1; levels <= 8; levels++ {
		t.Run(fmt.Sprint(levels, " levels"), func(t *testing.T) {
			rt := open(t)
			dime := model(t, rt, "dime")
			path := strings.TrimSuffix(strings.Repeat("level/", levels), "/")
			budget, err := rt.Budget("level", Limits("$1"))
			must(t, err)
			for depth := 2; depth <= levels; depth++ {
				_, err = rt.Budget(path[:depth*len("level/")-1], Limits("$100"))
				must(t, err)
			}

			var admitted, refused atomic.Int64
			var ready, done sync.WaitGroup
			start := make(chan struct{})
			for i := 0; i < 100; i++ {
				ready.Add(1)
				done.Add(1)
				go func() {
					defer done.Done()
					ctx, s, err := rt.Session(context.Background(), path, Agent("racer"))
					ready.Done()
					if err != nil {
						t.Error(err)
						return
					}
					defer s.Close()
					<-start
					step, err := s.Step(ctx, Request{Model: dime, MaxOutput: 10})
					if errors.Is(err, ErrBudgetExceeded) {
						refused.Add(1)
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					defer step.End()
					admitted.Add(1)
					time.Sleep(20 * time.Millisecond) // how long the model takes
					if _, err = step.Settle(Usage{Output: 10}); err != nil {
						t.Error(err)
					}
				}()
			}
			ready.Wait()
			close(start)
			done.Wait()

			equal(t, "admitted", admitted.Load(), 10)
			equal(t, "refused", refused.Load(), 90)
			view, err := rt.Read(budget)
			must(t, err)
			equal(t, "spent", view.Spent, Dollar)
			equal(t, "reserved", view.Reserved, 0)
			equal(t, "remaining", view.Remaining, 0)
		})
	}
}

func TestSiblingsTogetherNeverExceedTheirParent(t *testing.T) {
	rt := open(t)
	dime := model(t, rt, "dime")
	ctx, parent := session(t, rt, "acme", Limits("$1"))
	var admitted atomic.Int64
	var done sync.WaitGroup
	for i := 0; i < 8; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			ctx, child, err := parent.Child(ctx, "searcher", Limits("$0.50"))
			if err != nil {
				t.Error(err)
				return
			}
			defer child.Close()
			for {
				step, err := child.Step(ctx, Request{Model: dime})
				if err != nil {
					wants(t, "the end", err, ErrBudgetExceeded)
					return
				}
				admitted.Add(1)
				if _, err = step.Settle(Usage{}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	done.Wait()
	equal(t, "admitted", admitted.Load(), 10)
	view, err := rt.Read(parent.ID())
	must(t, err)
	equal(t, "spent", view.Spent, Dollar)
}

func TestManyViewsAtOnceAreWhatEachSays(t *testing.T) {
	rt := open(t)
	budget, err := rt.Budget("acme", Limits("$1"))
	must(t, err)
	_, s, err := rt.Session(context.Background(), "acme/agent")
	must(t, err)
	defer s.Close()
	_, err = s.Charge(Charge{Nanos: Dollar / 4})
	must(t, err)
	var views []View
	for views == nil || views[0].Spent == 0 { // as of the last fold, which the clock's thread does
		views, err = rt.Views([]ID{budget, s.ID(), 1 << 40})
		must(t, err)
	}
	for k, id := range []ID{budget, s.ID()} {
		view, err := rt.Read(id)
		must(t, err)
		views[k].OpenedUnix, view.OpenedUnix = 0, 0 // told by two clocks, to some nanoseconds
		equal(t, "view", views[k], view)
	}
	equal(t, "spent by what is not there", views[2].Spent, 0)
	equal(t, "opened, what is not there", views[2].OpenedUnix, 0)
}
