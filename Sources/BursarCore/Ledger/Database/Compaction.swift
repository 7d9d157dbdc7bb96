// Compaction: steps that are old are added up by hour, session and all else that is
// not a sum, so that every view says what it said before.

extension Database {
    static let hour: Int64 = 3_600_000_000_000

    /// Adds up the steps of whole hours before a time, in unix nanoseconds, hour by hour
    /// in a transaction each, at most `hours` of them. Steps that may yet be corrected
    /// stay. Returns how many rows there are less, and whether hours are left.
    func compact(
        before time: Int64, hours: Int = .max
    ) throws(Failure) -> (rows: Int64, isDone: Bool) {
        let name = DBValue.text([0x63, 0x6F, 0x6D, 0x70, 0x61, 0x63, 0x74, 0x65, 0x64])  // compacted
        var rows: Int64 = 0
        var from = try connection.first(.progress, name)?.int ?? 0
        for _ in 0..<hours {
            let next = try connection.first(.nextStep, .integer(from))
            guard case .integer(let first)? = next else { return (rows, true) }
            let start = first / Database.hour * Database.hour
            if time < Database.hour || start > time - Database.hour { return (rows, true) }
            from = start + Database.hour
            let end = from
            var change: Int64 = 0
            try transaction { () throws(Failure) in
                change = try compactHour(start)
                try connection.run(.setProgress, name, .integer(end))
            }
            rows += change
        }
        return (rows, false)
    }

    private func compactHour(_ start: Int64) throws(Failure) -> Int64 {
        let range: [DBValue] = [.integer(start), .integer(start + Database.hour)]
        let sums = try connection.statement(.rollUp)
        try sums.bind(range)
        defer { sums.reset() }
        var rows: [Int64] = []
        while try sums.step() {
            row.take(sums)
            for k in 0..<StepRow.columns { rows.append(row[k]) }
        }
        sums.reset()
        try connection.run(.dropSteps, range[0], range[1])
        let dropped = connection.changes
        var last = start - 1
        for at in stride(from: 0, to: rows.count, by: StepRow.columns) {
            for k in 1..<StepRow.columns { row[k] = rows[at + k] }
            row[0] = last + 1
            try insertRow()
            last = row[0]
        }
        return dropped - Int64(rows.count / StepRow.columns)
    }

    /// Gives the room of what was compacted back to the file system; it would be used
    /// again otherwise. Writes the whole file anew.
    func vacuum() throws(Failure) {
        try connection.execute("VACUUM")
        try connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    }

    /// Bytes of the file, and of them those in use.
    func size() throws(Failure) -> (file: Int64, used: Int64) {
        let page = try connection.pragma("PRAGMA page_size").int
        let pages = try connection.pragma("PRAGMA page_count").int
        let free = try connection.pragma("PRAGMA freelist_count").int
        return (pages * page, (pages - free) * page)
    }
}
