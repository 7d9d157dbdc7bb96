// What a step was told, and what it cost.

internal import BursarCore

/// The answer to a request, and why: which budget, which limit, how much was left, what
/// to do. Its description says it in a sentence.
public struct Decision: Sendable, CustomStringConvertible {
    private let runtime: Runtime
    private let core: BursarCore.Decision

    init(_ decision: BursarCore.Decision, of runtime: Runtime) {
        core = decision
        self.runtime = runtime
    }

    public var verdict: Verdict { Verdict(core.verdict) }
    public var reason: Reason { Reason(core.reason) }
    public var remedy: Remedy { Remedy(core.remedy) }

    // MARK: - Granted

    public var isGranted: Bool { core.reservation != 0 }
    /// The step's number; 0 = refused.
    public var reservation: Int64 { core.reservation }
    /// The model granted: call this one.
    public var model: Model? { try? runtime.model(number: core.model) }
    /// The output tokens granted: tell the provider.
    public var maxOutput: Int { Int(core.maxOutput) }
    /// The worst case that is held.
    public var reserved: Money { Money(nanos: core.reservedNanos) }

    // MARK: - Refused, or observed

    /// The budget or session whose limit it is, by its number; 0 = none.
    public var node: Int64 { core.budget }
    /// The path of that budget, or of the session's.
    public var path: String { (try? Budget(runtime: runtime, id: core.budget).path) ?? "" }
    public var meter: Meter { Meter(rawValue: core.meter) }
    /// What happens at the end of that limit.
    public var end: End { End(rawValue: core.end) ?? .halt }
    /// The limit's amount with top-ups, in the meter's unit: see ``Meter``.
    public var limit: Int64 { core.limit }
    /// Spent and reserved in its window, without this request.
    public var committed: Int64 { core.committed }
    /// `limit` less `committed`, never below 0.
    public var remaining: Int64 { core.remaining }
    /// What this request would have added.
    public var requested: Int64 { core.requested }
    /// When it may succeed; nil = never by waiting, unless it is transient.
    public var retryAfter: Duration? {
        core.retryAfter > 0 ? .nanoseconds(core.retryAfter) : nil
    }

    // MARK: - Flags

    /// Refused only because of what steps in flight hold: they will give some back.
    public var isTransient: Bool { has(BursarCore.Decision.transient) }
    /// Fewer output tokens than wanted.
    public var isClamped: Bool { has(BursarCore.Decision.clamped) }
    /// Another model than wanted.
    public var isLowerRung: Bool { has(BursarCore.Decision.lowerRung) }
    /// An unknown model, admitted by policy.
    public var isUnpriced: Bool { has(BursarCore.Decision.unpriced) }
    /// An observed limit would have refused this.
    public var isObserved: Bool { has(BursarCore.Decision.observed) }
    /// No budget with a limit stands above it.
    public var isUndeclared: Bool { has(BursarCore.Decision.undeclared) }
    /// A downgrade share is passed.
    public var isDowngrading: Bool { has(BursarCore.Decision.downgrading) }

    private func has(_ flag: UInt32) -> Bool { core.flags & flag != 0 }

    /// Which limit, how much was left, what to do. After the runtime was closed only
    /// the verdict and the reason.
    public var description: String {
        let core = self.core
        let text = try? runtime.call { (runtime) throws(BursarCore.Failure) in
            String(bytes: runtime.explain(core))
        }
        return text ?? "\(verdict): \(reason)"
    }
}

/// What a step cost.
public struct Receipt: Sendable, Hashable {
    public let cost: Money
    /// What was held for it.
    public let reserved: Money
    /// The cost above what was held, recorded in full.
    public let overrun: Money
    /// What the model asked for would have cost.
    public let askedCost: Money
    private let flags: UInt32

    /// More was used than was reserved.
    public var isOverrun: Bool { flags & BursarCore.Receipt.overrun != 0 }
    /// The usage was not known.
    public var isEstimated: Bool { flags & BursarCore.Receipt.estimated != 0 }
    /// Settled or charged before: the first result again.
    public var isReplay: Bool { flags & BursarCore.Receipt.replay != 0 }
    /// Came after an estimate, which it corrects.
    public var isLate: Bool { flags & BursarCore.Receipt.late != 0 }
    /// An unknown model.
    public var isUnpriced: Bool { flags & BursarCore.Receipt.unpriced != 0 }

    init(_ receipt: BursarCore.Receipt) {
        cost = Money(nanos: receipt.costNanos)
        reserved = Money(nanos: receipt.reservedNanos)
        overrun = Money(nanos: receipt.overrunNanos)
        askedCost = Money(nanos: receipt.askedCostNanos)
        flags = receipt.flags
    }
}

// The same words in both modules; a test compares them.

extension Verdict {
    init(_ verdict: BursarCore.Verdict) { self = Verdict(rawValue: verdict.rawValue) ?? .halt }
}

extension Reason {
    init(_ reason: BursarCore.Reason) { self = Reason(rawValue: reason.rawValue) ?? .none }
}

extension Remedy {
    init(_ remedy: BursarCore.Remedy) { self = Remedy(rawValue: remedy.rawValue) ?? .none }
}
