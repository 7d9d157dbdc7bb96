// What can be read: budgets, sessions, meters, limits, spend, health.

internal import BursarCore

/// A budget or session, as it was a moment ago; exact when nothing is in the middle of a
/// call.
public struct View: Sendable {
    public let id: Int64
    /// What it hangs below; 0 = the top level.
    public let parent: Int64
    /// What hangs directly below it.
    public let children: [Int64]
    /// Its path; of a session its budget's.
    public let path: String
    public let isSession: Bool
    public let state: State
    /// The worst of its own state and its ancestors'.
    public let effectiveState: State
    /// Why it is in its state.
    public let reason: Reason
    /// What was said when it was killed or paused.
    public let why: String
    /// Counts and reports, but stops nobody.
    public let isObserved: Bool
    /// A budget that only a path implies, or a session without a limit above it.
    public let isUndeclared: Bool

    /// For its life.
    public let spent: Money
    /// Held by steps in flight.
    public let reserved: Money
    /// The least that its own money limits leave; nil = it has none.
    public let remaining: Money?
    public let steps: Int
    public let toolCalls: Int
    public let inputTokens: Int
    public let outputTokens: Int
    public let refusals: Int
    /// When it opened, in nanoseconds since 1970.
    public let openedUnixNanos: Int64

    public let limits: [LimitView]
    /// Who runs, of a session.
    public let agent: String
    /// Its own or inherited, as ``costCenter``.
    public let owner: String
    public let costCenter: String
    public let purpose: String
    public let labels: [String: String]
    /// The models it may use, best first.
    public let ladder: [String]

    init(reading id: Int64, of runtime: BursarCore.Runtime) throws(BursarCore.Failure) {
        let view = try runtime.read(id)
        self.id = id
        parent = view.parent
        var below: [Int64] = []
        _ = try runtime.children(id) { below.append($0) }
        children = below
        isSession = view.isSession
        state = State(rawValue: view.state) ?? .open
        effectiveState = State(rawValue: view.effectiveState) ?? .open
        reason = Reason(view.reason)
        isObserved = view.flags & 1 != 0
        isUndeclared = view.flags & 2 != 0
        spent = Money(nanos: view.spentNanos)
        reserved = Money(nanos: view.reservedNanos)
        remaining = view.remainingNanos == .max ? nil : Money(nanos: view.remainingNanos)
        steps = Int(view.steps)
        toolCalls = Int(view.toolCalls)
        inputTokens = Int(view.inputTokens)
        outputTokens = Int(view.outputTokens)
        refusals = Int(view.refusals)
        openedUnixNanos = view.openedUnixNanos
        var limits: [LimitView] = []
        for position in 0..<view.limits {
            // Another thread may have changed them meanwhile.
            guard let limit = try? runtime.limitRead(id, position) else { break }
            limits.append(LimitView(limit))
        }
        self.limits = limits
        func text(_ kind: TextKind) throws(BursarCore.Failure) -> String {
            String(bytes: try runtime.textRead(id, kind))
        }
        path = try text(.path)
        why = try text(.reason)
        agent = try text(.agent)
        owner = try text(.owner)
        costCenter = try text(.costCenter)
        purpose = try text(.purpose)
        ladder = try text(.ladder).split(separator: ",").map(String.init)
        var labels: [String: String] = [:]
        for line in try text(.labels).split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            labels[String(parts[0])] = parts.count > 1 ? String(parts[1]) : ""
        }
        self.labels = labels
    }
}

/// One meter of a budget or session, in the meter's unit, for its life.
public struct MeterView: Sendable, Hashable {
    /// Settled.
    public let spent: Int64
    /// Held by steps in flight.
    public let reserved: Int64
    /// Both.
    public let committed: Int64
    /// nil = not limited here.
    public let remaining: Int64?

    init(_ view: BursarCore.MeterView) {
        spent = view.spent
        reserved = view.reserved
        committed = view.committed
        remaining = view.remaining == .max ? nil : view.remaining
    }
}

/// One limit of a budget or session: amounts in the meter's unit, of its current window.
public struct LimitView: Sendable, Hashable, CustomStringConvertible {
    public let meter: Meter
    public let end: End
    /// As declared.
    public let amount: Int64
    /// Topped up, and earned.
    public let extra: Int64
    /// Of that, by verified outcomes.
    public let earned: Int64
    /// Settled; of a time limit what has passed.
    public let spent: Int64
    /// Spent and reserved.
    public let committed: Int64
    /// What is left, never below 0.
    public let remaining: Int64
    /// When the window began, in nanoseconds since 1970; nil = a total.
    public let windowStartUnixNanos: Int64?
    /// When it ends; nil = never.
    public let windowEndUnixNanos: Int64?
    /// The limit in canonical text.
    public let description: String

    init(_ view: BursarCore.LimitView) {
        meter = Meter(rawValue: view.meter)
        end = End(rawValue: view.end) ?? .halt
        amount = view.amount
        extra = view.extra
        earned = view.earned
        spent = view.spent
        committed = view.committed
        remaining = view.remaining
        windowStartUnixNanos = view.startUnixNanos == 0 ? nil : view.startUnixNanos
        windowEndUnixNanos = view.endUnixNanos == 0 ? nil : view.endUnixNanos
        description = String(bytes: view.text)
    }
}

/// Spend of one workflow (a path), agent and pair of models since the runtime opened.
public struct Spend: Sendable, Hashable {
    public let path: String
    public let agent: String
    /// nil = a tool or a charge, as for ``model``.
    public let askedModel: Model?
    /// The model granted.
    public let model: Model?
    public let steps: Int
    public let toolCalls: Int
    public let inputTokens: Int
    public let cacheReadInputTokens: Int
    public let outputTokens: Int
    public let cost: Money
    /// What the models asked for would have cost.
    public let askedCost: Money
    /// Settled without known usage.
    public let estimatedSteps: Int
}

/// Figures for a health page.
public struct Health: Sendable, Hashable {
    /// Live budgets and sessions.
    public let nodes, nodesMax: Int
    /// Steps that have a place, and the places.
    public let reservations, reservationsMax: Int
    /// Steps not settled.
    public let inFlight: Int
    public let refusals, transientRefusals: Int
    /// Folded.
    public let settledSteps: Int
    public let estimatedSteps, lateSettles: Int
    public let overrun: Money
    public let folds: Int
    /// The age of the oldest settled step not yet folded.
    public let foldLag: Duration
    public let events, eventsLost: Int
    public let timers, wakeUps: Int
    /// Mapped; what is untouched takes no memory.
    public let segmentBytes: Int
    /// The date of the built-in prices, in seconds since 1970.
    public let pricesAsOfUnix: Int64
}

extension Runtime {
    /// Spend by workflow, agent and models: a row each. Folds what is settled first.
    public func spend() throws(BursarError) -> [Spend] {
        try call { (runtime) throws(BursarCore.Failure) in
            var rows: [Spend] = []
            while let row = runtime.spendRead(rows.count) { rows.append(Spend(row, runtime)) }
            return rows
        }
    }

    /// Figures for a health page.
    public func health() throws(BursarError) -> Health {
        try call { (runtime) throws(BursarCore.Failure) in Health(runtime.health()) }
    }

    /// Checks, for every node and meter, committed = spent + held + settled and not
    /// folded. Meaningful when no other call is running.
    ///
    /// - Throws: ``Failure/Code/corrupt`` with the node.
    public func verify() throws(BursarError) {
        try call { (runtime) throws(BursarCore.Failure) in
            if let failure = runtime.verify() { throw failure }
        }
    }
}

extension Spend {
    fileprivate init(_ row: SpendRow, _ runtime: BursarCore.Runtime) {
        path = String(bytes: row.path)
        agent = String(bytes: row.agent)
        askedModel = Model(row.asked, of: runtime)
        model = Model(row.granted, of: runtime)
        steps = Int(row.steps)
        toolCalls = Int(row.toolCalls)
        inputTokens = Int(row.input)
        cacheReadInputTokens = Int(row.cacheRead)
        outputTokens = Int(row.output)
        cost = Money(nanos: row.cost)
        askedCost = Money(nanos: row.askedCost)
        estimatedSteps = Int(row.estimated)
    }
}

extension Health {
    fileprivate init(_ health: BursarCore.Health) {
        nodes = Int(health.nodes)
        nodesMax = Int(health.nodesMax)
        reservations = Int(health.reservations)
        reservationsMax = Int(health.reservationsMax)
        inFlight = Int(health.inFlight)
        refusals = Int(health.refusals)
        transientRefusals = Int(health.transientRefusals)
        settledSteps = Int(health.settledSteps)
        estimatedSteps = Int(health.estimatedSteps)
        lateSettles = Int(health.lateSettles)
        overrun = Money(nanos: health.overrunNanos)
        folds = Int(health.folds)
        foldLag = .nanoseconds(health.foldLagNanos)
        events = Int(health.events)
        eventsLost = Int(health.eventsLost)
        timers = Int(health.timers)
        wakeUps = Int(health.wakeUps)
        segmentBytes = Int(health.segmentBytes)
        pricesAsOfUnix = health.pricesAsOfUnix
    }
}
