// One connection to SQLite: errors as failures with the file's path, statements that
// stay prepared, values in and out. Used by one thread at a time, and never in the
// child of a fork.

internal import CSQLite

/// A value of a column.
public enum DBValue {
    case null
    case integer(Int64)
    case real(Double)
    case text([UInt8])
    case blob([UInt8])

    /// 0 is unknown.
    static func known(_ value: Int64) -> DBValue { value == 0 ? .null : .integer(value) }
    /// Empty is unknown. What is not UTF-8, and NUL, is written as `?`.
    static func known(_ text: [UInt8]) -> DBValue { text.isEmpty ? .null : .text(Text.clean(text)) }

    var int: Int64 {
        if case .integer(let value) = self { return value }
        return 0
    }
    var bytes: [UInt8] {
        switch self {
        case .text(let bytes), .blob(let bytes): return bytes
        default: return []
        }
    }
}

enum Text {
    /// Names and labels come from anywhere; readers of the ledger expect UTF-8.
    static func clean(_ text: [UInt8]) -> [UInt8] {
        var i = 0
        var out: [UInt8] = []
        out.reserveCapacity(text.count)
        while i < text.count {
            let length = sequence(text, i)
            if length == 0 {
                out.append(UInt8(ascii: "?"))
                i += 1
            } else {
                out.append(contentsOf: text[i..<(i + length)])
                i += length
            }
        }
        return out
    }

    /// Bytes of the well-formed character at `i` (Unicode table 3-7); 0 = none.
    private static func sequence(_ text: [UInt8], _ i: Int) -> Int {
        let first = text[i]
        if first < 0x80 { return first == 0 ? 0 : 1 }
        guard first >= 0xC2, first <= 0xF4 else { return 0 }
        let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        guard i + length <= text.count else { return 0 }
        let low: UInt8 = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80
        let high: UInt8 = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF
        guard text[i + 1] >= low, text[i + 1] <= high else { return 0 }
        for k in 2..<max(length, 2) where text[i + k] & 0xC0 != 0x80 { return 0 }
        return length
    }
}

final class Connection {
    let path: [UInt8]
    fileprivate let db: OpaquePointer
    private var prepared: [Statement?] = []
    /// Steady nanoseconds at which a guarded statement ends; 0 = never.
    private let deadline: UnsafeMutablePointer<Int64>

    enum Mode { case create, write, read }

    init(_ path: [UInt8], _ mode: Mode) throws(Failure) {
        var db: OpaquePointer?
        var flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW
        flags |= mode == .read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE
        if mode == .create { flags |= SQLITE_OPEN_CREATE }
        let name = path + [0]
        let code = name.withUnsafeBytes {
            sqlite3_open_v2($0.baseAddress!.assumingMemoryBound(to: CChar.self), &db, flags, nil)
        }
        guard code == SQLITE_OK, let db else {
            let failure = Connection.failure(path, db, code)
            sqlite3_close_v2(db)
            throw failure
        }
        self.path = path
        self.db = db
        deadline = .allocate(capacity: 1)
        deadline.pointee = 0
        sqlite3_extended_result_codes(db, 1)
    }

    deinit {
        for statement in prepared { statement?.end() }
        sqlite3_close_v2(db)
        deadline.deallocate()
    }

    /// Nothing but reading from here on, each statement until `until`.
    func guardReading() { bursar__sqlite_guard(db, deadline) }
    func limit(until: Int64) { deadline.pointee = until }
    func interrupt() { sqlite3_interrupt(db) }

    var isReadOnly: Bool { sqlite3_db_readonly(db, "main") == 1 }
    var changes: Int64 { sqlite3_changes64(db) }
    var lastRow: Int64 { sqlite3_last_insert_rowid(db) }

    func setBusyTimeout(_ milliseconds: Int32) { sqlite3_busy_timeout(db, milliseconds) }

    // MARK: - Errors

    func failure(_ code: Int32) -> Failure { Connection.failure(path, db, code) }

    fileprivate static func failure(_ path: [UInt8], _ db: OpaquePointer?, _ code: Int32) -> Failure {
        let status: Status
        switch code & 0xFF {
        case SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_CONSTRAINT, SQLITE_MISMATCH: status = .corrupt
        case SQLITE_BUSY, SQLITE_LOCKED: status = .busy
        case SQLITE_NOMEM: status = .memory
        case SQLITE_ERROR, SQLITE_AUTH, SQLITE_INTERRUPT, SQLITE_TOOBIG: status = .invalid
        default: status = .home  // full, read-only, cannot be opened, input or output
        }
        var message: [UInt8] = []
        var at = db == nil ? sqlite3_errstr(code) : sqlite3_errmsg(db)
        while let p = at, p.pointee != 0, message.count < 256 {
            message.append(UInt8(bitPattern: p.pointee))
            at = p + 1
        }
        var failure = Failure(status, "the ledger \(path, most: 200): \(message, most: 200)")
        failure.values.0 = Int64(code)
        return failure
    }

    // MARK: - Statements

    /// One or more statements without values.
    func execute(_ sql: StaticString) throws(Failure) {
        let code = sqlite3_exec(
            db, UnsafeRawPointer(sql.utf8Start).assumingMemoryBound(to: CChar.self), nil, nil, nil)
        if code != SQLITE_OK { throw failure(code) }
    }

    /// The statement of a number, which is prepared once.
    func statement(_ sql: SQL) throws(Failure) -> Statement {
        let k = sql.rawValue
        while prepared.count <= k { prepared.append(nil) }
        if let statement = prepared[k] { return statement }
        let statement = try prepare(sql.text)
        prepared[k] = statement
        return statement
    }

    func prepare(_ text: StaticString) throws(Failure) -> Statement {
        let bytes = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard let statement = try prepare(bytes).0 else { throw failure(SQLITE_ERROR) }
        return statement
    }

    /// The first statement of a text, nil where there is none, and how many bytes it has.
    func prepare(_ text: UnsafeBufferPointer<UInt8>) throws(Failure) -> (Statement?, Int) {
        if text.isEmpty { return (nil, 0) }
        var handle: OpaquePointer?
        var tail: UnsafePointer<CChar>?
        let start = UnsafeRawPointer(text.baseAddress)?.assumingMemoryBound(to: CChar.self)
        let code = sqlite3_prepare_v3(
            db, start, Int32(clamping: text.count), UInt32(SQLITE_PREPARE_PERSISTENT), &handle, &tail)
        guard code == SQLITE_OK else { throw failure(code) }
        guard let handle, let start, let tail else { return (nil, text.count) }
        return (Statement(handle, self), tail - start)
    }

    /// Runs a statement to its end.
    func run(_ sql: SQL, _ values: DBValue...) throws(Failure) {
        let statement = try statement(sql)
        try statement.bind(values)
        defer { statement.reset() }
        while try statement.step() {}
    }

    /// The first column of the first row; nil = no row.
    func first(_ sql: SQL, _ values: DBValue...) throws(Failure) -> DBValue? {
        let statement = try statement(sql)
        try statement.bind(values)
        defer { statement.reset() }
        return try statement.step() ? statement.value(0) : nil
    }

    /// A setting's value.
    func pragma(_ text: StaticString) throws(Failure) -> DBValue {
        let statement = try prepare(text)
        defer { statement.end() }
        return try statement.step() ? statement.value(0) : .null
    }
}

/// A prepared statement. It belongs to its connection and ends before it.
final class Statement {
    let handle: OpaquePointer
    private let db: OpaquePointer
    private let path: [UInt8]

    fileprivate init(_ handle: OpaquePointer, _ connection: Connection) {
        self.handle = handle
        db = connection.db
        path = connection.path
    }

    func end() { sqlite3_finalize(handle) }
    func reset() { sqlite3_reset(handle) }

    func bind(_ values: [DBValue]) throws(Failure) {
        for k in 0..<values.count {
            let i = Int32(k + 1)
            let code: Int32
            switch values[k] {
            case .null: code = sqlite3_bind_null(handle, i)
            case .integer(let value): code = sqlite3_bind_int64(handle, i, value)
            case .real(let value): code = sqlite3_bind_double(handle, i, value)
            case .text(let bytes):
                code = bytes.withUnsafeBytes {
                    bursar__sqlite_bind_text(handle, i, $0.baseAddress, Int32(clamping: $0.count))
                }
            case .blob(let bytes):
                code = bytes.withUnsafeBytes {
                    bursar__sqlite_bind_blob(handle, i, $0.baseAddress, Int32(clamping: $0.count))
                }
            }
            if code != SQLITE_OK { throw Connection.failure(path, db, code) }
        }
    }

    /// True: a row is there.
    func step() throws(Failure) -> Bool {
        let code = sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        if code == SQLITE_DONE { return false }
        let failure = Connection.failure(path, db, code)
        sqlite3_reset(handle)
        throw failure
    }

    var columns: Int { Int(sqlite3_column_count(handle)) }
    var isReadOnly: Bool { sqlite3_stmt_readonly(handle) != 0 }

    func name(_ column: Int) -> [UInt8] {
        var name: [UInt8] = []
        var at = sqlite3_column_name(handle, Int32(column))
        while let p = at, p.pointee != 0 {
            name.append(UInt8(bitPattern: p.pointee))
            at = p + 1
        }
        return name
    }

    func int(_ column: Int) -> Int64 { sqlite3_column_int64(handle, Int32(column)) }
    func isNull(_ column: Int) -> Bool { sqlite3_column_type(handle, Int32(column)) == SQLITE_NULL }

    func value(_ column: Int) -> DBValue {
        let i = Int32(column)
        switch sqlite3_column_type(handle, i) {
        case SQLITE_INTEGER: return .integer(sqlite3_column_int64(handle, i))
        case SQLITE_FLOAT: return .real(sqlite3_column_double(handle, i))
        case SQLITE_TEXT:
            return .text(bytes(UnsafeRawPointer(sqlite3_column_text(handle, i)), i))
        case SQLITE_BLOB: return .blob(bytes(sqlite3_column_blob(handle, i), i))
        default: return .null
        }
    }

    private func bytes(_ start: UnsafeRawPointer?, _ i: Int32) -> [UInt8] {
        let count = Int(sqlite3_column_bytes(handle, i))
        guard let start, count > 0 else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: count))
    }
}
