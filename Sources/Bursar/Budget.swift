// Budgets: declaring them, finding them, and what a path can be told.

internal import BursarCore

/// A node of the tree that a path names: `acme/support/triage`, up to 8 levels.
public struct Budget: Node, Hashable {
    public let runtime: Runtime
    public let id: Int64

    /// Removes it. ``Failure/Code/inUse`` while it has anything below;
    /// what was spent stays in its ancestors.
    public func remove() throws(BursarError) {
        try runtime.administer("remove a budget") { (runtime) throws(BursarCore.Failure) in
            try runtime.budgetRemove(id)
        }
    }

    public static func == (left: Budget, right: Budget) -> Bool {
        left.runtime === right.runtime && left.id == right.id
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}

extension Runtime {
    /// Makes sure that a budget is there.
    ///
    /// Absent, or only implied by a path below it: created with these limits. The same
    /// limits: nothing happens. Others: the stored ones stay and an event says so,
    /// unless it `replaces` them; so a worker that restarts never undoes an operator's
    /// cut. Ancestors are created without limits.
    ///
    /// - Parameters:
    ///   - limits: `"$500/month alert 50% 80%"`, `"2M tokens/day"`: see docs/limits.md.
    ///   - owner: Who answers for it.
    ///   - costCenter: Who pays.
    ///   - purpose: What for.
    ///   - topRungs: By complexity, the highest rung of a ladder that steps may use;
    ///     1 is the best.
    ///   - complexity: Of steps below that say nothing.
    ///   - isObserved: Counts and reports here, but stops nobody.
    ///   - earn: What each verified outcome adds to its limits on cost, up to `earnMost` in
    ///     all; outcomes named `earnOutcome`, or any.
    @discardableResult
    public func declare(
        _ path: String, _ limits: String..., owner: String = "", costCenter: String = "",
        purpose: String = "", topRungs: [Complexity: Int] = [:],
        complexity: Complexity = .unspecified, isObserved: Bool = false, replaces: Bool = false,
        earn: Money = .zero, earnMost: Money = .zero, earnOutcome: String = ""
    ) throws(BursarError) -> Budget {
        var options = BudgetOptions()
        options.replaces = replaces
        options.isObserved = isObserved
        options.limits = limits.list
        options.owner = owner.bytes
        options.costCenter = costCenter.bytes
        options.purpose = purpose.bytes
        let rungs = Complexity.allCases.map { UInt8(clamping: topRungs[$0] ?? 0) }
        options.topRungs = (rungs[0], rungs[1], rungs[2], rungs[3])
        options.complexity = complexity.rawValue
        options.earn = earn.nanos
        options.earnMost = earnMost.nanos
        options.earnOutcome = earnOutcome.bytes
        return try call { (runtime) throws(BursarCore.Failure) in
            if replaces, let refusal = runtime.refusesAgent("replace a budget") { throw refusal }
            if isObserved, let refusal = runtime.refusesAgent("declare an observed budget") {
                throw refusal
            }
            return Budget(runtime: self, id: try runtime.budgetDeclare(path.bytes, options))
        }
    }

    /// The budget at `path`, or ``Failure/Code/notFound``.
    public func budget(_ path: String) throws(BursarError) -> Budget {
        try call { (runtime) throws(BursarCore.Failure) in
            Budget(runtime: self, id: try runtime.budgetFind(path.bytes))
        }
    }

    /// The root of all budgets and sessions: to stop, pause, observe or read everything.
    public var everything: Budget { Budget(runtime: self, id: 0) }

    // MARK: - By path

    /// Stops a budget's whole subtree: see ``Node/kill(reason:)``.
    public func kill(_ path: String, reason: String = "") throws(BursarError) {
        try budget(path).kill(reason: reason)
    }

    /// Undoes a kill.
    public func revive(_ path: String, reason: String = "") throws(BursarError) {
        try budget(path).revive(reason: reason)
    }

    /// Stops a budget's whole subtree until it is resumed.
    public func pause(_ path: String, reason: String = "") throws(BursarError) {
        try budget(path).pause(reason: reason)
    }

    /// Undoes a pause.
    public func resume(_ path: String, reason: String = "") throws(BursarError) {
        try budget(path).resume(reason: reason)
    }
}
