// Rows of what is described rather than counted: budgets and sessions, states of
// budgets, events, outcomes.

extension Database {
    func describe(_ node: NodeEntry) throws(Failure) {
        if node.kind == .budget { try describeBudget(node) } else { try describeSession(node) }
    }

    /// A budget that another segment had open is the same budget; one that this segment
    /// has open under another id was removed, and this is its successor.
    private func describeBudget(_ node: NodeEntry) throws(Failure) {
        let path = Text.clean(node.path)
        let key: Int64
        if let known = try budget(node.id) {
            key = known
        } else {
            var ordinal: Int64 = 1
            var adopted: Int64?
            let found = try connection.statement(.budgetOfPath)
            try found.bind([.text(path)])
            if try found.step() {
                ordinal = found.int(3) + 1
                let isOpen = found.isNull(1)
                let old = found.int(0)
                let isOurs = found.int(2) == keys.segment
                found.reset()
                if isOpen, !isOurs { adopted = old }
                if isOpen, isOurs {
                    try connection.run(.closeBudget, .integer(old), .integer(node.opened))
                }
            }
            found.reset()
            let segment = DBValue.integer(keys.segment)
            if let adopted {
                try connection.run(.adoptBudget, .integer(adopted), segment, .integer(node.id))
                key = adopted
            } else {
                try connection.run(
                    .addBudget, .text(path), .integer(ordinal), segment, .integer(node.id))
                key = connection.lastRow
            }
            keys.budgets[node.id] = key
        }
        var parent = try budget(node.parent)
        if parent == nil { parent = try self.parent(of: path) }
        if parent == key { parent = nil }  // the root
        var values: [DBValue] = [
            .integer(key), parent.map { .integer($0) } ?? .null, .known(node.owner),
            .known(node.costCenter), .known(node.purpose), .known(node.opened), .known(node.closed),
            .known(Int64(node.complexity)),
        ]
        let levels = path.split(separator: UInt8(ascii: "/"), maxSplits: 7)
        for k in 0..<8 { values.append(k < levels.count ? .text(Array(levels[k])) : .null) }
        let statement = try connection.statement(.describeBudget)
        try statement.bind(values)
        defer { statement.reset() }
        _ = try statement.step()
    }

    /// The budget above a path that was described; nil for the root.
    private func parent(of path: [UInt8]) throws(Failure) -> Int64? {
        if path.isEmpty { return nil }
        let cut = path.lastIndex(of: UInt8(ascii: "/")) ?? 0
        return try connection.first(.budgetOfPath, .text(Array(path[..<cut])))?.int
    }

    private func describeSession(_ node: NodeEntry) throws(Failure) {
        guard let place = try place(ofSession: node.id) else { return }
        var parent = DBValue.null
        var budget = try budget(node.parent).map { DBValue.integer($0) } ?? .null
        if case .null = budget, node.parent != 0,
            let above = try self.place(ofSession: node.parent, make: false)
        {
            parent = .integer(keys.sums[above].key)
        }
        if case .null = budget {
            budget = try connection.first(.budgetOfPath, .text(Text.clean(node.path))) ?? .null
        }
        let statement = try connection.statement(.describeSession)
        try statement.bind([
            .integer(keys.sums[place].key), budget, parent, .known(node.agent), .known(node.user),
            .known(node.owner), .known(node.costCenter), .known(Int64(node.complexity)),
            try labels(node.labels), .known(node.opened), .known(node.closed), .known(node.reason),
        ])
        defer { statement.reset() }
        _ = try statement.step()
    }

    /// Replaces a budget's state. The cell's count and the ledger's differ by what was
    /// spent before there was a cell; what limits count from is shifted by it.
    func set(_ state: BudgetStateEntry) throws(Failure) {
        guard let key = try budget(state.id) else { return }
        let budget = DBValue.integer(key)
        try connection.run(
            .setState, budget, .known(state.limitText), .integer(state.state), .known(state.stateReason),
            .known(state.who), .known(state.why), .known(state.when), .integer(state.flags),
            .integer(state.topRungs), .known(Int64(state.complexity)))
        try connection.run(.clearLimits, budget)
        try connection.run(.clearTopUps, budget)
        for (position, limit) in state.limits.enumerated() {
            let meter = try meter(limit.meter)
            var shift: Int64 = 0
            if limit.meter < Int64(MeterIndex.end), limit.meter != Int64(MeterIndex.inFlight) {
                shift = (try connection.first(.spent, budget, meter)?.int ?? 0) &- limit.spent
            }
            var ring: [UInt8] = []
            for word in limit.ring {
                for byte in 0..<8 { ring.append(UInt8(truncatingIfNeeded: (word &+ shift) >> Int64(byte * 8))) }
            }
            try connection.run(
                .addLimit, budget, .integer(Int64(position)), .known(limit.text),
                meter, .integer(limit.windowStart), .integer(limit.base &+ shift), .known(limit.since),
                .integer(limit.extra), .integer(limit.fired), ring.isEmpty ? .null : .blob(ring))
        }
        for top in state.topUps {
            try connection.run(
                .addTopUp, budget, .integer(top.limit), .integer(top.amount), .integer(top.ends))
        }
    }

    func add(_ event: EventEntry, _ segment: Int64) throws(Failure) {
        try connection.run(
            .addEvent, .integer(segment), .integer(event.sequence), .integer(event.at),
            .integer(event.type), try budgetValue(event.id), try sessionValue(event.session),
            .known(event.reservation), try meter(event.meter), .integer(event.percent), .integer(event.amount), .integer(event.limit),
            .integer(event.committed), .integer(event.reason), .known(event.path), .known(event.text),
            .known(event.actor))
    }

    func add(_ outcome: OutcomeEntry) throws(Failure) {
        let join = outcome.join
        let cut = join.firstIndex(of: UInt8(ascii: "=")) ?? join.count
        try connection.run(
            .addOutcome, .known(outcome.key), .known(outcome.name), .integer(outcome.state.rawValue),
            try sessionValue(outcome.session), try budgetValue(outcome.budget),
            .known(Array(join[..<cut])), .known(Array(join[min(cut + 1, join.count)...])),
            outcome.hasValue ? .integer(outcome.value) : .null, .integer(outcome.reworkNanos),
            .integer(outcome.reworkTime), .integer(outcome.at), .known(outcome.who), .known(outcome.why))
    }

    private func budgetValue(_ node: Int64) throws(Failure) -> DBValue {
        guard node != 0, let key = try budget(node) else { return .null }
        return .integer(key)
    }

    private func sessionValue(_ node: Int64) throws(Failure) -> DBValue {
        guard node != 0, let place = try place(ofSession: node, make: false) else { return .null }
        return .integer(keys.sums[place].key)
    }
}
