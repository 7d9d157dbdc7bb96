// Settle, release, begin, stream: how a step ends.
//
// Settle claims the record (SETTLING), writes what was used, raises the counters
// for an overrun, commits with one store (ADJUSTING), lowers them, and stores
// SETTLED. Everything that can be wrong with the usage is found before the claim,
// so that a bad call leaves the reservation as it was.

internal import CPrices

/// What a record will say was used, worked out before it is touched.
struct Bill {
    var input: Int64 = 0
    var output: Int64 = 0
    var cacheRead: Int64 = 0
    var reasoning: Int64 = 0
    /// `Usage.rare` of the report; its parts are copied from there.
    var rare: Int64 = 0
    var cost: Int64 = 0
    var askedCost: Int64 = 0
    var units: Int64 = 0
    var isEstimated = false
    /// False for a step that was never sent.
    var happened = true
    // Of the record, as it was when the bill was made.
    let session: Int64
    let reserved: Int64
    let model: Int32
    let isUnpriced: Bool

    @inline(__always)
    init(_ record: Record) {
        session = record.node.value
        reserved = record.heldCost.value
        model = Int32(bitPattern: record.granted.value)
        isUnpriced = record.flags.value & RecordFlag.unpriced != 0
    }

    @inline(__always)
    init(_ record: Record, _ usage: borrowing Usage, units: Int64) {
        self.init(record)
        input = usage.inputTokens
        output = usage.outputTokens
        cacheRead = usage.cacheReadInputTokens
        reasoning = usage.reasoningOutputTokens
        rare = usage.rare
        self.units = units
    }

    /// What a record of it says as `rare`.
    @inline(never)
    func rareMixed(_ report: UnsafePointer<Report>) -> Int64 {
        rare == 0 ? 0 : Usage.mixed { Report.rare(report, $0) }
    }
}

extension Core {
    /// The header's bursar_settle().
    public func settle(_ handle: Int64, _ report: Report, _ receipt: inout Receipt) -> Status {
        withUnsafePointer(to: report) { settle(handle, $0, &receipt) }
    }

    /// The same, reading the caller's own struct; `receipt` is fresh.
    @_optimize(speed)
    public func settle(
        _ handle: Int64, _ report: UnsafePointer<Report>, _ receipt: inout Receipt
    ) -> Status {
        if let status = obstacle() { return status }
        guard report.pointee.isSound else { return .invalid }
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
        return withUnsafeTemporaryAllocation(byteCount: Route.bytes, alignment: 16) { room in
            guard let room = room.baseAddress else { return .busy }
            return settle(handle, record, word, report, bill, room, &receipt)
        }
    }

    @_optimize(speed) @inline(never)
    private func settle(
        _ handle: Int64, _ record: Record, _ word: Int64, _ report: UnsafePointer<Report>,
        _ bill: borrowing Bill, _ room: UnsafeMutableRawPointer, _ receipt: inout Receipt
    ) -> Status {
        let gen = RecordWord.gen(word)
        var route = Route(room)
        let cost = bill.cost &- bill.reserved
        let input = bill.input &- record.heldInput.value
        let output = bill.output &- record.heldOutput.value
        route.put(
            cost: cost, input: input, output: output, cached: bill.cacheRead, steps: 0,
            calls: 0, inFlight: -1)
        let isPlain = route.gather(
            self, leaf: Int(truncatingIfNeeded: bill.session & 0xFFFF_FFFF),
            epoch: record.epoch.value, named: record.meters != 0)
        // From here on the record is ours. Pairs with every other exit from IN_FLIGHT.
        guard
            record.word.exchange(
                word, for: RecordWord.make(RecordState.settling, actor: me, gen: gen)
            ).exchanged
        else { return settleOddly(handle, report, &receipt) }
        if isPlain {
            writeUsed(record, bill, report)
            if cost > 0 || input > 0 || output > 0 { route.raise(self) }
            if route.lowers {
                record.word.storeReleasing(
                    RecordWord.make(RecordState.adjusting, actor: me, gen: gen))
                route.lower()
            }
            record.word.storeReleasing(
                RecordWord.make(RecordState.settled, actor: 0, gen: gen))
            wake(from: Signal.resting)
            fill(&receipt, bill)
        } else {
            finish(record, gen: gen, bill, report, &receipt)
        }
        return .ok
    }

    /// SETTLING to SETTLED, steps S2 to S6, walking.
    @inline(never)
    func finish(
        _ record: Record, gen: Int64, _ bill: Bill, _ report: UnsafePointer<Report>?,
        _ receipt: inout Receipt
    ) {
        let held = record.held
        writeUsed(record, bill, report)
        let leaf = Int(truncatingIfNeeded: record.node.value & 0xFFFF_FFFF)
        let change = record.used.minus(held)
        let signs = change.signs
        if signs.up { adjust(change, record, leaf, raising: true) }
        // Nothing to lower: SETTLED is the commit.
        if signs.down {
            record.word.storeReleasing(RecordWord.make(RecordState.adjusting, actor: me, gen: gen))
            adjust(change, record, leaf, raising: false)
        }
        record.word.storeReleasing(RecordWord.make(RecordState.settled, actor: 0, gen: gen))
        wake(from: Signal.resting)
        fill(&receipt, bill)
    }

    /// From the bill alone: the record may be folded and taken again by now.
    @inline(__always)
    private func fill(_ receipt: inout Receipt, _ bill: borrowing Bill) {
        let reserved = bill.reserved
        let overrun = bill.cost > reserved ? bill.cost &- reserved : 0
        receipt.costNanos = bill.cost
        receipt.reservedNanos = reserved
        receipt.overrunNanos = overrun
        receipt.askedCostNanos = bill.askedCost
        receipt.model = bill.model
        receipt.flags =
            (overrun > 0 ? Receipt.overrun : 0) | (bill.isEstimated ? Receipt.estimated : 0)
            | (bill.isUnpriced ? Receipt.unpriced : 0)
        if overrun > 0 { reportOverrun(bill.session, overrun) }
    }

    /// `report` is what the bill was made of; nil: nobody reported.
    @inline(__always)
    func writeUsed(_ record: Record, _ bill: borrowing Bill, _ report: UnsafePointer<Report>?) {
        record.settledAt.value = engine.pointee.clock.steadyCoarse
        record.usedCost.value = bill.cost
        record.usedInput.value = bill.input
        record.usedOutput.value = bill.output
        record.cacheRead.value = bill.cacheRead
        record.reasoning.value = bill.reasoning
        let key = report.map { mixed($0.pointee.key) } ?? 0
        if UInt64(bitPattern: bill.units | (bill.askedCost ^ bill.cost)) | key != 0
            || record.flags.value & RecordFlag.more != 0
        {
            record.addMore()
            record.usedUnitsWord.value = bill.units
            record.askedCostWord.value = bill.askedCost
            record.keyWord.value = Int64(bitPattern: key)
        }
        if bill.rare != 0, let report { writeRare(record, report) }
        var set: UInt32 = 0
        if bill.isEstimated { set = RecordFlag.estimated }
        if !bill.happened { set |= RecordFlag.unsent }
        if bill.cost > record.heldCost.value { set |= RecordFlag.overrun }
        if set != 0 { record.flags.value |= set }
    }

    @inline(never)
    private func writeRare(_ record: Record, _ report: UnsafePointer<Report>) {
        for k in 0..<Usage.rareCount { record.detailWord(k).value = Report.rare(report, k) }
        record.flags.value |= RecordFlag.detail
    }

    /// Moves the counters by used - held: only up, or only down.
    @inline(__always)
    private func adjust(
        _ changes: borrowing Amounts, _ record: Record, _ leaf: Int, raising: Bool
    ) {
        let epoch = record.epoch.value
        var i = leaf
        var steps = Steps()
        while steps.goOn() {
            let node = self.node(i)
            let flags = node.flags.value
            var c = Int(node.firstCell.loadAcquiring())
            while c != 0, steps.goOn() {
                let cell = self.cell(c)
                let kind = cell.kind.value
                let meter = Int(kind & 31)
                let change = changes[meter]
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
    func reportOverrun(_ session: Int64, _ overrun: Int64) {
        _ = statistic(Header.overrun).add(overrun)
        runtime.report(
            .overrun, node: Int(truncatingIfNeeded: session & 0xFFFF_FFFF), session: session,
            amount: overrun, reason: .none)
    }

    // MARK: - What it cost

    /// Prices a report with the rates that the step was reserved at; nil when
    /// the usage overflows.
    @inline(__always)
    func bill(_ record: Record, _ report: UnsafePointer<Report>) -> Bill? {
        let flags = report.pointee.flags
        if flags & (Report.incomplete | Report.worst) != 0 {
            return estimate(record, report.pointee)
        }
        var bill = Bill(record, report.pointee.usage, units: report.pointee.units)
        if flags & Report.cost != 0 {
            bill.cost = report.pointee.costNanos
            bill.askedCost = bill.cost
            return bill
        }
        return price(&bill, record, report.pointee.usage) ? bill : nil
    }

    /// Fills in what `usage` costs; false when that is more than there can be.
    @inline(__always)
    private func price(_ bill: inout Bill, _ record: Record, _ usage: borrowing Usage) -> Bool {
        let bits = record.variant
        let variant = bits == 0 ? Variant.standard : Variant(rawValue: Int32(bits)) ?? .standard
        var cost = usage.extraNanos
        let set = self.set(of: record)
        if set != 0 {
            guard let rows = engine.pointee.prices.rows(set: set),
                let priced = rows.cost(usage, variant: variant)
            else { return false }
            cost = priced
        }
        let tool = record.tool.value
        if tool != 0 { cost = saturatingAdd(cost, self.tool(Int(tool)).price.value) }
        if cost > Bound.amount { return false }
        bill.cost = cost
        bill.askedCost = cost
        if record.asked.value != record.granted.value {
            bill.askedCost = costAsked(record, usage, variant) ?? cost
        }
        return true
    }

    /// The price set in force for a model, also for one that only others have named.
    func currentSet(_ model: Int32) -> Int32 {
        let set = engine.pointee.prices.currentSet(model: model)
        if set != 0 || !runtime.book.know(model) { return set }
        return engine.pointee.prices.currentSet(model: model)
    }

    /// What the model asked for would have cost, at its prices of now.
    @inline(never)
    private func costAsked(
        _ record: Record, _ usage: borrowing Usage, _ variant: Variant
    ) -> Int64? {
        let set = currentSet(Int32(bitPattern: record.asked.value))
        return engine.pointee.prices.rows(set: set)?.cost(usage, variant: variant)
    }

    /// One more piece of a stream may be on its way when it is cut.
    private static var chunk: Int64 { 64 }

    /// The usage of a step whose end was not seen: what a stream brought and one
    /// more chunk, else all that was held. Never below what the report says.
    @inline(never)
    func estimate(_ record: Record, _ report: Report) -> Bill? {
        let heldInput = record.heldInput.value
        let heldOutput = record.heldOutput.value
        var usage = report.usage
        if report.flags & Report.incomplete == 0 {
            var bill = Bill(record)
            bill.input = heldInput
            bill.output = heldOutput
            bill.cost = record.heldCost.value
            bill.askedCost = bill.cost
            bill.units = max(report.units, record.units)
            bill.isEstimated = true
            return bill
        }
        var isEstimated = usage.inputTokens == 0
        if usage.inputTokens == 0 { usage.inputTokens = heldInput }
        let seen = record.streamed.value
        if usage.outputTokens == 0 {
            let isStream = seen > 0 || record.flags.value & RecordFlag.stream != 0
            usage.outputTokens =
                isStream ? min(seen &+ Core.chunk, max(heldOutput, seen)) : heldOutput
            isEstimated = true
        } else {
            usage.outputTokens = max(usage.outputTokens, seen)
        }
        var bill = Bill(record, usage, units: max(report.units, record.units))
        bill.isEstimated = isEstimated
        if report.flags & Report.cost != 0 {
            bill.cost = report.costNanos
            bill.askedCost = report.costNanos
            return bill
        }
        return price(&bill, record, usage) ? bill : nil
    }

    // MARK: - Begin, release, stream

    /// What a record of this process says of the price set that it is reserved at.
    @inline(__always)
    func priced(_ set: Int32) -> UInt32 {
        set == 0 ? 0 : UInt32(bitPattern: set) | engine.pointee.priceMark
    }

    /// The set to price a record with. Another process's number says nothing here:
    /// its step costs what its model costs now in our book.
    @inline(__always)
    func set(of record: Record) -> Int32 {
        let price = record.price.value
        if price & ~Record.priceNumber == engine.pointee.priceMark {
            return Int32(bitPattern: price & Record.priceNumber)
        }
        if price == 0 { return 0 }
        let set = currentSet(Int32(bitPattern: record.granted.value))
        return set != 0 ? set : engine.pointee.prices.dearestSet
    }

    /// The header's bursar_begin().
    public func begin(_ handle: Int64) -> Status {
        if let status = obstacle() { return status }
        guard let record = record(of: handle) else { return .notFound }
        let gen = Handle.gen(handle)
        let word = record.word.loadAcquiring()
        if !wasIssued(gen, word) { return .notFound }
        guard RecordWord.gen(word) == gen else { return .expired }
        switch RecordWord.state(word) {
        case RecordState.held:
            let sent = RecordWord.make(RecordState.inFlight, actor: me, gen: gen)
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
                guard wasFreed(record, gen: gen) else { return .notFound }
                let flags = record.flags.value
                acquireFence()
                guard record.word.loadAcquiring() == word else { return .notFound }
                return flags & RecordFlag.released != 0 ? .ok : .conflict
            }
            guard state == RecordState.inFlight || state == RecordState.held else {
                return state == RecordState.releasing
                    ? .ok : state > RecordState.claimed ? .conflict : .notFound
            }
            let releasing = RecordWord.make(RecordState.releasing, actor: me, gen: gen)
            if !record.word.exchange(word, for: releasing).exchanged { continue }
            record.flags.value |= RecordFlag.released
            uncharge(record.held, record, leaf: Int(truncatingIfNeeded: record.node.value & 0xFFFF_FFFF))
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
        else { return wasIssued(Handle.gen(handle), word) ? .expired : .notFound }
        if tokens > record.streamed.value { record.streamed.value = tokens }
        let now = engine.pointee.clock.steadyCoarse
        let own = record.ownTime
        let due = record.expiresAt.value
        acquireFence()
        guard record.word.loadAcquiring() == word else { return .expired }
        // Unless it is settled or expires meanwhile: then that place is the time
        // of settling, or another step's.
        _ = record.expiresAt.exchange(
            due, for: saturatingAdd(now, own > 0 ? own : engine.pointee.timeToLive))
        let leaf = Int(truncatingIfNeeded: record.node.value & 0xFFFF_FFFF)
        var i = leaf
        var steps = Steps()
        while steps.goOn() {
            let node = self.node(i)
            if node.state.loadSequential() & StateBit.stops != 0
                || (now >= node.dueAt.value && !passesTimeLimits(i))
            {
                var d = Decision()
                explainState(stopped(leaf) ?? i, record.node.value, &d)
                reason = d.reason
                return .refused
            }
            if node.flags.value & NodeFlag.idles != 0 { node.lastStep.value = now }
            if i == 0 { break }
            i = Int(node.parent.value)
        }
        if tokens > record.heldOutput.value {
            reason = .limit
            return .refused
        }
        return .ok
    }

    @inline(__always)
    func record(of handle: Int64) -> Record? {
        let i = Handle.index(handle)
        return handle > 0 && i < Int(engine.pointee.recordsMax) ? record(i) : nil
    }

    /// Whether a record that stands at `word` ever was somebody's under `gen`.
    private func wasIssued(_ gen: Int64, _ word: Int64) -> Bool {
        if gen != RecordWord.gen(word) { return gen > 0 && gen < RecordWord.gen(word) }
        return RecordWord.state(word) > RecordState.claimed
    }

    /// Whether the record stands as `gen` left it: freed once and not claimed again.
    func wasFreed(_ record: Record, gen: Int64) -> Bool {
        record.word.loadAcquiring()
            == RecordWord.make(RecordState.free, actor: 0, gen: gen &+ 1)
    }
}
