// What a batch brings, added up: by node for the cells, by workflow, agent and
// models for the ledger. The first from the records alone, so that whoever takes
// over a batch comes to the same sums.

/// The rows of one batch, as they are put together.
struct BatchRows {
    var batch = LedgerBatch()
    /// Corrections of estimates: session, handle, what it changes.
    var corrected: [(id: Int64, handle: Int64, amount: Int64)] = []
    private var keys: [(budget: Int64, agent: UInt32, asked: UInt32, granted: UInt32)] = []
    private var byHash = KeyMap()

    init(_ number: Int64) { batch.number = number }

    private static func mix(
        _ budget: Int64, _ agent: UInt32, _ asked: UInt32, _ granted: UInt32
    ) -> UInt64 {
        var h = UInt64(bitPattern: budget) &* 0x9E37_79B9_7F4A_7C15
        h = (h ^ (h >> 29) ^ UInt64(agent)) &* 0xBF58_476D_1CE4_E5B9
        h = (h ^ (h >> 32) ^ (UInt64(asked) << 32 | UInt64(granted))) &* 0x94D0_49BB_1331_11EB
        return h ^ (h >> 31)
    }

    /// The row of a key; `describe` gives path and agent of a new one.
    mutating func row(
        _ budget: Int64, _ agent: UInt32, _ asked: UInt32, _ granted: UInt32,
        describe: () -> (path: [UInt8], agent: [UInt8])
    ) -> Int {
        var h = Int64(BatchRows.mix(budget, agent, asked, granted) >> 1)
        while let found = byHash[h] {
            let i = Int(found)
            let k = keys[i]
            if k.budget == budget, k.agent == agent, k.asked == asked, k.granted == granted {
                return i
            }
            h = (h &+ 1) & .max
        }
        var row = SpendRow()
        (row.path, row.agent) = describe()
        row.budget = budget
        row.asked = Int32(bitPattern: asked)
        row.granted = Int32(bitPattern: granted)
        byHash.set(h, Int64(keys.count))
        keys.append((budget, agent, asked, granted))
        batch.rows.append(row)
        return keys.count - 1
    }
}

/// Plain steps of one session on one model, one after the other in the journal: an
/// agent at work. They are booked at once.
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
        askedCost &+= record.askedCost
        return true
    }
}

extension Runtime {
    /// Adds up a batch's records: by node, and into `rows` when there are some to fill;
    /// then each goes into the block too.
    func account(_ records: [UInt32], _ rows: inout BatchRows?) {
        let block = rows == nil ? nil : ledger.block
        var run = Run()
        block?.open(.steps)
        for i in records {
            let record = core.record(Int(i))
            if let block, !record.isCorrection {
                let gen = RecordWord.gen(record.word.value)
                block.put(record, handle: Handle.make(index: Int(i), gen: gen))
                // A run's other names are those of its first.
                names.note(.price, record.price.value & Record.priceNumber)
            }
            if run.take(record) { continue }
            book(run, &rows)
            if block != nil { names.note(record) }
            run = Run(record)
            if run.count == 0 { book(record, Int(i), &rows) }
        }
        book(run, &rows)
        block?.close()
        foldSums.spread(core)
    }

    private func book(_ run: Run, _ rows: inout BatchRows?) {
        if run.count == 0 { return }
        let node = UInt32(truncatingIfNeeded: run.node)
        let entry = foldSums.entry(node, depth: Int(core.node(Int(node)).depth))
        foldSums.add(entry, MeterIndex.cost, run.cost)
        foldSums.add(entry, MeterIndex.tokens, run.input &+ run.output)
        foldSums.add(entry, MeterIndex.inputTokens, run.input)
        foldSums.add(entry, MeterIndex.outputTokens, run.output)
        foldSums.add(entry, MeterIndex.freshTokens, run.input &+ run.output &- run.cached)
        foldSums.add(entry, MeterIndex.steps, run.count)
        guard rows != nil else { return }
        let k = row(node, run.asked, run.granted, &rows)
        rows?.batch.rows[k].steps &+= run.count
        rows?.batch.rows[k].input &+= run.input
        rows?.batch.rows[k].cacheRead &+= run.cached
        rows?.batch.rows[k].output &+= run.output
        rows?.batch.rows[k].cost &+= run.cost
        rows?.batch.rows[k].askedCost &+= run.askedCost
    }

    /// The spend row of a session's steps on a pair of models.
    private func row(
        _ node: UInt32, _ asked: UInt32, _ granted: UInt32, _ rows: inout BatchRows?
    ) -> Int {
        var budget = Int(node)
        var steps = Steps()
        while budget != 0, core.node(budget).isSession, steps.goOn() {
            budget = Int(core.node(budget).parent.value)
        }
        let agent = core.node(Int(node)).agent.value
        return rows?.row(core.id(of: budget), agent, asked, granted) {
            // Without the config lock: what a record names stays, and keeps its names.
            (path(of: budget), slab.text(agent))
        } ?? 0
    }

    /// One record that is not plain.
    private func book(_ record: Record, _ i: Int, _ rows: inout BatchRows?) {
        let node = UInt32(truncatingIfNeeded: record.node.value)
        let entry = foldSums.entry(node, depth: Int(core.node(Int(node)).depth))
        if record.isCorrection {
            correct(record, entry, &rows)
            return
        }
        foldSums.take(record, into: entry)
        guard rows != nil else { return }
        let k = row(node, record.asked.value, record.granted.value, &rows)
        let isEstimated = record.flags.value & RecordFlag.estimated != 0
        let used = record.used
        rows?.batch.rows[k].steps &+= used[MeterIndex.steps]
        rows?.batch.rows[k].toolCalls &+= used[MeterIndex.toolCalls]
        rows?.batch.rows[k].input &+= used[MeterIndex.inputTokens]
        rows?.batch.rows[k].cacheRead &+= record.cacheRead.value
        rows?.batch.rows[k].output &+= used[MeterIndex.outputTokens]
        rows?.batch.rows[k].cost &+= used[MeterIndex.cost]
        rows?.batch.rows[k].askedCost &+= record.askedCost
        guard isEstimated else { return }
        rows?.batch.rows[k].estimated &+= 1
        var estimate = EstimatedRow(record, path: path(from: Int(node)), used: used, clock)
        estimate.row = k
        let handle = Handle.make(index: i, gen: RecordWord.gen(record.word.value))
        rows?.batch.estimates.append((handle, estimate))
    }

    /// A late settle: its difference to the estimate, as F3 wrote it down.
    private func correct(_ record: Record, _ entry: Int, _ rows: inout BatchRows?) {
        let delta = record.delta
        foldSums.take(delta, into: entry)
        guard rows != nil, let first = ledger.estimate(record.original), first.isEstimated else { return }
        let used = record.used
        var correction = Correction()
        correction.handle = record.original
        correction.used = (0..<MeterIndex.named).map { used[$0] }
        correction.usedUnits = record.usedUnits
        correction.askedCost = record.askedCost
        correction.cacheRead = record.cacheRead.value
        correction.reasoning = record.reasoning.value
        correction.rare = record.rare
        rows?.batch.corrections.append(correction)
        ledger.block?.put(record, handle: record.original, session: first.path.first ?? 0)
        rows?.corrected.append((record.node.value, record.original, delta[MeterIndex.cost]))
    }

    /// A node and all that is above it.
    func path(from i: Int) -> [Int64] {
        var path: [Int64] = []
        var i = i
        var steps = Steps()
        while i != 0, steps.goOn() {
            path.append(core.id(of: i))
            i = Int(core.node(i).parent.value)
        }
        return path
    }
}
