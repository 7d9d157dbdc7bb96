// What is settled and not folded yet, found by a scan: refusals and reads know
// what is settled by now without waiting for whoever folds.

internal import CPlatform

extension Core {
    /// Calls `body` with every record that is settled, not folded at batch `h`, and
    /// whose path passes `n`, and with what it will add to `spent`.
    private func eachUnfolded(below n: Int, at h: Int64, _ body: (Record, borrowing Amounts) -> Void) {
        eachRecord { _, record in
            let word = record.word.loadAcquiring()
            switch RecordWord.state(word) {
            case RecordState.adjusting, RecordState.settled: break
            case RecordState.folding where RecordWord.actor(word) == (h &+ 1) & 0xFFF: break
            default: return true
            }
            if n == 0 || passes(record, n) {
                let used = record.isCorrection ? difference(record, word) : record.used
                acquireFence()
                // Freed since: then the batch moved, and all is read again.
                if RecordWord.gen(record.word.loadAcquiring()) == RecordWord.gen(word) {
                    body(record, used)
                }
            }
            return true
        }
    }

    /// What a correction will change.
    private func difference(_ record: Record, _ word: Int64) -> Amounts {
        let original = record.original
        let used = record.used
        // Its original waits for the same or an earlier batch, or is in the ledger.
        if let first = self.record(of: original), !first.isCorrection {
            let estimate = first.used
            let flags = first.flags.value
            let state = RecordWord.state(first.word.loadAcquiring())
            acquireFence()
            if RecordWord.gen(first.word.loadAcquiring()) == Handle.gen(original) {
                let isSettled = state >= RecordState.adjusting && state <= RecordState.folding
                return isSettled && flags & RecordFlag.estimated != 0
                    ? used.minus(estimate) : used.minus(used)
            }
        }
        let row = runtime.ledger.estimate(original)
        if let row, row.isEstimated { return used.minus(row.amounts(named: record.meters)) }
        // The ledger has it, the header not yet: then the record says it.
        return RecordWord.state(word) == RecordState.folding ? record.delta : used.minus(used)
    }

    /// How often a reader starts again because a batch ended meanwhile.
    private static var readsMax: Int { 100 }
    /// So often at once; then it sleeps before each, 100 microseconds: 10 ms in all at most.
    private static var readsAtOnce: Int { 10 }
    private static var readsPause: Int64 { 100_000 }

    /// What a cell's node has settled of its meter by now.
    func settledNow(_ i: Int, _ cell: Cell) -> Int64 {
        let kind = cell.kind.value
        var sum: Int64 = 0
        for _ in 0..<Core.readsMax {
            let h = batch.loadAcquiring()
            sum = cell.spent(cell.slot(at: h)).value
            eachUnfolded(below: i, at: h) { record, used in
                if kind >> 5 <= record.epoch.value { sum = saturatingAdd(sum, used[Int(kind & 31)]) }
            }
            acquireFence()
            if batch.loadAcquiring() == h { break }
        }
        return sum
    }

    /// A node's own figures, as of the last fold.
    struct Figures {
        var steps: Int64 = 0
        var toolCalls: Int64 = 0
        var input: Int64 = 0
        var output: Int64 = 0
        /// Settled and not folded.
        var unfoldedCost: Int64 = 0
    }

    func figures(_ i: Int) -> Figures {
        let node = self.node(i)
        return Figures(
            steps: node.steps.value, toolCalls: Int64(node.toolCalls.value), input: node.input.value,
            output: node.output.value)
    }

    /// The same with what is not folded.
    func figuresNow(_ i: Int, _ log: FoldLog) -> Figures {
        var figures = Figures()
        for k in 0..<Core.readsMax {
            // Who folds may have lost its processor between two stores: it may be this one.
            if k > Core.readsAtOnce { bursar__sleep(Core.readsPause) }
            let h = batch.loadAcquiring()
            // A batch whose figures stand already and whose number does not: soon over.
            let isBetween = log.stamp.loadAcquiring() > h
            figures = self.figures(i)
            eachUnfolded(below: i, at: h) { _, used in
                figures.steps &+= used[MeterIndex.steps]
                figures.toolCalls &+= used[MeterIndex.toolCalls]
                figures.input &+= used[MeterIndex.inputTokens]
                figures.output &+= used[MeterIndex.outputTokens]
                figures.unfoldedCost = saturatingAdd(figures.unfoldedCost, used[MeterIndex.cost])
            }
            acquireFence()
            if !isBetween, log.stamp.loadAcquiring() <= h, batch.loadAcquiring() == h { break }
        }
        return figures
    }
}
