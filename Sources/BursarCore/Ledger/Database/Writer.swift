// Blocks become rows: all that are there in one transaction, which also says which
// batch was the last. So each block counts exactly once, however often it is tried.

internal import CLedger

extension Database {
    /// Takes blocks in the order of their batches: those that are there already are
    /// passed over, a gap is refused, and on any failure nothing of it happened.
    /// Returns the last batch of the last block's segment.
    ///
    /// A segment begins with batch 1, or where `begin` said. Thread: the writer's.
    @discardableResult
    func apply(_ blocks: [LedgerBlock]) throws(Failure) -> Int64 {
        var batch: Int64 = 0
        try transaction { () throws(Failure) in
            for k in 0..<blocks.count {
                let segment = blocks[k].segment
                if k == 0 || segment != blocks[k - 1].segment {
                    batch = try last(of: segment)
                    // Another writer was here: it may have given names to numbers.
                    if keys.segment == segment, keys.batch != batch { keys = Keys() }
                }
                if blocks[k].batch > batch {
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
                if k + 1 == blocks.count || segment != blocks[k + 1].segment {
                    try note(segment, batch)
                }
            }
        }
        return batch
    }

    /// The last batch that is there; 0 = none.
    func last(of segment: Int64) throws(Failure) -> Int64 {
        try connection.first(.batch, segment) ?? 0
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
        try connection.run(.setBatch, segment, batch)
        keys.batch = batch
    }

    private func add(_ block: LedgerBlock) throws(Failure) {
        if keys.segment != block.segment {
            keys = Keys()
            keys.segment = block.segment
        }
        for name in block.names { try setName(name.kind, name.number, name.name) }
        for node in block.nodes { try describe(node) }
        try add(block.steps)
        for correction in block.corrections { try correct(correction.step) }
        for spent in block.spent {
            guard let budget = try budget(spent.budget) else { continue }  // verify tells
            try connection.run(.addSpent, budget, try meter(spent.meter), spent.change)
        }
        for state in block.states { try set(state) }
        for event in block.events { try add(event, block.segment) }
        for outcome in block.outcomes { try add(outcome) }
    }

    // MARK: - Steps

    private func add(_ steps: [StepEntry]) throws(Failure) {
        let order = Database.order(steps)
        try steps.withUnsafeBufferPointer { (steps) throws(Failure) in
            var last: Int64 = 0
            for k in order {
                let place = try fill(steps[k])
                row[0] = max(min(steps[k].settled, .max >> 1), last + 1)
                try insertRow()
                last = row[0]
                let isEstimated: Int64 = steps[k].flags & StepFlag.estimated != 0 ? 1 : 0
                count(SessionSums(steps[k], estimated: isEstimated), at: place)
            }
        }
    }

    /// Places in the order of time, so that rows go to the end of the table. (Shell's
    /// sort: blocks come nearly in order, and the library's would be 4 KB of code.)
    private static func order(_ steps: [StepEntry]) -> [Int] {
        var order = [Int](repeating: 0, count: steps.count)
        for k in 0..<steps.count { order[k] = k }
        order.withUnsafeMutableBufferPointer { order in
            steps.withUnsafeBufferPointer { steps in
                var gap = 1
                while gap < steps.count / 3 { gap = gap * 3 + 1 }
                while gap > 0 {
                    for k in stride(from: gap, to: steps.count, by: 1) {
                        let moved = order[k]
                        let time = steps[moved].settled
                        var at = k
                        while at >= gap, steps[order[at - gap]].settled > time {
                            order[at] = order[at - gap]
                            at -= gap
                        }
                        order[at] = moved
                    }
                    gap /= 3
                }
            }
        }
        return order
    }

    /// Makes `row` the step's; returns its session's place.
    @inline(never)
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

    /// Adds to a session's sums, which wait.
    @inline(never)
    private func count(_ change: SessionSums, at place: Int) {
        keys.sums.withUnsafeMutableBufferPointer { $0[place].add(change) }
        if !keys.sums[place].waits {
            keys.sums[place].waits = true
            keys.waiting.append(place)
        }
    }

    /// A late settle: the estimate is kept aside, the row says what was used. Once:
    /// a row that is no estimate (any more) stays as it is.
    private func correct(_ step: StepEntry) throws(Failure) {
        let place = try fill(step)
        let found = connection[.estimatedStep]
        found.put(step.handle)
        found.put(keys.sums[place].key)
        var old: [Int64] = []
        if try found.step() { for k in 0..<8 { old.append(found.int(k)) } }
        found.reset()
        if old.isEmpty { return }
        try connection.run(.keepEstimate, old[0], step.settled, step.cost)
        row[0] = old[0]
        let change = connection[.correctStep]
        for k in 0..<32 { change.put(row[k]) }
        try change.run()
        var sums = SessionSums(step, estimated: -1)
        sums.steps &-= old[1]
        sums.toolCalls &-= old[2]
        sums.input &-= old[3]
        sums.cacheRead &-= old[4]
        sums.output &-= old[5]
        sums.cost &-= old[6]
        sums.askedCost &-= old[7]
        count(sums, at: place)
    }
}

extension SessionSums {
    @inline(__always)
    fileprivate init(_ step: StepEntry, estimated: Int64) {
        self.init(
            key: 0, steps: step.steps, toolCalls: step.toolCalls, estimated: estimated,
            input: step.input, cacheRead: step.cacheRead, output: step.output, cost: step.cost,
            askedCost: step.askedCost)
    }

    @inline(__always)
    fileprivate mutating func add(_ change: SessionSums) {
        steps &+= change.steps
        toolCalls &+= change.toolCalls
        estimated &+= change.estimated
        input = saturatingAdd(input, change.input)
        cacheRead = saturatingAdd(cacheRead, change.cacheRead)
        output = saturatingAdd(output, change.output)
        cost = saturatingAdd(cost, change.cost)
        askedCost = saturatingAdd(askedCost, change.askedCost)
    }
}
