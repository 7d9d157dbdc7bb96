// SPDX-License-Identifier: Apache-2.0

// What a step costs from Go, beside an empty cgo call: `go test -bench .`.

package bursar

import (
	"context"
	"testing"
)

func benchSession(b *testing.B, levels int) (context.Context, *Session, Model) {
	b.Helper()
	rt, err := Open(Private())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { rt.Close() })
	path := "l1"
	for level := 1; ; level++ {
		if _, err = rt.Budget(path, Limits("$1000000000")); err != nil {
			b.Fatal(err)
		}
		if level == levels {
			break
		}
		path += "/l"
	}
	if err = rt.Price("bench", Rates{Input: "$1/M", Output: "$2/M"}); err != nil {
		b.Fatal(err)
	}
	model, err := rt.Model("bench")
	if err != nil {
		b.Fatal(err)
	}
	ctx, s, err := rt.Session(context.Background(), path, Limits("$1000000000"))
	if err != nil {
		b.Fatal(err)
	}
	return ctx, s, model
}

func BenchmarkEmptyCall(b *testing.B) {
	for i := 0; i < b.N; i++ {
		abiVersionNumber()
	}
}

func reserveSettle(ctx context.Context, s *Session, model Model) error {
	step, err := s.Step(ctx, Request{Model: model, Input: 1200, MaxOutput: 1024})
	if err != nil {
		return err
	}
	defer step.End()
	_, err = step.Settle(Usage{Input: 1200, Output: 300})
	return err
}

func BenchmarkReserveSettle(b *testing.B) {
	for _, levels := range []int{1, 2, 3, 4, 5, 6, 7, 8} {
		b.Run("levels="+string(rune('0'+levels)), func(b *testing.B) {
			ctx, s, model := benchSession(b, levels)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				if err := reserveSettle(ctx, s, model); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
