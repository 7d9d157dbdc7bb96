// Whether the counters are what the journal and `spent` say they are, and the ledger's
// totals what its steps add up to.

internal import CLedger

extension Runtime {
    /// The header's bursar_verify(). Only right when no other call is running.
    public func verify() -> Failure? {
        if let failure = verifyCounters() { return failure }
        return attachment.place == nil ? nil : verifyLedger()
    }

    /// Of a home: the database's totals, computed again from its steps, and beside them
    /// those of the segment's budgets, at the same batch.
    private func verifyLedger() -> Failure? {
        do throws(Failure) {
            let counted: Figures
            let connection: Connection
            do {
                guard folding.lock(for: SharedLock.most) else { return stuck("ledger") }
                defer { folding.unlock() }
                foldLocked()
                counted = try figures()
                connection = try ledger(through: core.batch.loadAcquiring())
                // From here on it stays as it is for this connection.
                try connection.run(.beginReading)
                _ = try connection.first(.segmentCount)
            }
            if let found = try connection.verify().first { return found.failure }
            // A budget that an earlier segment had is counted from where that one ended.
            if try connection.first(.segmentCount) != 1 { return nil }
            return try compare(counted, connection)
        } catch {
            return error
        }
    }

    /// Cost, input, output, steps and tool calls of each budget, one after the other.
    private struct Figures {
        var places = KeyMap()
        var values: [Int64] = []
    }

    /// Fold lock held.
    private func figures() throws(Failure) -> Figures {
        try configuring { () throws(Failure) in
            var figures = Figures()
            let h = core.batch.value
            for i in 1..<max(nodesEnd, 1) {
                let node = core.node(i)
                if node.state.value & StateBit.free != 0 || node.generation == 0 || node.isSession {
                    continue
                }
                guard let cell = core.cell(of: MeterIndex.cost, at: i) else { continue }
                figures.places.set(core.id(of: i), Int64(figures.values.count))
                for value in [
                    cell.spent(cell.slot(at: h)).value, node.input.value, node.output.value,
                    node.steps.value, Int64(node.toolCalls.value),
                ] { figures.values.append(value) }
            }
            return figures
        }
    }

    private func compare(
        _ counted: Figures, _ connection: Connection
    ) throws(Failure) -> Failure? {
        let rows = connection[.spentOfNodes]
        defer { rows.reset() }
        rows.put(core.statistic(Header.segmentID).value)
        while try rows.step() {
            guard let place = counted.places[rows.int(0)] else { continue }
            let here = counted.values[Int(place + rows.int(3))]
            if here == rows.int(4) { continue }
            let found = LedgerDifference(
                name: rows.bytes(1), meter: rows.bytes(2), stored: rows.int(4), computed: here)
            var failure = found.failure
            failure.id = rows.int(0)
            return failure
        }
        return nil
    }

    /// committed = spent + held + settled and not folded, for every cell.
    private func verifyCounters() -> Failure? {
        guard folding.lock(for: SharedLock.most) else { return stuck("ledger") }
        defer { folding.unlock() }
        guard config.lock(for: SharedLock.most) else { return stuck("configuration") }
        defer { config.unlock() }
        if core.life.value != 0 { return Failure(.closed, "the runtime was closed") }
        // What the journal counts, by cell.
        var counted = KeyMap()
        let h = core.batch.loadAcquiring()
        var failure: Failure?
        core.eachRecord { _, record in
            let word = record.word.loadAcquiring()
            if RecordWord.state(word) > RecordState.releasing {
                failure = Failure(.corrupt, "a record is in a state that there is not")
            }
            guard let amounts = core.counts(record, word, at: h)?.least,
                let leaf = core.leaf(of: record)
            else { return true }
            core.eachAbove(leaf) { i in
                var c = core.node(i).firstCell.value
                var steps = Steps()
                while c != 0, steps.goOn() {
                    let cell = core.cell(Int(c))
                    if cell.kind.value >> 5 <= record.epoch.value {
                        counted.set(Int64(c), (counted[Int64(c)] ?? 0) &+ amounts[cell.meter])
                    }
                    c = cell.next.value
                }
            }
            return true
        }
        if failure != nil { return failure }
        for i in 1..<max(nodesEnd, 1) {
            let node = core.node(i)
            if node.state.value & StateBit.free != 0 || node.generation == 0 { continue }
            var steps = Steps()
            var c = node.firstCell.value
            while c != 0, steps.goOn() {
                let cell = core.cell(Int(c))
                let expected = cell.spent(cell.slot(at: h)).value &+ (counted[Int64(c)] ?? 0)
                if cell.committed.value != expected {
                    var failure = Failure(
                        .corrupt,
                        "a meter's committed amount is not spent + held + settled: a bug, please report it"
                    )
                    failure.id = core.id(of: i)
                    failure.values = (cell.committed.value, expected)
                    return failure
                }
                c = cell.next.value
            }
        }
        return nil
    }

    /// What must hold when nobody is in the middle of anything and the dead are
    /// recovered, counted and folded: nil, or what does not. For tests.
    func checkAtRest() -> Failure? {
        // I2, I3: the counters are exact, and nothing is left to count again.
        if let failure = verifyCounters() { return failure }
        let h = core.batch.loadAcquiring()
        var failure: Failure?
        func found(_ what: Sentence, _ a: Int64, _ b: Int64) {
            if failure != nil { return }
            failure = Failure(.corrupt, what)
            failure?.values = (a, b)
        }
        // I5: every operation has ended. I6: one correction of an estimate at a time.
        core.eachRecord { i, record in
            let word = record.word.loadAcquiring()
            if Core.isTransitional(word) {
                found("an operation has not ended", Int64(i), RecordWord.state(word))
            }
            if RecordWord.state(word) == RecordState.folding {
                found("a batch has not ended", Int64(i), RecordWord.actor(word))
            }
            if word != 0, RecordWord.state(word) != RecordState.free, core.leaf(of: record) == nil {
                found("a record names no session", Int64(i), record.node.value)
            }
            return true
        }
        for i in 0..<nodesEnd {
            let node = core.node(i)
            if node.state.value & StateBit.free != 0 { continue }
            if node.dirty.value != node.clean.value {
                found("a node is dirty", Int64(i), Int64(node.dirty.value))
            }
            if node.state.value & StateBit.recount != 0 { found("a hint stayed", Int64(i), 0) }
            var c = Int(node.firstCell.value)
            var steps = Steps()
            while c != 0, steps.goOn() {
                let cell = core.cell(c)
                // I4: nothing is spent that is not in a batch that ended.
                let stamp = max(cell.stamp(0).value, cell.stamp(1).value)
                if stamp > h { found("a cell is ahead of its batch", stamp, h) }
                // I2 at every ceiling that nothing forced: see `Header.overrun`.
                c = Int(cell.next.value)
            }
        }
        if foldLog.stamp.value > h { found("figures are ahead of their batch", foldLog.stamp.value, h) }
        do throws(Failure) {
            let last = try ledger.last(from: h)
            if last != h { found("the ledger is not at the header's batch", last, h) }
        } catch {
            return error
        }
        return failure
    }
}
