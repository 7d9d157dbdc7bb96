// Rows of what is described rather than counted: budgets and sessions, states of
// budgets, events, outcomes.

internal import CLedger

extension Database {
    func describe(_ node: NodeEntry) throws(Failure) {
        if node.kind == .budget { try describeBudget(node) } else { try describeSession(node) }
    }

    private func describeBudget(_ node: NodeEntry) throws(Failure) {
        let path = Text.clean(node.path)
        var key = try budget(node.id)
        if key == nil { key = try newBudget(node, path) }
        var parent = try budget(node.parent)
        if parent == nil { parent = try self.parent(of: path) }
        let row = connection[.describeBudget]
        row.put(key ?? null)
        row.put(parent == key ? null : parent ?? null)  // the root
        row.put(node.owner)
        row.put(node.costCenter)
        row.put(node.purpose)
        row.put(known: node.opened)
        row.put(known: node.closed)
        row.put(known: Int64(node.complexity))
        var start = 0
        for level in 0..<8 {
            var end = start
            while end < path.count, path[end] != UInt8(ascii: "/") || level == 7 { end += 1 }
            row.put(Array(path[min(start, end)..<end]))
            start = min(end + 1, path.count)
        }
        try row.run()
    }

    /// A budget that another segment had open is the same budget; one that this segment
    /// has open under another id was removed, and this is its successor.
    private func newBudget(_ node: NodeEntry, _ path: [UInt8]) throws(Failure) -> Int64 {
        var ordinal: Int64 = 1
        var key: Int64?
        let found = connection[.budgetOfPath]
        found.put(path, canBeEmpty: true)
        if try found.step() {
            let old = found.int(0)
            let isOpen = found.isNull(1)
            let isOurs = found.int(2) == keys.segment
            ordinal = found.int(3) + 1
            found.reset()
            if isOpen, isOurs { try connection.run(.closeBudget, old, node.opened) }
            if isOpen, !isOurs {
                try connection.run(.adoptBudget, old, keys.segment, node.id)
                key = old
            }
        }
        found.reset()
        if key == nil {
            let add = connection[.addBudget]
            add.put(path, canBeEmpty: true)
            add.put(ordinal)
            add.put(keys.segment)
            add.put(node.id)
            try add.run()
        }
        let made = key ?? connection.lastRow
        keys.budgets.set(node.id, made)
        return made
    }

    /// The budget above a path that was described; NULL for the root.
    private func parent(of path: [UInt8]) throws(Failure) -> Int64 {
        if path.isEmpty { return null }
        return try budget(at: Array(path[..<(path.lastIndex(of: UInt8(ascii: "/")) ?? 0)]))
    }

    private func budget(at path: [UInt8]) throws(Failure) -> Int64 {
        let find = connection[.budgetOfPath]
        find.put(path, canBeEmpty: true)
        return try find.first() ?? null
    }

    private func describeSession(_ node: NodeEntry) throws(Failure) {
        guard let place = try place(ofSession: node.id) else { return }
        var budget = try budget(node.parent)
        var parent = null
        if budget == nil {
            if node.parent != 0 { parent = try session(node.parent) }
            budget = try self.budget(at: node.path)
        }
        let labels = try labels(node.labels)
        let row = connection[.describeSession]
        row.put(keys.sums[place].key)
        row.put(budget ?? null)
        row.put(parent)
        row.put(node.agent)
        row.put(node.user)
        row.put(node.owner)
        row.put(node.costCenter)
        row.put(known: Int64(node.complexity))
        row.put(labels)
        row.put(known: node.opened)
        row.put(known: node.closed)
        row.put(node.reason)
        try row.run()
    }

    /// Replaces a budget's state. The cell's count and the ledger's differ by what was
    /// spent before there was a cell; what limits count from is shifted by it.
    func set(_ state: BudgetStateEntry) throws(Failure) {
        guard let budget = try budget(state.id) else { return }
        let row = connection[.setState]
        row.put(budget)
        row.put(state.limitText)
        row.put(state.state)
        row.put(known: state.stateReason)
        row.put(state.who)
        row.put(state.why)
        row.put(known: state.when)
        row.put(state.flags)
        row.put(state.topRungs)
        row.put(known: Int64(state.complexity))
        row.put(known: state.paused)
        row.put(known: state.pausedSince)
        row.put(known: state.earn)
        row.put(known: state.earnMost)
        row.put(state.earnOutcome)
        try row.run()
        try connection.run(.clearLimits, budget)
        try connection.run(.clearTopUps, budget)
        for position in 0..<state.limits.count {
            let limit = state.limits[position]
            let meter = try meter(limit.meter)
            var shift: Int64 = 0
            if limit.meter < Int64(MeterIndex.end), limit.meter != Int64(MeterIndex.inFlight) {
                shift = (try connection.first(.spent, budget, meter) ?? 0) &- limit.spent
            }
            var ring: [UInt8] = []
            for word in limit.ring { Database.pack(word &+ shift, &ring) }
            let row = connection[.addLimit]
            row.put(budget)
            row.put(Int64(position))
            row.put(limit.text)
            row.put(meter)
            row.put(limit.windowStart)
            row.put(limit.base &+ shift)
            row.put(known: limit.since)
            row.put(limit.extra)
            row.put(limit.earned)
            row.put(limit.fired)
            row.put(blob: ring)
            try row.run()
        }
        for top in state.topUps {
            try connection.run(.addTopUp, budget, top.limit, top.amount, top.ends)
        }
    }

    func add(_ event: Event, _ segment: Int64) throws(Failure) {
        let budget = try budget(event.id) ?? null
        let session = try session(event.session)
        // Else there is no meter, which is not meter 0.
        let isOfLimit = event.isOfLimit
        let meter = isOfLimit ? try meter(Int64(event.meter)) : null
        let row = connection[.addEvent]
        row.put(segment)
        row.put(event.sequence)
        row.put(event.unixNanos)
        row.put(Int64(event.type.rawValue))
        row.put(budget)
        row.put(session)
        row.put(known: event.reservation)
        row.put(meter)
        row.put(known: Int64(event.percent))
        row.put(known: event.amount)
        row.put(isOfLimit ? event.limit : null)
        row.put(isOfLimit ? event.committed : null)
        row.put(known: Int64(event.reason.rawValue))
        row.put(event.path)
        row.put(event.text)
        row.put(event.actor)
        try row.run()
    }

    func add(_ outcome: OutcomeEntry) throws(Failure) {
        // Made where nothing described it yet: what it is credited to must not be lost.
        var session: Int64? = outcome.session == 0 ? nil : outcome.session
        if outcome.session >> 32 != 0 {
            session = try place(ofSession: outcome.session).map { keys.sums[$0].key }
        }
        let budget = outcome.budget == 0 ? nil : try budget(outcome.budget)
        let join = outcome.join
        let cut = join.firstIndex(of: UInt8(ascii: "=")) ?? join.count
        let row = connection[.addOutcome]
        row.put(outcome.name)
        row.put(outcome.key)
        row.put(outcome.state.rawValue)
        row.put(session ?? null)
        row.put(budget ?? null)
        row.put(Array(join[..<cut]))
        row.put(Array(join[min(cut + 1, join.count)...]))
        row.put(outcome.hasValue ? outcome.value : null)
        row.put(known: outcome.reworkNanos)
        row.put(known: outcome.reworkTime)
        row.put(outcome.at)
        row.put(outcome.who)
        row.put(outcome.why)
        row.put(outcome.actor)
        row.put(outcome.said)
        try row.run()
    }

    /// A session's key; NULL when it is not there.
    private func session(_ node: Int64) throws(Failure) -> Int64 {
        guard node != 0, let place = try place(ofSession: node, make: false) else { return null }
        return keys.sums[place].key
    }
}
