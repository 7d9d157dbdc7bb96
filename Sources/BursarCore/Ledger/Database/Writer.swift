// Blocks become rows: all that are there in one transaction, which also says which
// batch was the last. So each block counts exactly once, however often it is tried.

extension Database {
    /// Takes blocks in the order of their batches: those that are there already are
    /// passed over, a gap is refused, and on any failure nothing of it happened.
    /// Returns the last batch of the last block's segment.
    ///
    /// A segment begins with batch 1, or where `begin` said. Thread: the writer's.
    @discardableResult
    func apply(_ blocks: [LedgerBlock]) throws(Failure) -> Int64 {
        guard let final = blocks.last else { return 0 }
        var batch: Int64 = 0
        try transaction { () throws(Failure) in
            for k in 0..<blocks.count {
                if k == 0 || blocks[k].segment != blocks[k - 1].segment {
                    if k > 0 { try note(blocks[k - 1].segment, batch) }
                    batch = try last(of: blocks[k].segment)
                }
                if blocks[k].batch <= batch { continue }
                guard blocks[k].batch == batch + 1 else {
                    var failure = Failure(
                        .corrupt,
                        "the ledger \(connection.path, most: 200) has batch \(Int(batch)) and was given batch \(Int(blocks[k].batch)); those between are missing")
                    failure.values = (blocks[k].batch, batch + 1)
                    throw failure
                }
                try add(blocks[k])
                batch += 1
            }
            try note(final.segment, batch)
        }
        return batch
    }

    /// The last batch that is there; 0 = none.
    func last(of segment: Int64) throws(Failure) -> Int64 {
        try connection.first(.batch, .integer(segment))?.int ?? 0
    }

    /// Makes a segment go on after `batch` in a database that has less of it: when
    /// the database was lost, or is made for a segment that lives.
    func begin(segment: Int64, after batch: Int64) throws(Failure) {
        try transaction { () throws(Failure) in
            if try last(of: segment) < batch { try note(segment, batch) }
        }
    }

    /// What waits belongs to the segment that ends here.
    private func note(_ segment: Int64, _ batch: Int64) throws(Failure) {
        try flushSums()
        try connection.run(.setBatch, .integer(segment), .integer(batch))
    }

    private func add(_ block: LedgerBlock) throws(Failure) {
        if keys.segment != block.segment {
            keys.clear()
            keys.segment = block.segment
        }
        for name in block.names { try setName(name.kind, name.number, name.name) }
        for node in block.nodes { try describe(node) }
        try add(block.steps)
        for correction in block.corrections { try correct(correction.step) }
        for spent in block.spent {
            guard let budget = try budget(spent.budget) else { continue }  // verify tells
            try connection.run(
                .addSpent, .integer(budget), try meter(spent.meter), .integer(spent.change))
        }
        for state in block.states { try set(state) }
        for event in block.events { try add(event, block.segment) }
        for outcome in block.outcomes { try add(outcome) }
    }

    // MARK: - Steps

    private func add(_ steps: [StepEntry]) throws(Failure) {
        // In the order of time, so that rows go to the end of the table.
        var order = (0..<steps.count).map { (time: steps[$0].settled, place: $0) }
        for k in 1..<max(order.count, 1) where order[k].time < order[k - 1].time {
            order.sort { $0.time < $1.time }
            break
        }
        try steps.withUnsafeBufferPointer { (steps) throws(Failure) in
            var last: Int64 = 0
            for (time, place) in order {
                let sums = try fill(steps[place])
                row[0] = max(min(time, Int64.max >> 1), last + 1)
                try insertRow()
                last = row[0]
                count(steps[place], sums)
            }
        }
    }

    /// Makes `row` the step's; returns its session's place.
    @inline(__always)
    private func fill(_ step: StepEntry) throws(Failure) -> Int {
        let place = try place(ofSession: step.session) ?? 0
        row.fill(step, session: keys.sums[place].key)
        row[10] = try name(.model, Int64(step.asked))
        row[11] = try name(.model, Int64(step.granted))
        row[12] = try name(.tool, Int64(step.tool))
        row[17] = try name(.price, step.price)
        row[32] = try name(.meter, Int64(step.meter))
        row[33] = try name(.meter, Int64(step.callMeter))
        return place
    }

    @inline(__always)
    private func count(_ step: StepEntry, _ place: Int) {
        add(
            step.steps, step.toolCalls, step.flags & StepFlag.estimated != 0 ? 1 : 0, step.input,
            step.cacheRead, step.output, step.cost, step.askedCost, to: place)
    }

    @inline(__always)
    private func add(
        _ steps: Int64, _ calls: Int64, _ estimated: Int64, _ input: Int64, _ cacheRead: Int64,
        _ output: Int64, _ cost: Int64, _ askedCost: Int64, to place: Int
    ) {
        if !keys.sums[place].waits {
            keys.sums[place].waits = true
            keys.waiting.append(place)
        }
        keys.sums[place].steps &+= steps
        keys.sums[place].toolCalls &+= calls
        keys.sums[place].estimated &+= estimated
        keys.sums[place].input = saturatingAdd(keys.sums[place].input, input)
        keys.sums[place].cacheRead = saturatingAdd(keys.sums[place].cacheRead, cacheRead)
        keys.sums[place].output = saturatingAdd(keys.sums[place].output, output)
        keys.sums[place].cost = saturatingAdd(keys.sums[place].cost, cost)
        keys.sums[place].askedCost = saturatingAdd(keys.sums[place].askedCost, askedCost)
    }

    /// A late settle: the estimate is kept aside, the row says what was used. Once:
    /// a row that is no estimate (any more) stays as it is.
    private func correct(_ step: StepEntry) throws(Failure) {
        let place = try fill(step)
        let found = try connection.statement(.estimatedStep)
        try found.bind([.integer(step.handle), .integer(keys.sums[place].key)])
        var old: [Int64] = []
        if try found.step() { old = (0..<8).map { found.int($0) } }
        found.reset()
        guard old.count == 8 else { return }
        try connection.run(
            .keepEstimate, .integer(old[0]), .integer(step.settled), .integer(step.cost))
        row[0] = old[0]
        let change = try connection.statement(.correctStep)
        row.bindAll(change.handle)
        defer { change.reset() }
        _ = try change.step()
        add(
            step.steps &- old[1], step.toolCalls &- old[2], -1, step.input &- old[3],
            step.cacheRead &- old[4], step.output &- old[5], step.cost &- old[6],
            step.askedCost &- old[7], to: place)
    }
}
