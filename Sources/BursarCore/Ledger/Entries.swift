// What one block of the outbox says: everything that the ledger learns from one
// batch of the fold. The fold makes blocks, LedgerFile.swift keeps them until the
// database has them, Database/ writes them into `ledger.db`.
//
// Ids of nodes are those of the segment (generation << 32 | index; the root budget,
// "everything", is the budget with the empty path) and mean something with the
// block's segment only; numbers of names likewise. Times are unix nanoseconds, money
// nano-dollars. 0 means unknown or none where a comment says so, and becomes NULL.
// Within a block the order is: names, nodes, steps, corrections, spent, states,
// events, outcomes; an entry may name what the same or an earlier block described.
// Names, nodes and states say how things are now: saying it again changes nothing.

/// Bits of `StepEntry.flags`: the journal's, as far as they concern a reader.
enum StepFlag {
    static let estimated: UInt32 = 1  // usage was not known; a correction clears it
    static let stream: UInt32 = 4
    static let unpriced: UInt32 = 8
    static let overrun: UInt32 = 16  // cost above what was reserved
    static let charge: UInt32 = 64  // no model: a tool or a charge
    static let late: UInt32 = 128  // was estimated, and was corrected
    static let direct: UInt32 = 512  // settled at once: was never in flight
    static let unsent: UInt32 = 1024  // expired while held: nothing happened
}

/// One settled step. Fixed size, without references: it can be copied as bytes.
struct StepEntry {
    var handle: Int64 = 0
    var session: Int64 = 0
    var settled: Int64 = 0
    var started: Int64 = 0  // 0 = unknown
    var parent: Int64 = 0  // handle of the step that this one retries or belongs to; 0 = none
    var price: Int64 = 0  // number of a price set's name; 0 = none
    var input: Int64 = 0  // cached included
    var cacheRead: Int64 = 0
    var cacheWrite: Int64 = 0  // those kept for one hour included
    var cacheWrite1h: Int64 = 0
    var output: Int64 = 0  // reasoning included
    var reasoning: Int64 = 0
    var audioInput: Int64 = 0
    var cacheReadAudio: Int64 = 0
    var audioOutput: Int64 = 0
    var imageInput: Int64 = 0
    var imageOutput: Int64 = 0
    var extraNanos: Int64 = 0  // the part of `cost` that priced extras are
    var cost: Int64 = 0
    var askedCost: Int64 = 0  // what the model asked for would have cost
    var reserved: Int64 = 0  // what was held for it
    var units: Int64 = 0  // of `meter`
    var asked: UInt32 = 0, granted: UInt32 = 0  // numbers of models' names; 0 = none
    var tool: UInt32 = 0  // number of a tool's name; 0 = none
    var flags: UInt32 = 0  // StepFlag
    var attempt: UInt32 = 0  // 0 = first
    var complexity: UInt8 = 0  // 0 = not said
    var variant: UInt8 = 0
    var meter: UInt8 = 0  // the named meter of `units`; 0 = none
    var callMeter: UInt8 = 0  // the named meter that counts its tool's calls; 0 = none
    var steps: Int64 = 1  // 1, or 0: what it adds to the meter `steps`
    var toolCalls: Int64 = 0  // 1, or 0: what it adds to `tool_calls` and `callMeter`
}

/// A late settle: what an estimated step really used. It counts once.
struct CorrectionEntry {
    /// The step's handle and session, and all amounts as they are now; `settled` is
    /// when the correction came.
    var step = StepEntry()
}

/// A name that steps have by number. Numbers of kind `meter` are 8 to 31.
struct NameEntry {
    enum Kind: Int64 { case model = 1, tool, price, meter }
    var kind = Kind.model
    var number: Int64 = 0
    var name: [UInt8] = []
}

/// A budget or a session: when it is made, changes, closes.
struct NodeEntry {
    enum Kind: Int64 { case budget = 1, session = 2 }
    var kind = Kind.budget
    var id: Int64 = 0
    /// Its budget; of a child session its parent session; 0 = none (the root budget).
    var parent: Int64 = 0
    /// A budget's path, "" for the root; a session's is its budget's.
    var path: [UInt8] = []
    /// A session's: own keys and values, sorted by key.
    var labels: [(key: [UInt8], value: [UInt8])] = []
    /// Own or inherited, as they are at this moment; empty = nobody.
    var owner: [UInt8] = []
    var costCenter: [UInt8] = []
    var purpose: [UInt8] = []  // a budget's
    var agent: [UInt8] = []  // a session's
    /// Who opened it: the name that the process gave itself; empty = not said.
    var user: [UInt8] = []
    var complexity: UInt8 = 0  // 0 = not said
    var opened: Int64 = 0
    var closed: Int64 = 0  // 0 = open
    /// Of a session that closed: why, in words; empty = as it should be.
    var reason: [UInt8] = []
}

/// What a budget must have again after a reboot. It replaces the state before it.
struct BudgetStateEntry {
    struct Limit {
        /// Canonical text of this one limit.
        var text: [UInt8] = []
        var meter: Int64 = 0
        var windowStart: Int64 = 0  // unix ns; 0 = total. A rolling one: its last bucket's
        /// What the budget's cell says was spent, after this block's batch. `base` and
        /// `ring` count on from it; a cell that is younger than its budget counts less
        /// than the ledger, which shifts all three to its own count.
        var spent: Int64 = 0
        var base: Int64 = 0  // what was settled when the window began
        var since: Int64 = 0  // a calendar limit set midway: unix ns of that; 0 = no
        var extra: Int64 = 0
        var earned: Int64 = 0  // of `extra`: by verified outcomes
        var fired: Int64 = 0  // what was told of it, by bit
        var ring: [Int64] = []  // a rolling window's, the oldest bucket first
    }

    /// A top-up that ends by itself.
    struct TopUp {
        var limit: Int64 = 0  // position in `limits`
        var amount: Int64 = 0
        var ends: Int64 = 0
    }

    var id: Int64 = 0
    /// Canonical text of all its own limits; empty = none.
    var limitText: [UInt8] = []
    var limits: [Limit] = []
    var topUps: [TopUp] = []
    /// `StateBit.killed`, `paused`, `halted`, `held`; 0 = open.
    var state: Int64 = 0
    var stateReason: Int64 = 0
    var who: [UInt8] = []
    var why: [UInt8] = []
    var when: Int64 = 0  // 0 = unknown
    /// `NodeFlag.declared` and `observed`; whether owner and cost centre are its own.
    var flags: Int64 = 0
    static let ownsOwner: Int64 = 1 << 32
    static let ownsCostCenter: Int64 = 1 << 33
    var topRungs: Int64 = 0  // a byte for each complexity
    /// What a verified outcome adds, and all of them at most; of that name, unless it is empty.
    var earn: Int64 = 0
    var earnMost: Int64 = 0
    var earnOutcome: [UInt8] = []
    var complexity: UInt8 = 0
    /// How long it stood paused, but for the pause that lasts, and since when that does; 0 = none.
    var paused: Int64 = 0
    var pausedSince: Int64 = 0
}

/// What a batch added to a budget's `spent` on one meter; for a correction it may be
/// below 0. One for each budget above a step of the batch (the root included, sessions
/// not: theirs follow from their steps) and each meter that changed, whether or not
/// the budget limits it: `fresh_tokens` is input + output - cacheRead.
struct SpentEntry {
    var budget: Int64 = 0
    var meter: Int64 = 0  // 0 to 6, or a named one's number
    var change: Int64 = 0
}

/// One revision of an outcome: the latest that came is the one that holds. What it does not
/// say is as the revision before had it, and what it is credited to never changes.
struct OutcomeEntry {
    enum State: Int64 { case stated = 1, verified, disputed, corrected, withdrawn }
    /// With `name` what its revisions have in common; empty = it has one only.
    var key: [UInt8] = []
    var name: [UInt8] = []  // "invoice_processed"
    var state = State.stated
    /// The segment's id, or the database's key; 0 = none: credited to `budget`, or by `join`.
    var session: Int64 = 0
    var budget: Int64 = 0  // 0 = the session's
    /// A label, as "key=value", whose sessions share it; empty = none.
    var join: [UInt8] = []
    var hasValue = false
    var value: Int64 = 0
    var reworkNanos: Int64 = 0  // money; 0 = as before
    var reworkTime: Int64 = 0  // nanoseconds of somebody's time; 0 = as before
    var at: Int64 = 0  // as it says, or `said`
    var said: Int64 = 0
    var who: [UInt8] = []
    var why: [UInt8] = []
    var actor: [UInt8] = []  // uid, pid and claimed name
}

/// A step that is in flight, as it is settled when nobody is left to do so.
struct FlightEntry {
    var step = StepEntry()
    /// Its session and all above but the root.
    var path: [Int64] = []
}

/// All that one batch brings. A batch is of one segment, and its number is one more
/// than that of the batch before.
struct LedgerBlock {
    var segment: Int64 = 0
    var batch: Int64 = 0
    var names: [NameEntry] = []
    var nodes: [NodeEntry] = []
    var steps: [StepEntry] = []
    var corrections: [CorrectionEntry] = []
    var spent: [SpentEntry] = []
    var states: [BudgetStateEntry] = []
    var events: [Event] = []
    var outcomes: [OutcomeEntry] = []
    /// Not for the database; nil: as before.
    var flights: [FlightEntry]?
}
