// What a new segment begins with after a reboot: budgets that were not removed, their
// states, and what they spent.

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
        try each("SELECT id,name FROM names WHERE kind=4 AND id>63 ORDER BY id") { row throws(Failure) in
            state.meters.append(
                NameEntry(kind: .meter, number: row.int(0), name: row.value(1).bytes))
        }
        var places: [Int64: Int] = [:]
        try each(
            """
            SELECT id,parent,path,owner,cost_center,purpose,opened_at,complexity,limits,state,state_reason,
            state_who,state_why,state_at,flags,top_rungs FROM budgets WHERE closed_at IS NULL
            ORDER BY length(path)-length(replace(path,'/','')),path
            """
        ) { row throws(Failure) in
            var node = NodeEntry()
            node.id = row.int(0)
            node.parent = row.int(1)
            node.path = row.value(2).bytes
            node.owner = row.value(3).bytes
            node.costCenter = row.value(4).bytes
            node.purpose = row.value(5).bytes
            node.opened = row.int(6)
            node.complexity = UInt8(truncatingIfNeeded: row.int(7))
            var entry = BudgetStateEntry()
            entry.id = node.id
            entry.limitText = row.value(8).bytes
            entry.state = row.int(9)
            entry.stateReason = row.int(10)
            entry.who = row.value(11).bytes
            entry.why = row.value(12).bytes
            entry.when = row.int(13)
            entry.flags = row.int(14)
            entry.topRungs = row.int(15)
            entry.complexity = node.complexity
            places[node.id] = state.budgets.count
            state.budgets.append(node)
            state.states.append(entry)
        }
        try each(
            """
            SELECT l.budget,l.text,l.meter,l.window_start,l.base,l.since,l.extra,l.fired,l.ring,s.amount
            FROM limits l LEFT JOIN spent s ON s.budget=l.budget AND s.meter=l.meter
            ORDER BY l.budget,l.position
            """
        ) { row throws(Failure) in
            guard let place = places[row.int(0)] else { return }
            var limit = BudgetStateEntry.Limit()
            limit.text = row.value(1).bytes
            limit.meter = row.int(2)
            limit.windowStart = row.int(3)
            limit.base = row.int(4)
            limit.since = row.int(5)
            limit.extra = row.int(6)
            limit.fired = row.int(7)
            limit.spent = row.int(9)
            let ring = row.value(8).bytes
            ring.withUnsafeBytes { bytes in
                for at in stride(from: 0, to: bytes.count - 7, by: 8) {
                    limit.ring.append(
                        Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int64.self)))
                }
            }
            state.states[place].limits.append(limit)
        }
        try each("SELECT budget,position,amount,ends_at FROM top_ups ORDER BY rowid") {
            row throws(Failure) in
            guard let place = places[row.int(0)] else { return }
            state.states[place].topUps.append(
                BudgetStateEntry.TopUp(limit: row.int(1), amount: row.int(2), ends: row.int(3)))
        }
        try each("SELECT budget,meter,amount FROM spent ORDER BY budget,meter") { row throws(Failure) in
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
        var closed: Int64 = 0
        try transaction { () throws(Failure) in
            try connection.run(.closeSessions, .integer(segment), .integer(time), .known(reason))
            closed = connection.changes
        }
        return closed
    }
}
