// The fold: settled records move into `spent` and into the ledger, and their
// places are free again. One writer at a time, whoever holds the fold lock; nobody
// else waits for it to admit, settle or read a step.
//
// With h the batch in the header and L the ledger's last:
//   F0 L is h, or h + 1: then somebody died between the ledger's commit and the
//      header's, and exactly the records in FOLDING(h + 1) are that batch;
//   F1 what a finished batch left is freed; what an uncommitted one took is put back;
//   F2 a batch of settled records is taken: FOLDING(h + 1);
//   F3 each correction's difference is written into its record;
//   F4 the ledger takes the batch, whole or not at all        (durable from here on)
//   F5 the nodes' figures and the cells are written by copy, stamped h + 1;
//   F6 the header's batch becomes h + 1: one store             (spent from here on)
//   F7 corrections give back what they charged too much; the records are freed.
// Who takes over needs the segment and the ledger only: F5 can be repeated, and a
// correction's difference stands in its record, for the ledger's row has changed. A
// batch may have no records, when there is only something to tell (Telling.swift).

internal import CPlatform

extension Runtime {
    /// Folds everything that is settled. Waits for another folder; false when that one
    /// did not come to an end.
    @discardableResult
    func fold() -> Bool {
        guard folding.lock(for: SharedLock.most) else { return false }
        defer { folding.unlock() }
        foldLocked()
        return true
    }

    /// The same before a handle is closed; with the last one goes all that the process has
    /// in flight. The next to come may find no segment, and know the ledger only.
    func foldLast() {
        guard attachment.place != nil else { return }
        if attachment.isLast(core.page) {
            core.eachRecord { i, record in
                let word = record.word.loadAcquiring()
                let state = RecordWord.state(word)
                if state == RecordState.held || state == RecordState.inFlight,
                    RecordWord.actor(word) == core.me, let orphan = core.expire(i, word)
                {
                    report(orphan)
                }
                return true
            }
        }
        guard folding.lock(for: SharedLock.patience) else { return }
        flightsAt = .min
        foldLocked()
        folding.unlock()
    }

    /// The same, so that what is changed next starts from exact figures.
    @inline(never)
    func foldFirst() throws(Failure) {
        if !fold() { throw stuck("ledger") }
    }

    /// The same, unless somebody else is at it. Never waits.
    @discardableResult
    func tryFold() -> Bool {
        guard folding.tryLock() else { return false }
        defer { folding.unlock() }
        foldLocked()
        return true
    }

    /// Opens what is due, and when the journal is full makes room in it: for a step
    /// that was just refused. Whoever folds is done in milliseconds, unless he was
    /// stopped: then the step is refused, and told to come again.
    func catchUp(leaf: Int, isFull: Bool) {
        if core.isAnythingDue() { rollPath(leaf: leaf) }
        guard isFull, folding.lock(for: SharedLock.patience) else { return }
        foldLocked()
        folding.unlock()
    }

    /// What one scan of the journal saw. Fold lock held.
    struct Scan {
        var used = 0  // not FREE
        var moving = 0  // CLAIMED, SETTLING, ADJUSTING, RELEASING, or settled and left for later
        var nextExpiry = Int64.max
    }

    /// Rolls windows, folds all that is settled, frees closed nodes. Fold lock held.
    @discardableResult
    func foldLocked() -> Scan {
        guard core.life.value == 0 else { return Scan() }
        // What settles from here on waits for the next fold: else busy threads would
        // keep the loop here for ever, and readers at the lock; and what settled
        // after a window began must not be folded before the window was opened.
        let began = clock.steady
        if core.isAnythingDue() {
            guard config.lock(for: SharedLock.patience) else { return self.scan() }  // not now
            rollDue()
            config.unlock()
        }
        var scan = Scan()
        do throws(Failure) {
            if try finishLeftovers() {
                while try foldBatch(settledBy: began, &scan) {}
            } else {
                scan = self.scan()
            }
            core.statistic(Header.ledgerFails).value = 0
        } catch {
            // Records wait, enforcement goes on, the next fold tries again.
            // Told by one process, to all, once until it could be written for a second: a full
            // disk has room for a moment every now and then.
            let fails = core.statistic(Header.ledgerFails)
            let last = core.statistic(Header.ledgerFailedAt)
            let isNew = fails.value == 0 && (last.value == 0 || began - last.value >= 1_000_000_000)
            fails.value = 1
            last.value = began
            if isNew {
                var event = Event(type: .ledger)
                event.amount = error.values.0
                event.text = error.sentence
                send(event)
            }
            scan = self.scan()
        }
        reclaim()
        return scan
    }

    /// Looks at every record: what is left, and what has outlived its time.
    func scan() -> Scan {
        var scan = Scan()
        let now = clock.steady
        core.statistic(Header.oldestSettled).value = 0
        core.eachRecord { i, record in
            look(at: record, i, record.word.loadSequential(), now, &scan)
            return true
        }
        return scan
    }

    @inline(__always)
    private func look(at record: Record, _ i: Int, _ word: Int64, _ now: Int64, _ scan: inout Scan) {
        switch RecordWord.state(word) {
        case RecordState.free: return
        case RecordState.held, RecordState.inFlight:
            let due = record.expiresAt.value
            if due <= now, let orphan = core.expire(i, word) {
                scan.moving += 1
                report(orphan)
            } else {
                scan.nextExpiry = min(scan.nextExpiry, due)
            }
        case RecordState.settled:
            scan.moving += 1
            let oldest = core.statistic(Header.oldestSettled)
            let at = record.settledAt.value
            if oldest.value == 0 || at < oldest.value { oldest.value = at }
        case RecordState.claimed, RecordState.settling, RecordState.adjusting, RecordState.releasing:
            scan.moving += 1
        case RecordState.folding: break  // waits for a ledger that can be written
        default: reportCorrupt("a record is in a state that there is not")
        }
        scan.used += 1
    }

    private static var batchMax: Int { 4096 }

    // MARK: - F0, F1: what others left

    /// False when that has to wait for the config lock.
    private func finishLeftovers() throws(Failure) -> Bool {
        let h = core.batch.value
        #if BURSAR_SEAM
        let known = try ledger.last(from: h)
        let last = Plant.ignoresLedger.isOn ? h : known
        #else
        let last = try ledger.last(from: h)
        #endif
        let open = core.statistic(Header.foldOpen)
        if last == h, open.loadAcquiring() == 0 { return true }
        var records = batchRecords
        defer { batchRecords = records }
        records.removeAll(keepingCapacity: true)
        core.eachRecord { i, record in
            let word = record.word.loadAcquiring()
            guard RecordWord.state(word) == RecordState.folding else { return true }
            let gen = RecordWord.gen(word)
            switch RecordWord.actor(word) {
            case h & 0xFFF:
                if record.isCorrection { core.markDirty(record) }
                core.free(i, gen: gen)
            case (h &+ 1) & 0xFFF where last == h:
                record.word.storeReleasing(RecordWord.make(RecordState.settled, actor: 0, gen: gen))
            case (h &+ 1) & 0xFFF: records.append(UInt32(i))
            default: reportCorrupt("a record belongs to a batch that there is not")
            }
            return true
        }
        if last == h &+ 1 {
            // The epoch is the same for all of a batch.
            let epoch = records.isEmpty ? 0 : core.record(Int(records[0])).epoch.value
            foldSums.begin(meters: MeterIndex.end)
            for i in records where core.leaf(of: core.record(Int(i))) != nil {
                foldSums.touch(core, Int(core.record(Int(i)).node.value & 0xFFFF_FFFF))
            }
            var rows: BatchRows?
            account(records, &rows)
            if !finish(records, epoch: epoch, from: h) { return false }
        }
        open.storeReleasing(0)
        return true
    }

    // MARK: - F2: the batch

    /// One batch; true when it left records that were settled by then. Looks at
    /// the rest on the way: every pass over the journal takes its lines from the
    /// threads that are stepping.
    private func foldBatch(settledBy began: Int64, _ scan: inout Scan) throws(Failure) -> Bool {
        let h = core.batch.value
        let next = h &+ 1
        var records = batchRecords
        records.removeAll(keepingCapacity: true)
        var epoch: UInt32 = 0
        var left = false
        var seen = Scan()
        var node: Int64 = 0
        var originals = KeyMap()  // a set: the values are nothing
        var mayLower: Bool?
        core.statistic(Header.oldestSettled).value = 0
        // Claim. A correction waits for its original to be folded, and goes alone
        // with others of other originals; and for the config lock, which it needs.
        core.eachRecord { i, record in
            let word = record.word.loadSequential()
            guard RecordWord.state(word) == RecordState.settled,
                record.settledAt.value <= began
            else {
                look(at: record, i, word, began, &seen)
                return true
            }
            seen.used += 1
            if record.node.value != node, core.leaf(of: record) == nil {
                reportCorrupt("a settled step names no session")
                return true
            }
            seen.moving += 1
            if records.isEmpty {
                epoch = record.epoch.value
                foldSums.begin(meters: MeterIndex.end)
                core.statistic(Header.foldOpen).storeSequential(next)
            } else if record.epoch.value != epoch {
                left = true
                return true
            }
            if record.isCorrection {
                if mayLower == nil {
                    mayLower = config.lock(for: SharedLock.patience)
                    if mayLower == true { config.unlock() }
                }
                if mayLower == false || !mayFold(record) || originals[record.original] != nil {
                    left = true
                    return true
                }
                originals.set(record.original, 0)
            }
            if record.node.value != node {
                node = record.node.value
                foldSums.touch(core, Int(node & 0xFFFF_FFFF))
            }
            let gen = RecordWord.gen(word)
            let claimed = RecordWord.make(RecordState.folding, actor: next & 0xFFF, gen: gen)
            // Only a folder takes a record out of SETTLED, and we hold the lock.
            if record.word.exchange(word, for: claimed).exchanged { records.append(UInt32(i)) }
            if records.count < Runtime.batchMax,
                foldSums.count + Core.pathMax < FoldLog.entriesMax
            {
                return true
            }
            left = true
            return false
        }
        defer { batchRecords = records }
        scan = seen
        let open = core.statistic(Header.foldOpen)
        let news = untoldEvents
        let untold = findUntold()
        // After all that they may name was told.
        let isAll = untold.count < Runtime.toldMax
        let outcomes = isAll ? pendingOutcomes : []
        let happened = isAll && (!untold.isEmpty || !hasUntold) ? news : nil
        let flights = findFlights(at: began)
        if records.isEmpty {
            if untold.isEmpty, outcomes.isEmpty, flights == nil, happened == nil {
                open.storeReleasing(0)
                return false
            }
            foldSums.begin(meters: MeterIndex.end)
            open.storeSequential(next)
        }
        lowering = records.filter { core.record(Int($0)).isCorrection }
        for i in lowering { judge(core.record(Int(i))) }
        var rows: BatchRows? = BatchRows(next)
        ledger.block?.begin(
            BlockHead(
                batch: next, segment: core.statistic(Header.segmentID).value,
                offset: clock.unix &- clock.steady))
        account(records, &rows)
        var told: (nodes: [UInt32], isSure: Bool) = ([], true)
        if let block = ledger.block {
            if let flights { tell(flights, block) }
            told = tell(block, untold, epoch: epoch, from: h)
            tellEvents(through: told.isSure ? happened : nil, block, from: h)
            if told.isSure { for outcome in outcomes { block.put(outcome) } }
        }
        let due = core.statistic(Header.earnDue)
        let wasDue = due.value
        do throws(Failure) {
            if core.header(Header.earners).value != 0, outcomes.contains(where: { $0.state != .stated }) {
                due.storeReleasing(next)
            }
            if let rows { try ledger.commit(rows.batch) }
            names.end(told.isSure)
            if !outcomes.isEmpty, told.isSure { pendingOutcomes = [] }
            // More may come soon: the keeper stays awake for a moment.
            if happened != nil { scan.moving += 1 }
        } catch {
            due.value = wasDue
            names.end(false)
            for i in records {
                let word = core.record(Int(i)).word
                word.storeReleasing(
                    RecordWord.make(RecordState.settled, actor: 0, gen: RecordWord.gen(word.value)))
            }
            open.storeReleasing(0)
            throw error
        }
        // Else the next fold finishes it, as after a death.
        let isFinished = finish(records, epoch: epoch, from: h)
        if isFinished { open.storeReleasing(0) }
        confirm(told.nodes)
        if flights?.isEmpty == true { core.header(Header.flightsTold).value = 0 }
        for (id, handle, amount) in rows?.corrected ?? [] { reportLate(id, handle, amount) }
        return (left || !isAll) && isFinished
    }

    /// A correction may be folded when its original is, and one at a time.
    private func mayFold(_ record: Record) -> Bool {
        let original = record.original
        guard let first = core.record(of: original) else { return true }
        let word = first.word.loadAcquiring()
        return RecordWord.gen(word) != Handle.gen(original)
            || RecordWord.state(word) == RecordState.free
    }

    /// F3: what a correction changes: the difference to the estimate, or nothing
    /// when there is no estimate (any more).
    private func judge(_ record: Record) {
        let used = record.used
        guard let row = ledger.estimate(record.original), row.isEstimated else {
            record.delta = used.minus(used)
            return
        }
        record.delta = used.minus(row.amounts(named: record.meters))
    }

    private func reportLate(_ id: Int64, _ handle: Int64, _ amount: Int64) {
        var event = Event(type: .late)
        event.session = id
        event.id = id
        event.reservation = handle
        event.amount = amount
        if config.tryLock(for: SharedLock.patience) {
            event.path = path(of: Int(id & 0xFFFF_FFFF))
            config.unlock()
        }
        send(event)
    }

    // MARK: - F5 to F7

    /// The ledger has the batch: everything that follows may be done twice. False when
    /// nothing was done, for want of the config lock.
    private func finish(_ records: [UInt32], epoch: UInt32, from h: Int64) -> Bool {
        let next = h &+ 1
        #if BURSAR_SEAM
        if Plant.redoesDelta.isOn {
            for i in records where core.record(Int(i)).isCorrection { judge(core.record(Int(i))) }
        }
        #endif
        for i in records where core.record(Int(i)).isCorrection {
            if !lowerBases(core.record(Int(i))) { return false }
        }
        let log = foldLog
        log.write(foldSums, records: records.count, core, batch: next)
        log.apply(core)
        for entry in 0..<foldSums.count { writeCells(entry, epoch: epoch, from: h, to: next) }
        core.batch.storeReleasing(next)  // the batch is spent from here on
        for i in records where core.record(Int(i)).isCorrection {
            giveBack(core.record(Int(i)), epoch)
        }
        for i in records {
            core.free(Int(i), gen: RecordWord.gen(core.record(Int(i)).word.value))
        }
        return true
    }

    private func writeCells(_ entry: Int, epoch: UInt32, from h: Int64, to next: Int64) {
        var c = Int(core.node(Int(foldSums.node(entry))).firstCell.loadAcquiring())
        var steps = Steps()
        while c != 0, steps.goOn() {
            let cell = core.cell(c)
            let sum = foldSums.sum(entry: entry, cell.meter)
            if sum != 0, cell.kind.value >> 5 <= epoch {
                let current = cell.slot(at: h)
                let other = current ^ 1
                cell.spent(other).value = cell.spent(current).value &+ sum
                cell.stamp(other).storeReleasing(next)
            }
            c = Int(cell.next.value)
        }
    }

    /// A step that settled before a window started and turns out cheaper: what it
    /// gives back belongs to the former window, so the base falls with it,
    /// before `spent` does. False when the config lock was not to be had.
    private func lowerBases(_ record: Record) -> Bool {
        let delta = record.delta
        guard delta.signs.down, record.flags.value & RecordFlag.lowered == 0,
            let row = ledger.estimate(record.original), core.leaf(of: record) != nil
        else { return true }
        guard config.lock(for: SharedLock.patience) else { return false }
        eachUp(Int(record.node.value & 0xFFFF_FFFF)) { i in
            eachLimit(i) { _, limit in
                guard limit.countsAmounts, delta[limit.meter] < 0 else { return }
                lowerBase(limit, by: delta[limit.meter], settledUnix: row.settledAt)
            }
        }
        config.unlock()
        // After the unlocking: a death between lowers them twice, which under-admits.
        record.flags.value |= RecordFlag.lowered
        return true
    }

    /// What a correction charged and is not spent: used - difference.
    private func giveBack(_ record: Record, _ epoch: UInt32) {
        let surplus = record.used.minus(record.delta)
        var i = Int(record.node.value & 0xFFFF_FFFF)
        var steps = Steps()
        while steps.goOn() {
            let node = core.node(i)
            var c = Int(node.firstCell.loadAcquiring())
            while c != 0, steps.goOn() {
                let cell = core.cell(c)
                let back = surplus[cell.meter]
                if back != 0, cell.kind.value >> 5 <= epoch { cell.committed.subtract(back) }
                c = Int(cell.next.value)
            }
            if i == 0 { return }
            i = Int(node.parent.value)
        }
    }
}
