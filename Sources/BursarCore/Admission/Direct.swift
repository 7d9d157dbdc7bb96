// Charges: priced things without a model, reserved and settled in one.
//
// A charge's record goes from CLAIMED to SETTLED at once: what it holds is what
// it used. A forced charge has happened already, asks no ceiling, and may take a
// record of the part kept for that.

/// The header's bursar_charge_t.
public struct DirectCharge {
    public var flags: UInt32 = 0
    public var nanos: Int64 = 0
    public var tool: Int32 = 0
    public var meter: Int32 = 0
    public var units: Int64 = 0
    public var key: UInt64 = 0

    public init() {}

    public static let force: UInt32 = 1
}

extension Core {
    /// The header's bursar_charge().
    public func charge(
        _ session: Int64, _ c: DirectCharge, _ d: inout Decision, _ receipt: inout Receipt
    ) -> Status {
        if let status = obstacle() { return status }
        guard let leaf = index(of: session) else { return .notFound }
        guard node(leaf).flags.value & NodeFlag.session != 0, c.tool >= 0,
            UInt64(bitPattern: c.nanos | c.units) < UInt64(Bound.amount),
            c.flags & ~DirectCharge.force == 0,
            c.units == 0 || (c.meter >= 8 && c.meter < 32),
            c.tool == 0
                || (c.tool < Int32(bitPattern: engine.pointee.toolsMax)
                    && tool(Int(c.tool)).name.value != 0)
        else { return .invalid }
        var cost = c.nanos
        if c.tool != 0, cost == 0 { cost = tool(Int(c.tool)).price.value }
        if c.key == 0 { return chargeOnce(session, leaf, c, cost, &d, &receipt) }
        return runtime.chargeKeyed(session, c, cost, &receipt) { receipt in
            chargeOnce(session, leaf, c, cost, &d, &receipt)
        }
    }

    private func chargeOnce(
        _ session: Int64, _ leaf: Int, _ c: DirectCharge, _ cost: Int64, _ d: inout Decision,
        _ receipt: inout Receipt
    ) -> Status {
        let isForced = c.flags & DirectCharge.force != 0
        var stop = put(session, leaf, c, cost, isForced, &d)
        if stop.cause == .journal || (stop.cause == .amount && isAnythingDue()) {
            runtime.catchUp()
            stop = put(session, leaf, c, cost, isForced, &d)
        }
        if stop.cause != .none {
            var q = Request()
            q.tool = c.tool
            q.extraNanos = cost
            q.meter = c.meter
            q.units = c.units
            var plan = Plan(session, leaf, q, asked: 0)
            plan.isCharge = true
            return refuse(plan, Try(), stop, &d)
        }
        receipt.costNanos = cost
        receipt.reservedNanos = cost
        receipt.askedCostNanos = cost
        wake(from: Signal.empty | Signal.resting)
        return .ok
    }

    private func put(
        _ session: Int64, _ leaf: Int, _ c: DirectCharge, _ cost: Int64, _ isForced: Bool,
        _ d: inout Decision
    ) -> Stop {
        guard let (i, gen) = isForced ? claimForced() : claim() else {
            return Stop(cause: .journal)
        }
        let record = self.record(i)
        let now = engine.pointee.clock.steadyCoarse
        record.node.value = session
        record.expiresAt.value = now
        record.streamed.value = 0
        record.asked.value = 0
        record.granted.value = 0
        record.flags.value = RecordFlag.charge
        record.epoch.value = epoch.loadAcquiring()
        record.price.value = 0
        for m in 0..<MeterIndex.named { record.amt(m).value = 0 }
        record.amt(MeterIndex.cost).value = cost
        record.amt(MeterIndex.toolCalls).value = c.tool != 0 ? 1 : 0
        record.meter.value =
            (c.units > 0 ? UInt32(truncatingIfNeeded: c.meter) : 0)
            | (c.tool != 0 ? tool(Int(c.tool)).meter.value << 8 : 0)
        record.tool.value = UInt32(bitPattern: c.tool)
        record.units.value = c.units
        record.original.value = 0
        var bill = Bill()
        bill.cost = cost
        bill.askedCost = cost
        bill.units = c.units
        writeUsed(record, bill, key: c.key)
        if isForced {
            chargeForced(record, leaf: leaf)
        } else {
            let passage = charge(record, leaf: leaf, gen: session >> 32, now: now, final: false)
            if passage.stop.cause != .none {
                free(i, gen: gen)
                return passage.stop
            }
            d.flags = passage.flags & NodeFlag.limited == 0 ? Decision.undeclared : 0
            if passage.observed { explainObserved(leaf, record, &d) }
        }
        d.verdict = .allow
        d.reservedNanos = cost
        record.word.storeReleasing(RecordWord.make(RecordState.settled, actor: 0, gen: gen))
        return Stop()
    }
}
