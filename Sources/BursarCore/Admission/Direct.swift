// Charges: priced things without a model, reserved and settled in one.
//
// A charge's record goes from CLAIMED to SETTLED at once: what it holds is what
// it used. A forced charge has happened already, asks no ceiling, and may take a
// record of the part kept for that; what it takes above a ceiling is an overrun.

extension Core {
    /// The header's bursar_charge().
    public func charge(
        _ session: Int64, _ c: DirectCharge, _ d: inout Decision, _ receipt: inout Receipt
    ) -> Status {
        // What has happened is recorded, as long as there is a place for it.
        let isForced = c.flags & DirectCharge.force != 0
        if let status = isForced ? obstacle() : obstacleToNew() { return status }
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
        if c.key.0 | c.key.1 == 0 {
            return chargeOnce(session, leaf, c, cost, isForced, &d, &receipt)
        }
        return runtime.chargeKeyed(session, c, cost, &receipt) { receipt in
            chargeOnce(session, leaf, c, cost, isForced, &d, &receipt)
        }
    }

    private func chargeOnce(
        _ session: Int64, _ leaf: Int, _ c: DirectCharge, _ cost: Int64, _ isForced: Bool,
        _ d: inout Decision, _ receipt: inout Receipt
    ) -> Status {
        var stop = put(session, leaf, c, cost, isForced, &d, &receipt)
        if stop.cause == .journal || (stop.cause == .amount && isAnythingDue()) {
            runtime.catchUp(leaf: leaf, isFull: stop.cause == .journal)
            stop = put(session, leaf, c, cost, isForced, &d, &receipt)
        }
        if stop.cause == .gone { return .notFound }
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
        receipt.reservedNanos = cost &- receipt.overrunNanos
        receipt.askedCostNanos = cost
        if receipt.overrunNanos > 0 {
            receipt.flags |= Receipt.overrun
            reportOverrun(session, receipt.overrunNanos)
        }
        wake(from: Signal.empty | Signal.resting)
        return .ok
    }

    private func put(
        _ session: Int64, _ leaf: Int, _ c: DirectCharge, _ cost: Int64, _ isForced: Bool,
        _ d: inout Decision, _ receipt: inout Receipt
    ) -> Stop {
        guard let (i, gen) = isForced ? claimForced() : claim() else {
            return Stop(cause: .journal)
        }
        if isForced, !isOpen(leaf, session) {
            free(i, gen: gen)
            guard let (i, gen, id) = runtime.claimForced(for: [session]) else {
                return Stop(cause: .journal)
            }
            if id == 0 { free(i, gen: gen); return Stop(cause: .gone) }
            return put(i, gen: gen, session, leaf, c, cost, isForced, &d, &receipt)
        }
        return put(i, gen: gen, session, leaf, c, cost, isForced, &d, &receipt)
    }

    /// Whether a claim came before the session's closing, which then waits for it.
    func isOpen(_ leaf: Int, _ session: Int64) -> Bool {
        let state = node(leaf).state.loadSequential()
        return state >> 32 == session >> 32 && state & (StateBit.closed | StateBit.free) == 0
    }

    /// Writes and charges a claimed record.
    private func put(
        _ i: Int, gen: Int64, _ session: Int64, _ leaf: Int, _ c: DirectCharge, _ cost: Int64,
        _ isForced: Bool, _ d: inout Decision, _ receipt: inout Receipt
    ) -> Stop {
        let record = self.record(i)
        let now = engine.pointee.clock.steadyCoarse
        let calls = c.tool != 0 ? tool(Int(c.tool)).meter.value << 8 : 0
        let meters = (c.units > 0 ? UInt32(truncatingIfNeeded: c.meter) : 0) | calls
        record.node.value = session
        record.flags.value = RecordFlag.charge | RecordFlag.direct
        record.epoch.value = epoch.loadAcquiring()
        record.asked.value = 0
        record.granted.value = 0
        record.price.value = 0
        record.tool.value = UInt32(bitPattern: c.tool)
        record.heldCost.value = cost
        record.heldInput.value = 0
        record.heldOutput.value = 0
        record.reservedAt.value = now
        record.streamed.value = 0
        if meters != 0 {
            record.addMore()
            record.meterWord.value = meters
            record.unitsWord.value = c.units
        }
        var bill = Bill(record)
        bill.cost = cost
        bill.askedCost = cost
        bill.units = c.units
        writeUsed(record, bill, nil)
        if isForced {
            receipt.overrunNanos = max(chargeForced(record.held, record, leaf: leaf), 0)
        } else {
            let passage = charge(
                record.held, record, leaf: leaf, gen: session >> 32, now: now, final: false)
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
