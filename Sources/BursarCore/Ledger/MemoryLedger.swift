// The ledger of a private runtime: spend by workflow, agent and models, in
// memory, and the steps that were settled at an estimate and may yet be corrected.
// Guarded by the fold lock.

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
    public init() {}
}

/// A step that was settled at an estimate: what a late settle needs.
struct EstimatedRow {
    /// The session and all that is above it: a late settle may come when it is gone.
    var path: [Int64]
    var budget: Int64
    var row: Int
    var asked: UInt32, granted: UInt32
    var flags: UInt32
    var epoch: UInt32
    var price: UInt32
    var meter: UInt32
    var tool: UInt32
    var reserved: Int64
    var askedCost: Int64
    var cacheRead: Int64
    var settledAt: Int64
    var used: [Int64]
    var usedUnits: Int64
    var isEstimated = true

    /// Writes into a correction's record what the step's own had said. What it
    /// holds is the estimate, so that a report which knows nothing better keeps it.
    func restore(_ record: Record, node: Int64) {
        record.node.value = node
        record.flags.value = flags & ~RecordFlag.more
        record.asked.value = asked
        record.granted.value = granted
        record.flags.value = flags & ~(RecordFlag.stream | RecordFlag.more)
        record.price.value = price
        record.tool.value = tool
        record.heldCost.value = used[MeterIndex.cost]
        record.heldInput.value = used[MeterIndex.inputTokens]
        record.heldOutput.value = used[MeterIndex.outputTokens]
        record.streamed.value = 0
        record.addMore()
        record.meterWord.value = meter
        record.unitsWord.value = usedUnits
    }
}

extension EstimatedRow {
    /// Whether a bill is the one that the row was corrected to.
    func says(_ bill: Bill) -> Bool {
        bill.cost == used[MeterIndex.cost] && bill.input == used[MeterIndex.inputTokens]
            && bill.output == used[MeterIndex.outputTokens] && bill.cacheRead == cacheRead
            && bill.units == usedUnits
    }
}

final class MemoryLedger {
    private(set) var rows: [SpendRow] = []
    private var byKey: [UInt64: Int] = [:]
    private var keys: [(budget: Int64, agent: UInt32, asked: UInt32, granted: UInt32)] = []
    private var estimated: [Int64: EstimatedRow] = [:]
    private var order: [Int64] = []  // of `estimated`, oldest first
    private var orderHead = 0
    static let estimatedMax = 65_536

    private static func mix(
        _ budget: Int64, _ agent: UInt32, _ asked: UInt32, _ granted: UInt32
    ) -> UInt64 {
        var h = UInt64(bitPattern: budget) &* 0x9E37_79B9_7F4A_7C15
        h = (h ^ (h >> 29) ^ UInt64(agent)) &* 0xBF58_476D_1CE4_E5B9
        h = (h ^ (h >> 32) ^ (UInt64(asked) << 32 | UInt64(granted))) &* 0x94D0_49BB_1331_11EB
        return h ^ (h >> 31)
    }

    /// The row of a key; `describe` gives path and agent of a new one.
    func row(
        budget: Int64, agent: UInt32, asked: UInt32, granted: UInt32,
        describe: () -> (path: [UInt8], agent: [UInt8])
    ) -> Int {
        var h = MemoryLedger.mix(budget, agent, asked, granted)
        while let i = byKey[h] {
            let k = keys[i]
            if k.budget == budget, k.agent == agent, k.asked == asked, k.granted == granted {
                return i
            }
            h &+= 1
        }
        var row = SpendRow()
        (row.path, row.agent) = describe()
        row.asked = Int32(bitPattern: asked)
        row.granted = Int32(bitPattern: granted)
        byKey[h] = rows.count
        keys.append((budget, agent, asked, granted))
        rows.append(row)
        return rows.count - 1
    }

    func update(_ i: Int, _ body: (inout SpendRow) -> Void) { body(&rows[i]) }

    func estimate(_ handle: Int64) -> EstimatedRow? { estimated[handle] }

    func keep(_ handle: Int64, _ row: EstimatedRow) {
        while estimated.count >= MemoryLedger.estimatedMax, orderHead < order.count {
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

    /// What a late settle said: the row is not an estimate any more, so that a
    /// second correction of it changes nothing.
    func correct(_ handle: Int64, by record: Record) {
        guard var row = estimated[handle] else { return }
        let used = record.used
        row.used = (0..<MeterIndex.named).map { used[$0] }
        row.usedUnits = record.usedUnits
        row.askedCost = record.askedCost.value
        row.cacheRead = record.cacheRead.value
        row.isEstimated = false
        estimated[handle] = row
    }
}
