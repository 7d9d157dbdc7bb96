// SPDX-License-Identifier: Apache-2.0

// A worker of the torture in Go: worker HOME LOG SEED. See ../worker.c, which does more, and
// ../record.h for what it writes down.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/bursar-dev/bursar/bindings/go"
)

const (
	inputCost, outputCost = 2_500, 10_000 // nano-dollars a token of gpt-4o
	held, stream          = 1, 2
)

var (
	budgets = []string{"torture/tight", "torture/middle", "torture/wide"}
	log     *os.File
	ending  atomic.Bool
)

type entry struct {
	PID                             uint32
	Thread                          uint16
	Kind, Flags                     uint8
	Handle, Amount, Session, Detail int64
	Time                            int64
	_                               [2]int64
}

type agent struct {
	rt      *bursar.Runtime
	model   bursar.Model
	random  *rand.Rand
	number  uint16
	session int64
}

func monotonic() int64 {
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

func (a *agent) note(kind, flags uint8, handle, amount, detail int64) {
	var out bytes.Buffer
	binary.Write(&out, binary.NativeEndian, entry{uint32(os.Getpid()), a.number, kind, flags, handle,
		amount, a.session, detail, monotonic(), [2]int64{}})
	if _, err := log.Write(out.Bytes()); err != nil {
		os.Exit(97)
	}
}

func (a *agent) never(what string, err error) {
	fmt.Fprintln(os.Stderr, "torture: Go worker:", what, err)
	a.note('E', 0, 0, 0, 0)
}

// patiently is as worker.c's: asked again when somebody who stands still holds everybody up.
func (a *agent) patiently(call func() error) error {
	err := call()
	for tries := int64(1); errors.Is(err, bursar.ErrBusy) && tries < 6; tries++ {
		a.note('B', 0, 0, tries, 0)
		err = call()
	}
	return err
}

func (a *agent) run() {
	for !ending.Load() {
		budget := a.random.Intn(len(budgets))
		var ctx context.Context
		var s *bursar.Session
		err := a.patiently(func() (err error) {
			ctx, s, err = a.rt.Session(context.Background(), budgets[budget], bursar.Agent("worker in Go"))
			return err
		})
		if err != nil {
			a.never("session", err)
			return
		}
		a.session = int64(s.ID())
		a.note('S', 0, 0, int64(budget), 0)
		for k := 5 + a.random.Intn(60); k > 0 && !ending.Load(); k-- {
			a.step(ctx, s, budget)
		}
		if err := a.patiently(s.Close); err != nil {
			a.never("close", err)
		}
		a.note('X', 0, 0, 0, 0)
	}
}

func (a *agent) step(ctx context.Context, s *bursar.Session, budget int) {
	rq := bursar.Request{Model: a.model, Input: 100 + a.random.Int63n(1900), MaxOutput: 20 + a.random.Int63n(400)}
	var flags uint8
	switch n := a.random.Intn(10); {
	case n == 0:
		rq.Flags, flags = bursar.RequestHold, held
	case n < 3:
		rq.Flags, flags = bursar.RequestStream, stream
	}
	a.note('w', 0, 0, rq.Input*inputCost+rq.MaxOutput*outputCost, 0)
	step, err := s.Step(ctx, rq)
	if err != nil {
		a.note('R', 0, 0, 0, 0)
		var refusal *bursar.Decision
		if !errors.As(err, &refusal) && !errors.Is(err, context.Canceled) && !errors.Is(err, bursar.ErrKilled) {
			a.never("step", err)
		}
		time.Sleep(time.Duration(a.random.Intn(2_000_000)))
		return
	}
	handle := int64(step.Decision.Reservation)
	a.note('G', flags, handle, int64(step.Decision.Reserved), 0)
	if flags == held {
		a.note('b', 0, handle, 0, 0)
		if err := step.Begin(); err != nil {
			a.never("begin", err)
		}
	}
	output := a.random.Int63n(step.MaxOutput() + 1)
	if flags == stream {
		step.Stream(output / 2) // a kill may end it: it is settled all the same
	}
	if budget != 0 && a.random.Intn(20) == 0 {
		output += 100
	}
	time.Sleep(time.Duration(a.random.Intn(1_000_000)))
	if a.random.Intn(10) == 0 {
		a.note('r', 0, handle, 0, 0)
		if err := step.Release(); err != nil {
			a.never("release", err)
		}
		a.note('L', 0, handle, 0, 0)
		return
	}
	cost := rq.Input*inputCost + output*outputCost
	a.note('s', 0, handle, cost, 0)
	receipt, err := step.Settle(bursar.Usage{Input: rq.Input, Output: output})
	if err != nil || int64(receipt.Cost) != cost {
		a.never("settle", err)
		return
	}
	a.note('T', uint8(receipt.Flags), handle, cost, int64(receipt.Overrun))
}

func main() {
	syscall.Syscall(syscall.SYS_PRCTL, 1, uintptr(syscall.SIGKILL), 0) // PR_SET_PDEATHSIG
	seed, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err == nil {
		log, err = os.OpenFile(os.Args[2], os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(95)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		ending.Store(true)
	}()
	first := agent{number: 99}
	before := monotonic()
	var rt *bursar.Runtime
	err = first.patiently(func() (err error) {
		rt, err = bursar.Open(bursar.Home(os.Args[1]))
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture: Go worker cannot open:", err)
		os.Exit(96)
	}
	first.note('O', 0, 0, monotonic()-before, 0)
	model, err := rt.Model("gpt-4o")
	if err != nil {
		first.never("model", err)
	}
	var done sync.WaitGroup
	for k := 0; k < 3; k++ {
		a := &agent{rt: rt, model: model, random: rand.New(rand.NewSource(seed + int64(k))), number: uint16(k)}
		done.Add(1)
		go func() {
			defer done.Done()
			a.run()
		}()
	}
	done.Wait()
	if err := rt.Close(); err != nil {
		first.never("close", err)
	}
}
