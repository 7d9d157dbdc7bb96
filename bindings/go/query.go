// SPDX-License-Identifier: Apache-2.0

// Reading budgets, sessions and spend.

package bursar

import "time"

// Read returns a budget or session.
func (rt *Runtime) Read(id ID) (View, error) {
	var view View
	status := abiRead(rt.engine(), id, &view)
	return view, rt.check(status)
}

// Views returns many at once, as of the last fold, for who shows all of them. Where an
// id is gone, the view is zero.
func (rt *Runtime) Views(ids []ID) ([]View, error) {
	views := make([]View, len(ids))
	status := abiViews(rt.engine(), ids, views)
	return views, rt.check(status)
}

// Opened is when the budget or session was opened.
func (v *View) Opened() time.Time { return instant(int64(v.OpenedUnix)) }

// ReadMeter returns one meter of a budget or session, or ErrNotFound when it does not count it.
func (rt *Runtime) ReadMeter(id ID, meter Meter) (MeterView, error) {
	var view MeterView
	status := abiMeterRead(rt.engine(), id, meter, &view)
	return view, rt.check(status)
}

// Limit is one limit of a budget or session, in its meter's unit.
type Limit struct {
	Meter       Meter
	End         End
	Amount      int64 // as declared
	Extra       int64 // topped up, and earned
	Earned      int64 // of Extra: by verified outcomes
	Spent       int64 // settled in this window
	Committed   int64 // spent and reserved in this window
	Remaining   int64
	WindowStart time.Time // zero = total
	WindowEnd   time.Time // zero = never; a deadline's end
	Text        string    // canonical
}

// ReadLimits returns the limits of a budget or session.
func (rt *Runtime) ReadLimits(id ID) ([]Limit, error) {
	view, err := rt.Read(id)
	if err != nil {
		return nil, err
	}
	limits := make([]Limit, view.Limits)
	for i := range limits {
		switch status := abiLimitRead(rt.engine(), id, i, &limits[i]); status {
		case OK:
		case ErrNotFound: // removed since
			return limits[:i], nil
		default:
			return nil, rt.check(status)
		}
	}
	return limits, nil
}

// Text returns a text of a budget or session: which is one of Text….
func (rt *Runtime) Text(id ID, which int32) (string, error) {
	text, status := readText(func(buf []byte) (int, Status) {
		return abiTextRead(rt.engine(), int64(id), which, buf)
	})
	return text, rt.check(status)
}

// Children returns the ids directly below id, which may be Everything.
func (rt *Runtime) Children(id ID) ([]ID, error) {
	ids := make([]ID, 64)
	for {
		n, status := abiChildren(rt.engine(), id, ids)
		if n <= len(ids) {
			return ids[:n], rt.check(status)
		}
		ids = make([]ID, n)
	}
}

// Spend is what one workflow's agent spent on one pair of models since the runtime opened.
type Spend struct {
	Path           string
	Agent          string
	AskedModel     Model // 0 = none (a tool or a charge)
	Model          Model // granted
	Steps          int64
	ToolCalls      int64
	Input          int64
	CacheReadInput int64
	Output         int64
	Cost           Nanos
	AskedCost      Nanos // what the models asked for would have cost
	EstimatedSteps int64
}

// Spend returns what was spent, a row for each workflow, agent and pair of models.
func (rt *Runtime) Spend() ([]Spend, error) {
	var rows []Spend
	for {
		var row Spend
		switch status := abiSpendRead(rt.engine(), len(rows), &row); status {
		case OK:
			rows = append(rows, row)
		case ErrNotFound:
			return rows, nil
		default:
			return rows, rt.check(status)
		}
	}
}

func instant(unixNanos int64) time.Time {
	if unixNanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, unixNanos)
}

// readText calls fill with a buffer that is large enough.
func readText(fill func(buf []byte) (int, Status)) (string, Status) {
	buf := make([]byte, 256)
	for {
		n, status := fill(buf)
		if status == OK {
			return string(buf[:n]), OK
		}
		if status != ErrBuffer || n < len(buf) {
			return "", status
		}
		buf = make([]byte, n+1)
	}
}

func statusOf(err error) Status {
	if e, ok := err.(*Error); ok {
		return e.Status
	}
	return OK
}

// ParseLimits reads limit text as Budget takes it and returns its canonical form. With a
// runtime, which may be nil, the meters that it names are known.
func ParseLimits(rt *Runtime, text string) (string, error) { return parseLimits(rt, 0, text) }

// ParseSessionLimits reads limit text as Session takes it.
func ParseSessionLimits(rt *Runtime, text string) (string, error) {
	return parseLimits(rt, limitsSession, text)
}

func parseLimits(rt *Runtime, flags uint32, text string) (canonical string, err error) {
	var engine *engine
	if rt != nil {
		engine = rt.engine()
	}
	canonical, _ = readText(func(buf []byte) (n int, _ Status) {
		n, err = abiLimitsParse(engine, flags, text, buf)
		return n, statusOf(err)
	})
	return canonical, err
}
