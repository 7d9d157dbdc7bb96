// Reading the ledger with SQL: a connection that can do nothing else.

internal import CPlatform

/// Reads one ledger. One thread at a time; `interrupt` may come from another.
final class Reader {
    private let connection: Connection

    convenience init(_ path: [UInt8]) throws(Failure) {
        let connection = try Connection(path, .read)
        connection.setBusyTimeout(Database.patience)
        _ = try Database.check(connection, latest: Database.version)
        try self.init(connection)
    }

    /// On a connection that was checked, and which nobody else has.
    init(_ connection: Connection) throws(Failure) {
        self.connection = connection
        try connection.execute("PRAGMA query_only=1; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY")
        connection.guardReading()
    }

    /// One statement that reads, with a value for each of its parameters. It sees the
    /// ledger as it is at its first row, and ends with `.query` when it takes longer than
    /// `patience` nanoseconds (0 = no end). Refused with `.query`, and the place where it
    /// is known: what is not SQL, writes, opens other files, or is more than one statement.
    func query(
        _ sql: [UInt8], _ values: [DBValue] = [], patience: Int64 = 0
    ) throws(Failure) -> Cursor {
        if sql.contains(0) { throw Failure(.query, "there is a NUL in the query") }
        connection.limit(until: 0)
        let text = sql + [0]
        let (first, end) = text.withUnsafeBytes {
            connection.prepare($0.baseAddress!.assumingMemoryBound(to: CChar.self), -1)
        }
        if first.code != 0 { throw connection.failure(first.code, in: sql) }
        let second = text.withUnsafeBytes {
            connection.prepare($0.baseAddress!.assumingMemoryBound(to: CChar.self) + end, -1).statement
        }
        second.end()
        if first.handle == nil || second.handle != nil || second.code != 0 {
            first.end()
            throw Failure(.query, "a query is one statement, and nothing after it")
        }
        let wanted = first.parameters
        if wanted != values.count {
            first.end()
            throw Failure(.query, "the query has \(wanted) parameters and was given \(values.count)")
        }
        for value in values { first.put(value) }
        if patience > 0 {
            connection.limit(until: saturatingAdd(bursar__clock(BURSAR__CLOCK_STEADY), patience))
        }
        return Cursor(first, connection)
    }

    /// Ends a query that runs in another thread.
    func interrupt() { connection.interrupt() }
}

/// The rows of a query, one after the other. One thread at a time.
public final class Cursor {
    private let statement: Statement
    private let connection: Connection  // lives as long
    private let forks = bursar__forks()
    private var isAtEnd = false  // SQLite would begin anew
    public let columns: Int

    fileprivate init(_ statement: Statement, _ connection: Connection) {
        self.statement = statement
        self.connection = connection
        columns = statement.columns
    }

    deinit { statement.end() }

    public func name(_ column: Int) -> [UInt8] { statement.name(column) }

    /// The next row; false = there is none.
    public func next() throws(Failure) -> Bool {
        if isInherited { throw Failure(.forked, "the query belongs to the parent process") }
        do throws(Failure) {
            if !isAtEnd { isAtEnd = try !statement.step() }
            return !isAtEnd
        } catch {
            var failure = error
            if failure.status == .invalid { failure.status = .query }
            throw failure
        }
    }

    /// In the child of a fork SQLite's connections are the parent's.
    public var isInherited: Bool { forks != bursar__forks() }

    // Of the row that `next` found.

    public func value(_ column: Int) -> DBValue {
        column >= 0 && column < columns ? statement.value(column) : .null
    }

    /// The header's BURSAR_VALUE_*.
    public func type(_ column: Int) -> Int32 { statement.type(column) }
    public func integer(_ column: Int) -> Int64 { statement.int(column) }
    public func real(_ column: Int) -> Double { statement.real(column) }
    /// The bytes of a text or blob, until the next row.
    public func borrowed(_ column: Int) -> UnsafeRawBufferPointer { statement.borrowed(column) }
}
