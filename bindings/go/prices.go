// SPDX-License-Identifier: Apache-2.0

// Money and prices. Amounts are parsed exactly, by the library; no float is near.

package bursar

import (
	"fmt"
	"strings"
)

// ParseMoney reads "$1.25", "1.25" or "2 USD" exactly.
func ParseMoney(text string) (Nanos, error) { return abiMoneyParse(text) }

// String writes an amount as people read it: "$1.25".
func (n Nanos) String() string {
	text, _ := readText(func(buf []byte) (int, Status) { return abiMoneyFormat(n, buf) })
	return text
}

// Rates are a model's prices: "$0.28/M", "$0.28/k" or "$0.00000028/token". Empty is as the
// whole that the class is part of; an empty Input or Output is free.
type Rates struct {
	Input, Output                       string
	CacheRead, CacheWrite, CacheWrite1h string
	Reasoning                           string
	Request                             Nanos // per request
}

// Price overrides one model's prices, from now on.
func (rt *Runtime) Price(name string, rates Rates) error {
	p := picos{request: rates.Request}
	for _, class := range []struct {
		text  string
		out   *int64
		empty int64
	}{
		{rates.Input, &p.input, 0}, {rates.Output, &p.output, 0},
		{rates.CacheRead, &p.cacheRead, -1}, {rates.CacheWrite, &p.cacheWrite, -1},
		{rates.CacheWrite1h, &p.cacheWrite1h, -1}, {rates.Reasoning, &p.reasoning, -1},
	} {
		*class.out = class.empty
		if class.text != "" {
			var err error
			if *class.out, err = abiRateParse(class.text); err != nil {
				return err
			}
		}
	}
	return rt.detailed(abiPriceSet(rt.engine(), name, p))
}

// Rates returns the prices in force for a model's standard variant and lowest tier, or
// ErrPrice when there are none.
func (rt *Runtime) Rates(model Model) (Rates, error) {
	p, status := abiPriceGet(rt.engine(), model)
	if status != OK {
		return Rates{}, rt.check(status)
	}
	return Rates{
		Input: perMillion(p.input), Output: perMillion(p.output),
		CacheRead: perMillion(p.cacheRead), CacheWrite: perMillion(p.cacheWrite),
		CacheWrite1h: perMillion(p.cacheWrite1h), Reasoning: perMillion(p.reasoning),
		Request: p.request,
	}, nil
}

// perMillion writes pico-dollars a token, which are micro-dollars a million tokens, exactly.
func perMillion(picos int64) string {
	if picos < 0 {
		return ""
	}
	text := strings.TrimRight(fmt.Sprintf("%d.%06d", picos/1_000_000, picos%1_000_000), "0")
	return "$" + strings.TrimSuffix(text, ".") + "/M"
}

// Quote returns what usage costs on a model, rounded half to even; ErrPrice when unknown.
func (rt *Runtime) Quote(model Model, variant Variant, usage Usage) (Nanos, error) {
	cost, status := abiPriceQuote(rt.engine(), model, variant, &usage)
	return cost, rt.check(status)
}

// PricesLoad loads a price book, LiteLLM's model_prices_and_context_window.json or Bursar's own
// format, all or nothing. The report lists, a line each, what a step's price cannot express.
func (rt *Runtime) PricesLoad(json []byte) (models int, report string, err error) {
	// A report that is cut is not asked for again: the book is loaded by then.
	buf := make([]byte, 1<<16+len(json)/4)
	n, models, err := abiPricesLoad(rt.engine(), json, buf)
	if statusOf(err) == ErrBuffer {
		n, err = len(buf), nil
	}
	if err != nil {
		return 0, "", rt.detailed(err)
	}
	return models, string(buf[:min(n, len(buf))]), nil
}
