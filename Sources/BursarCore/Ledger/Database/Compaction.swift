// Compaction: steps that are old are added up by hour, session and all else that is
// not a sum, so that every view says what it said before. The writer does it where it
// has nothing else to do, in transactions of some thousand rows, so that nobody who
// writes waits long for it.
//
// An hour is gone through as often as that halves its rows; what was added up is added
// up again like any step, so an hour that is begun anew comes to the same.

internal import CLedger

/// How far the compaction of an hour has come.
struct HourPass {
    /// The hour's begin; nil: of none.
    var start: Int64?
    /// The next row.
    var from: Int64 = 0
    var slices = 0
    /// Rows seen, and what they became.
    var rows: Int64 = 0
    var sums: Int64 = 0
}

extension Database {
    static let hour: Int64 = 3_600_000_000_000
    /// Adds up some steps of whole hours before a time, in unix nanoseconds, in one
    /// transaction. Steps that may yet be corrected stay. False: nothing is left to do.
    func compactSome(before time: Int64) throws(Failure) -> Bool {
        if pass.start == nil {
            let done = try connection.first(.compacted) ?? 0
            guard let next = try connection.first(.nextStep, done) else { return false }
            let start = next / Database.hour * Database.hour
            if start >= time / Database.hour * Database.hour { return false }
            pass = HourPass(start: start, from: start)
        }
        guard let start = pass.start else { return false }
        let end = start + Database.hour
        do throws(Failure) {
            try transaction { () throws(Failure) in
                let to = try connection.first(.sliceEnd, pass.from, end, slice) ?? end
                try addUp(from: pass.from, to: to)
                pass.from = to
                if to < end { return }
                if pass.slices > 1, pass.sums * 2 <= pass.rows {
                    pass = HourPass(start: start, from: start)
                } else {
                    pass = HourPass()
                    try connection.run(.setCompacted, end)
                }
            }
        } catch {
            pass = HourPass()
            throw error
        }
        return true
    }

    private func addUp(from: Int64, to: Int64) throws(Failure) {
        let sums = connection[.rollUp]
        sums.put(from)
        sums.put(to)
        defer { sums.reset() }
        var rows: [Int64] = []
        while try sums.step() {
            row.take(sums)
            for k in 0..<StepRow.columns { rows.append(row[k]) }
        }
        try connection.run(.dropSteps, from, to)
        pass.slices += 1
        pass.rows += connection.changes
        pass.sums += Int64(rows.count / StepRow.columns)
        for at in stride(from: 0, to: rows.count, by: StepRow.columns) {
            for k in 0..<StepRow.columns { row[k] = rows[at + k] }
            try insertRow()
        }
    }

    /// What the writer does when there is nothing to write: adds up what is older than the
    /// ledger is to keep single steps for, and gives room back to the file system when a
    /// quarter of the file is free. One transaction. False: nothing is left to do.
    func tidy(_ now: Int64) throws(Failure) -> Bool {
        if let before = try connection.first(.keepsFrom, now), try compactSome(before: before) {
            return true
        }
        guard try connection.first(.isRoomy) == 1 else { return false }
        try connection.execute("PRAGMA incremental_vacuum(256)")
        return true
    }
}
