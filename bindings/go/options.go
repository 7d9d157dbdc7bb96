// SPDX-License-Identifier: Apache-2.0

// Options of Open, Budget and Session. Limits, Observed and Complexity serve
// more than one of them.

package bursar

import (
	"strings"
	"time"
)

// OpenOption changes how Open opens a runtime.
type OpenOption interface{ open(*openOptions) }

// BudgetOption describes a budget to Runtime.Budget.
type BudgetOption interface{ budget(*budgetOptions) }

// SessionOption describes a session to Runtime.Session and Session.Child.
type SessionOption interface{ session(*sessionOptions) }

type openOptions struct {
	flags                                                 uint32
	home                                                  string
	sessionsMax, reservationsMax, textBytesMax, eventsMax uint32
	unknownModel                                          UnknownModel
	undeclared                                            Undeclared
	onUnavailable                                         Unavailable
	role                                                  Role
	shmDir, name                                          string
	reservationTTL                                        time.Duration
}

type budgetOptions struct {
	flags                              uint32
	limits, owner, costCenter, purpose string
	earn, earnMost, earnOutcome        string
	topRung                            [4]uint8
	complexity                         Complexity
}

type sessionOptions struct {
	path, agent, limits, ladder string
	parent                      ID
	labels                      map[string]string
	complexity                  Complexity
	holdback                    Nanos
}

type openOption func(*openOptions)

func (f openOption) open(o *openOptions) { f(o) }

type budgetOption func(*budgetOptions)

func (f budgetOption) budget(o *budgetOptions) { f(o) }

type sessionOption func(*sessionOptions)

func (f sessionOption) session(o *sessionOptions) { f(o) }

// Private keeps the runtime to this process, with nothing kept on disk: the default.
func Private() OpenOption { return openOption(func(o *openOptions) { o.home = "" }) }

// Home names the directory of a set of budgets that all processes share; it is made when it is
// not there. A leading ~ is the user's directory. Open answers ErrHome, with a sentence, when it
// cannot be used, unless UnavailablePrivate or UnavailableAllow is given too.
func Home(directory string) OpenOption {
	return openOption(func(o *openOptions) { o.home = directory })
}

// Existing has Open answer ErrHome where there is no home yet, instead of making one.
func Existing() OpenOption { return openOption(func(o *openOptions) { o.flags |= openExisting }) }

// Group shares a new home with its directory's group.
func Group() OpenOption { return openOption(func(o *openOptions) { o.flags |= openGroup }) }

// ShmDir is where the live state of a new home lies; default /dev/shm.
func ShmDir(directory string) OpenOption {
	return openOption(func(o *openOptions) { o.shmDir = directory })
}

// Name is what this process calls itself in a home, for people.
func Name(name string) OpenOption { return openOption(func(o *openOptions) { o.name = name }) }

// SessionsMax is how many live budgets and sessions there may be; default 65,536, of a home
// 10,240. One of them is the library's. Of a home that is there this and the next two are as it
// was made with.
func SessionsMax(n uint32) OpenOption {
	return openOption(func(o *openOptions) { o.sessionsMax = n })
}

// ReservationsMax is how many steps may be in flight; default 16,384.
func ReservationsMax(n uint32) OpenOption {
	return openOption(func(o *openOptions) { o.reservationsMax = n })
}

// TextBytesMax bounds names and labels in use; default 64 MiB, of a home about 2 MiB: 205 bytes
// for each of SessionsMax, and no less than 2 MiB.
func TextBytesMax(n uint32) OpenOption {
	return openOption(func(o *openOptions) { o.textBytesMax = n })
}

// EventsMax is how many events may wait in the library; default 1,024.
func EventsMax(n uint32) OpenOption {
	return openOption(func(o *openOptions) { o.eventsMax = n })
}

// ReservationTTL is how long a step may be in flight before it is settled at an estimate;
// default 15 minutes.
func ReservationTTL(d time.Duration) OpenOption {
	return openOption(func(o *openOptions) { o.reservationTTL = d })
}

func (u UnknownModel) open(o *openOptions) { o.unknownModel = u }

func (u Undeclared) open(o *openOptions) { o.undeclared = u }

func (u Unavailable) open(o *openOptions) { o.onUnavailable = u }

func (r Role) open(o *openOptions) { o.role = r }

// ObservedOption is what Observed returns: an option of Open and of Budget.
type ObservedOption struct{}

// Observed counts, decides and reports, but stops nobody: in the runtime or in one budget.
func Observed() ObservedOption { return ObservedOption{} }

func (ObservedOption) open(o *openOptions) { o.flags |= openObserve }

func (ObservedOption) budget(o *budgetOptions) { o.flags |= budgetObserve }

// LimitsOption is what Limits returns: an option of Budget and of Session.
type LimitsOption string

// Limits sets limits, "$500/month alert 80%", "2M tokens/day", "10m wall": see docs/limits.md.
func Limits(limits ...string) LimitsOption { return LimitsOption(joined(limits)) }

func joined(limits []string) string { return strings.Join(limits, ", ") }

func (l LimitsOption) budget(o *budgetOptions) { o.limits = string(l) }

func (l LimitsOption) session(o *sessionOptions) { o.limits = string(l) }

func (c Complexity) budget(o *budgetOptions) { o.complexity = c }

func (c Complexity) session(o *sessionOptions) { o.complexity = c }

// Replace replaces limits that a budget has already.
func Replace() BudgetOption { return budgetOption(func(o *budgetOptions) { o.flags |= budgetReplace }) }

// Owner is who answers for a budget.
func Owner(name string) BudgetOption { return budgetOption(func(o *budgetOptions) { o.owner = name }) }

// CostCenter is who pays.
func CostCenter(name string) BudgetOption {
	return budgetOption(func(o *budgetOptions) { o.costCenter = name })
}

// Purpose is what a budget is for.
func Purpose(text string) BudgetOption {
	return budgetOption(func(o *budgetOptions) { o.purpose = text })
}

// Earn says what each verified outcome adds to a budget's limits on cost ("$2"), and what all of
// them add at most ("$20").
func Earn(each, most string) BudgetOption {
	return budgetOption(func(o *budgetOptions) { o.earn, o.earnMost = each, most })
}

// EarnOutcome lets a budget earn by outcomes of one name only.
func EarnOutcome(name string) BudgetOption {
	return budgetOption(func(o *budgetOptions) { o.earnOutcome = name })
}

// TopRung is the highest rung of the ladder (1 = best) that steps of a complexity may use.
func TopRung(complexity Complexity, rung uint8) BudgetOption {
	return budgetOption(func(o *budgetOptions) {
		if complexity >= 0 && int(complexity) < len(o.topRung) {
			o.topRung[complexity] = rung
		}
	})
}

// Agent is who runs, for attribution.
func Agent(name string) SessionOption {
	return sessionOption(func(o *sessionOptions) { o.agent = name })
}

// Ladder names the models that a session may use, best first; up to 8.
func Ladder(models ...string) SessionOption {
	return sessionOption(func(o *sessionOptions) { o.ladder = strings.Join(models, ",") })
}

// Labels attribute a session further: {"feature": "invoices"}; up to 16.
func Labels(labels map[string]string) SessionOption {
	return sessionOption(func(o *sessionOptions) { o.labels = labels })
}

// Holdback keeps money back for the final answer: only steps with RequestFinal get it.
func Holdback(amount Nanos) SessionOption {
	return sessionOption(func(o *sessionOptions) { o.holdback = amount })
}
