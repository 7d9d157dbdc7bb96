// The ledger: what was spent, by workflow, agent and models, and the steps that
// were settled at an estimate and may yet be corrected. Batches go in whole, in
// the order of their numbers, written by whoever holds the fold lock; every process
// keeps these sums of its own and catches up by reading from where it stood.
//
// A private runtime's lives in memory only; a home's batches go into blocks of its
// outbox (Outbox.swift), which say more than these sums.

/// Spend of one workflow, agent and pair of models.
public struct SpendRow {
    public var path: [UInt8] = []
    public var agent: [UInt8] = []
    public var asked: Int32 = 0
    public var granted: Int32 = 0
    public var steps: Int64 = 0
    public var toolCalls: Int64 = 0
    public var input: Int64 = 0
    public var cacheRead: Int64 = 0
    public var output: Int64 = 0
    public var cost: Int64 = 0
    public var askedCost: Int64 = 0
    public var estimated: Int64 = 0
    /// The budget's id: a budget that was removed and declared again has a row anew.
    var budget: Int64 = 0
    public init() {}

    fileprivate mutating func add(_ more: SpendRow) {
        steps &+= more.steps
        toolCalls &+= more.toolCalls
        input &+= more.input
        cacheRead &+= more.cacheRead
        output &+= more.output
        cost &+= more.cost
        askedCost &+= more.askedCost
        estimated &+= more.estimated
    }

    fileprivate func isSame(_ other: SpendRow) -> Bool {
        budget == other.budget && asked == other.asked && granted == other.granted
            && agent == other.agent
    }

    fileprivate var hash: UInt64 {
        var h = UInt64(bitPattern: budget) &* 0x9E37_79B9_7F4A_7C15
        h = (h ^ (h >> 32) ^ (UInt64(UInt32(bitPattern: asked)) << 32 | UInt64(UInt32(bitPattern: granted))))
            &* 0x94D0_49BB_1331_11EB
        for byte in agent { h = (h ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return h ^ (h >> 31)
    }
}

/// A step that was settled at an estimate: what a late settle needs.
struct EstimatedRow {
    /// The session and all that is above it: a late settle may come when it is gone.
    var path: [Int64] = []
    /// Of the batch's rows, then of the ledger's.
    var row = 0
    var asked: UInt32 = 0, granted: UInt32 = 0
    var flags: UInt32 = 0
    var epoch: UInt32 = 0
    var price: UInt32 = 0
    var meter: UInt32 = 0
    var tool: UInt32 = 0
    var reserved: Int64 = 0
    var askedCost: Int64 = 0
    var cacheRead: Int64 = 0
    /// Unix ns, as the clock went when it was folded: steady time stands while the machine sleeps.
    var settledAt: Int64 = 0
    var used: [Int64] = []
    var usedUnits: Int64 = 0
    var reasoning: Int64 = 0
    /// As a record's.
    var rare: Int64 = 0
    var isEstimated = true

    init() {}

    /// What a record says that is settled, or about to be, at an estimate.
    init(_ record: Record, path: [Int64], used: Amounts, _ clock: Clock) {
        self.path = path
        asked = record.asked.value
        granted = record.granted.value
        flags = record.flags.value
        epoch = record.epoch.value
        price = record.price.value
        meter = record.meters
        tool = record.tool.value
        reserved = record.heldCost.value
        askedCost = record.askedCost
        cacheRead = record.cacheRead.value
        settledAt = clock.unix &- (clock.steady &- record.settledAt.value)
        self.used = (0..<MeterIndex.named).map { used[$0] }
        usedUnits = used.units
        reasoning = record.reasoning.value
        rare = record.rare
    }

    /// Writes into a correction's record what the step's own had said. What it
    /// holds is the estimate, so that a report which knows nothing better keeps it.
    func restore(_ record: Record, node: Int64) {
        record.node.value = node
        record.asked.value = asked
        record.granted.value = granted
        record.flags.value = flags & ~(RecordFlag.stream | RecordFlag.more | RecordFlag.detail)
        record.price.value = price
        record.tool.value = tool
        record.heldCost.value = used[MeterIndex.cost]
        record.heldInput.value = used[MeterIndex.inputTokens]
        record.heldOutput.value = used[MeterIndex.outputTokens]
        record.reservedAt.value = 0
        record.streamed.value = 0
        record.addMore()
        record.meterWord.value = meter
        record.unitsWord.value = usedUnits
    }

    /// Whether a bill is the one that the row was corrected to.
    func says(_ bill: Bill, _ report: UnsafePointer<Report>) -> Bool {
        bill.cost == used[MeterIndex.cost] && bill.input == used[MeterIndex.inputTokens]
            && bill.output == used[MeterIndex.outputTokens] && bill.cacheRead == cacheRead
            && bill.units == usedUnits && bill.reasoning == reasoning
            && bill.rareMixed(report) == rare
    }

    /// What was estimated, as a correction's record counts it.
    func amounts(named meters: UInt32) -> Amounts {
        let input = used[MeterIndex.inputTokens]
        let output = used[MeterIndex.outputTokens]
        return Amounts(
            cost: used[MeterIndex.cost], input: input, output: output, cached: cacheRead,
            steps: used[MeterIndex.steps], calls: used[MeterIndex.toolCalls], inFlight: 0,
            meters: meters, units: usedUnits)
    }
}

/// What a late settle said of an estimated step.
struct Correction {
    var handle: Int64 = 0
    var used: [Int64] = []
    var usedUnits: Int64 = 0
    var askedCost: Int64 = 0
    var cacheRead: Int64 = 0
    var reasoning: Int64 = 0
    var rare: Int64 = 0
}

/// All that one batch brings, in one piece.
struct LedgerBatch {
    var number: Int64 = 0
    var rows: [SpendRow] = []
    var estimates: [(handle: Int64, row: EstimatedRow)] = []
    var corrections: [Correction] = []
    var count: Int { rows.count + estimates.count + corrections.count }
}

final class Ledger: @unchecked Sendable {  // Sendable because of `lock`.
    private enum Backend {
        case memory
        case file(Outbox)
    }

    private let lock = Lock()
    // Guarded by lock.
    private var backend: Backend
    private var rows: [SpendRow] = []
    private var byHash = KeyMap()
    private var estimated: [Int64: EstimatedRow] = [:]
    private var order: [Int64] = []  // of `estimated`, oldest first
    private var orderHead = 0
    /// The last batch that it has.
    private var batch: Int64 = 0
    private static let estimatedMax = 65_536
    /// What is of no row of these is of one that names nothing. For tests to lower.
    var rowsMax = 65_536
    private let segment: Int64
    /// What the folder puts the next batch into; nil in memory. Fold lock.
    let block: Block?

    /// `path` of the outbox in the home; nil = in memory.
    init(path: [UInt8]?, segment: Int64) {
        self.segment = segment
        block = path.map { _ in Block() }
        backend = path.map { .file(Outbox($0, segment: segment)) } ?? .memory
    }

    private func locked<T>(_ body: () throws(Failure) -> T) throws(Failure) -> T {
        lock.lock()
        defer { lock.unlock() }
        return try body()
    }

    /// Gives back what it has open.
    func close() {
        lock.lock()
        defer { lock.unlock() }
        if case .file(let file) = backend { file.close() }
    }

    /// The last batch that stands in it, for the folder, who writes the next: of the
    /// file everything is read, and a torn end is cut off. `h` is the segment's
    /// batch. Fold lock held.
    func last(from h: Int64) throws(Failure) -> Int64 {
        try locked { () throws(Failure) in
            if case .file(let file) = backend { try read(file) }
            if batch != h, batch != h &+ 1 {
                var failure = Failure(
                    .corrupt,
                    "the ledger's last batch is \(Int(batch)) and the segment's is \(Int(h)); they do not belong together")
                failure.values = (batch, h)
                throw failure
            }
            if case .file(let file) = backend { try file.cutTorn() }
            return batch
        }
    }

    /// Takes a batch, with all that `block` says: all of it, or nothing. Fold lock held;
    /// `last` said that it stands at the batch before.
    func commit(_ new: LedgerBatch) throws(Failure) {
        try locked { () throws(Failure) in
            if case .file(let file) = backend, let block {
                block.put(new)
                try file.append(block) { base() }
            }
            apply(new)
        }
    }

    /// For tests: how many bytes a file may have, as on a full disk, and how many it has
    /// when the next one is begun.
    func limit(to bytes: Int64, file: Int64? = nil) {
        lock.lock()
        defer { lock.unlock() }
        if case .file(let outbox) = backend {
            outbox.room = bytes
            if let file { outbox.fileBytes = file }
        }
    }

    /// The number of the outbox's file that is open.
    var file: Int64 {
        lock.lock()
        defer { lock.unlock() }
        if case .file(let file) = backend { return file.number }
        return 0
    }

    /// Removes the outbox's files of which the database has every batch.
    func remove(through batch: Int64) throws(Failure) {
        try locked { () throws(Failure) in
            if case .file(let file) = backend { try file.remove(through: batch) }
        }
    }

    private func read(_ file: Outbox) throws(Failure) {
        while var next = try file.next(after: batch) {
            guard let sums = next.sums() else {
                throw Failure(.corrupt, "the ledger's batch \(Int(next.head.batch)) is damaged")
            }
            if next.head.isBase {
                rows.removeAll()
                byHash = KeyMap()
                estimated.removeAll()
                order.removeAll()
                orderHead = 0
            }
            apply(sums)
        }
    }

    /// All sums, and all estimates: whoever folds a correction has to know what it corrects.
    private func base() -> Block {
        var all = LedgerBatch()
        all.rows = rows
        for handle in order[orderHead...] {
            if let row = estimated[handle] { all.estimates.append((handle, row)) }
        }
        let base = Block()
        base.begin(BlockHead(isBase: true, batch: batch, segment: segment))
        base.put(all)
        return base
    }

    /// The step that a late settle corrects. Reads what others have written since;
    /// what cannot be read is not there.
    func estimate(_ handle: Int64) -> EstimatedRow? {
        lock.lock()
        defer { lock.unlock() }
        if case .file(let file) = backend, estimated[handle] == nil || estimated[handle]?.isEstimated == true {
            do throws(Failure) { try read(file) } catch {}
        }
        return estimated[handle]
    }

    /// The row at a position, nil past the last.
    func row(at position: Int) -> SpendRow? {
        lock.lock()
        defer { lock.unlock() }
        if position == 0, case .file(let file) = backend {
            do throws(Failure) { try read(file) } catch {}
        }
        return position >= 0 && position < rows.count ? rows[position] : nil
    }

    // MARK: - The sums

    private func apply(_ new: LedgerBatch) {
        let places = new.rows.map { place(of: $0) }
        for (k, row) in new.rows.enumerated() { rows[places[k]].add(row) }
        for (handle, row) in new.estimates where row.row >= 0 && row.row < places.count {
            var row = row
            row.row = places[row.row]
            keep(handle, row)
        }
        for correction in new.corrections { apply(correction) }
        batch = new.number
    }

    /// The ledger's row of the same workflow, agent and models, made if there is none.
    private func place(of row: SpendRow) -> Int {
        var h = Int64(row.hash >> 1)
        while let found = byHash[h] {
            let i = Int(found)
            if rows[i].isSame(row) { return i }
            h = (h &+ 1) & .max
        }
        if rows.count >= rowsMax, row.budget != 0 { return place(of: SpendRow()) }
        var new = SpendRow()
        new.path = row.path
        new.agent = row.agent
        new.asked = row.asked
        new.granted = row.granted
        new.budget = row.budget
        byHash.set(h, Int64(rows.count))
        rows.append(new)
        return rows.count - 1
    }

    private func keep(_ handle: Int64, _ row: EstimatedRow) {
        while estimated.count >= Ledger.estimatedMax, orderHead < order.count {
            estimated[order[orderHead]] = nil
            orderHead += 1
        }
        if orderHead > 4096 {
            order.removeFirst(orderHead)
            orderHead = 0
        }
        estimated[handle] = row
        order.append(handle)
    }

    /// The row is not an estimate any more: a second correction changes nothing.
    private func apply(_ new: Correction) {
        guard var row = estimated[new.handle], row.isEstimated,
            new.used.count == MeterIndex.named, row.used.count == MeterIndex.named
        else { return }
        var change = SpendRow()
        change.steps = new.used[MeterIndex.steps] &- row.used[MeterIndex.steps]
        change.toolCalls = new.used[MeterIndex.toolCalls] &- row.used[MeterIndex.toolCalls]
        change.input = new.used[MeterIndex.inputTokens] &- row.used[MeterIndex.inputTokens]
        change.output = new.used[MeterIndex.outputTokens] &- row.used[MeterIndex.outputTokens]
        change.cost = new.used[MeterIndex.cost] &- row.used[MeterIndex.cost]
        change.cacheRead = new.cacheRead &- row.cacheRead
        change.askedCost = new.askedCost &- row.askedCost
        change.estimated = -1
        rows[row.row].add(change)
        row.used = new.used
        row.usedUnits = new.usedUnits
        row.askedCost = new.askedCost
        row.cacheRead = new.cacheRead
        row.reasoning = new.reasoning
        row.rare = new.rare
        row.isEstimated = false
        estimated[new.handle] = row
    }
}
