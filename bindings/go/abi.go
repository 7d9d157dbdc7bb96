// SPDX-License-Identifier: Apache-2.0

//go:build cgo

// Every function of bursar.h, in the header's order, and nothing else: the only
// file that calls C. What a step passes already has C's layout; other structs
// are filled and read here. The library keeps no pointer that it is given.
//
// bursar.h is a link to the project's header, so that Go builds again when it
// changes; a module fetched without the project finds the installed one.

package bursar

/*
#cgo LDFLAGS: -lbursar
#include "bursar.h"
*/
import "C"

import (
	"runtime"
	"time"
	"unsafe"
)

// engine is the opaque runtime on the other side.
type engine struct{}

func (e *engine) c() *C.bursar_runtime_t { return (*C.bursar_runtime_t)(unsafe.Pointer(e)) }

var none C.char // what an empty text points to

func chars(s string) (*C.char, C.size_t) {
	if s == "" {
		return &none, 0
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

func space(b []byte) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b))
}

// text lends a copy of s inside a struct, for as long as pins holds it: Go 1.21
// cannot pin the text of a constant.
func text(pins *runtime.Pinner, s string) C.bursar_text_t {
	if s == "" {
		return C.bursar_text_t{}
	}
	data := &[]byte(s)[0]
	pins.Pin(data)
	return C.bursar_text_t{data: (*C.char)(unsafe.Pointer(data)), len: C.size_t(len(s))}
}

// fixed reads the text in a field of a struct, which may be cut.
func fixed(field []C.char, length C.uint32_t) string {
	return C.GoStringN(&field[0], C.int(min(int(length), len(field)-1)))
}

// details is where a call leaves what was wrong.
type details struct{ c C.bursar_error_t }

func (d *details) out() *C.bursar_error_t {
	d.c.size = C.uint32_t(unsafe.Sizeof(d.c))
	return &d.c
}

func (d *details) err(status C.bursar_status_t) error {
	if status == C.BURSAR_OK {
		return nil
	}
	return &Error{
		Status:  Status(status),
		Message: fixed(d.c.message[:], d.c.message_len),
		Line:    int(d.c.line),
		Column:  int(d.c.column),
		ID:      int64(d.c.id),
		Values:  [2]int64{int64(d.c.values[0]), int64(d.c.values[1])},
	}
}

// Version

func abiVersionNumber() int32 { return int32(C.bursar_version_number()) }

func abiVersion() int32 { return int32(C.bursar_abi_version()) }

// Status

func abiStatusString(s Status) string { return C.GoString(C.bursar_status_string(C.int32_t(s))) }

// Lifecycle

func abiOpen(o *openOptions) (*engine, error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	c := C.bursar_open_options_t{
		size:               C.sizeof_bursar_open_options_t,
		flags:              C.uint32_t(o.flags),
		home:               text(&pins, o.home),
		sessions_max:       C.uint32_t(o.sessionsMax),
		reservations_max:   C.uint32_t(o.reservationsMax),
		text_bytes_max:     C.uint32_t(o.textBytesMax),
		events_max:         C.uint32_t(o.eventsMax),
		unknown_model:      C.int32_t(o.unknownModel),
		undeclared:         C.int32_t(o.undeclared),
		reservation_ttl_ns: C.int64_t(o.reservationTTL),
		on_unavailable:     C.int32_t(o.onUnavailable),
		role:               C.int32_t(o.role),
		shm_dir:            text(&pins, o.shmDir),
		name:               text(&pins, o.name),
	}
	var out *C.bursar_runtime_t
	var d details
	status := C.bursar_open(&c, &out, d.out())
	return (*engine)(unsafe.Pointer(out)), d.err(status)
}

func abiClose(e *engine) Status { return Status(C.bursar_close(e.c())) }

func abiHomeInfo(e *engine, h *HomeInfo) Status {
	c := C.bursar_home_info_t{size: C.sizeof_bursar_home_info_t}
	status := Status(C.bursar_home_info(e.c(), &c))
	if status == OK {
		*h = HomeInfo{
			Flags:        uint32(c.flags),
			Slot:         uint32(c.slot),
			Processes:    uint32(c.processes),
			SegmentID:    int64(c.segment_id),
			SegmentBytes: int64(c.segment_bytes),
			ID:           C.GoString(&c.id[0]),
			Path:         fixed(c.path[:], c.path_len),
			SegmentPath:  fixed(c.segment_path[:], c.segment_path_len),
		}
	}
	return status
}

func abiHomeProcess(e *engine, position int, p *Process) Status {
	c := C.bursar_process_t{size: C.sizeof_bursar_process_t}
	status := Status(C.bursar_home_process(e.c(), C.uint32_t(position), &c))
	if status == OK {
		*p = Process{
			Slot:       uint32(c.slot),
			PID:        uint32(c.pid),
			Role:       Role(c.role),
			Since:      instant(int64(c.since_unix_ns)),
			ForkedFrom: uint32(c.forked_from),
			Name:       C.GoString(&c.name[0]),
		}
	}
	return status
}

// Budgets

func abiLimitsParse(e *engine, flags uint32, s string, buf []byte) (int, error) {
	var n C.size_t
	var d details
	in, length := chars(s)
	out, capacity := space(buf)
	status := C.bursar_limits_parse(e.c(), C.uint32_t(flags), in, length, out, capacity, &n, d.out())
	return int(n), d.err(status)
}

func abiBudgetDeclare(e *engine, path string, o *budgetOptions) (ID, error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	c := C.bursar_budget_options_t{
		size:         C.sizeof_bursar_budget_options_t,
		flags:        C.uint32_t(o.flags),
		limits:       text(&pins, o.limits),
		owner:        text(&pins, o.owner),
		cost_center:  text(&pins, o.costCenter),
		purpose:      text(&pins, o.purpose),
		complexity:   C.int32_t(o.complexity),
		earn:         text(&pins, o.earn),
		earn_most:    text(&pins, o.earnMost),
		earn_outcome: text(&pins, o.earnOutcome),
	}
	for i, rung := range o.topRung {
		c.top_rung[i] = C.uint8_t(rung)
	}
	var id C.bursar_id_t
	var d details
	p, length := chars(path)
	status := C.bursar_budget_declare(e.c(), p, length, &c, &id, d.out())
	return ID(id), d.err(status)
}

func abiBudgetFind(e *engine, path string) (ID, Status) {
	var id C.bursar_id_t
	p, length := chars(path)
	status := C.bursar_budget_find(e.c(), p, length, &id)
	return ID(id), Status(status)
}

func abiBudgetRemove(e *engine, id ID) error {
	var d details
	return d.err(C.bursar_budget_remove(e.c(), C.bursar_id_t(id), d.out()))
}

func abiLimitsSet(e *engine, id ID, s string) error {
	var d details
	in, length := chars(s)
	return d.err(C.bursar_limits_set(e.c(), C.bursar_id_t(id), in, length, d.out()))
}

func abiTopUp(e *engine, id ID, amount string, lasting time.Duration, reason string) error {
	var d details
	a, aLen := chars(amount)
	r, rLen := chars(reason)
	return d.err(C.bursar_top_up(e.c(), C.bursar_id_t(id), a, aLen, C.int64_t(lasting), r, rLen, d.out()))
}

func abiObserve(e *engine, id ID, on int32) Status {
	return Status(C.bursar_observe(e.c(), C.bursar_id_t(id), C.int32_t(on)))
}

func abiMeterDefine(e *engine, name string) (Meter, error) {
	var meter C.bursar_meter_t
	var d details
	p, length := chars(name)
	status := C.bursar_meter_define(e.c(), p, length, &meter, d.out())
	return Meter(meter), d.err(status)
}

// Sessions

func abiSessionOpen(e *engine, o *sessionOptions) (ID, error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	c := C.bursar_session_options_t{
		size:           C.sizeof_bursar_session_options_t,
		path:           text(&pins, o.path),
		parent:         C.bursar_id_t(o.parent),
		agent:          text(&pins, o.agent),
		limits:         text(&pins, o.limits),
		ladder:         text(&pins, o.ladder),
		label_count:    C.uint32_t(len(o.labels)),
		complexity:     C.int32_t(o.complexity),
		holdback_nanos: C.int64_t(o.holdback),
	}
	labels := make([]C.bursar_label_t, 0, len(o.labels))
	for key, value := range o.labels {
		labels = append(labels, C.bursar_label_t{key: text(&pins, key), value: text(&pins, value)})
	}
	if len(labels) > 0 {
		pins.Pin(&labels[0])
		c.labels = &labels[0]
	}
	var id C.bursar_id_t
	var d details
	status := C.bursar_session_open(e.c(), &c, &id, d.out())
	return ID(id), d.err(status)
}

func abiSessionClose(e *engine, id ID) Status {
	return Status(C.bursar_session_close(e.c(), C.bursar_id_t(id)))
}

func abiSessionEnviron(e *engine, id ID, buf []byte) (int, Status) {
	var n C.size_t
	out, capacity := space(buf)
	status := C.bursar_session_environ(e.c(), C.bursar_id_t(id), out, capacity, &n)
	return int(n), Status(status)
}

func abiSessionAttach(e *engine, s string) (ID, error) {
	var id C.bursar_id_t
	var d details
	in, length := chars(s)
	status := C.bursar_session_attach(e.c(), in, length, &id, d.out())
	return ID(id), d.err(status)
}

func abiAttend(e *engine, id ID, who string) Status {
	p, length := chars(who)
	return Status(C.bursar_attend(e.c(), C.bursar_id_t(id), p, length))
}

// Steps

func (r *Request) c() *C.bursar_request_t {
	r.size = C.sizeof_bursar_request_t
	return (*C.bursar_request_t)(unsafe.Pointer(r))
}

func (d *Decision) c() *C.bursar_decision_t {
	d.size = C.sizeof_bursar_decision_t
	return (*C.bursar_decision_t)(unsafe.Pointer(d))
}

func (u *Usage) c() *C.bursar_usage_t {
	u.size = C.sizeof_bursar_usage_t
	return (*C.bursar_usage_t)(unsafe.Pointer(u))
}

func (r *Receipt) c() *C.bursar_receipt_t {
	r.size = C.sizeof_bursar_receipt_t
	return (*C.bursar_receipt_t)(unsafe.Pointer(r))
}

func (x *Estimate) c() *C.bursar_estimate_t {
	x.size = C.sizeof_bursar_estimate_t
	return (*C.bursar_estimate_t)(unsafe.Pointer(x))
}

func (x *EstimateError) c() *C.bursar_estimate_error_t {
	x.size = C.sizeof_bursar_estimate_error_t
	return (*C.bursar_estimate_error_t)(unsafe.Pointer(x))
}

func (c *Charge) c() *C.bursar_charge_t {
	c.size = C.sizeof_bursar_charge_t
	return (*C.bursar_charge_t)(unsafe.Pointer(c))
}

func abiReserve(e *engine, session ID, r *Request, d *Decision) Status {
	return Status(C.bursar_reserve(e.c(), C.bursar_id_t(session), r.c(), d.c()))
}

func abiBegin(e *engine, r Reservation) Status {
	return Status(C.bursar_begin(e.c(), C.bursar_reservation_t(r)))
}

func abiSettle(e *engine, r Reservation, u *Usage, out *Receipt) Status {
	return Status(C.bursar_settle(e.c(), C.bursar_reservation_t(r), u.c(), out.c()))
}

func abiRelease(e *engine, r Reservation) Status {
	return Status(C.bursar_release(e.c(), C.bursar_reservation_t(r)))
}

func abiStream(e *engine, r Reservation, output int64, reason *Reason) Status {
	return Status(C.bursar_stream(e.c(), C.bursar_reservation_t(r), C.int64_t(output),
		(*C.int32_t)(unsafe.Pointer(reason))))
}

func abiCharge(e *engine, session ID, c *Charge, d *Decision, out *Receipt) Status {
	return Status(C.bursar_charge(e.c(), C.bursar_id_t(session), c.c(), d.c(), out.c()))
}

func abiSettleAndReserve(e *engine, settle Reservation, u *Usage, out *Receipt, settled *Status,
	session ID, r *Request, d *Decision) Status {
	return Status(C.bursar_settle_and_reserve(e.c(), C.bursar_reservation_t(settle), u.c(), out.c(),
		(*C.bursar_status_t)(unsafe.Pointer(settled)), C.bursar_id_t(session), r.c(), d.c()))
}

func abiDecisionExplain(e *engine, d *Decision, buf []byte) (int, Status) {
	var n C.size_t
	out, capacity := space(buf)
	status := C.bursar_decision_explain(e.c(), d.c(), out, capacity, &n)
	return int(n), Status(status)
}

// Control

func abiKill(e *engine, id ID, reason string) Status {
	p, length := chars(reason)
	return Status(C.bursar_kill(e.c(), C.bursar_id_t(id), p, length))
}

func abiRevive(e *engine, id ID, reason string) Status {
	p, length := chars(reason)
	return Status(C.bursar_revive(e.c(), C.bursar_id_t(id), p, length))
}

func abiPause(e *engine, id ID, reason string) Status {
	p, length := chars(reason)
	return Status(C.bursar_pause(e.c(), C.bursar_id_t(id), p, length))
}

func abiResume(e *engine, id ID, reason string) Status {
	p, length := chars(reason)
	return Status(C.bursar_resume(e.c(), C.bursar_id_t(id), p, length))
}

// Prices

func abiModelFind(e *engine, name string) (Model, Status) {
	var model C.bursar_model_t
	p, length := chars(name)
	status := C.bursar_model_find(e.c(), p, length, &model)
	return Model(model), Status(status)
}

func abiModelName(e *engine, m Model, buf []byte) (int, Status) {
	var n C.size_t
	out, capacity := space(buf)
	status := C.bursar_model_name(e.c(), C.bursar_model_t(m), out, capacity, &n)
	return int(n), Status(status)
}

// picos are a model's rates as the library has them: pico-dollars a token, -1 = as the whole.
type picos struct {
	input, output, cacheRead, cacheWrite, cacheWrite1h, reasoning int64
	request                                                       Nanos
}

func abiPriceSet(e *engine, name string, r picos) error {
	c := C.bursar_rates_t{
		size:                 C.sizeof_bursar_rates_t,
		input_picos:          C.int64_t(r.input),
		output_picos:         C.int64_t(r.output),
		cache_read_picos:     C.int64_t(r.cacheRead),
		cache_write_picos:    C.int64_t(r.cacheWrite),
		cache_write_1h_picos: C.int64_t(r.cacheWrite1h),
		reasoning_picos:      C.int64_t(r.reasoning),
		request_nanos:        C.int64_t(r.request),
	}
	var d details
	p, length := chars(name)
	return d.err(C.bursar_price_set(e.c(), p, length, &c, d.out()))
}

func abiPriceGet(e *engine, m Model) (picos, Status) {
	c := C.bursar_rates_t{size: C.sizeof_bursar_rates_t}
	status := C.bursar_price_get(e.c(), C.bursar_model_t(m), &c)
	return picos{
		input:        int64(c.input_picos),
		output:       int64(c.output_picos),
		cacheRead:    int64(c.cache_read_picos),
		cacheWrite:   int64(c.cache_write_picos),
		cacheWrite1h: int64(c.cache_write_1h_picos),
		reasoning:    int64(c.reasoning_picos),
		request:      Nanos(c.request_nanos),
	}, Status(status)
}

func abiPriceQuote(e *engine, m Model, v Variant, u *Usage) (Nanos, Status) {
	var n C.int64_t
	status := C.bursar_price_quote(e.c(), C.bursar_model_t(m), C.int32_t(v), u.c(), &n)
	return Nanos(n), Status(status)
}

func abiPricesLoad(e *engine, json, report []byte) (length, models int, err error) {
	var n C.size_t
	var count C.int32_t
	var d details
	in, inLen := space(json)
	out, capacity := space(report)
	status := C.bursar_prices_load(e.c(), in, inLen, out, capacity, &n, &count, d.out())
	return int(n), int(count), d.err(status)
}

func abiToolFind(e *engine, name string) (Tool, error) {
	var tool C.bursar_tool_t
	var d details
	p, length := chars(name)
	status := C.bursar_tool_find(e.c(), p, length, &tool, d.out())
	return Tool(tool), d.err(status)
}

func abiToolPriceSet(e *engine, t Tool, price Nanos) Status {
	return Status(C.bursar_tool_price_set(e.c(), C.bursar_tool_t(t), C.int64_t(price)))
}

func abiMoneyParse(s string) (Nanos, error) {
	var n C.int64_t
	var d details
	p, length := chars(s)
	status := C.bursar_money_parse(p, length, &n, d.out())
	return Nanos(n), d.err(status)
}

func abiRateParse(s string) (int64, error) {
	var n C.int64_t
	var d details
	p, length := chars(s)
	status := C.bursar_rate_parse(p, length, &n, d.out())
	return int64(n), d.err(status)
}

func abiMoneyFormat(n Nanos, buf []byte) (int, Status) {
	var length C.size_t
	out, capacity := space(buf)
	status := C.bursar_money_format(C.int64_t(n), out, capacity, &length)
	return int(length), Status(status)
}

// Estimates

func abiEstimate(e *engine, x *Estimate) Status {
	return Status(C.bursar_estimate(e.c(), x.c()))
}

func abiLearn(e *engine, x *Estimate, input, output int64) Status {
	return Status(C.bursar_learn(e.c(), x.c(), C.int64_t(input), C.int64_t(output)))
}

func abiEstimateError(e *engine, m Model, kind Content, x *EstimateError) Status {
	return Status(C.bursar_estimate_error(e.c(), C.bursar_model_t(m), C.int32_t(kind), x.c()))
}

// Query

func abiRead(e *engine, id ID, v *View) Status {
	v.size = C.sizeof_bursar_view_t
	return Status(C.bursar_read(e.c(), C.bursar_id_t(id), (*C.bursar_view_t)(unsafe.Pointer(v))))
}

func abiViews(e *engine, ids []ID, vs []View) Status {
	if len(ids) == 0 {
		return OK
	}
	vs[0].size = C.sizeof_bursar_view_t
	return Status(C.bursar_views(e.c(), (*C.bursar_id_t)(unsafe.Pointer(&ids[0])), C.size_t(len(ids)),
		(*C.bursar_view_t)(unsafe.Pointer(&vs[0]))))
}

func abiMeterRead(e *engine, id ID, m Meter, v *MeterView) Status {
	v.size = C.sizeof_bursar_meter_view_t
	return Status(C.bursar_meter_read(e.c(), C.bursar_id_t(id), C.bursar_meter_t(m),
		(*C.bursar_meter_view_t)(unsafe.Pointer(v))))
}

func abiLimitRead(e *engine, id ID, position int, v *Limit) Status {
	c := C.bursar_limit_view_t{size: C.sizeof_bursar_limit_view_t}
	status := Status(C.bursar_limit_read(e.c(), C.bursar_id_t(id), C.uint32_t(position), &c))
	if status == OK {
		*v = Limit{
			Meter:       Meter(c.meter),
			End:         End(c.end),
			Amount:      int64(c.amount),
			Extra:       int64(c.extra),
			Earned:      int64(c.earned),
			Spent:       int64(c.spent),
			Committed:   int64(c.committed),
			Remaining:   int64(c.remaining),
			WindowStart: instant(int64(c.window_start_unix_ns)),
			WindowEnd:   instant(int64(c.window_end_unix_ns)),
			Text:        fixed(c.text[:], c.text_len),
		}
	}
	return status
}

func abiTextRead(e *engine, id int64, which int32, buf []byte) (int, Status) {
	var n C.size_t
	out, capacity := space(buf)
	status := C.bursar_text_read(e.c(), C.int64_t(id), C.int32_t(which), out, capacity, &n)
	return int(n), Status(status)
}

func abiChildren(e *engine, id ID, out []ID) (int, Status) {
	var n C.size_t
	status := C.bursar_children(e.c(), C.bursar_id_t(id),
		(*C.bursar_id_t)(unsafe.Pointer(unsafe.SliceData(out))), C.size_t(len(out)), &n)
	return int(n), Status(status)
}

func abiSpendRead(e *engine, position int, row *Spend) Status {
	c := C.bursar_spend_t{size: C.sizeof_bursar_spend_t}
	status := Status(C.bursar_spend_read(e.c(), C.uint32_t(position), &c))
	if status == OK {
		*row = Spend{
			Path:           fixed(c.path[:], c.path_len),
			Agent:          fixed(c.agent[:], c.agent_len),
			AskedModel:     Model(c.asked_model),
			Model:          Model(c.model),
			Steps:          int64(c.steps),
			ToolCalls:      int64(c.tool_calls),
			Input:          int64(c.input_tokens),
			CacheReadInput: int64(c.cache_read_input_tokens),
			Output:         int64(c.output_tokens),
			Cost:           Nanos(c.cost_nanos),
			AskedCost:      Nanos(c.asked_cost_nanos),
			EstimatedSteps: int64(c.estimated_steps),
		}
	}
	return status
}

// Ledger

func outcomeOf(pins *runtime.Pinner, o *Outcome) C.bursar_outcome_t {
	c := C.bursar_outcome_t{
		size:         C.sizeof_bursar_outcome_t,
		state:        C.int32_t(o.State),
		name:         text(pins, o.Name),
		id:           text(pins, o.ID),
		session:      C.bursar_id_t(o.Session),
		workflow:     text(pins, o.Workflow),
		label:        text(pins, o.Label),
		value:        text(pins, o.Value),
		rework_nanos: C.int64_t(o.Rework),
		rework_ns:    C.int64_t(o.ReworkTime),
		by:           text(pins, o.By),
		reason:       text(pins, o.Reason),
	}
	if !o.At.IsZero() {
		c.at = C.int64_t(o.At.UnixNano())
	}
	return c
}

func abiOutcome(e *engine, o *Outcome) error {
	var pins runtime.Pinner
	defer pins.Unpin()
	c := outcomeOf(&pins, o)
	var d details
	return d.err(C.bursar_outcome(e.c(), &c, d.out()))
}

// abiOutcomes says of each whether it is new, and what is wrong with it.
func abiOutcomes(e *engine, all []Outcome) (fresh []bool, wrong []error, status Status) {
	fresh, wrong = make([]bool, len(all)), make([]error, len(all))
	if len(all) == 0 {
		return fresh, wrong, OK
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	c := make([]C.bursar_outcome_t, len(all))
	results := make([]C.int32_t, len(all))
	errors := make([]details, len(all))
	for k := range all {
		c[k] = outcomeOf(&pins, &all[k])
		errors[k].out()
	}
	status = Status(C.bursar_outcomes(e.c(), &c[0], C.size_t(len(all)), &results[0], &errors[0].c))
	for k, result := range results {
		fresh[k], wrong[k] = result > 0, errors[k].err(min(result, 0))
	}
	return fresh, wrong, status
}

// cursor is the opaque query on the other side.
type cursor struct{ c *C.bursar_query_t }

func abiQuery(e *engine, flags uint32, sql string, parameters []any) (q cursor, columns int, err error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	values := make([]C.bursar_value_t, len(parameters)+1)
	for i, parameter := range parameters {
		c := &values[i]
		switch p := parameter.(type) {
		case nil:
		case int64:
			c._type, c.integer = valueInteger, C.int64_t(p)
		case float64:
			c._type, c.real = valueReal, C.double(p)
		case string:
			c._type, c.text = valueText, text(&pins, p)
		case []byte:
			c._type, c.text = valueBlob, text(&pins, string(p))
		default:
			return q, 0, &Error{Status: ErrInvalid, Message: "a parameter is nil, int, int64, Nanos, float64, string or []byte"}
		}
	}
	pins.Pin(&values[0])
	p, length := chars(sql)
	var n C.size_t
	var d details
	err = d.err(C.bursar_query(e.c(), C.uint32_t(flags), p, length, &values[0], C.size_t(len(parameters)), 0, &q.c, &n, d.out()))
	return q, int(n), err
}

func abiQueryColumn(q cursor, column int, buf []byte) (int, Status) {
	var n C.size_t
	out, capacity := space(buf)
	status := C.bursar_query_column(q.c, C.size_t(column), out, capacity, &n)
	return int(n), Status(status)
}

// abiQueryNext fills row; false = there is none.
func abiQueryNext(q cursor, row []any) (bool, error) {
	var p *C.bursar_value_t
	var d details
	if err := d.err(C.bursar_query_next(q.c, &p, d.out())); err != nil || p == nil {
		return false, err
	}
	for i, c := range unsafe.Slice(p, len(row)) {
		switch c._type {
		case valueInteger:
			row[i] = int64(c.integer)
		case valueReal:
			row[i] = float64(c.real)
		case valueText:
			row[i] = C.GoStringN(c.text.data, C.int(c.text.len))
		case valueBlob:
			row[i] = C.GoBytes(unsafe.Pointer(c.text.data), C.int(c.text.len))
		default:
			row[i] = nil
		}
	}
	return true, nil
}

func abiQueryClose(q cursor) { C.bursar_query_close(q.c) }

// Events. The binding polls the descriptor instead of bursar_events_callback: no
// C code enters Go, so every call can be marked nocallback, and no lock of the
// library ever waits for a goroutine.

func abiEventsFD(e *engine) (int, Status) {
	var fd C.int32_t
	status := C.bursar_events_fd(e.c(), &fd)
	return int(fd), Status(status)
}

// eventBatch is how many events one poll takes.
const eventBatch = 16

// abiEventsPoll appends the events that wait, at most a batch.
func abiEventsPoll(e *engine, events []Event) ([]Event, Status) {
	var batch [eventBatch]C.bursar_event_t
	for i := range batch {
		batch[i].size = C.sizeof_bursar_event_t
	}
	var n C.size_t
	status := Status(C.bursar_events_poll(e.c(), &batch[0], eventBatch, &n))
	for i := range batch[:n] {
		c := &batch[i]
		events = append(events, Event{
			Type:        EventType(c._type),
			ID:          ID(c.id),
			Session:     ID(c.session),
			Reservation: Reservation(c.reservation),
			Time:        instant(int64(c.unix_ns)),
			Sequence:    int64(c.sequence),
			Meter:       Meter(c.meter),
			Percent:     int(c.percent),
			Amount:      int64(c.amount),
			Limit:       int64(c.limit),
			Committed:   int64(c.committed),
			Reason:      Reason(c.reason),
			Path:        fixed(c.path[:], c.path_len),
			Text:        fixed(c.text[:], c.text_len),
		})
	}
	return events, status
}

// Diagnostics

func abiHealth(e *engine, h *Health) Status {
	h.size = C.sizeof_bursar_health_t
	return Status(C.bursar_health(e.c(), (*C.bursar_health_t)(unsafe.Pointer(h))))
}

func abiVerify(e *engine) error {
	var d details
	return d.err(C.bursar_verify(e.c(), d.out()))
}
