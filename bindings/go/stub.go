// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

// Without cgo there is no library: the package compiles, and Open says why it
// does not work. What abi.go has, in the same order.

package bursar

import (
	"strconv"
	"time"
)

type engine struct{}
type cursor struct{}

var errNoCgo = &Error{Status: ErrUnsupported,
	Message: "this program was built without cgo, which libbursar needs: set CGO_ENABLED=1 and build with a C compiler"}

type picos struct {
	input, output, cacheRead, cacheWrite, cacheWrite1h, reasoning int64
	request                                                       Nanos
}

func abiVersionNumber() int32                                                   { return 0 }
func abiVersion() int32                                                         { return abiExpected }
func abiStatusString(s Status) string                                           { return "status " + strconv.Itoa(int(s)) }
func abiOpen(o *openOptions) (*engine, error)                                   { return nil, errNoCgo }
func abiClose(e *engine) Status                                                 { return ErrUnsupported }
func abiHomeInfo(e *engine, h *HomeInfo) Status                                 { return ErrUnsupported }
func abiHomeProcess(e *engine, position int, p *Process) Status                 { return ErrUnsupported }
func abiLimitsParse(e *engine, flags uint32, s string, buf []byte) (int, error) { return 0, errNoCgo }
func abiBudgetDeclare(e *engine, path string, o *budgetOptions) (ID, error)     { return 0, errNoCgo }
func abiBudgetFind(e *engine, path string) (ID, Status)                         { return 0, ErrUnsupported }
func abiBudgetRemove(e *engine, id ID) error                                    { return errNoCgo }
func abiLimitsSet(e *engine, id ID, s string) error                             { return errNoCgo }
func abiTopUp(e *engine, id ID, amount string, lasting time.Duration, reason string) error {
	return errNoCgo
}
func abiObserve(e *engine, id ID, on int32) Status                            { return ErrUnsupported }
func abiMeterDefine(e *engine, name string) (Meter, error)                    { return 0, errNoCgo }
func abiSessionOpen(e *engine, o *sessionOptions) (ID, error)                 { return 0, errNoCgo }
func abiSessionClose(e *engine, id ID) Status                                 { return ErrUnsupported }
func abiSessionEnviron(e *engine, id ID, buf []byte) (int, Status)            { return 0, ErrUnsupported }
func abiSessionAttach(e *engine, s string) (ID, error)                        { return 0, errNoCgo }
func abiAttend(e *engine, id ID, who string) Status                           { return ErrUnsupported }
func abiReserve(e *engine, session ID, r *Request, d *Decision) Status        { return ErrUnsupported }
func abiBegin(e *engine, r Reservation) Status                                { return ErrUnsupported }
func abiSettle(e *engine, r Reservation, u *Usage, out *Receipt) Status       { return ErrUnsupported }
func abiRelease(e *engine, r Reservation) Status                              { return ErrUnsupported }
func abiStream(e *engine, r Reservation, output int64, reason *Reason) Status { return ErrUnsupported }
func abiCharge(e *engine, session ID, c *Charge, d *Decision, out *Receipt) Status {
	return ErrUnsupported
}
func abiSettleAndReserve(e *engine, settle Reservation, u *Usage, out *Receipt, settled *Status, session ID, r *Request, d *Decision) Status {
	return ErrUnsupported
}
func abiDecisionExplain(e *engine, d *Decision, buf []byte) (int, Status)   { return 0, ErrUnsupported }
func abiKill(e *engine, id ID, reason string) Status                        { return ErrUnsupported }
func abiRevive(e *engine, id ID, reason string) Status                      { return ErrUnsupported }
func abiPause(e *engine, id ID, reason string) Status                       { return ErrUnsupported }
func abiResume(e *engine, id ID, reason string) Status                      { return ErrUnsupported }
func abiModelFind(e *engine, name string) (Model, Status)                   { return 0, ErrUnsupported }
func abiModelName(e *engine, m Model, buf []byte) (int, Status)             { return 0, ErrUnsupported }
func abiPriceSet(e *engine, name string, r picos) error                     { return errNoCgo }
func abiPriceGet(e *engine, m Model) (picos, Status)                        { return picos{}, ErrUnsupported }
func abiPriceQuote(e *engine, m Model, v Variant, u *Usage) (Nanos, Status) { return 0, ErrUnsupported }
func abiPricesLoad(e *engine, json, report []byte) (length, models int, err error) {
	return 0, 0, errNoCgo
}
func abiToolFind(e *engine, name string) (Tool, error)            { return 0, errNoCgo }
func abiToolPriceSet(e *engine, t Tool, price Nanos) Status       { return ErrUnsupported }
func abiMoneyParse(s string) (Nanos, error)                       { return 0, errNoCgo }
func abiRateParse(s string) (int64, error)                        { return 0, errNoCgo }
func abiMoneyFormat(n Nanos, buf []byte) (int, Status)            { return 0, ErrUnsupported }
func abiEstimate(e *engine, x *Estimate) Status                   { return ErrUnsupported }
func abiLearn(e *engine, x *Estimate, input, output int64) Status { return ErrUnsupported }
func abiEstimateError(e *engine, m Model, kind Content, x *EstimateError) Status {
	return ErrUnsupported
}
func abiRead(e *engine, id ID, v *View) Status                     { return ErrUnsupported }
func abiViews(e *engine, ids []ID, vs []View) Status               { return ErrUnsupported }
func abiMeterRead(e *engine, id ID, m Meter, v *MeterView) Status  { return ErrUnsupported }
func abiLimitRead(e *engine, id ID, position int, v *Limit) Status { return ErrUnsupported }
func abiTextRead(e *engine, id int64, which int32, buf []byte) (int, Status) {
	return 0, ErrUnsupported
}
func abiChildren(e *engine, id ID, out []ID) (int, Status)    { return 0, ErrUnsupported }
func abiSpendRead(e *engine, position int, row *Spend) Status { return ErrUnsupported }
func abiOutcome(e *engine, o *Outcome) error                  { return errNoCgo }
func abiOutcomes(e *engine, all []Outcome) ([]bool, []error, Status) {
	return nil, nil, ErrUnsupported
}
func abiQuery(e *engine, flags uint32, sql string, parameters []any) (cursor, int, error) {
	return cursor{}, 0, errNoCgo
}
func abiQueryColumn(q cursor, column int, buf []byte) (int, Status) { return 0, ErrUnsupported }
func abiQueryNext(q cursor, row []any) (bool, error)                { return false, errNoCgo }
func abiQueryClose(q cursor)                                        {}
func abiEventsFD(e *engine) (int, Status)                           { return 0, ErrUnsupported }
func abiEventsPoll(e *engine, events []Event) ([]Event, Status)     { return events, ErrUnsupported }
func abiHealth(e *engine, h *Health) Status                         { return ErrUnsupported }
func abiVerify(e *engine) error                                     { return errNoCgo }
