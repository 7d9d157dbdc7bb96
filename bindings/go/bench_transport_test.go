// SPDX-License-Identifier: Apache-2.0

// What a metered request costs, beside the same request on the bare transport:
// `go test -run '^$' -bench Transport .`

package bursar

import (
	"context"
	"io"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"
)

func BenchmarkTransport(b *testing.B) {
	long := `,"tools":[` + strings.TrimSuffix(strings.Repeat(`{"type":"function","function":{"name":"f","description":"`+
		strings.Repeat("What it does. ", 10)+`","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}},`, 100), ",") + `]`
	for _, kind := range []struct{ name, more string }{
		{"whole", ""}, {"whole of 25 kB", long}, {"stream of 50 pieces", `,"stream":true`},
	} {
		body := chatBody(100, kind.more)
		for _, metered := range []bool{false, true} {
			name := kind.name + "/bare"
			if metered {
				name = kind.name + "/metered"
			}
			b.Run(name, func(b *testing.B) {
				p := newProvider(b)
				rt := open(b)
				ctx, s := session(b, rt, "bench", Limits("$1000000"))
				base := http.DefaultTransport.(*http.Transport).Clone()
				c := &http.Client{Transport: base}
				if metered {
					c.Transport = &Transport{Base: base}
				}
				defer base.CloseIdleConnections()
				b.ReportAllocs()
				b.ResetTimer()
				times := make([]time.Duration, b.N)
				for i := range times {
					start := time.Now()
					benchCall(b, ctx, c, p.URL+chatPath, body)
					times[i] = time.Since(start)
				}
				b.StopTimer()
				sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
				b.ReportMetric(float64(times[b.N/2].Nanoseconds()), "ns-median")
				if got, _ := spent(b, s); metered && got != Nanos(p.bill.Load()) {
					b.Errorf("spent %v, billed %v", got, Nanos(p.bill.Load()))
				}
			})
		}
	}
}

func benchCall(b *testing.B, ctx context.Context, c *http.Client, url, body string) {
	res, err := c.Do(post(b, ctx, url, body))
	if err != nil {
		b.Fatal(err)
	}
	if _, err = io.Copy(io.Discard, res.Body); err != nil {
		b.Fatal(err)
	}
	res.Body.Close()
}
