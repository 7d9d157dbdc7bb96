// The ledger's totals, computed again from its rows.

internal import CLedger

/// A total that is not the sum of its rows.
struct LedgerDifference {
    /// A budget's path, or "session" and its key; what SQLite says of a broken file.
    var name: [UInt8]
    var meter: [UInt8]
    var stored: Int64
    var computed: Int64

    var failure: Failure {
        var failure = Failure(
            .corrupt,
            "the ledger's total of \(name) on the meter \(meter) is \(Int(stored)), and what it is the total of adds up to \(Int(computed))")
        failure.values = (stored, computed)
        return failure
    }
}

extension Connection {
    /// Compares what budgets and sessions are said to have spent, meter by meter, with the
    /// steps below them. At most a hundred differences. Complexity: O(steps).
    func verify() throws(Failure) -> [LedgerDifference] {
        var found: [LedgerDifference] = []
        for sql in [SQL.auditFile, .auditBudgets, .auditSessions] {
            try each(sql) { row throws(Failure) in
                found.append(
                    LedgerDifference(
                        name: row.bytes(0), meter: row.bytes(1), stored: row.int(2), computed: row.int(3)))
            }
        }
        return found
    }
}
