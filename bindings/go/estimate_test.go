// SPDX-License-Identifier: Apache-2.0

package bursar

import "testing"

// A conversation that grows by 1,000 bytes a step, at 4 bytes a token.
func TestEstimatesLearn(t *testing.T) {
	rt := open(t)
	plain := model(t, rt, "plain")
	x := Estimate{Model: plain, Session: 1, Bytes: 4000}
	must(t, rt.Estimate(&x))
	equal(t, "a token for every second byte at first, and a frame", x.TokensMax, 4000/2+48)
	for n := int64(0); n < 500; n++ {
		x = Estimate{Model: plain, Session: 1, Bytes: 4000 + 1000*n}
		must(t, rt.Estimate(&x))
		if x.Tokens > x.TokensMax {
			t.Fatalf("likely %d, at most %d", x.Tokens, x.TokensMax)
		}
		must(t, rt.Learn(&x, x.Bytes/4, 50))
	}
	x.Bytes += 1000
	must(t, rt.Estimate(&x))
	if off := x.Tokens - x.Bytes/4; off < -2 || off > 2 {
		t.Errorf("estimated %d tokens of %d bytes", x.Tokens, x.Bytes)
	}
	if x.TokensMax > x.Bytes/4*101/100 {
		t.Errorf("reserves %d for %d", x.TokensMax, x.Bytes/4)
	}
	seen, err := rt.EstimateError(plain, ContentAny)
	must(t, err)
	equal(t, "steps", seen.Steps, 500)
	equal(t, "below", seen.Below, 0)
	if seen.MedianPPM > 200 || seen.P99PPM < seen.MedianPPM || seen.Reserved < seen.Input {
		t.Errorf("%+v", seen)
	}
	none, err := rt.EstimateError(plain, ContentJSON)
	must(t, err)
	equal(t, "steps of another kind", none.Steps, 0)
	wants(t, "no model", rt.Estimate(&Estimate{Bytes: 1}), ErrNotFound)
	wants(t, "negative bytes", rt.Estimate(&Estimate{Model: plain, Bytes: -1}), ErrInvalid)
	wants(t, "negative tokens", rt.Learn(&x, -1, 0), ErrInvalid)
}
