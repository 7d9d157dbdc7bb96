// Settle, release, begin, stream: how a step ends.
//
// Settle claims the record (SETTLING), writes what was used, raises the counters
// for an overrun, commits with one store (ADJUSTING), lowers them, and stores
// SETTLED. Everything that can be wrong with the usage is found before the claim,
// so that a bad call leaves the reservation as it was.

internal import CPrices

/// The header's bursar_receipt_t.
public struct Receipt {
    public var flags: UInt32 = 0
    public var costNanos: Int64 = 0
    public var reservedNanos: Int64 = 0
    public var overrunNanos: Int64 = 0
    public var askedCostNanos: Int64 = 0
    public var model: Int32 = 0

    public init() {}

    static let overrun: UInt32 = 1
    static let estimated: UInt32 = 2
    static let replay: UInt32 = 4
    static let late: UInt32 = 8
    static let unpriced: UInt32 = 16
}

/// What a step used, as its caller says.
public struct Report {
    public var flags: UInt32 = 0
    public var usage = Usage()
    public var costNanos: Int64 = 0
    public var units: Int64 = 0
    public var key: UInt64 = 0  // mixed from the caller's two words; 0 = none

    public init() {}

    public static let incomplete: UInt32 = 1
    public static let cost: UInt32 = 2
    public static let worst: UInt32 = 4

    @inline(__always)
    var isSound: Bool {
        usage.isValid && usage.inputTokens | usage.outputTokens < Bound.tokens
            && UInt64(bitPattern: costNanos | units | usage.extraNanos) < UInt64(Bound.amount)
            && flags & ~7 == 0
    }
}

/// What a record will say was used, worked out before it is touched.
struct Bill {
    var usage = Usage()
    var cost: Int64 = 0
    var askedCost: Int64 = 0
    var units: Int64 = 0
    var isEstimated = false
    /// False for a step that was never sent.
    var happened = true
}

extension Core {
    /// The header's bursar_settle().
    public func settle(_ handle: Int64, _ report: Report, _ receipt: inout Receipt) -> Status {
        if let status = obstacle() { return status }
        guard report.isSound else { return .invalid }
        let i = Handle.index(handle)
        guard handle > 0, i < Int(engine.pointee.recordsMax) else { return .notFound }
        let record = self.record(i)
        let gen = Handle.gen(handle)
        let word = record.word.loadAcquiring()
        let state = RecordWord.state(word)
        guard RecordWord.gen(word) == gen,
            state == RecordState.inFlight || state == RecordState.held
        else { return settleOddly(handle, report, &receipt) }
        guard let bill = bill(record, report) else { return .invalid }
        // From here on the record is ours. Pairs with every other exit from IN_FLIGHT.
        guard
            record.word.exchange(
                word, for: RecordWord.make(RecordState.settling, actor: 0, gen: gen)
            ).exchanged
        else { return settleOddly(handle, report, &receipt) }
        finish(record, gen: gen, bill, key: report.key, &receipt)
        return .ok
    }

    /// SETTLING to SETTLED: steps S2 to S6.
    @inline(__always)
    func finish(
        _ record: Record, gen: Int64, _ bill: Bill, key: UInt64, _ receipt: inout Receipt
    ) {
        writeUsed(record, bill, key: key)
        let reserved = record.amt(MeterIndex.cost).value
        var flags = record.flags.value
        let overrun = bill.cost > reserved ? bill.cost &- reserved : 0
        if bill.isEstimated { flags |= RecordFlag.estimated }
        if overrun > 0 { flags |= RecordFlag.overrun }
        record.flags.value = flags

        let leaf = Int(truncatingIfNeeded: record.node.value & 0xFFFF_FFFF)
        let raises = raisesAny(record)
        if raises { adjust(record, leaf, raising: true) }
        record.word.storeReleasing(RecordWord.make(RecordState.adjusting, actor: 0, gen: gen))
        adjust(record, leaf, raising: false)
        record.word.storeReleasing(RecordWord.make(RecordState.settled, actor: 0, gen: gen))
        wake(from: Signal.resting)

        receipt.costNanos = bill.cost
        receipt.reservedNanos = reserved
        receipt.overrunNanos = overrun
        receipt.askedCostNanos = bill.askedCost
        receipt.model = Int32(bitPattern: record.granted.value)
        receipt.flags =
            (overrun > 0 ? Receipt.overrun : 0) | (bill.isEstimated ? Receipt.estimated : 0)
            | (flags & RecordFlag.unpriced != 0 ? Receipt.unpriced : 0)
        if overrun > 0 { reportOverrun(leaf, record, overrun) }
    }

    @inline(__always)
    func writeUsed(_ record: Record, _ bill: Bill, key: UInt64) {
        let input = bill.usage.inputTokens
        let output = bill.usage.outputTokens
        let cached = bill.usage.cacheReadInputTokens
        record.used(MeterIndex.cost).value = bill.cost
        record.used(MeterIndex.tokens).value = input &+ output
        record.used(MeterIndex.inputTokens).value = input
        record.used(MeterIndex.outputTokens).value = output
        record.used(MeterIndex.freshTokens).value = input &- cached &+ output
        record.used(MeterIndex.steps).value = bill.happened ? record.amt(MeterIndex.steps).value : 0
        record.used(MeterIndex.toolCalls).value =
            bill.happened ? record.amt(MeterIndex.toolCalls).value : 0
        record.used(MeterIndex.inFlight).value = 0
        record.usedUnits.value = bill.units
        record.askedCost.value = bill.askedCost
        record.key.value = Int64(bitPattern: key)
        record.cacheRead.value = cached
        record.cacheWrite.value = bill.usage.cacheWriteInputTokens
        record.settledAt.value = engine.pointee.clock.steadyCoarse
    }

    @inline(__always)
    private func raisesAny(_ record: Record) -> Bool {
        // The sign of any difference: most steps use no more than they held.
        let cost = record.amt(0).value &- record.used(0).value
        let tokens = record.amt(1).value &- record.used(1).value
        let input = record.amt(2).value &- record.used(2).value
        let output = record.amt(3).value &- record.used(3).value
        let fresh = record.amt(4).value &- record.used(4).value
        let units = record.units.value &- record.usedUnits.value
        return (cost | tokens | input | output | fresh | units) < 0
    }

    /// Moves the counters by used - held: only up, or only down.
    @inline(__always)
    private func adjust(_ record: Record, _ leaf: Int, raising: Bool) {
        let epoch = record.epoch.value
        var i = leaf
        while true {
            let node = self.node(i)
            let flags = node.flags.value
            var c = Int(node.firstCell.loadAcquiring())
            while c != 0 {
                let cell = self.cell(c)
                let kind = cell.kind.value
                let meter = Int(kind & 31)
                let change = record.spent(meter) &- record.held(meter)
                if kind >> 5 <= epoch {
                    if raising {
                        if change > 0, cell.committed.add(change) >= cell.watermark.value {
                            attend(to: i)
                        }
                    } else if change < 0 {
                        cell.committed.subtract(0 &- change)
                    }
                }
                c = Int(cell.next.value)
            }
            if !raising, flags & NodeFlag.special != 0 {
                if flags & NodeFlag.rates != 0 { refundRates(i, record, all: false) }
                if flags & NodeFlag.idles != 0 { node.lastStep.value = record.settledAt.value }
            }
            if i == 0 { return }
            i = Int(node.parent.value)
        }
    }

    @inline(never)
    private func reportOverrun(_ leaf: Int, _ record: Record, _ overrun: Int64) {
        _ = statistic(Header.overrun).add(overrun)
        runtime.report(
            .overrun, node: leaf, session: record.node.value, amount: overrun, reason: .none)
    }

    // MARK: - What it cost

    /// Prices a report with the rates that the step was reserved at; nil when
    /// the usage contradicts itself or overflows.
    @inline(__always)
    func bill(_ record: Record, _ report: Report) -> Bill? {
        var bill = Bill()
        if report.flags & (Report.incomplete | Report.worst) != 0 {
            bill = estimate(record, report)
            if report.flags & Report.worst != 0 { return bill }
        } else {
            bill.usage = report.usage
            bill.units = report.units
        }
        if report.flags & Report.cost != 0 {
            bill.cost = report.costNanos
            bill.askedCost = report.costNanos
            return bill
        }
        let variant = Variant(rawValue: Int32(record.flags.value >> 24)) ?? .standard
        var cost = bill.usage.extraNanos
        let set = Int32(truncatingIfNeeded: record.price.value)
        if set != 0 {
            guard let rows = engine.pointee.prices.rows(set: set),
                let priced = rows.cost(bill.usage, variant: variant)
            else { return nil }
            cost = priced
        }
        let tool = record.tool.value
        if tool != 0 { cost = saturatingAdd(cost, self.tool(Int(tool)).price.value) }
        if cost > Bound.amount { return nil }
        bill.cost = cost
        bill.askedCost = cost
        let asked = record.asked.value
        if asked != record.granted.value {
            let askedSet = engine.pointee.prices.currentSet(model: Int32(bitPattern: asked))
            if askedSet != 0, let rows = engine.pointee.prices.rows(set: askedSet),
                let priced = rows.cost(bill.usage, variant: variant)
            {
                bill.askedCost = priced
            }
        }
        return bill
    }

    /// One more piece of a stream may be on its way when it is cut.
    private static var chunk: Int64 { 64 }

    /// The usage of a step whose end was not seen: what a stream brought and one
    /// more chunk, else all that was held. Never below what the report says.
    @inline(never)
    func estimate(_ record: Record, _ report: Report) -> Bill {
        var bill = Bill()
        let heldInput = record.amt(MeterIndex.inputTokens).value
        let heldOutput = record.amt(MeterIndex.outputTokens).value
        bill.units = max(report.units, record.units.value)
        bill.isEstimated = true
        if report.flags & Report.incomplete != 0 {
            bill.usage = report.usage
            if bill.usage.inputTokens == 0 { bill.usage.inputTokens = heldInput }
            let isStream = record.flags.value & RecordFlag.stream != 0
            let seen = record.streamed.value
            if bill.usage.outputTokens == 0 {
                bill.usage.outputTokens = isStream ? min(seen &+ Core.chunk, max(heldOutput, seen)) : heldOutput
            } else {
                bill.usage.outputTokens = max(bill.usage.outputTokens, seen)
                bill.isEstimated = report.usage.inputTokens == 0
            }
            return bill
        }
        bill.usage.inputTokens = heldInput
        bill.usage.outputTokens = heldOutput
        bill.cost = record.amt(MeterIndex.cost).value
        bill.askedCost = bill.cost
        return bill
    }

    // MARK: - Begin, release, stream

    /// The header's bursar_begin().
    public func begin(_ handle: Int64) -> Status {
        if let status = obstacle() { return status }
        guard let record = record(of: handle) else { return .notFound }
        let gen = Handle.gen(handle)
        let word = record.word.loadAcquiring()
        guard RecordWord.gen(word) == gen else { return .expired }
        switch RecordWord.state(word) {
        case RecordState.held:
            let sent = RecordWord.make(RecordState.inFlight, actor: 0, gen: gen)
            return record.word.exchange(word, for: sent).exchanged ? .ok : .expired
        case RecordState.inFlight: return .ok
        default: return .expired
        }
    }

    /// The header's bursar_release().
    public func release(_ handle: Int64) -> Status {
        if let status = obstacle() { return status }
        guard let record = record(of: handle) else { return .notFound }
        let gen = Handle.gen(handle)
        while true {
            let word = record.word.loadAcquiring()
            let state = RecordWord.state(word)
            guard RecordWord.gen(word) == gen else {
                // Freed since, and not used again: the body still says how.
                return wasFreed(record, gen: gen)
                    ? (record.flags.value & RecordFlag.released != 0 ? .ok : .conflict) : .notFound
            }
            guard state == RecordState.inFlight || state == RecordState.held else {
                return state == RecordState.releasing ? .ok : .conflict
            }
            let releasing = RecordWord.make(RecordState.releasing, actor: 0, gen: gen)
            if !record.word.exchange(word, for: releasing).exchanged { continue }
            record.flags.value |= RecordFlag.released
            uncharge(record, leaf: Int(truncatingIfNeeded: record.node.value & 0xFFFF_FFFF))
            free(Handle.index(handle), gen: gen)
            return .ok
        }
    }

    /// The header's bursar_stream().
    public func stream(_ handle: Int64, _ tokens: Int64, _ reason: inout Reason) -> Status {
        if let status = obstacle() { return status }
        guard let record = record(of: handle) else { return .notFound }
        guard UInt64(bitPattern: tokens) < UInt64(Bound.tokens) else { return .invalid }
        let word = record.word.loadAcquiring()
        guard RecordWord.gen(word) == Handle.gen(handle),
            RecordWord.state(word) == RecordState.inFlight
        else { return .expired }
        if tokens > record.streamed.value { record.streamed.value = tokens }
        let now = engine.pointee.clock.steadyCoarse
        let own = record.detail(0).value
        record.expiresAt.value = now &+ (own > 0 ? own : engine.pointee.timeToLive)
        if tokens > record.amt(MeterIndex.outputTokens).value {
            reason = .limit
            return .refused
        }
        var i = Int(truncatingIfNeeded: record.node.value & 0xFFFF_FFFF)
        while true {
            let node = self.node(i)
            if node.state.loadSequential() & StateBit.stops != 0
                || (now >= node.dueAt.value && !passesTimeLimits(i))
            {
                var d = Decision()
                explainState(i, record.node.value, &d)
                reason = d.reason
                return .refused
            }
            if node.flags.value & NodeFlag.idles != 0 { node.lastStep.value = now }
            if i == 0 { return .ok }
            i = Int(node.parent.value)
        }
    }

    @inline(__always)
    func record(of handle: Int64) -> Record? {
        let i = Handle.index(handle)
        return handle > 0 && i < Int(engine.pointee.recordsMax) ? record(i) : nil
    }

    /// Whether the record stands as `gen` left it: freed once and not claimed again.
    func wasFreed(_ record: Record, gen: Int64) -> Bool {
        record.word.loadAcquiring()
            == RecordWord.make(RecordState.free, actor: 0, gen: gen &+ 1)
    }
}
