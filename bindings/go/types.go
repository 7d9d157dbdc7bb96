// SPDX-License-Identifier: Apache-2.0

// The words of the header as Go types. Names are the header's in Go's case,
// without the unit where a type or the word says it: `_nanos` are Nanos, `_ns`
// time.Duration, and a plain count of input or output is tokens. The structs
// that a step passes have the header's layout, so nothing is converted on the
// way to the library; layout.go checks every number, size and offset.

package bursar

import "time"

// Nanos is money: nano-dollars, 1e-9 USD.
type Nanos int64

// Dollar is one dollar in Nanos.
const Dollar Nanos = 1_000_000_000

// ID names a budget or a session. It is positive and never reused.
type ID int64

// Everything is every budget and session, for Kill, Pause, Resume and Revive,
// Observe and Children.
const Everything ID = 0

// Reservation names a step's held worst case.
type Reservation int64

// Model is a model's name, resolved once by Runtime.Model.
type Model int32

// Tool is a tool's name, resolved once by Runtime.Tool.
type Tool int32

// Meter is what is counted. Those from MeterNamed up to MeterWall are named by the program.
type Meter int32

// The meters. Time meters are in nanoseconds.
const (
	MeterCost         Meter = 0
	MeterTokens       Meter = 1
	MeterInputTokens  Meter = 2 // cached included
	MeterOutputTokens Meter = 3 // reasoning included
	MeterFreshTokens  Meter = 4 // uncached input and output
	MeterSteps        Meter = 5
	MeterToolCalls    Meter = 6
	MeterInFlight     Meter = 7
	MeterNamed        Meter = 8
	MeterWall         Meter = 32
	MeterIdle         Meter = 33
	MeterUnattended   Meter = 34
)

// End is what happens when a limit is reached.
type End int32

// The ends.
const (
	EndHalt     End = 0
	EndPause    End = 1
	EndThrottle End = 2
	EndObserve  End = 3
)

// Verdict is the answer to reserve.
type Verdict int32

// The verdicts. The last three are refusals.
const (
	VerdictAllow     Verdict = 0
	VerdictDowngrade Verdict = 1
	VerdictThrottle  Verdict = 2
	VerdictPause     Verdict = 3
	VerdictHalt      Verdict = 4
)

// Reason is why a step was refused or changed, or why a session stopped.
type Reason int32

// The reasons.
const (
	ReasonNone         Reason = 0
	ReasonLimit        Reason = 1
	ReasonRate         Reason = 2
	ReasonKilled       Reason = 3
	ReasonPaused       Reason = 4
	ReasonClosed       Reason = 5
	ReasonWall         Reason = 6
	ReasonIdle         Reason = 7
	ReasonUnattended   Reason = 8
	ReasonUndeclared   Reason = 9
	ReasonPriceUnknown Reason = 10
	ReasonJournalFull  Reason = 11
	ReasonDowngrade    Reason = 12
	ReasonHoldback     Reason = 13
)

// Remedy is what the caller may do about a refusal.
type Remedy int32

// The remedies.
const (
	RemedyNone         Remedy = 0
	RemedyWait         Remedy = 1
	RemedySmaller      Remedy = 2
	RemedyCheaperModel Remedy = 3
	RemedyAsk          Remedy = 4
	RemedyStop         Remedy = 5
	RemedyPrice        Remedy = 6
	RemedyDeclare      Remedy = 7
)

// UnknownModel is what a model without a price gets under a money limit: an Option of Open.
type UnknownModel int32

// The policies for an unknown model.
const (
	UnknownModelRefuse  UnknownModel = 1 // the default
	UnknownModelDearest UnknownModel = 2
	UnknownModelFree    UnknownModel = 3
)

// Undeclared is what a session without a limit above it gets: an Option of Open.
type Undeclared int32

// The policies for undeclared sessions.
const (
	UndeclaredAllow  Undeclared = 1 // the default in a private runtime
	UndeclaredRefuse Undeclared = 2
)

// Unavailable is what to do when a home cannot be used: an Option of Open.
type Unavailable int32

// The ways to go on without a home.
const (
	UnavailableRefuse  Unavailable = 1 // the default: an error
	UnavailablePrivate Unavailable = 2 // a private runtime, and an EventHome that says why
	UnavailableAllow   Unavailable = 3 // the same, and it stops nobody
)

// Role is who the program is: an Option of Open. It guards against accidents, not attackers.
type Role int32

// The roles.
const (
	RoleOperator Role = 1 // the default: may do everything
	RoleAgent    Role = 2 // may not raise limits, revive, resume or remove
)

// Flags of a HomeInfo.
const (
	HomeShared = 1 // a home's; else the runtime is private
	HomeGroup  = 2 // shared with its group
)

// HomeInfo is what home a runtime has.
type HomeInfo struct {
	Flags        uint32 // Home…
	Slot         uint32 // this process's number in the home
	Processes    uint32 // attached, this one included
	SegmentID    int64
	SegmentBytes int64
	ID           string
	Path         string
	SegmentPath  string
}

// Process is a process that is attached to a home. Role and Name are those of its first Runtime
// there.
type Process struct {
	Slot       uint32
	PID        uint32 // as it sees itself: another in another container
	Role       Role
	Since      time.Time
	ForkedFrom uint32 // the slot of the process that forked it, or 0
	Name       string // what it calls itself: hostile text
}

const (
	policyDefault   = 0
	openObserve     = 1
	openPlainCharge = 2
	openGroup       = 4
	openExisting    = 8
	limitsSession   = 1
	budgetReplace   = 1
	budgetObserve   = 2
)

// Complexity of a step, which may cap the rung of the ladder that it gets. It is also an
// option of sessions and budgets: the default for their steps.
type Complexity int32

// The complexities.
const (
	ComplexityDefault  Complexity = 0
	ComplexityRoutine  Complexity = 1
	ComplexityStandard Complexity = 2
	ComplexityComplex  Complexity = 3
)

// Variant is the provider's service tier.
type Variant int32

// The variants.
const (
	VariantStandard Variant = 0
	VariantBatch    Variant = 1
	VariantFlex     Variant = 2
	VariantPriority Variant = 3
)

// Flags of a Request.
const (
	RequestHold         = 1 // hold without sending: Step.Begin before the call goes out
	RequestStream       = 2 // Step.Stream will be called
	RequestFinal        = 4 // the final answer: may use what is held back
	RequestCacheWrite   = 8 // input may be written to the cache, for 5 minutes
	RequestCacheWrite1h = 16
	RequestAsAsked      = 32 // this model or nothing
)

// Request asks for one step.
type Request struct {
	size       uint32
	Flags      uint32 // Request…
	Model      Model  // wanted; 0 = the ladder's best, or none (a tool step)
	Tool       Tool   // a tool step
	Input      int64  // estimate, cached included
	InputUpper int64  // the estimate's upper end, for context tiers; 0 = Input
	MaxOutput  int64  // wanted
	MinOutput  int64  // least useful; 0 = the smaller of wanted and 256
	Extra      Nanos  // hosted tools and other priced extras
	Units      int64  // of Meter
	Meter      Meter  // a named meter, with Units
	Choices    int32  // answers asked for; 0 = 1
	Variant    Variant
	Complexity Complexity
	Attempt    int32 // 0 = first
	reserved   int32
	Parent     Reservation   // the step that this one retries or belongs to
	TTL        time.Duration // 0 = the runtime's
}

// Flags of a Decision.
const (
	DecisionTransient   = 1 // refused only because of what steps in flight hold
	DecisionClamped     = 2 // fewer output tokens than wanted
	DecisionLowerRung   = 4 // another model than wanted
	DecisionUnpriced    = 8
	DecisionObserved    = 16 // an observed limit would have refused this
	DecisionUndeclared  = 32
	DecisionDowngrading = 64
)

// Decision is the answer to a Request. A refusal is returned as an error of type *Decision.
type Decision struct {
	size        uint32
	Verdict     Verdict
	Reason      Reason
	Remedy      Remedy
	Reservation Reservation // 0 = refused
	MaxOutput   int64       // granted: tell the provider
	Reserved    Nanos       // the worst case that is held
	Model       Model       // granted: call this one
	Flags       uint32      // Decision…

	// Which limit refused.
	Budget     ID
	Meter      Meter
	End        End
	Limit      int64         // with top-ups, in the meter's unit
	Committed  int64         // spent and reserved, without this request
	Remaining  int64         // never below 0
	Requested  int64         // what this request would have added
	RetryAfter time.Duration // 0 = never by waiting, unless transient
	unused     [3]int64

	runtime *Runtime // explains it; beyond what the library sees
	text    string   // or this does: why a context was cancelled
}

// Flags of a Usage.
const (
	UsageIncomplete = 1 // the answer was cut off: never settled below what was seen
	UsageCost       = 2 // Cost is what the provider billed
	UsageWorst      = 4 // nothing is known: the full worst case, flagged estimated
)

// Usage is what a step used, in tokens. Cache reads and writes are part of Input, reasoning
// of Output.
type Usage struct {
	size                uint32
	Flags               uint32 // Usage…
	Input               int64
	CacheReadInput      int64
	CacheWriteInput     int64 // those kept for 1 hour included
	CacheWrite1hInput   int64
	Output              int64
	ReasoningOutput     int64
	AudioInput          int64
	CacheReadAudioInput int64
	AudioOutput         int64
	ImageInput          int64
	ImageOutput         int64
	Extra               Nanos
	Cost                Nanos     // with UsageCost
	Units               int64     // of the request's named meter
	Key                 [2]uint64 // idempotency key, or zero
}

// Flags of a Receipt.
const (
	ReceiptOverrun   = 1 // more than was reserved; recorded in full
	ReceiptEstimated = 2 // the usage was not known
	ReceiptReplay    = 4 // was settled before: the first result again
	ReceiptLate      = 8 // corrects an estimate
	ReceiptUnpriced  = 16
)

// Receipt is the answer to a settled step or a charge.
type Receipt struct {
	size      uint32
	Flags     uint32 // Receipt…
	Cost      Nanos
	Reserved  Nanos // what was held
	Overrun   Nanos // cost above what was held
	AskedCost Nanos // what the model asked for would have cost
	Model     Model // granted
	reserved  uint32
}

// ChargeForce records a charge even past a limit: it has happened already.
const ChargeForce = 1

// Charge is a priced thing that has no model.
type Charge struct {
	size  uint32
	Flags uint32 // ChargeForce
	Nanos Nanos  // with a Tool and 0: the tool's price
	Tool  Tool
	Meter Meter // a named meter, with Units
	Units int64
	// Key is an idempotency key, or zero: with one it is charged once by this Runtime. Only this
	// Runtime remembers keys: a retry in another process, or through another Runtime, charges again.
	Key [2]uint64
}

// Content is what an input is made of. 4 to 255 are the program's own, and begin as text.
type Content int32

// The kinds of content.
const (
	ContentText    Content = 0 // prose and code in ASCII
	ContentWide    Content = 1 // text with many characters beyond ASCII
	ContentJSON    Content = 2 // schemas, arguments, data
	ContentCounted Content = 3 // Bytes are tokens that a tokenizer of the program's counted
)

// Estimate is an input whose tokens are wanted: see Runtime.Estimate.
type Estimate struct {
	size         uint32
	Model        Model
	Session      ID     // whose last input is known; 0 = none
	Conversation uint64 // any number: inputs of a session with the same one continue each other
	Bytes        int64  // of all text in it, UTF-8
	FixedTokens  int64  // at most, of what is no text: images, files
	Content      Content
	basis        uint32
	Tokens       int64 // filled in: the likely number
	TokensMax    int64 // filled in: what to reserve
	span         int64
}

// EstimateError is how far off the estimates were. Errors are |tokens - billed| / billed in
// millionths, at most an eighth or 122 too high.
type EstimateError struct {
	size      uint32
	Pairs     uint32 // of a model and a kind of content
	Steps     int64
	Below     int64 // billed at more than their TokensMax
	MedianPPM int64 // half of the errors are no larger
	P99PPM    int64 // 99 of 100 are no larger
	Input     int64 // billed, of all these inputs
	Reserved  int64 // their TokensMax
}

// Kind tells budgets from sessions.
type Kind int32

// The kinds.
const (
	KindBudget  Kind = 1
	KindSession Kind = 2
)

// State of a budget or session.
type State int32

// The states.
const (
	StateOpen   State = 0
	StatePaused State = 1
	StateHalted State = 2 // by a time limit
	StateKilled State = 3
	StateClosed State = 4
)

// Flags of a View.
const (
	ViewObserved   = 1
	ViewUndeclared = 2
)

// View is a budget or session at a moment.
type View struct {
	size           uint32
	Kind           Kind
	State          State // its own
	EffectiveState State // the worst of its own and its ancestors'
	Reason         Reason
	Flags          uint32 // View…
	ID             ID
	Parent         ID // 0 = top level
	Spent          Nanos
	Reserved       Nanos
	Remaining      Nanos // the least of its own money limits; math.MaxInt64 = none
	Steps          int64
	ToolCalls      int64
	Input          int64
	Output         int64
	Refusals       int64
	OpenedUnix     time.Duration // since 1970
	Children       uint32
	Limits         uint32
}

// MeterView is one meter of a budget or session.
type MeterView struct {
	size      uint32
	Meter     Meter
	Spent     int64
	Reserved  int64
	Committed int64
	Remaining int64 // math.MaxInt64 = not limited here
}

// Which text Runtime.Text reads.
const (
	TextPath       = 1 // of a session: its budget's
	TextAgent      = 2
	TextOwner      = 3 // own or inherited
	TextCostCenter = 4 // own or inherited
	TextPurpose    = 5
	TextLimits     = 6
	TextReason     = 7 // why it was killed or paused
	TextLabels     = 8 // key=value lines
	TextLadder     = 9
	TextMeter      = 10 // of a Meter given as ID
	TextTool       = 11 // of a Tool given as ID
)

// EventType is what happened.
type EventType int32

// The event types.
const (
	EventThreshold  EventType = 1
	EventDowngrade  EventType = 2
	EventHalt       EventType = 3
	EventPause      EventType = 4
	EventResume     EventType = 5
	EventKill       EventType = 6
	EventRevive     EventType = 7
	EventDeadline   EventType = 8
	EventIdle       EventType = 9
	EventUnattended EventType = 10
	EventOverrun    EventType = 11
	EventOrphan     EventType = 12
	EventWindow     EventType = 13
	EventTopUp      EventType = 14
	EventDeclared   EventType = 15
	EventLimits     EventType = 16
	EventObserved   EventType = 17
	EventUnpriced   EventType = 18
	EventStorm      EventType = 19
	EventLost       EventType = 20 // Amount events are missing here
	EventLate       EventType = 21
	EventThrottle   EventType = 22
	EventHome       EventType = 23 // the home is not what was asked for, or is gone
	EventCorrupt    EventType = 24 // something in the shared memory is what it cannot be
	EventLedger     EventType = 25 // the ledger cannot be read or written: records wait
	EventOutcome    EventType = 26 // Text is its name, Amount its value
)

// Health are figures for a health page.
type Health struct {
	size              uint32
	reserved          uint32
	Nodes             int64
	NodesMax          int64
	Reservations      int64
	ReservationsMax   int64
	InFlight          int64
	Refusals          int64
	TransientRefusals int64
	SettledSteps      int64
	EstimatedSteps    int64
	LateSettles       int64
	Overrun           Nanos
	Folds             int64
	FoldLag           time.Duration
	Events            int64
	EventsLost        int64
	Timers            int64
	SegmentBytes      int64
	PricesAsOfUnix    int64
	WakeUps           int64
}
