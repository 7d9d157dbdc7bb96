// Settles that do not find their step in flight: again, after a release, after
// an estimate; and charges, which have no step.

internal import CPlatform

extension Core {
    /// The record was not in flight under this handle when settle came.
    @inline(never)
    func settleOddly(_ handle: Int64, _ report: Report, _ receipt: inout Receipt) -> Status {
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
                break
            case RecordState.adjusting, RecordState.settled, RecordState.folding:
                if record.flags.value & RecordFlag.estimated != 0 {
                    if state == RecordState.adjusting { break }
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
        _ record: Record, _ word: Int64, _ report: Report, _ receipt: inout Receipt
    ) -> Status? {
        let bill = bill(record, report)
        let cost = record.usedCost.value
        let reserved = record.heldCost.value
        var same =
            bill?.cost == cost && bill?.input == record.usedInput.value
            && bill?.output == record.usedOutput.value
            && bill?.cacheRead == record.cacheRead.value && bill?.units == record.usedUnits
        let key = UInt64(bitPattern: record.key.value)
        let again = mixed(report.key)
        if key != 0, again != 0, key != again { same = false }
        receipt.costNanos = cost
        receipt.reservedNanos = reserved
        receipt.overrunNanos = max(cost &- reserved, 0)
        receipt.flags =
            Receipt.replay | (cost > reserved ? Receipt.overrun : 0)
            | (record.flags.value & RecordFlag.unpriced != 0 ? Receipt.unpriced : 0)
        receipt.askedCostNanos = record.askedCost.value
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

    /// The step was settled at an estimate: post a correction, which the folder
    /// applies once. When that was done, the correction's result again.
    private func settleLate(_ handle: Int64, _ report: Report, _ receipt: inout Receipt) -> Status {
        runtime.fold()
        guard let row = runtime.estimatedRow(handle) else { return .notFound }
        guard let (i, gen, node) = runtime.claimForced(for: row.path) else { return .busy }
        let record = self.record(i)
        row.restore(record, node: node)
        guard let bill = bill(record, report) else {
            free(i, gen: gen)
            return .invalid
        }
        if !row.isEstimated {
            free(i, gen: gen)
            let isSame = row.says(bill)
            var first = bill
            first.cost = row.used[MeterIndex.cost]
            first.askedCost = row.askedCost
            first.isEstimated = false
            fill(&receipt, first, late: Receipt.replay | Receipt.late, reserved: row.reserved)
            return isSame ? .ok : .conflict
        }
        record.flags.value =
            RecordFlag.correction | RecordFlag.late
            | (row.flags & ~(RecordFlag.estimated | RecordFlag.unsent | RecordFlag.overrun))
            | RecordFlag.more
        record.originalWord.value = handle
        record.epoch.value = row.epoch
        writeUsed(record, bill, key: mixed(report.key))
        // What it used is what it holds: nothing is adjusted.
        chargeForced(record.used, record, leaf: Int(truncatingIfNeeded: node & 0xFFFF_FFFF))
        record.word.storeReleasing(RecordWord.make(RecordState.settled, actor: 0, gen: gen))
        wake(from: Signal.resting | Signal.empty)
        _ = statistic(Header.late).add(1)
        fill(&receipt, bill, late: Receipt.late, reserved: row.reserved)
        if receipt.overrunNanos > 0 { reportOverrun(node, receipt.overrunNanos) }
        return .ok
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

    /// Settles a step whose time is over, or nobody's, at its estimate. True if
    /// this call did it.
    func expire(_ i: Int, _ word: Int64) -> Bool {
        let record = self.record(i)
        let gen = RecordWord.gen(word)
        let wasSent = RecordWord.state(word) == RecordState.inFlight
        var bill = Bill(record)
        if wasSent {
            var report = Report()
            let isStream = record.flags.value & RecordFlag.stream != 0
            report.flags = isStream ? Report.incomplete : Report.worst
            var worst = Report()
            worst.flags = Report.worst
            // What cannot be priced any more is settled at what was held.
            guard let estimated = estimate(record, report) ?? estimate(record, worst) else {
                return false
            }
            bill = estimated
            bill.cost = min(bill.cost, record.heldCost.value)
        }
        bill.isEstimated = true
        bill.happened = wasSent
        let settling = RecordWord.make(RecordState.settling, actor: me, gen: gen)
        guard record.word.exchange(word, for: settling).exchanged else { return false }
        var receipt = Receipt()
        finish(record, gen: gen, bill, key: 0, &receipt)
        _ = statistic(Header.estimated).add(1)
        runtime.report(
            .orphan, node: Int(truncatingIfNeeded: record.node.value & 0xFFFF_FFFF),
            session: record.node.value, amount: bill.cost, reason: .none,
            reservation: Handle.make(index: i, gen: gen))
        return true
    }
}
