// Counting a node again: what dead operations left on its counters is taken off.
//
//   excess = committed - spent - sum of the most that each record can have put there
//
// read at one instant of an unchanged journal: every word is read before
// `committed` and again after it, with the body between, and the batch number
// stayed. Live operations do not change the excess, so taking it off is right
// however much later it happens, and nothing is closed or swapped meanwhile. A
// live operation in the middle counts with the most that it can have put there, so
// a stopped process only hides its own amount; the node stays dirty until nothing
// that passes it is in the middle. One recounter at a time: the config lock, which
// also keeps nodes and cells where they are.
//
// Under load nothing holds still for two looks: then a hint in the node's state
// asks steps to wait for 50 microseconds. Nothing rests on it.

internal import CPlatform

extension Core {
    /// A step that came upon the hint: waits a little for the recounter.
    @inline(never)
    func waitForRecount(_ i: Int) {
        let start = engine.pointee.clock.steady
        while node(i).state.value & StateBit.recount != 0,
            engine.pointee.clock.steady &- start < 50_000
        {
            for _ in 0..<16 { bursar__cpu_relax() }
        }
    }
}

/// One try at a node: what its cells hold too much, and what they lack.
struct Tally {
    var h: Int64 = 0
    var cells: [Int] = []
    var committed: [Int64] = []
    var spent: [Int64] = []
    var least: [Int64] = []
    var most: [Int64] = []
    /// Nobody who passes the node was in the middle of anything.
    var isExact = true
    var words: [Int64] = []
}

extension Runtime {
    /// Tries at one node in one call, and how many before the hint is set.
    private static var tries: Int { 24 }
    private static var patience: Int { 4 }

    /// Nodes that were used at some time.
    var nodesEnd: Int { Int(segment.freeNodes.highWater) }

    /// Counts the dirty nodes. How many are still dirty: somebody is in the middle
    /// of something there, or the load let no look succeed. Takes the config lock.
    @discardableResult
    func recount() -> Int {
        let seen = core.statistic(Header.dirtSeen)
        let dirt = core.statistic(Header.dirt)
        if dirt.loadAcquiring() == seen.value { return 0 }
        guard config.tryLock(for: SharedLock.patience) else { return 1 }
        defer { config.unlock() }
        if core.life.value != 0 { return 0 }
        let marks = dirt.loadSequential()
        var tally = Tally()
        var left = 0
        for i in 0..<nodesEnd {
            let node = core.node(i)
            let mark = node.dirty.loadAcquiring()
            if mark == node.clean.value { continue }
            // What was freed meanwhile has no counters any more.
            if i != 0, node.state.value & StateBit.free != 0 {
                node.clean.value = mark
                continue
            }
            if !recount(i, mark, &tally) { left += 1 }
        }
        if left == 0 { seen.value = marks }
        return left
    }

    /// Counts one node. Whether it is clean now. Config lock held.
    private func recount(_ i: Int, _ mark: UInt32, _ tally: inout Tally) -> Bool {
        let node = core.node(i)
        defer { node.state.update(clearing: StateBit.recount) }
        for k in 0..<Runtime.tries {
            if k == Runtime.patience { node.state.update(setting: StateBit.recount) }
            if look(at: i, &tally) {
                correct(tally)
                if tally.isExact { node.clean.value = mark }
                return tally.isExact
            }
            _ = core.statistic(Header.recountRetries).add(1)
        }
        return false
    }

    /// The two looks; false when something moved between them.
    private func look(at n: Int, _ tally: inout Tally) -> Bool {
        let h = core.batch.loadAcquiring()
        tally.h = h
        tally.cells.removeAll(keepingCapacity: true)
        tally.committed.removeAll(keepingCapacity: true)
        tally.spent.removeAll(keepingCapacity: true)
        tally.least.removeAll(keepingCapacity: true)
        tally.most.removeAll(keepingCapacity: true)
        tally.words.removeAll(keepingCapacity: true)
        tally.isExact = true
        var c = Int(core.node(n).firstCell.loadAcquiring())
        while c != 0, c < Int(segment.places.cellsMax), tally.cells.count < 64 {
            let cell = core.cell(c)
            tally.cells.append(c)
            tally.spent.append(cell.spent(cell.slot(at: h)).value)
            tally.least.append(0)
            tally.most.append(0)
            c = Int(cell.next.value)
        }
        let highWater = core.highWater.loadAcquiring()
        let forced = core.forcedHighWater.loadAcquiring()
        core.eachRecord { _, record in
            tally.words.append(record.word.loadAcquiring())
            return true
        }
        acquireFence()
        for c in tally.cells { tally.committed.append(core.cell(c).committed.loadAcquiring()) }
        acquireFence()
        var at = 0
        var moved = false
        core.eachRecord { _, record in
            guard at < tally.words.count else {
                moved = true
                return false
            }
            let before = tally.words[at]
            at += 1
            // The body after the counters: what had been charged by then names the node.
            let passes = core.passes(record, n)
            let counted = passes ? core.counts(record, before, at: h) : nil
            let epoch = record.epoch.value
            acquireFence()
            #if BURSAR_SEAM
            let seen = record.word.loadAcquiring()
            let isSame = RecordWord.state(seen) == RecordWord.state(before)
            let word = Plant.looksOnce.isOn || Plant.comparesStates.isOn && isSame ? before : seen
            #else
            let word = record.word.loadAcquiring()
            #endif
            if word != before {
                // Another step's business, all the time: its generation stayed.
                if !passes, RecordWord.gen(word) == RecordWord.gen(before) { return true }
                moved = true
                return false
            }
            guard let counted else { return true }
            if Core.isTransitional(word) { tally.isExact = false }
            for k in 0..<tally.cells.count {
                let cell = core.cell(tally.cells[k])
                let kind = cell.kind.value
                guard kind >> 5 <= epoch else { continue }
                tally.least[k] &+= counted.least[Int(kind & 31)]
                tally.most[k] &+= counted.most[Int(kind & 31)]
            }
            return true
        }
        #if BURSAR_SEAM
        if Plant.bodiesFirst.isOn {
            for k in tally.cells.indices {
                tally.committed[k] = core.cell(tally.cells[k]).committed.loadAcquiring()
            }
        }
        if Plant.recountTrustsBatch.isOn { return !moved }
        #endif
        // A record used for the first time since then was not looked at twice.
        if moved || at != tally.words.count || core.highWater.loadAcquiring() != highWater
            || core.forcedHighWater.loadAcquiring() != forced
        {
            return false
        }
        return core.batch.loadAcquiring() == h
    }

    /// Takes the excess off. What is missing cannot be: it is added, and told.
    private func correct(_ tally: Tally) {
        for k in 0..<tally.cells.count {
            let cell = core.cell(tally.cells[k])
            let known = tally.committed[k] &- tally.spent[k]
            let excess = known &- tally.most[k]
            let missing = tally.least[k] &- known
            _ = core.statistic(Header.recounts).add(1)
            #if BURSAR_SEAM
            if Plant.storesSum.isOn {
                cell.committed.value = tally.spent[k] &+ tally.most[k]
                continue
            }
            #endif
            if excess > 0 {
                sequentialFence()
                cell.committed.subtract(excess)
                if cell.meter == MeterIndex.cost {
                    _ = core.statistic(Header.recountLowered).add(excess)
                }
            } else if missing > 0 {
                _ = cell.committed.add(missing)
                reportCorrupt("a counter was below what is spent and held")
            }
        }
    }
}
