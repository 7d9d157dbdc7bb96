// Asking the ledger: a home's database with all that happened up to the call.
//
// What is settled is folded first, into the outbox. What of that the elected writer has
// not moved yet, the thread that asks moves itself: SQLite's lock lets one write at a
// time, and a batch that is there is passed over (LedgerMover). So nobody depends on
// another process, which may be stopped, and there is nothing to agree on.

internal import CLedger

extension Runtime {
    /// The header's bursar_query(). `asWritten`: what the database has, as it is.
    public func query(
        _ sql: [UInt8], _ values: [DBValue], asWritten: Bool, patience: Int64
    ) throws(Failure) -> Cursor {
        if patience < 0 { throw Failure(.invalid, "a query's timeout is negative") }
        var batch: Int64?
        if !asWritten {
            try foldForReaders()
            batch = core.batch.loadAcquiring()
        }
        return try Reader(ledger(through: batch)).query(sql, values, patience: patience)
    }

    /// Folds; what could not be folded must not be missing unseen.
    private func foldForReaders() throws(Failure) {
        try foldFirst()
        if core.statistic(Header.ledgerFails).value != 0 {
            throw Failure(
                .home, "the ledger cannot be written, and steps wait in the journal: an event says why; read it as it was written, or later")
        }
    }

    /// A connection to a database that has a batch and all before it; nil: as it is.
    func ledger(through batch: Int64?) throws(Failure) -> Connection {
        guard let place = attachment.place, let outbox = attachment.ledgerPath else {
            throw Failure(.unsupported, "a private runtime keeps no ledger: open one with a home")
        }
        let segment = core.statistic(Header.segmentID).value
        do throws(Failure) {
            return try reader(place, segment, batch)
        } catch {
            guard let batch else { throw error }
            let mover = LedgerMover(place, outbox: outbox, segment: segment)
            defer { mover.close() }
            var failure: Failure?
            do throws(Failure) {
                while try mover.move(removes: false), mover.batch < batch {}
            } catch {
                failure = error
            }
            // Where that failed, others may have moved it, and removed what this one read.
            do throws(Failure) {
                return try reader(place, segment, batch)
            } catch {
                throw failure ?? error
            }
        }
    }

    private func reader(
        _ place: Attachment.Place, _ segment: Int64, _ batch: Int64?
    ) throws(Failure) -> Connection {
        let connection = try Connection(Database.path(in: place.folder.path), .read)
        connection.setBusyTimeout(Database.patience)
        let version = try Database.check(connection, latest: Database.version)
        if let batch {
            // A file that was only just made has no tables.
            let last = version == 0 ? -1 : try connection.first(.batch, segment) ?? 0
            if last < batch { throw Failure(.busy, "the ledger is behind its outbox; try again") }
        }
        return connection
    }
}
