// SPDX-License-Identifier: Apache-2.0

// Errors: a Status from the library, with its details; a *Decision where a step
// is refused; and the kinds of refusal that errors.Is tells apart.

package bursar

import "fmt"

// Status is a library status as an error; errors.Is compares with the constants below.
type Status int32

// The statuses. A number that is not here comes from a newer library.
const (
	OK             Status = 0
	ErrInvalid     Status = -1  // an argument is wrong; nothing changed
	ErrSize        Status = -2  // a struct of another version
	ErrNotFound    Status = -3  // names nothing, or nothing any more
	ErrClosed      Status = -4  // the runtime or the session was closed
	ErrForked      Status = -5  // the runtime belongs to the parent process
	ErrBuffer      Status = -6  // never returned: buffers grow
	ErrMemory      Status = -7  // the system gave no memory
	ErrCapacity    Status = -8  // a table is full; the error names the option that raises it
	ErrUnsupported Status = -9  // not in this version
	ErrRefused     Status = -10 // a *Decision says why
	ErrConflict    Status = -11 // settled or charged before, with other amounts
	ErrReleased    Status = -12 // settled after release
	ErrExpired     Status = -13 // the hold ran out: do not send
	ErrBusy        Status = -14 // another thread is at the same reservation, or a stopped process holds the home up
	ErrExists      Status = -15 // the name is taken
	ErrInUse       Status = -16 // it still has children or live sessions
	ErrLimitText   Status = -20 // malformed limit text
	ErrMoneyText   Status = -21 // malformed amount or rate
	ErrPrice       Status = -22 // malformed price book, or no such price
	ErrZone        Status = -23 // unknown time zone
	ErrPath        Status = -24 // malformed path, name or label
	ErrQuery       Status = -25 // the SQL is wrong, does not only read, or ran too long
	ErrLoop        Status = -30 // libuv or the system refused
	ErrCorrupt     Status = -31 // the segment contradicts itself: a bug
	ErrHome        Status = -40 // the home cannot be used, or is gone; the error says why
	ErrRole        Status = -41 // not for a runtime opened as an agent; not for who produced the outcome
)

// Error says what the status means.
func (s Status) Error() string { return "bursar: " + abiStatusString(s) }

// err is nil for OK.
func (s Status) err() error {
	if s == OK {
		return nil
	}
	return s
}

// Error is a failure with its details. It matches its Status in errors.Is.
type Error struct {
	Status  Status
	Message string   // what was wrong, where, what was expected, what to do
	Line    int      // 1-based, 0 = none
	Column  int      // 1-based byte of the offending word, 0 = none
	ID      int64    // the budget, session or reservation concerned, or 0
	Values  [2]int64 // two amounts that conflict, or what was found and what was expected
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Status.Error()
	}
	return "bursar: " + e.Message
}

// Unwrap returns the Status.
func (e *Error) Unwrap() error { return e.Status }

// refusal is a kind of refused Decision, or of stopped session, for errors.Is.
type refusal string

func (r refusal) Error() string { return "bursar: " + string(r) }

// Kinds of refusal. One Decision may be several: a limit that says `then pause` is both
// ErrPaused and ErrBudgetExceeded. All are ErrRefused.
const (
	ErrThrottled      refusal = "throttled"       // wait Decision.RetryAfter, or for steps in flight
	ErrPaused         refusal = "paused"          // until topped up, resumed or attended
	ErrHalted         refusal = "halted"          // for good, or until somebody acts
	ErrKilled         refusal = "killed"          // is also ErrHalted
	ErrBudgetExceeded refusal = "budget exceeded" // an amount would pass its limit
	ErrDeadline       refusal = "deadline passed"
	ErrIdle           refusal = "idle for too long"
	ErrUnattended     refusal = "unattended for too long"
	ErrUndeclared     refusal = "no budget with a limit above the session"
	ErrPriceUnknown   refusal = "price unknown"
)

// Is reports whether the refusal is of the kind of target.
func (d *Decision) Is(target error) bool {
	switch target {
	case ErrRefused:
		return true
	case ErrThrottled:
		return d.Verdict == VerdictThrottle
	case ErrPaused:
		return d.Verdict == VerdictPause
	case ErrHalted:
		return d.Verdict == VerdictHalt
	case ErrBudgetExceeded:
		return d.Verdict != VerdictThrottle &&
			(d.Reason == ReasonLimit || d.Reason == ReasonHoldback)
	}
	switch d.Reason {
	case ReasonKilled:
		return target == ErrKilled
	case ReasonClosed:
		return target == ErrClosed
	case ReasonWall:
		return target == ErrDeadline
	case ReasonIdle:
		return target == ErrIdle
	case ReasonUnattended:
		return target == ErrUnattended
	case ReasonUndeclared:
		return target == ErrUndeclared
	case ReasonPriceUnknown:
		return target == ErrPriceUnknown
	}
	return false
}

// Error is the library's sentence: which limit, how much was left, what to do.
func (d *Decision) Error() string {
	if d.text == "" && d.runtime != nil {
		sentence, status := readText(func(buf []byte) (int, Status) {
			return abiDecisionExplain(d.runtime.engine(), d, buf)
		})
		if status == OK {
			return "bursar: " + sentence
		}
	}
	if d.text == "" {
		return fmt.Sprintf("bursar: %v (%v) by budget %d", d.Verdict, d.Reason, d.Budget)
	}
	return "bursar: " + d.text
}

// Transient reports a refusal only because of what steps in flight hold.
func (d *Decision) Transient() bool { return d.Flags&DecisionTransient != 0 }
