// Sessions: one run of one agent each, and the steps it takes.

internal import BursarCore

/// One run of one agent: a leaf under a budget, with limits of its own.
///
/// It closes when nobody has it any more, its steps and children included, or on
/// ``close()``. One that another process handed over closes only on ``close()``.
public final class Session: Node {
    public let runtime: Runtime
    public let id: Int64
    /// The session whose child this is.
    public let parent: Session?
    private let isAttached: Bool

    init(_ runtime: Runtime, _ id: Int64, parent: Session?, isAttached: Bool = false) {
        self.runtime = runtime
        self.id = id
        self.parent = parent
        self.isAttached = isAttached
    }

    deinit { if !isAttached { close() } }

    /// Nothing more is admitted, here and in its children; steps in flight can still
    /// be settled. Closing again does nothing.
    public func close() {
        let id = self.id
        // It can only fail when there is nothing left to close.
        try? runtime.call { (runtime) throws(BursarCore.Failure) in try runtime.sessionClose(id) }
    }

    // MARK: - Children

    /// Opens a session of a sub-agent. What it spends counts here at once.
    public func openChild(
        limits: String..., agent: String = "", ladder: [String] = [],
        labels: [String: String] = [:], complexity: Complexity = .unspecified,
        holdback: Money = .zero
    ) throws(BursarError) -> Session {
        var options = SessionOptions(limits.list, agent, ladder, labels, complexity, holdback)
        options.parent = id
        return try runtime.open(options, parent: self)
    }

    // MARK: - Steps

    /// Holds the worst case of a call of a model at every level.
    ///
    /// When the full step does not fit, it tries a lower rung of the session's ladder,
    /// then fewer output tokens; then it is refused.
    ///
    /// - Parameters:
    ///   - model: The model wanted; nil = the best of the ladder.
    ///   - input: Estimated input tokens, cached included.
    ///   - maxOutput: The most output tokens wanted.
    ///   - minOutput: The least that is useful; 0 = the smaller of `maxOutput` and 256.
    /// - Throws: ``BursarError/refused(_:)`` with the decision.
    public func reserve(
        _ model: String? = nil, input: Int, maxOutput: Int, minOutput: Int = 0
    ) throws(BursarError) -> Step {
        var request = Request(input: input, maxOutput: maxOutput, minOutput: minOutput)
        if let model { request.model = try runtime.model(model) }
        return try reserve(request)
    }

    /// Holds the worst case of a step at every level, or throws the refusal.
    public func reserve(_ request: Request) throws(BursarError) -> Step {
        var decision = BursarCore.Decision()
        let status = runtime.core.reserve(id, request.forCore, &decision)
        if status == .ok { return Step(self, decision, isHeld: request.isHeld) }
        throw unadmitted(status, decision)
    }

    /// Charges a priced thing that has no model: reserve and settle in one.
    ///
    /// - Parameters:
    ///   - amount: What it costs; nil = the tool's price.
    ///   - tool: Counts as a call of this tool.
    ///   - meter: A named meter, with `units` of it.
    ///   - isForced: It has happened already: record it even past a limit.
    ///   - key: With one it is charged once by this runtime, however often this is called.
    ///     Only this runtime remembers keys: a retry in another process, or through another
    ///     runtime, charges again.
    @discardableResult
    public func charge(
        _ amount: Money? = nil, tool: Tool? = nil, meter: Meter? = nil, units: Int = 0,
        isForced: Bool = false, key: Key? = nil
    ) throws(BursarError) -> Receipt {
        var charge = DirectCharge()
        charge.flags = isForced ? DirectCharge.force : 0
        charge.nanos = amount?.nanos ?? 0
        charge.tool = tool?.number ?? 0
        charge.meter = meter?.rawValue ?? 0
        charge.units = Int64(units)
        if let key { charge.key = (key.low, key.high) }
        var decision = BursarCore.Decision()
        var receipt = BursarCore.Receipt()
        defer { withExtendedLifetime(self) {} }
        let status = runtime.core.charge(id, charge, &decision, &receipt)
        if status == .ok { return Receipt(receipt) }
        throw unadmitted(status, decision)
    }

    private func unadmitted(_ status: Status, _ decision: BursarCore.Decision) -> BursarError {
        switch status {
        case .refused: .refused(Decision(decision, of: runtime))
        case .notFound: .failed(Failure(.closed, "the session was closed"))
        default: BursarError(status, of: runtime.core)
        }
    }
}

extension Runtime {
    /// Opens a session under a budget, which is created without limits when absent.
    ///
    /// - Parameters:
    ///   - path: The budget.
    ///   - limits: Its own, for its life: `"$2"`, `"200 steps"`, `"10m wall"`.
    ///   - agent: Who runs, for attribution.
    ///   - ladder: The models it may use, best first; up to 8.
    ///   - labels: Attribute it further; up to 16.
    ///   - complexity: Of steps that say nothing.
    ///   - holdback: Kept back for the final answer: see ``Request/isFinal``.
    public func openSession(
        _ path: String, limits: String..., agent: String = "", ladder: [String] = [],
        labels: [String: String] = [:], complexity: Complexity = .unspecified,
        holdback: Money = .zero
    ) throws(BursarError) -> Session {
        var options = SessionOptions(limits.list, agent, ladder, labels, complexity, holdback)
        options.path = path.bytes
        return try open(options, parent: nil)
    }

    fileprivate func open(
        _ options: SessionOptions, parent: Session?
    ) throws(BursarError) -> Session {
        if options.labels.count > 16 {
            throw .failed(
                Failure(.invalid, "\(options.labels.count) labels; at most 16 are possible"))
        }
        return try call { (runtime) throws(BursarCore.Failure) in
            Session(self, try runtime.sessionOpen(options), parent: parent)
        }
    }
}

extension SessionOptions {
    fileprivate init(
        _ limits: [UInt8], _ agent: String, _ ladder: [String], _ labels: [String: String],
        _ complexity: Complexity, _ holdback: Money
    ) {
        self.init()
        self.limits = limits
        self.agent = agent.bytes
        self.ladder = ladder.list
        self.labels = labels.map { ($0.key.bytes, $0.value.bytes) }
        self.complexity = complexity.rawValue
        holdbackNanos = holdback.nanos
    }
}
