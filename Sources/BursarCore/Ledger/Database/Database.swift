// The ledger's database, `ledger.db` in the home: opening, checking, upgrading. One
// process at a time writes it (whoever was elected), from one thread; anybody reads
// (Reader.swift). It is never used in the child of a fork, and never through a second
// copy of SQLite in the same process: closing a file there drops the locks here.

internal import CLedger
internal import CPlatform
internal import CSQLite

final class Database {
    let connection: Connection
    /// What the writer found before, by the segment's ids (Keys.swift).
    var keys = Keys()
    /// The row of a step, as it was bound last.
    let row = StepRow()
    /// Of compaction; and rows that one transaction of it takes, for tests to lower.
    var pass = HourPass()
    var slice: Int64 = 4096

    /// Milliseconds that a writer waits for another one, or for a reader that recovers.
    static let patience: Int32 = 1_000
    /// "Burs", 1114993267: what `file` and SQLite know the file by.
    static let application: Int64 = 0x4275_7273

    /// The version that this library writes.
    static let version: Int64 = 1

    /// Makes of a version the next one, which the SQL says in `user_version`. Version 0
    /// is an empty file.
    static func upgrade(_ connection: Connection, from version: Int64) throws(Failure) {
        try connection.execute(.schema)
    }

    /// Opens it for writing; makes it, with `mode`, where it is not there.
    /// Refuses with `.home` a file that is not a ledger, or cannot be written, or is of a
    /// later version (`values`: found, expected); with `.corrupt` one that SQLite cannot
    /// read; with `.busy` one that somebody holds. Nothing of it was changed then.
    init(
        _ path: [UInt8], mode: Int32 = 0o600, latest: Int64 = Database.version,
        upgrade: (Connection, Int64) throws(Failure) -> Void = Database.upgrade
    ) throws(Failure) {
        connection = try Connection(path, .create)
        connection.setBusyTimeout(Database.patience)
        if connection.isReadOnly {
            throw Failure(.home, "the ledger \(path, most: 200) is read-only; it must be writable")
        }
        var version = try Database.check(connection, latest: latest)
        if version == 0 {
            let name = path + [0]
            _ = name.withUnsafeBytes {
                bursar__sqlite_chmod($0.baseAddress!.assumingMemoryBound(to: CChar.self), mode)
            }
            // Before there is any page: later it would take a VACUUM.
            try connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        }
        guard case .text([0x77, 0x61, 0x6C]) = try connection.pragma("PRAGMA journal_mode=WAL") else {
            throw Failure(
                .home, "the ledger \(path, most: 200) cannot have a write-ahead log; its file system may be a network's")
        }
        try connection.execute(
            """
            PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=4000; \
            PRAGMA journal_size_limit=67108864; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY
            """)
        guard version < latest else { return }
        try transaction { () throws(Failure) in
            // Somebody may have done it while this one waited.
            version = try Database.check(connection, latest: latest)
            while version < latest {
                try upgrade(connection, version)
                version += 1
            }
        }
    }

    static func path(in folder: [UInt8]) -> [UInt8] { folder + bytes("/ledger.db") }

    /// A home's, made for whom the home belongs to where it is not there. (Not opened else:
    /// closing it would drop the locks that SQLite has on it in this process.)
    convenience init(inHome folder: [UInt8], mode: UInt32) throws(Failure) {
        let path = Database.path(in: folder)
        var there = bursar__file()
        if File.stat(path, &there) == -ENOENT {
            let file = (path + [0]).withUnsafeBytes {
                bursar__ledger_open($0.baseAddress!.assumingMemoryBound(to: CChar.self), 1)
            }
            if file >= 0 { bursar__ledger_close(file) }
        }
        try self.init(path, mode: Int32(mode))
    }

    /// The file's version, 0 when it is new: refuses what is not a ledger that this
    /// version of the library knows.
    static func check(_ connection: Connection, latest: Int64) throws(Failure) -> Int64 {
        let version = try number(connection, "PRAGMA user_version")
        let application = try number(connection, "PRAGMA application_id")
        var failure: Failure
        if application != Database.application {
            let tables = try number(connection, "SELECT count(*) FROM sqlite_schema")
            if application == 0, version == 0, tables == 0 { return 0 }
            failure = Failure(
                .home,
                "\(connection.path, most: 200) is not a ledger: its application_id is \(Int(application)), a ledger's is \(Int(Database.application))")
            failure.values = (application, Database.application)
            throw failure
        }
        if version >= 0, version <= latest { return version }
        failure = Failure(
            .home,
            "the ledger \(connection.path, most: 200) is of another version of the library: its user_version is \(Int(version)), this one writes \(Int(latest)); use the newer library")
        failure.values = (version, latest)
        throw failure
    }

    private static func number(
        _ connection: Connection, _ text: StaticString
    ) throws(Failure) -> Int64 {
        if case .integer(let value) = try connection.pragma(text) { return value }
        return 0
    }

    /// Bytes of the file, and of them those in use.
    func size() throws(Failure) -> (file: Int64, used: Int64) {
        let page = try Database.number(connection, "PRAGMA page_size")
        let pages = try Database.number(connection, "PRAGMA page_count")
        let free = try Database.number(connection, "PRAGMA freelist_count")
        return (pages * page, (pages - free) * page)
    }

    /// All of it, or nothing.
    func transaction(_ body: () throws(Failure) -> Void) throws(Failure) {
        try connection.run(.begin)
        do throws(Failure) {
            try body()
            try connection.run(.commit)
        } catch {
            // Keys of rows that are not there after all.
            keys = Keys()
            row.clear()
            do throws(Failure) { try connection.run(.rollback) } catch {}  // SQLite may have done it
            throw error
        }
    }
}
