// From the segment's ids and numbers to the database's keys. What was found once is
// remembered; rows that nothing described yet are made, so that no amount is lost.

/// The sums of a session's own steps, which wait for the end of a transaction.
struct SessionSums {
    var key: Int64
    var steps: Int64 = 0
    var toolCalls: Int64 = 0
    var estimated: Int64 = 0
    var input: Int64 = 0
    var cacheRead: Int64 = 0
    var output: Int64 = 0
    var cost: Int64 = 0
    var askedCost: Int64 = 0
    var waits = false
}

/// Of one segment at a time.
struct Keys {
    var segment: Int64 = 0
    var sessions: [Int64: Int] = [:]  // node to place in `sums`
    var sums: [SessionSums] = []
    var waiting: [Int] = []  // places whose sums are not written
    var budgets: [Int64: Int64] = [:]
    /// By kind of name.
    var names: [[Int64: Int64]] = [[:], [:], [:], [:], [:]]
    var last: InlineArray<5, (number: Int64, key: Int64)> = .init(repeating: (0, 0))
    /// How many sessions are remembered.
    static let most = 65_536

    mutating func clear() { self = Keys() }
}

extension Database {
    /// The database's key of a name.
    func key(of name: [UInt8], _ kind: NameEntry.Kind) throws(Failure) -> Int64 {
        let text = DBValue.text(Text.clean(name))
        if let key = try connection.first(.findName, .integer(kind.rawValue), text) { return key.int }
        try connection.run(.addName, .integer(kind.rawValue), text)
        return connection.lastRow
    }

    /// The database's key of a name that the segment calls by a number; NULL for 0.
    @inline(__always)
    func name(_ kind: NameEntry.Kind, _ number: Int64) throws(Failure) -> Int64 {
        if number == 0 { return StepRow.null }
        let k = Int(kind.rawValue)
        if keys.last[k].number == number { return keys.last[k].key }
        let key = try findName(kind, number)
        keys.last[k] = (number, key)
        return key
    }

    private func findName(_ kind: NameEntry.Kind, _ number: Int64) throws(Failure) -> Int64 {
        if let key = keys.names[Int(kind.rawValue)][number] { return key }
        let found = try connection.first(
            .findNumber, .integer(keys.segment), .integer(kind.rawValue), .integer(number))
        if let found {
            keys.names[Int(kind.rawValue)][number] = found.int
            return found.int
        }
        var name = [UInt8(ascii: "#")]
        Digits.append(UInt64(bitPattern: number), to: &name)
        return try setName(kind, number, name)
    }

    /// A meter's key: fixed ones keep their numbers.
    func meter(_ number: Int64) throws(Failure) -> DBValue {
        let isNamed = number >= Int64(MeterIndex.named) && number < Int64(MeterIndex.end)
        return .integer(isNamed ? try name(.meter, number) : number)
    }

    @discardableResult
    func setName(_ kind: NameEntry.Kind, _ number: Int64, _ name: [UInt8]) throws(Failure) -> Int64 {
        let key = try key(of: name, kind)
        try connection.run(
            .setNumber, .integer(keys.segment), .integer(kind.rawValue), .integer(number), .integer(key))
        keys.names[Int(kind.rawValue)][number] = key
        keys.last[Int(kind.rawValue)] = (0, 0)
        return key
    }

    /// A session's place in `keys.sums`; nil when it is not there and not to be made.
    func place(ofSession node: Int64, make: Bool = true) throws(Failure) -> Int? {
        if let place = keys.sessions[node] { return place }
        let segment = DBValue.integer(keys.segment)
        var key = try connection.first(.findSession, segment, .integer(node))?.int
        if key == nil, make {
            try connection.run(.addSession, segment, .integer(node))
            key = connection.lastRow
        }
        guard let key else { return nil }
        keys.sums.append(SessionSums(key: key))
        keys.sessions[node] = keys.sums.count - 1
        return keys.sums.count - 1
    }

    /// The key of a budget that was described; nil when it was not.
    func budget(_ node: Int64) throws(Failure) -> Int64? {
        if let key = keys.budgets[node] { return key }
        let key = try connection.first(.budgetOfNode, .integer(keys.segment), .integer(node))?.int
        if let key { keys.budgets[node] = key }
        return key
    }

    /// The key of a set of labels: sets are few, sessions are many.
    func labels(_ labels: [(key: [UInt8], value: [UInt8])]) throws(Failure) -> DBValue {
        if labels.isEmpty { return .null }
        var packed: [UInt8] = []
        for label in labels {
            for text in [label.key, label.value] {
                for shift in [0, 8, 16, 24] { packed.append(UInt8(truncatingIfNeeded: text.count >> shift)) }
                packed.append(contentsOf: text)
            }
        }
        if let key = try connection.first(.findLabels, .blob(packed)) { return key }
        try connection.run(.addLabels, .blob(packed))
        let key = DBValue.integer(connection.lastRow)
        for label in labels {
            try connection.run(
                .addLabel, key, .text(Text.clean(label.key)), .text(Text.clean(label.value)))
        }
        return key
    }

    /// Writes the sums that wait, and forgets sessions when there are too many.
    func flushSums() throws(Failure) {
        for place in keys.waiting {
            let s = keys.sums[place]
            keys.sums[place] = SessionSums(key: s.key)
            try connection.run(
                .addToSession, .integer(s.key), .integer(s.steps), .integer(s.toolCalls),
                .integer(s.estimated), .integer(s.input), .integer(s.cacheRead), .integer(s.output),
                .integer(s.cost), .integer(s.askedCost))
        }
        keys.waiting.removeAll(keepingCapacity: true)
        if keys.sums.count > Keys.most {
            keys.sessions = [:]
            keys.sums = []
        }
    }
}
