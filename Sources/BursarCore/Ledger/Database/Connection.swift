// One connection to SQLite: errors as failures with the file's path, statements that
// stay prepared, values in and out. Used by one thread at a time, and never in the
// child of a fork.

internal import CLedger
internal import CPlatform
internal import CSQLite

/// The ledger's SQL by name: tools/ledger/ledger.sql.
typealias SQL = bursar__sql

/// Stands for NULL among integers: no amount is as small.
let null = Int64.min

final class Connection {
    let path: [UInt8]
    fileprivate let db: OpaquePointer
    private var prepared: [Statement?] = []
    /// Steady nanoseconds at which a guarded statement ends; 0 = never.
    private let deadline: UnsafeMutablePointer<Int64>

    enum Mode { case create, write, read }

    init(_ path: [UInt8], _ mode: Mode) throws(Failure) {
        if bursar__database_inherited() != 0 {
            throw Failure(
                .forked, "the ledger was being read when this process was forked, so it can never be used here; use it from another process, and fork while no query runs")
        }
        var db: OpaquePointer?
        var flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW
        flags |= mode == .read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE
        if mode == .create { flags |= SQLITE_OPEN_CREATE }
        let name = path + [0]
        bursar__database_count(1)
        let code = name.withUnsafeBytes {
            sqlite3_open_v2($0.baseAddress!.assumingMemoryBound(to: CChar.self), &db, flags, nil)
        }
        guard code == SQLITE_OK, let db else {
            let failure = Connection.failure(path, db, code)
            sqlite3_close_v2(db)
            bursar__database_count(-1)
            throw failure
        }
        self.path = path
        self.db = db
        deadline = .allocate(capacity: 1)
        deadline.pointee = 0
        sqlite3_extended_result_codes(db, 1)
        bursar__sqlite_populate(UnsafeMutableRawPointer(db))
    }

    deinit {
        for statement in prepared { statement?.end() }
        sqlite3_close_v2(db)
        bursar__database_count(-1)
        deadline.deallocate()
    }

    /// Nothing but reading from here on, each statement until `until`.
    func guardReading() { bursar__sqlite_guard(db, deadline) }
    func limit(until: Int64) { deadline.pointee = until }
    /// Closing it takes no time: nothing goes from the write-ahead log into the database.
    func leaveLog() { bursar__sqlite_leave_log(db) }
    func interrupt() { sqlite3_interrupt(db) }

    var isReadOnly: Bool { sqlite3_db_readonly(db, "main") == 1 }
    /// Whether all that was committed would survive a power cut: the write-ahead log goes
    /// into the database, as far as readers let it.
    func makeDurable() -> Bool {
        var (frames, moved): (Int32, Int32) = (0, -1)
        let code = sqlite3_wal_checkpoint_v2(db, nil, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved)
        return code == SQLITE_OK && frames == moved
    }

    var changes: Int64 { sqlite3_changes64(db) }
    var lastRow: Int64 { sqlite3_last_insert_rowid(db) }

    func setBusyTimeout(_ milliseconds: Int32) { sqlite3_busy_timeout(db, milliseconds) }

    // MARK: - Errors

    func failure(_ code: Int32) -> Failure { Connection.failure(path, db, code) }

    /// What is wrong with a text that was just prepared, and where: SQLite's byte as line
    /// and column.
    func failure(_ code: Int32, in sql: [UInt8]) -> Failure {
        let said = Connection.bytes(sqlite3_errmsg(db))
        var failure =
            code & 0xFF == SQLITE_AUTH
            ? Failure(.query, "a query may only read: \(said, most: 200)")
            : Failure(.query, "SQL: \(said, most: 300)")
        failure.values.0 = Int64(code)
        let at = Int(sqlite3_error_offset(db))
        if at < 0 || at > sql.count { return failure }
        failure.line = 1
        failure.column = 1
        for k in 0..<at {
            let ends = sql[k] == UInt8(ascii: "\n")
            failure.line += ends ? 1 : 0
            failure.column = ends ? 1 : failure.column + 1
        }
        return failure
    }

    fileprivate static func failure(_ path: [UInt8], _ db: OpaquePointer?, _ code: Int32) -> Failure {
        let status: Status
        switch code & 0xFF {
        case SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_CONSTRAINT, SQLITE_MISMATCH: status = .corrupt
        case SQLITE_BUSY, SQLITE_LOCKED: status = .busy
        case SQLITE_NOMEM: status = .memory
        case SQLITE_ERROR, SQLITE_AUTH, SQLITE_INTERRUPT, SQLITE_TOOBIG: status = .invalid
        default: status = .home  // full, read-only, cannot be opened, input or output
        }
        if code == SQLITE_INTERRUPT { return Failure(status, "the query ran longer than its timeout") }
        let message = bytes(db == nil ? sqlite3_errstr(code) : sqlite3_errmsg(db))
        var sentence: Sentence = "the ledger \(path, most: 200): \(message, most: 200)"
        if code & 0xFF == SQLITE_CORRUPT || code & 0xFF == SQLITE_NOTADB {
            sentence = sentence + "; what is new waits beside it until it is repaired: docs/ledger.md"
        }
        var failure = Failure(status, sentence)
        failure.values.0 = Int64(code)
        return failure
    }

    fileprivate static func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8] {
        var bytes: [UInt8] = []
        var at = text
        while let p = at, p.pointee != 0 {
            bytes.append(UInt8(bitPattern: p.pointee))
            at = p + 1
        }
        return bytes
    }

    // MARK: - Statements

    /// Settings, one or more, without values.
    func execute(_ sql: StaticString) throws(Failure) {
        try execute(UnsafeRawPointer(sql.utf8Start).assumingMemoryBound(to: CChar.self))
    }

    func execute(_ sql: SQL) throws(Failure) {
        let text = Connection.text(sql)
        try text.withUnsafeBufferPointer { (text) throws(Failure) in try execute(text.baseAddress!) }
    }

    private func execute(_ sql: UnsafePointer<CChar>) throws(Failure) {
        let code = sqlite3_exec(db, sql, nil, nil, nil)
        if code != SQLITE_OK { throw failure(code) }
    }

    private static func text(_ sql: SQL) -> [CChar] {
        var text = [CChar](repeating: 0, count: Int(BURSAR__SQL_MAX))
        _ = text.withUnsafeMutableBufferPointer { bursar__sql_text(sql, $0.baseAddress!) }
        return text
    }

    /// The statement of a name, which is prepared once. What goes wrong is told when it
    /// is stepped.
    subscript(_ sql: SQL) -> Statement {
        let k = Int(sql.rawValue)
        while prepared.count <= k { prepared.append(nil) }
        if let statement = prepared[k] { return statement }
        let text = Connection.text(sql)
        let statement = text.withUnsafeBufferPointer { prepare($0.baseAddress!, -1).statement }
        if statement.handle != nil { prepared[k] = statement }
        return statement
    }

    /// The first statement of a text, without a handle where there is none, and how many
    /// bytes it has.
    func prepare(
        _ text: UnsafePointer<CChar>, _ count: Int32
    ) -> (statement: Statement, end: Int) {
        var handle: OpaquePointer?
        var tail: UnsafePointer<CChar>?
        let code = sqlite3_prepare_v3(
            db, text, count, UInt32(SQLITE_PREPARE_PERSISTENT), &handle, &tail)
        return (Statement(handle, self, code), tail.map { $0 - text } ?? 0)
    }

    /// Runs a statement with integers to its end.
    func run(_ sql: SQL, _ values: Int64...) throws(Failure) {
        let statement = self[sql]
        for value in values { statement.put(value) }
        try statement.run()
    }

    /// The first column of the first row; nil = no row, or NULL.
    func first(_ sql: SQL, _ values: Int64...) throws(Failure) -> Int64? {
        let statement = self[sql]
        for value in values { statement.put(value) }
        return try statement.first()
    }

    /// Runs a statement row by row.
    func each(_ sql: SQL, _ body: (Statement) throws(Failure) -> Void) throws(Failure) {
        let statement = self[sql]
        defer { statement.reset() }
        while try statement.step() { try body(statement) }
    }

    /// A setting's value.
    func pragma(_ text: StaticString) throws(Failure) -> DBValue {
        let start = UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
        let statement = prepare(start, Int32(text.utf8CodeUnitCount)).statement
        defer { statement.end() }
        return try statement.step() ? statement.value(0) : .null
    }
}

/// A prepared statement. It belongs to its connection and ends before it.
final class Statement {
    /// nil: it could not be prepared, or there was none.
    let handle: OpaquePointer?
    private let db: OpaquePointer
    private let path: [UInt8]
    /// What went wrong first, since it was reset.
    private(set) var code: Int32
    private var count: Int32 = 0

    fileprivate init(_ handle: OpaquePointer?, _ connection: Connection, _ code: Int32) {
        self.handle = handle
        self.code = code
        db = connection.db
        path = connection.path
    }

    func end() { sqlite3_finalize(handle) }

    /// Ready to run again; values stay until they are put anew.
    func reset() {
        sqlite3_reset(handle)
        count = 0
        if handle != nil { code = SQLITE_OK }
    }

    // MARK: - Values, in the order of the parameters

    /// `null` is NULL.
    @inline(never)
    func put(_ value: Int64) {
        count += 1
        note(value == null ? sqlite3_bind_null(handle, count) : sqlite3_bind_int64(handle, count, value))
    }

    /// 0 is unknown.
    @inline(never)
    func put(known value: Int64) { put(value == 0 ? null : value) }

    /// Empty is unknown, but where it says something. What is not UTF-8, and NUL, is
    /// written as `?`.
    @inline(never)
    func put(_ text: [UInt8], canBeEmpty: Bool = false) {
        if text.isEmpty, !canBeEmpty { return put(null) }
        count += 1
        let text = Text.clean(text)
        note(
            text.withUnsafeBytes {
                bursar__sqlite_bind_text(handle, count, $0.baseAddress, Int32(clamping: $0.count))
            })
    }

    @inline(never)
    func put(blob: [UInt8]) {
        if blob.isEmpty { return put(null) }
        count += 1
        note(
            blob.withUnsafeBytes {
                bursar__sqlite_bind_blob(handle, count, $0.baseAddress, Int32(clamping: $0.count))
            })
    }

    func put(_ value: DBValue) {
        count += 1
        switch value {
        case .null: note(sqlite3_bind_null(handle, count))
        case .integer(let value): note(sqlite3_bind_int64(handle, count, value))
        case .real(let value): note(sqlite3_bind_double(handle, count, value))
        case .text(let text):
            count -= 1
            put(text, canBeEmpty: true)
        case .blob(let bytes):
            note(
                bytes.withUnsafeBytes {
                    bursar__sqlite_bind_blob(
                        handle, count, $0.baseAddress, Int32(clamping: $0.count))
                })
        }
    }

    var parameters: Int { Int(sqlite3_bind_parameter_count(handle)) }

    private func note(_ code: Int32) { if self.code == SQLITE_OK { self.code = code } }

    // MARK: - Running

    /// True: a row is there.
    @inline(never)
    func step() throws(Failure) -> Bool {
        if code == SQLITE_OK {
            let code = sqlite3_step(handle)
            if code == SQLITE_ROW { return true }
            if code == SQLITE_DONE { return false }
            self.code = code
        }
        let failure = Connection.failure(path, db, code)
        reset()
        throw failure
    }

    /// To its end.
    @inline(never)
    func run() throws(Failure) {
        defer { reset() }
        while try step() {}
    }

    @inline(never)
    func first() throws(Failure) -> Int64? {
        defer { reset() }
        return try step() && !isNull(0) ? int(0) : nil
    }

    // MARK: - Columns

    var columns: Int { Int(sqlite3_column_count(handle)) }
    func name(_ column: Int) -> [UInt8] { Connection.bytes(sqlite3_column_name(handle, Int32(column))) }
    func int(_ column: Int) -> Int64 { sqlite3_column_int64(handle, Int32(column)) }
    func real(_ column: Int) -> Double { sqlite3_column_double(handle, Int32(column)) }
    func isNull(_ column: Int) -> Bool { sqlite3_column_type(handle, Int32(column)) == SQLITE_NULL }

    /// As in the header: SQLite numbers them 1 to 5, NULL last.
    func type(_ column: Int) -> Int32 { sqlite3_column_type(handle, Int32(column)) % SQLITE_NULL }

    /// The bytes of a text or a blob; empty = NULL.
    @inline(never)
    func bytes(_ column: Int) -> [UInt8] { Array(borrowed(column)) }

    /// The same, SQLite's: until the next step.
    func borrowed(_ column: Int) -> UnsafeRawBufferPointer {
        let start = sqlite3_column_blob(handle, Int32(column))
        return UnsafeRawBufferPointer(
            start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(handle, Int32(column))))
    }

    func value(_ column: Int) -> DBValue {
        let i = Int32(column)
        switch sqlite3_column_type(handle, i) {
        case SQLITE_INTEGER: return .integer(sqlite3_column_int64(handle, i))
        case SQLITE_FLOAT: return .real(sqlite3_column_double(handle, i))
        case SQLITE_TEXT: return .text(bytes(column))
        case SQLITE_BLOB: return .blob(bytes(column))
        default: return .null
        }
    }
}
