// From the segment's ids and numbers to the database's keys. What was found once is
// remembered; rows that nothing described yet are made, so that no amount is lost.

internal import CLedger

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
    var batch: Int64 = 0  // the last that this writer wrote
    var sessions = KeyMap()  // node to place in `sums`
    var sums: [SessionSums] = []
    var waiting: [Int] = []  // places whose sums are not written
    var budgets = KeyMap()
    /// By kind of name.
    var names: InlineArray<5, KeyMap> = .init(repeating: KeyMap())
    /// How many sessions are remembered.
    static let most = 65_536
}

extension Database {
    /// The database's key of a name that the segment calls by a number; NULL for 0.
    @inline(__always)
    func name(_ kind: NameEntry.Kind, _ number: Int64) throws(Failure) -> Int64 {
        if number == 0 { return null }
        if let key = keys.names[Int(kind.rawValue)][number] { return key }
        return try findName(kind, number)
    }

    @inline(never)
    private func findName(_ kind: NameEntry.Kind, _ number: Int64) throws(Failure) -> Int64 {
        if let found = try connection.first(.findNumber, keys.segment, kind.rawValue, number) {
            keys.names[Int(kind.rawValue)].set(number, found)
            return found
        }
        var name = [UInt8(ascii: "#")]
        Digits.append(UInt64(bitPattern: number), to: &name)
        return try setName(kind, number, name)
    }

    /// A meter's key: fixed ones keep their numbers.
    @inline(never)
    func meter(_ number: Int64) throws(Failure) -> Int64 {
        let isNamed = number >= Int64(MeterIndex.named) && number < Int64(MeterIndex.end)
        return isNamed ? try name(.meter, number) : number
    }

    @inline(never)
    @discardableResult
    func setName(_ kind: NameEntry.Kind, _ number: Int64, _ name: [UInt8]) throws(Failure) -> Int64 {
        let key = try key(name, find: .findName, add: .addName, kind.rawValue)
        try connection.run(.setNumber, keys.segment, kind.rawValue, number, key)
        keys.names[Int(kind.rawValue)].set(number, key)
        return key
    }

    /// The key of a text that is kept once, made if it is not there.
    private func key(_ text: [UInt8], find: SQL, add: SQL, _ kind: Int64) throws(Failure) -> Int64 {
        let statement = connection[find]
        statement.put(kind)
        statement.put(text, canBeEmpty: true)
        if let key = try statement.first() { return key }
        let insert = connection[add]
        insert.put(kind)
        insert.put(text, canBeEmpty: true)
        try insert.run()
        return connection.lastRow
    }

    /// A session's place in `keys.sums`; nil when it is not there and not to be made.
    @inline(never)
    func place(ofSession node: Int64, make: Bool = true) throws(Failure) -> Int? {
        if let place = keys.sessions[node] { return Int(place) }
        var key = try connection.first(.findSession, keys.segment, node)
        if key == nil, make {
            try connection.run(.addSession, keys.segment, node)
            key = connection.lastRow
        }
        guard let key else { return nil }
        keys.sums.append(SessionSums(key: key))
        keys.sessions.set(node, Int64(keys.sums.count - 1))
        return keys.sums.count - 1
    }

    /// The key of a budget that was described; nil when it was not.
    @inline(never)
    func budget(_ node: Int64) throws(Failure) -> Int64? {
        if let key = keys.budgets[node] { return key }
        let key = try connection.first(.budgetOfNode, keys.segment, node)
        if let key { keys.budgets.set(node, key) }
        return key
    }

    /// The key of a set of labels: sets are few, sessions are many.
    func labels(_ labels: [(key: [UInt8], value: [UInt8])]) throws(Failure) -> Int64 {
        var packed: [UInt8] = []
        for label in labels {
            Database.pack(Int64(label.key.count), &packed)
            packed += label.key
            Database.pack(Int64(label.value.count), &packed)
            packed += label.value
        }
        if packed.isEmpty { return null }
        let find = connection[.findLabels]
        find.put(blob: packed)
        if let key = try find.first() { return key }
        let add = connection[.addLabels]
        add.put(blob: packed)
        try add.run()
        let key = connection.lastRow
        for label in labels {
            let add = connection[.addLabel]
            add.put(key)
            add.put(label.key, canBeEmpty: true)
            add.put(label.value, canBeEmpty: true)
            try add.run()
        }
        return key
    }

    /// Appends a word, little-endian.
    static func pack(_ word: Int64, _ bytes: inout [UInt8]) {
        for k in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> Int64(k * 8))) }
    }

    /// Writes the sums that wait, and forgets sessions when there are too many.
    func flushSums() throws(Failure) {
        for place in keys.waiting {
            let s = keys.sums[place]
            keys.sums[place] = SessionSums(key: s.key)
            let add = connection[.addToSession]
            add.put(s.key)
            add.put(s.steps)
            add.put(s.toolCalls)
            add.put(s.estimated)
            add.put(s.input)
            add.put(s.cacheRead)
            add.put(s.output)
            add.put(s.cost)
            add.put(s.askedCost)
            try add.run()
        }
        keys.waiting.removeAll(keepingCapacity: true)
        if keys.sums.count > Keys.most {
            keys.sessions = KeyMap()
            keys.sums = []
        }
    }
}
