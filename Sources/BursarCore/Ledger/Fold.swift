// The fold: settled records move into `spent` and into the ledger, and their
// places are free again. One writer at a time, whoever holds the fold lock: the
// loop on its tick, a thread that found the journal full, a reader who wants
// exact figures.
//
// Order, as in Journal.swift: claim the batch (FOLDING), write the ledger, write
// each touched cell's other slot stamped with the next batch number, advance the
// number (one store: from then on the batch counts as spent), give corrections
// back what they charged too much, free the records.

internal import CPlatform

extension Runtime {
    /// Folds everything that is settled. Waits for another folder.
    func fold() {
        folding.lock()
        defer { folding.unlock() }
        foldLocked()
    }

    /// Opens what is due and makes room: for a step that was just refused.
    func catchUp() { fold() }

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
            config.lock()
            rollDue()
            config.unlock()
        }
        var scan = Scan()
        while foldBatch(settledBy: began, &scan) {}
        reclaim()
        return scan
    }

    /// Looks at every record: what is left, and what has outlived its time.
    func scan() -> Scan {
        var scan = Scan()
        let now = clock.steady
        oldestSettled = 0
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
            if due <= now, core.expire(i, word) {
                scan.moving += 1
            } else {
                scan.nextExpiry = min(scan.nextExpiry, due)
            }
        default:
            scan.moving += 1
            if RecordWord.state(word) == RecordState.settled {
                let at = record.settledAt.value
                if oldestSettled == 0 || at < oldestSettled { oldestSettled = at }
            }
        }
        scan.used += 1
    }

    private static var batchMax: Int { 4096 }

    /// One batch; true when it left records that were settled by then. Looks at
    /// the rest on the way: every pass over the journal takes its lines from the
    /// threads that are stepping.
    private func foldBatch(settledBy began: Int64, _ scan: inout Scan) -> Bool {
        let h = core.batch.value
        let next = h + 1
        var records = batchRecords
        records.removeAll(keepingCapacity: true)
        var epoch: UInt32 = 0
        var left = false
        var seen = Scan()
        oldestSettled = 0
        // Claim. A correction waits for its original to be folded, and goes alone
        // with others of other originals.
        core.eachRecord { i, record in
            let word = record.word.loadSequential()
            guard RecordWord.state(word) == RecordState.settled,
                record.settledAt.value <= began
            else {
                look(at: record, i, word, began, &seen)
                return true
            }
            seen.used += 1
            seen.moving += 1
            if records.isEmpty {
                epoch = record.epoch.value
                batchWork.begin(meters: MeterIndex.named + 24, epoch: epoch)
            } else if record.epoch.value != epoch {
                left = true
                return true
            }
            if record.flags.value & RecordFlag.correction != 0, !mayFold(record, among: records) {
                left = true
                return true
            }
            let gen = RecordWord.gen(word)
            let claimed = RecordWord.make(RecordState.folding, actor: next & 0xFFF, gen: gen)
            // Only a folder takes a record out of SETTLED, and we hold the lock.
            if record.word.exchange(word, for: claimed).exchanged { records.append(UInt32(i)) }
            if records.count < Runtime.batchMax { return true }
            left = true
            return false
        }
        defer { batchRecords = records }
        scan = seen
        if records.isEmpty { return false }

        var run = Run()
        for i in records {
            let record = core.record(Int(i))
            if run.take(record) { continue }
            book(run)
            run = Run(record)
            if run.count == 0 { book(record, Int(i)) }
        }
        book(run)
        batchWork.spread(core)
        for entry in 0..<batchWork.count { writeCells(entry, epoch: epoch, from: h, to: next) }
        core.batch.storeReleasing(next)  // the batch is spent from here on
        for (i, differences) in corrections { giveBack(core.record(Int(i)), differences, epoch) }
        corrections.removeAll(keepingCapacity: true)

        for i in records {
            let record = core.record(Int(i))
            let gen = RecordWord.gen(record.word.value)
            core.free(Int(i), gen: gen)
        }
        settledSteps += Int64(records.count)
        folds += 1
        return left
    }

    /// A correction may be folded when its original is, and one at a time.
    private func mayFold(_ record: Record, among records: [UInt32]) -> Bool {
        let original = record.original
        guard let first = core.record(of: original) else { return true }
        let word = first.word.loadAcquiring()
        if RecordWord.gen(word) == Handle.gen(original), RecordWord.state(word) != RecordState.free {
            return false
        }
        return !records.contains {
            let other = core.record(Int($0))
            return other.flags.value & RecordFlag.correction != 0
                && other.original == original
        }
    }

    /// Plain steps of one session on one model, one after the other in the
    /// journal: an agent at work. They are booked at once.
    private struct Run {
        var count: Int64 = 0
        var node: Int64 = 0
        var asked: UInt32 = 0
        var granted: UInt32 = 0
        var cost: Int64 = 0
        var input: Int64 = 0
        var output: Int64 = 0
        var cached: Int64 = 0
        var askedCost: Int64 = 0

        init() {}

        /// Empty when the record is not plain.
        init(_ record: Record) {
            node = record.node.value
            asked = record.asked.value
            granted = record.granted.value
            _ = add(record)
        }

        @inline(__always)
        mutating func take(_ record: Record) -> Bool {
            count > 0 && record.node.value == node && record.asked.value == asked
                && record.granted.value == granted && add(record)
        }

        @inline(__always)
        private mutating func add(_ record: Record) -> Bool {
            let odd =
                RecordFlag.correction | RecordFlag.estimated | RecordFlag.more | RecordFlag.charge
                | RecordFlag.direct | RecordFlag.unsent
            if record.flags.value & odd != 0 || record.tool.value != 0 { return false }
            count &+= 1
            cost &+= record.usedCost.value
            input &+= record.usedInput.value
            output &+= record.usedOutput.value
            cached &+= record.cacheRead.value
            askedCost &+= record.askedCost.value
            return true
        }
    }

    private func book(_ run: Run) {
        if run.count == 0 { return }
        let node = UInt32(truncatingIfNeeded: run.node)
        let entry = batchWork.entry(node, depth: Int(core.node(Int(node)).depth))
        batchWork.add(entry, MeterIndex.cost, run.cost)
        batchWork.add(entry, MeterIndex.tokens, run.input &+ run.output)
        batchWork.add(entry, MeterIndex.inputTokens, run.input)
        batchWork.add(entry, MeterIndex.outputTokens, run.output)
        batchWork.add(entry, MeterIndex.freshTokens, run.input &+ run.output &- run.cached)
        batchWork.add(entry, MeterIndex.steps, run.count)
        ledger.update(spendRow(node, run.asked, run.granted).row) { row in
            row.steps += run.count
            row.input += run.input
            row.cacheRead += run.cached
            row.output += run.output
            row.cost += run.cost
            row.askedCost += run.askedCost
        }
    }

    /// The spend row of a session's steps on a pair of models, and its budget.
    private func spendRow(
        _ node: UInt32, _ asked: UInt32, _ granted: UInt32
    ) -> (row: Int, budget: Int) {
        var budget = Int(node)
        while core.node(budget).isSession { budget = Int(core.node(budget).parent.value) }
        let agent = core.node(Int(node)).agent.value
        let row = ledger.row(
            budget: core.id(of: budget), agent: agent, asked: asked, granted: granted
        ) {
            config.lock()
            defer { config.unlock() }
            slab.retain(agent)
            return (path(of: budget), slab.text(agent))
        }
        return (row, budget)
    }

    /// One record into the ledger and the sums.
    private func book(_ record: Record, _ i: Int) {
        let node = UInt32(truncatingIfNeeded: record.node.value)
        let entry = batchWork.entry(node, depth: Int(core.node(Int(node)).depth))
        let flags = record.flags.value
        if flags & RecordFlag.correction != 0 {
            correct(record, UInt32(i), entry)
            return
        }
        batchWork.take(record, into: entry)
        let (row, budget) = spendRow(node, record.asked.value, record.granted.value)
        let isEstimated = flags & RecordFlag.estimated != 0
        let used = record.used
        ledger.update(row) { row in
            row.steps += used[MeterIndex.steps]
            row.toolCalls += used[MeterIndex.toolCalls]
            row.input += used[MeterIndex.inputTokens]
            row.cacheRead += record.cacheRead.value
            row.output += used[MeterIndex.outputTokens]
            row.cost += used[MeterIndex.cost]
            row.askedCost += record.askedCost.value
            if isEstimated { row.estimated += 1 }
        }
        if isEstimated {
            let gen = RecordWord.gen(record.word.value)
            ledger.keep(
                Handle.make(index: i, gen: gen),
                EstimatedRow(
                    path: path(from: Int(node)), budget: core.id(of: budget), row: row,
                    asked: record.asked.value, granted: record.granted.value, flags: flags,
                    epoch: record.epoch.value, price: record.price.value,
                    meter: record.meters, tool: record.tool.value,
                    reserved: record.heldCost.value,
                    askedCost: record.askedCost.value, cacheRead: record.cacheRead.value,
                    settledAt: record.settledAt.value,
                    used: (0..<MeterIndex.named).map { used[$0] }, usedUnits: record.usedUnits))
        }
    }

    /// A late settle: the difference to the estimate, or nothing for a replay.
    private func correct(_ record: Record, _ i: UInt32, _ entry: Int) {
        let handle = record.original
        let row = ledger.estimate(handle)
        let isFirst = row?.isEstimated ?? false
        let used = record.used
        var differences = [Int64](repeating: 0, count: MeterIndex.end)
        if let row, isFirst {
            for m in 0..<MeterIndex.named { differences[m] = used[m] - row.used[m] }
            let meters = record.meters
            let units = record.usedUnits - row.usedUnits
            if meters & 0xFF != 0 { differences[Int(meters & 0xFF)] = units }
            if meters >> 8 != 0 {
                differences[Int((meters >> 8) & 0xFF)] += differences[MeterIndex.toolCalls]
            }
            ledger.update(row.row) { spend in
                spend.steps += differences[MeterIndex.steps]
                spend.toolCalls += differences[MeterIndex.toolCalls]
                spend.input += differences[MeterIndex.inputTokens]
                spend.output += differences[MeterIndex.outputTokens]
                spend.cost += differences[MeterIndex.cost]
                spend.cacheRead += record.cacheRead.value - row.cacheRead
                spend.askedCost += record.askedCost.value - row.askedCost
                spend.estimated -= 1
            }
            ledger.correct(handle, by: record)
            lowerBases(record, row, differences)
        }
        for m in 0..<MeterIndex.end { batchWork.add(entry, m, differences[m]) }
        corrections.append((i, differences))
        if isFirst {
            var event = Event(type: .late)
            event.session = row?.path.first ?? 0
            event.id = record.node.value
            event.reservation = handle
            event.amount = differences[MeterIndex.cost]
            config.lock()
            event.path = path(of: Int(record.node.value & 0xFFFF_FFFF))
            config.unlock()
            send(event)
        }
    }

    /// A step that settled before a window started and turns out cheaper: what it
    /// gives back belongs to the former window, so the base falls with it, the
    /// ceiling first.
    private func lowerBases(_ record: Record, _ row: EstimatedRow, _ differences: [Int64]) {
        config.lock()
        defer { config.unlock() }
        let steady = clock.steady
        let settledUnix = clock.unix - (steady - row.settledAt)
        eachUp(Int(record.node.value & 0xFFFF_FFFF)) { i in
            eachLimit(i) { _, limit in
                guard limit.countsAmounts, differences[limit.meter] < 0 else { return }
                lowerBase(limit, by: differences[limit.meter], settledUnix: settledUnix)
            }
        }
    }

    /// What a correction charged and is not spent: used - difference.
    private func giveBack(_ record: Record, _ differences: [Int64], _ epoch: UInt32) {
        let used = record.used
        var i = Int(record.node.value & 0xFFFF_FFFF)
        while true {
            let node = core.node(i)
            var c = Int(node.firstCell.loadAcquiring())
            while c != 0 {
                let cell = core.cell(c)
                let surplus = used[cell.meter] &- differences[cell.meter]
                if surplus != 0, cell.kind.value >> 5 <= epoch { cell.committed.subtract(surplus) }
                c = Int(cell.next.value)
            }
            if i == 0 { return }
            i = Int(node.parent.value)
        }
    }

    private func writeCells(_ entry: Int, epoch: UInt32, from h: Int64, to next: Int64) {
        let node = core.node(Int(batchWork.node(entry)))
        var c = Int(node.firstCell.loadAcquiring())
        while c != 0 {
            let cell = core.cell(c)
            let sum = batchWork.sum(entry: entry, cell.meter)
            if sum != 0, cell.kind.value >> 5 <= epoch {
                let current = cell.slot(at: h)
                let other = current ^ 1
                cell.spent(other).value = cell.spent(current).value &+ sum
                cell.stamp(other).storeReleasing(next)
            }
            c = Int(cell.next.value)
        }
        node.steps.value &+= batchWork.sum(entry: entry, MeterIndex.steps)
        node.toolCalls.add(UInt32(truncatingIfNeeded: batchWork.sum(entry: entry, MeterIndex.toolCalls)))
        node.input.value &+= batchWork.sum(entry: entry, MeterIndex.inputTokens)
        node.output.value &+= batchWork.sum(entry: entry, MeterIndex.outputTokens)
    }

    /// A node and all that is above it.
    private func path(from i: Int) -> [Int64] {
        var path: [Int64] = []
        var i = i
        while i != 0 {
            path.append(core.id(of: i))
            i = Int(core.node(i).parent.value)
        }
        return path
    }

    /// Claims a record for what has happened to the first of these nodes that is
    /// still there; for none (0) when all are gone. A node that was closed may be
    /// freed at any time, but not under this lock, nor while a record is claimed.
    func claimForced(for path: [Int64]) -> (index: Int, gen: Int64, id: Int64)? {
        config.lock()
        defer { config.unlock() }
        guard let (i, gen) = core.claimForced() else { return nil }
        for id in path where core.index(of: id) != nil { return (i, gen, id) }
        return (i, gen, 0)
    }

    /// The row that a late settle corrects, whatever became of its record.
    func estimatedRow(_ handle: Int64) -> EstimatedRow? {
        folding.lock()
        defer { folding.unlock() }
        return ledger.estimate(handle)
    }
}
