// The ledger's database, `ledger.db` in the home: opening, checking, upgrading. One
// process at a time writes it (whoever was elected), from one thread; anybody reads
// (Reader.swift). It is never used in the child of a fork, and never through a second
// copy of SQLite in the same process: closing a file there drops the locks here.

internal import CSQLite

final class Database {
    let connection: Connection
    /// What the writer found before, by the segment's ids (Keys.swift).
    var keys = Keys()
    /// The row of a step, as it was bound last.
    let row = StepRow()

    /// Milliseconds that a writer waits for another one, or for a reader that recovers.
    static let patience: Int32 = 100

    /// Opens it for writing; makes it, with `mode`, where it is not there.
    /// Refuses with `.home` a file that is not a ledger, or cannot be written, or is of a
    /// later version (`values`: found, expected); with `.corrupt` one that SQLite cannot
    /// read; with `.busy` one that somebody holds. Nothing of it was changed then.
    init(
        _ path: [UInt8], mode: Int32 = 0o600, versions: [[StaticString]] = Schema.versions
    ) throws(Failure) {
        connection = try Connection(path, .create)
        connection.setBusyTimeout(Database.patience)
        if connection.isReadOnly {
            throw Failure(.home, "the ledger \(path, most: 200) is read-only; it must be writable")
        }
        let latest = Int64(versions.count)
        var version = try Database.check(connection, latest: latest)
        if version == 0, try connection.pragma("PRAGMA page_count").int == 0 {
            let name = path + [0]
            _ = name.withUnsafeBytes {
                bursar__sqlite_chmod($0.baseAddress!.assumingMemoryBound(to: CChar.self), mode)
            }
        }
        let journal = try connection.pragma("PRAGMA journal_mode=WAL").bytes
        if journal != [0x77, 0x61, 0x6C] {
            throw Failure(
                .home, "the ledger \(path, most: 200) cannot have a write-ahead log; its file system may be a network's")
        }
        try connection.execute(
            """
            PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=4000;
            PRAGMA journal_size_limit=67108864; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY
            """)
        guard version < latest else { return }
        try transaction { () throws(Failure) in
            // Somebody may have done it while this one waited.
            version = try Database.check(connection, latest: latest)
            while version < latest {
                for script in versions[Int(version)] { try connection.execute(script) }
                version += 1
            }
        }
    }

    /// The file's version, 0 when it is new: refuses what is not a ledger that this
    /// version of the library knows.
    static func check(_ connection: Connection, latest: Int64) throws(Failure) -> Int64 {
        let version = try connection.pragma("PRAGMA user_version").int
        let application = try connection.pragma("PRAGMA application_id").int
        if application != Schema.application {
            let tables = try connection.pragma("SELECT count(*) FROM sqlite_schema").int
            if application == 0, version == 0, tables == 0 { return 0 }
            var failure = Failure(
                .home,
                "\(connection.path, most: 200) is not a ledger: its application_id is \(Int(application)), a ledger's is \(Int(Schema.application))")
            failure.values = (application, Schema.application)
            throw failure
        }
        if version > latest || version < 0 {
            var failure = Failure(
                .home,
                "the ledger \(connection.path, most: 200) is of another version of the library: its user_version is \(Int(version)), this one writes \(Int(latest)); use the newer library")
            failure.values = (version, latest)
            throw failure
        }
        return version
    }

    /// All of it, or nothing.
    func transaction(_ body: () throws(Failure) -> Void) throws(Failure) {
        try connection.run(.begin)
        do throws(Failure) {
            try body()
            try connection.run(.commit)
        } catch {
            // Keys of rows that are not there after all.
            keys.clear()
            row.clear()
            do throws(Failure) { try connection.run(.rollback) } catch {}  // SQLite may have done it
            throw error
        }
    }
}
