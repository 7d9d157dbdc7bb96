// What a new segment begins with after a reboot: budgets that were not removed, their
// states, and what they spent.

internal import CLedger

/// Ids are the database's keys, the meters' numbers likewise: `meters` says their names.
struct DurableState {
    /// In an order in which parents come first.
    var budgets: [NodeEntry] = []
    var states: [BudgetStateEntry] = []
    var spent: [SpentEntry] = []
    var meters: [NameEntry] = []
}

extension Connection {
    func durableState() throws(Failure) -> DurableState {
        var state = DurableState()
        try each(.meterNames) { row throws(Failure) in
            state.meters.append(NameEntry(kind: .meter, number: row.int(0), name: row.bytes(1)))
        }
        var places = KeyMap()
        try each(.openBudgets) { row throws(Failure) in
            var node = NodeEntry()
            node.id = row.int(0)
            node.parent = row.int(1)
            node.path = row.bytes(2)
            node.owner = row.bytes(3)
            node.costCenter = row.bytes(4)
            node.purpose = row.bytes(5)
            node.opened = row.int(6)
            node.complexity = UInt8(truncatingIfNeeded: row.int(7))
            var entry = BudgetStateEntry()
            entry.id = node.id
            entry.limitText = row.bytes(8)
            entry.state = row.int(9)
            entry.stateReason = row.int(10)
            entry.who = row.bytes(11)
            entry.why = row.bytes(12)
            entry.when = row.int(13)
            entry.flags = row.int(14)
            entry.topRungs = row.int(15)
            entry.complexity = node.complexity
            entry.paused = row.int(16)
            entry.pausedSince = row.int(17)
            entry.earn = row.int(18)
            entry.earnMost = row.int(19)
            entry.earnOutcome = row.bytes(20)
            places.set(node.id, Int64(state.budgets.count))
            state.budgets.append(node)
            state.states.append(entry)
        }
        try each(.limitStates) { row throws(Failure) in
            guard let place = places[row.int(0)] else { return }
            var limit = BudgetStateEntry.Limit()
            limit.text = row.bytes(1)
            limit.meter = row.int(2)
            limit.windowStart = row.int(3)
            limit.base = row.int(4)
            limit.since = row.int(5)
            limit.extra = row.int(6)
            limit.fired = row.int(7)
            limit.spent = row.int(9)
            limit.earned = row.int(10)
            row.bytes(8).withUnsafeBytes { bytes in
                for at in stride(from: 0, to: bytes.count - 7, by: 8) {
                    limit.ring.append(
                        Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int64.self)))
                }
            }
            state.states[Int(place)].limits.append(limit)
        }
        try each(.openTopUps) { row throws(Failure) in
            guard let place = places[row.int(0)] else { return }
            state.states[Int(place)].topUps.append(
                BudgetStateEntry.TopUp(limit: row.int(1), amount: row.int(2), ends: row.int(3)))
        }
        try each(.allSpent) { row throws(Failure) in
            guard places[row.int(0)] != nil else { return }
            state.spent.append(
                SpentEntry(budget: row.int(0), meter: row.int(1), change: row.int(2)))
        }
        return state
    }
}

extension Database {
    /// Ends the sessions of all segments but one: their processes are dead. Returns how many.
    func closeSessions(except segment: Int64, at time: Int64, reason: [UInt8]) throws(Failure) -> Int64 {
        let close = connection[.closeSessions]
        close.put(segment)
        close.put(time)
        close.put(reason)
        try close.run()
        return connection.changes
    }
}
