// Compaction: steps that are old are added up by hour, session and all else that is
// not a sum, so that every view says what it said before.

internal import CLedger

extension Database {
    static let hour: Int64 = 3_600_000_000_000

    /// Adds up the steps of whole hours before a time, in unix nanoseconds, hour by hour
    /// in a transaction each, at most `hours` of them. Steps that may yet be corrected
    /// stay. Returns how many rows there are less, and whether no hours are left.
    func compact(
        before time: Int64, hours: Int = .max
    ) throws(Failure) -> (rows: Int64, isDone: Bool) {
        var rows: Int64 = 0
        var from = try connection.first(.compacted) ?? 0
        for _ in 0..<hours {
            guard let next = try connection.first(.nextStep, from) else { return (rows, true) }
            let start = next / Database.hour * Database.hour
            if start >= time / Database.hour * Database.hour { return (rows, true) }
            from = start + Database.hour
            try transaction { () throws(Failure) in
                rows += try compactHour(start)
                try connection.run(.setCompacted, start + Database.hour)
            }
        }
        return (rows, false)
    }

    private func compactHour(_ start: Int64) throws(Failure) -> Int64 {
        let sums = connection[.rollUp]
        sums.put(start)
        sums.put(start + Database.hour)
        defer { sums.reset() }
        var rows: [Int64] = []
        while try sums.step() {
            row.take(sums)
            for k in 0..<StepRow.columns { rows.append(row[k]) }
        }
        try connection.run(.dropSteps, start, start + Database.hour)
        let dropped = connection.changes
        row[0] = start - 1
        for at in stride(from: 0, to: rows.count, by: StepRow.columns) {
            for k in 1..<StepRow.columns { row[k] = rows[at + k] }
            row[0] += 1
            try insertRow()
        }
        return dropped - Int64(rows.count / StepRow.columns)
    }

    /// Gives the room of what was compacted back to the file system; it would be used
    /// again otherwise. Writes the whole file anew.
    func vacuum() throws(Failure) {
        try connection.execute("VACUUM")
        try connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    }
}
