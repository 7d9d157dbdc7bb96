// SPDX-License-Identifier: Apache-2.0

// A racer in Go: racer HOME. See ../race.py.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bursar-dev/bursar/bindings/go"
)

const agents = 25

func need(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "racer in Go:", err)
		os.Exit(1)
	}
}

func main() {
	rt, err := bursar.Open(bursar.Home(os.Args[1]))
	need(err)
	need(rt.Price("dime", bursar.Rates{Request: bursar.Dollar / 10}))
	dime, err := rt.Model("dime")
	need(err)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		path := lines.Text()
		var admitted, refused atomic.Int64
		var done sync.WaitGroup
		start := make(chan struct{})
		for k := 0; k < agents; k++ {
			ctx, s, err := rt.Session(context.Background(), path)
			need(err)
			done.Add(1)
			go func() {
				defer done.Done()
				defer s.Close()
				<-start
				step, err := s.Step(ctx, bursar.Request{Model: dime, MaxOutput: 10})
				if errors.Is(err, bursar.ErrBudgetExceeded) {
					refused.Add(1)
					return
				}
				need(err)
				admitted.Add(1)
				time.Sleep(20 * time.Millisecond) // how long the model takes
				_, err = step.Settle(bursar.Usage{Output: 10})
				need(err)
			}()
		}
		fmt.Println("ready")
		if !lines.Scan() {
			break
		}
		close(start)
		done.Wait()
		fmt.Println(admitted.Load(), refused.Load())
	}
	need(rt.Close())
}
