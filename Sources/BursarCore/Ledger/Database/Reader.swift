// Reading the ledger with SQL: a connection that can do nothing else.

internal import CPlatform

/// Reads one ledger. One thread at a time; `interrupt` may come from another.
final class Reader {
    private let connection: Connection

    init(_ path: [UInt8]) throws(Failure) {
        connection = try Connection(path, .read)
        connection.setBusyTimeout(1_000)
        _ = try Database.check(connection, latest: Database.version)
        try connection.execute("PRAGMA query_only=1; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY")
        connection.guardReading()
    }

    /// One statement that reads. It sees the ledger as it is at its first row, and ends
    /// with `.invalid` when it takes longer than `patience` nanoseconds (0 = no end).
    /// Refused at its first row with `.invalid`: what is not SQL, writes, opens other files, or is more
    /// than one statement.
    func query(_ sql: [UInt8], patience: Int64 = 0) throws(Failure) -> Cursor {
        if sql.contains(0) { throw Failure(.invalid, "there is a NUL in the query") }
        connection.limit(until: 0)
        let text = sql + [0]
        let (first, second) = text.withUnsafeBytes { text in
            let start = text.baseAddress!.assumingMemoryBound(to: CChar.self)
            let (first, end) = connection.prepare(start, -1)
            return (first, connection.prepare(start + end, -1).statement)
        }
        second.end()
        if first.code == 0, first.handle == nil || second.handle != nil || second.code != 0 {
            first.end()
            throw Failure(.invalid, "a query is one statement, and nothing after it")
        }
        if patience > 0 {
            connection.limit(until: saturatingAdd(bursar__clock(BURSAR__CLOCK_STEADY), patience))
        }
        return Cursor(first, connection)
    }

    /// Ends a query that runs in another thread.
    func interrupt() { connection.interrupt() }
}

/// The rows of a query, one after the other.
final class Cursor {
    private let statement: Statement
    private let connection: Connection  // lives as long
    let columns: Int

    fileprivate init(_ statement: Statement, _ connection: Connection) {
        self.statement = statement
        self.connection = connection
        columns = statement.columns
    }

    deinit { statement.end() }

    func name(_ column: Int) -> [UInt8] { statement.name(column) }

    /// The next row; false = there is none.
    func next() throws(Failure) -> Bool { try statement.step() }

    /// Of the row that `next` found.
    func value(_ column: Int) -> DBValue {
        column >= 0 && column < columns ? statement.value(column) : .null
    }
}
