// Settles that do not find their step in flight: again, after a release, after
// an estimate; and charges, which have no step.

internal import CPlatform

extension Core {
    /// The record was not in flight under this handle when settle came.
    @inline(never)
    func settleOddly(
        _ handle: Int64, _ report: UnsafePointer<Report>, _ receipt: inout Receipt
    ) -> Status {
        guard let record = record(of: handle) else { return .notFound }
        let gen = Handle.gen(handle)
        var spins = 0
        while true {
            let word = record.word.loadAcquiring()
            let state = RecordWord.state(word)
            if RecordWord.gen(word) != gen {
                if wasFreed(record, gen: gen) {
                    let flags = record.flags.value
                    acquireFence()
                    // Somebody took the record meanwhile: the flags were another's.
                    if record.word.loadAcquiring() != word { continue }
                    if flags & RecordFlag.released != 0 { return .released }
                    if flags & RecordFlag.estimated == 0 {
                        if let status = replay(record, word, report, &receipt) { return status }
                        continue
                    }
                }
                return settleLate(handle, report, &receipt)
            }
            switch state {
            case RecordState.inFlight, RecordState.held:
                return settle(handle, report, &receipt)
            case RecordState.settling:
                // Another process's may last: it is stopped, or dead. What it settles
                // at is corrected by what we know.
                if RecordWord.actor(word) != me, spins > 1_000 {
                    return settleLate(handle, report, &receipt)
                }
            case RecordState.adjusting, RecordState.settled, RecordState.folding:
                #if BURSAR_SEAM
                if Plant.amendsInPlace.isOn, record.flags.value & RecordFlag.estimated != 0,
                    state == RecordState.settled, let bill = bill(record, report)
                {
                    let change = bill.cost &- record.usedCost.value
                    record.usedCost.value = bill.cost
                    runtime.eachUp(Int(record.node.value & 0xFFFF_FFFF)) { i in
                        if let cell = cell(of: MeterIndex.cost, at: i) {
                            _ = cell.committed.add(change)
                        }
                    }
                    return .ok
                }
                #endif
                if record.flags.value & (RecordFlag.estimated | RecordFlag.correction) != 0 {
                    return settleLate(handle, report, &receipt)
                }
                if let status = replay(record, word, report, &receipt) { return status }
            default:
                return state == RecordState.releasing ? .released : .notFound
            }
            // Another thread is at it: a few hundred nanoseconds.
            spins += 1
            if spins > 10_000 { return .busy }
            if spins % 100 == 0 { bursar__thread_yield() } else { bursar__cpu_relax() }
        }
    }

    /// The first result again, if the amounts are the same; nil when the record
    /// moved on while it was read.
    private func replay(
        _ record: Record, _ word: Int64, _ report: UnsafePointer<Report>,
        _ receipt: inout Receipt
    ) -> Status? {
        let bill = bill(record, report)
        let cost = record.usedCost.value
        let reserved = record.heldCost.value
        var same =
            bill?.cost == cost && bill?.input == record.usedInput.value
            && bill?.output == record.usedOutput.value
            && bill?.cacheRead == record.cacheRead.value && bill?.units == record.usedUnits
            && bill?.reasoning == record.reasoning.value
        if let bill, bill.rareMixed(report) != record.rare { same = false }
        let key = record.key
        let again = mixed(report.pointee.key)
        if key != 0, again != 0, key != again { same = false }
        receipt.costNanos = cost
        receipt.reservedNanos = reserved
        receipt.overrunNanos = max(cost &- reserved, 0)
        receipt.flags =
            Receipt.replay | (cost > reserved ? Receipt.overrun : 0)
            | (record.flags.value & RecordFlag.unpriced != 0 ? Receipt.unpriced : 0)
        receipt.askedCostNanos = record.askedCost
        receipt.model = Int32(bitPattern: record.granted.value)
        acquireFence()
        // The body was that of this settle only if nobody took the record
        // meanwhile: a claim keeps the generation, so the whole word counts.
        guard record.word.loadAcquiring() == word else {
            receipt = Receipt()
            return nil
        }
        return bill == nil ? .invalid : same ? .ok : .conflict
    }

    /// The step was settled at an estimate, or is being by another: post a
    /// correction, which the folder applies once. When that was done, the
    /// correction's result again.
    private func settleLate(
        _ handle: Int64, _ report: UnsafePointer<Report>, _ receipt: inout Receipt
    ) -> Status {
        // In the order in which a step moves: what is found in none of the three
        // places is nowhere.
        if let status = pendingCorrection(of: handle, report, &receipt) { return status }
        guard let row = estimateInJournal(handle) ?? runtime.estimatedRow(handle) else {
            return .notFound
        }
        guard let (i, gen, node) = claimLate(for: row.path) else { return .busy }
        let record = self.record(i)
        row.restore(record, node: node)
        guard let bill = bill(record, report) else {
            free(i, gen: gen)
            return .invalid
        }
        if !row.isEstimated {
            free(i, gen: gen)
            let isSame = row.says(bill, report)
            var first = bill
            first.cost = row.used[MeterIndex.cost]
            first.askedCost = row.askedCost
            first.isEstimated = false
            fill(&receipt, first, late: Receipt.replay | Receipt.late, reserved: row.reserved)
            return isSame ? .ok : .conflict
        }
        record.flags.value =
            RecordFlag.correction | RecordFlag.late
            | (row.flags & ~RecordFlag.outcome)
            | RecordFlag.more
        record.originalWord.value = handle
        record.epoch.value = row.epoch
        writeUsed(record, bill, report)
        // What it used is what it holds: nothing is adjusted.
        chargeForced(record.used, record, leaf: Int(truncatingIfNeeded: node & 0xFFFF_FFFF))
        record.word.storeReleasing(RecordWord.make(RecordState.settled, actor: 0, gen: gen))
        wake(from: Signal.resting | Signal.empty)
        _ = statistic(Header.late).add(1)
        fill(&receipt, bill, late: Receipt.late, reserved: row.reserved)
        if receipt.overrunNanos > 0 { reportOverrun(node, receipt.overrunNanos) }
        return .ok
    }

    /// The answer to a settle whose correction was posted and is not folded yet.
    private func pendingCorrection(
        of handle: Int64, _ report: UnsafePointer<Report>, _ receipt: inout Receipt
    ) -> Status? {
        var found: (Record, Int64)?
        eachRecord { _, record in
            let word = record.word.loadAcquiring()
            let state = RecordWord.state(word)
            // What was flipped already is in the ledger.
            guard state == RecordState.settled || state == RecordState.folding,
                record.isCorrection, record.original == handle,
                state == RecordState.settled
                    || RecordWord.actor(word) == (batch.loadAcquiring() &+ 1) & 0xFFF
            else { return true }
            found = (record, word)
            return false
        }
        guard let (record, word) = found,
            let status = replay(record, word, report, &receipt)
        else { return nil }
        receipt.flags |= Receipt.late
        return status
    }

    /// The estimate of a step whose record still stands.
    private func estimateInJournal(_ handle: Int64) -> EstimatedRow? {
        guard let record = record(of: handle) else { return nil }
        let word = record.word.loadAcquiring()
        guard RecordWord.gen(word) == Handle.gen(handle), !record.isCorrection else { return nil }
        let used: Amounts
        switch RecordWord.state(word) {
        case RecordState.settling: used = record.held
        case RecordState.adjusting, RecordState.settled, RecordState.folding:
            guard record.flags.value & RecordFlag.estimated != 0 else { return nil }
            used = record.used
        default: return nil
        }
        guard let leaf = leaf(of: record) else { return nil }
        var path: [Int64] = []
        eachAbove(leaf) { if $0 != 0 { path.append(id(of: $0)) } }
        let row = EstimatedRow(record, path: path, used: used, engine.pointee.clock)
        acquireFence()
        // Another step's by now? Then this one is in the ledger.
        return RecordWord.gen(record.word.loadAcquiring()) == Handle.gen(handle) ? row : nil
    }

    /// A claimed record for what has happened to the first of these nodes that is
    /// still there. A node that is open after the claim stays until the record is
    /// settled; for one that was closed the config lock is asked, for a moment.
    private func claimLate(for path: [Int64]) -> (index: Int, gen: Int64, id: Int64)? {
        guard let (i, gen) = claimForced() else { return nil }
        for id in path {
            let node = Int(truncatingIfNeeded: id & 0xFFFF_FFFF)
            if node < Int(engine.pointee.nodesMax), isOpen(node, id) { return (i, gen, id) }
        }
        free(i, gen: gen)
        return runtime.claimForced(for: path)
    }

    /// What a settle that came late, or again, is told.
    private func fill(
        _ receipt: inout Receipt, _ bill: Bill, late flags: UInt32, reserved: Int64
    ) {
        let overrun = max(bill.cost &- reserved, 0)
        receipt.costNanos = bill.cost
        receipt.reservedNanos = reserved
        receipt.overrunNanos = overrun
        receipt.askedCostNanos = bill.askedCost
        receipt.model = bill.model
        receipt.flags =
            flags | (overrun > 0 ? Receipt.overrun : 0)
            | (bill.isEstimated ? Receipt.estimated : 0)
            | (bill.isUnpriced ? Receipt.unpriced : 0)
    }

    /// Settles a step whose time is over, or nobody's, at its estimate. Nil if
    /// somebody else ended it.
    func expire(_ i: Int, _ word: Int64) -> Orphan? {
        let record = self.record(i)
        let gen = RecordWord.gen(word)
        guard leaf(of: record) != nil else {
            if record.word.loadAcquiring() == word {
                runtime.reportCorrupt("a reservation names no session")
            }
            return nil
        }
        // Never sent: nothing happened, and a late settle may say otherwise.
        let bill = estimated(record, wasSent: RecordWord.state(word) == RecordState.inFlight)
        let settling = RecordWord.make(RecordState.settling, actor: me, gen: gen)
        guard record.word.exchange(word, for: settling).exchanged else { return nil }
        return settleAtEstimate(i, record, gen: gen, bill)
    }

    /// What a step is taken to have used that nobody will tell of.
    func estimated(_ record: Record, wasSent: Bool) -> Bill {
        var bill = Bill(record)
        if wasSent {
            var report = Report()
            let isStream = record.flags.value & RecordFlag.stream != 0
            report.flags = isStream ? Report.incomplete : Report.worst
            var worst = Report()
            worst.flags = Report.worst
            // What cannot be priced any more is settled at what was held.
            bill = estimate(record, report) ?? estimate(record, worst) ?? bill
            bill.cost = min(bill.cost, record.heldCost.value)
        }
        bill.isEstimated = true
        bill.happened = wasSent
        return bill
    }

    /// SETTLING, ours, to SETTLED.
    func settleAtEstimate(_ i: Int, _ record: Record, gen: Int64, _ bill: Bill) -> Orphan {
        let orphan = Orphan(
            session: record.node.value, handle: Handle.make(index: i, gen: gen), cost: bill.cost)
        var receipt = Receipt()
        finish(record, gen: gen, bill, nil, &receipt)
        _ = statistic(Header.estimated).add(1)
        return orphan
    }
}
