// Why a step was refused: which budget, which meter, which limit, how much was
// left, whether waiting helps, and what the caller may do.
//
// A refusal is transient when what is settled would leave room: then steps in
// flight hold the rest and will give some of it back. What is settled is read from
// the journal: a refusal waits for nobody who folds.

extension Core {
    /// Whether a window may be due: the exact clocks against the loop's words.
    func isAnythingDue() -> Bool {
        let clock = engine.pointee.clock
        return clock.unix >= rollAt.value || clock.steady >= rollingAt.value
    }

    /// Counts a refusal and slows whoever asks again and again.
    func refused(_ plan: Plan, _ d: inout Decision) -> Status {
        let node = self.node(plan.leaf)
        _ = refusals.add(1)
        var i = plan.leaf
        var steps = Steps()
        while steps.goOn() {
            self.node(i).refusals.add(1)
            if i == 0 { break }
            i = Int(self.node(i).parent.value)
        }
        let row = node.row.add(1)
        if d.flags & Decision.transient != 0 {
            _ = transientRefusals.add(1)
        }
        // Refusals in a row back off from a millisecond to a second.
        let pause: Int64 = row > 10 ? 1_000_000_000 : 1_000_000 << Int64(row &- 1)
        if d.flags & Decision.transient != 0 || (d.retryAfter > 0 && d.retryAfter < pause) {
            d.retryAfter = max(d.retryAfter, min(pause, 1_000_000_000))
        }
        if row == 100 || row == 1_000 || row == 10_000 || (row > 0 && row % 100_000 == 0) {
            runtime.report(
                .storm, node: plan.leaf, session: plan.session, amount: Int64(row),
                reason: d.reason)
        }
        return .refused
    }

    func refuse(_ plan: Plan, _ t: Try, _ stop: Stop, _ d: inout Decision) -> Status {
        d = Decision()
        d.verdict = .halt
        d.remedy = .stop
        d.model = t.model
        var stop = stop
        // Who is killed or paused hears that, whatever else would refuse it.
        if stop.cause != .invalid, stop.cause != .gone, let i = stopped(plan.leaf) {
            stop = Stop(cause: .state, node: Int32(truncatingIfNeeded: i))
        }
        let i = Int(stop.node)
        switch stop.cause {
        case .none, .invalid, .gone: return .invalid
        case .journal:
            d.verdict = .throttle
            d.reason = .journalFull
            d.remedy = .wait
            d.flags = Decision.transient
        case .undeclared:
            d.reason = .undeclared
            d.remedy = .declare
            d.flags = Decision.undeclared
            d.budget = id(of: plan.leaf)
        case .price:
            d.reason = .priceUnknown
            d.remedy = .price
            d.flags = Decision.unpriced
            d.budget = id(of: plan.leaf)
        case .state: explainState(i, plan.session, &d)
        case .amount: explainAmount(plan, t, i, cell(Int(stop.cell)), &d)
        case .rate: explainRate(plan, t, i, stop.wait, &d)
        }
        return refused(plan, &d)
    }

    /// Of the nodes from `leaf` up that let nothing in, the one with the gravest
    /// state: killed, closed, halted, paused. Nil: all are open.
    func stopped(_ leaf: Int) -> Int? {
        var gravest: Int?
        var worst = 0
        var i = leaf
        var steps = Steps()
        while steps.goOn() {
            let bits = node(i).state.loadSequential() & StateBit.stops
            let rank =
                bits & StateBit.killed != 0 ? 4
                : bits & (StateBit.closed | StateBit.free) != 0 ? 3
                : bits & StateBit.halted != 0 ? 2 : bits != 0 ? 1 : 0
            if rank > worst {
                worst = rank
                gravest = i
            }
            if i == 0 { break }
            i = Int(node(i).parent.value)
        }
        return gravest
    }

    /// The verdict of a node's state; also for a stream that must stop.
    func explainState(_ i: Int, _ session: Int64, _ d: inout Decision) {
        let node = self.node(i)
        let state = node.state.loadSequential()
        d.budget = id(of: i)
        d.verdict = .halt
        d.remedy = .stop
        if state & StateBit.killed != 0 {
            d.reason = .killed
        } else if state & (StateBit.closed | StateBit.free) != 0 {
            d.reason = .closed
        } else if state & StateBit.paused != 0 {
            d.verdict = .pause
            d.reason = .paused
            d.remedy = .ask
        } else if state & (StateBit.halted | StateBit.held) != 0 {
            d.reason = node.stateReason
            d.end = Int32(LimitEnd.halt)
            if state & StateBit.halted == 0 {
                d.verdict = .pause
                d.remedy = .ask
                d.end = Int32(LimitEnd.pause)
            }
            runtime.describeTimeLimit(i, &d)
        } else {
            // It was stopped when the walk came by and is not any more.
            d.verdict = .throttle
            d.reason = .paused
            d.remedy = .wait
            d.flags |= Decision.transient
        }
    }

    /// The limit of a meter that binds at a node now; observed ones aside.
    func bindingLimit(of meter: Int, at i: Int) -> LimitSlot? {
        var least: LimitSlot?
        var l = Int(node(i).firstLimit.loadAcquiring())
        var steps = Steps()
        while l != 0, steps.goOn() {
            let limit = self.limit(l)
            if limit.countsAmounts, limit.meter == meter, limit.end != LimitEnd.observe,
                holds(limit, at: node(i)),
                least == nil || limit.top < (least?.top ?? .max)
            {
                least = limit
            }
            l = Int(limit.next.value)
        }
        return least
    }

    private func explainAmount(_ plan: Plan, _ t: Try, _ i: Int, _ cell: Cell, _ d: inout Decision)
    {
        let meter = cell.meter
        let wanted = amount(of: meter, plan, t)
        let least = leastAmount(of: meter, plan, t)
        let node = self.node(i)
        let settled = settledNow(i, cell)
        let committed = cell.committed.value
        let ceiling = cell.ceiling.loadAcquiring()
        var kept: Int64 = 0
        if meter == MeterIndex.cost, node.flags.value & NodeFlag.holdsBack != 0,
            !(plan.q.flags & Request.final != 0 && i == plan.leaf)
        {
            kept = Ladder(p: slab(node.extras.value)).holdback
        }
        d.budget = id(of: i)
        d.meter = Int32(meter)
        d.requested = wanted
        d.reason = .limit
        guard let limit = bindingLimit(of: meter, at: i) else {
            // The limit was taken away since: there is room now.
            d.verdict = .throttle
            d.flags = Decision.transient
            d.remedy = .wait
            return
        }
        let whole = saturatingAdd(limit.amount.value, limit.extra.value)
        d.end = Int32(limit.end)
        d.verdict =
            limit.end == LimitEnd.pause
            ? .pause : limit.end == LimitEnd.throttle ? .throttle : .halt
        d.limit = whole
        d.committed = max(committed &- limit.floor, 0)
        d.remaining = max(whole &- d.committed &- kept, 0)
        if kept > 0, saturatingAdd(committed, wanted) <= ceiling { d.reason = .holdback }
        if saturatingAdd(settled, least) <= ceiling &- kept {
            d.flags |= Decision.transient
            d.remedy = .wait
            if meter == MeterIndex.inFlight {
                runtime.reportOnce(limit, i, .throttle, plan.session, committed: d.committed)
            }
            return
        }
        d.retryAfter = untilRoom(for: least, of: meter, at: i, kept, settled)
        d.remedy =
            d.retryAfter > 0
            ? .wait : d.remaining > 0 ? (t.set != 0 && t.output > 0 ? .smaller : .cheaperModel)
            : .ask
        runtime.reportOnce(
            limit, i, limit.end == LimitEnd.pause ? .pause : .halt, plan.session,
            committed: d.committed)
    }

    /// The time until the last of the limits that stand in the way starts anew; 0
    /// when one of them never does, or never leaves that much room.
    private func untilRoom(
        for least: Int64, of meter: Int, at i: Int, _ kept: Int64, _ settled: Int64
    ) -> Int64 {
        var wait: Int64 = 0
        var l = Int(node(i).firstLimit.loadAcquiring())
        var steps = Steps()
        while l != 0, steps.goOn() {
            let limit = self.limit(l)
            if limit.countsAmounts, limit.meter == meter, limit.end != LimitEnd.observe,
                holds(limit, at: node(i)), saturatingAdd(settled, least) > limit.top &- kept
            {
                let whole = saturatingAdd(limit.amount.value, limit.extra.value)
                let next = least <= whole &- kept ? runtime.untilNextWindow(limit) : 0
                if next == 0 { return 0 }
                wait = max(wait, next)
            }
            l = Int(limit.next.value)
        }
        return wait
    }

    private func explainRate(_ plan: Plan, _ t: Try, _ i: Int, _ wait: Int64, _ d: inout Decision) {
        d.verdict = .throttle
        d.reason = .rate
        d.budget = id(of: i)
        d.end = Int32(LimitEnd.throttle)
        d.remedy = wait > 0 ? .wait : .smaller
        d.retryAfter = max(wait, 0)
        let now = engine.pointee.clock.steady
        var worst: Int64 = -1
        var l = Int(node(i).firstLimit.loadAcquiring())
        var steps = Steps()
        while l != 0, steps.goOn() {
            let limit = self.limit(l)
            if limit.isRate, limit.end != LimitEnd.observe {
                let wanted = amount(of: limit.meter, plan, t)
                let ahead = max(limit.window.value &- now, 0)
                let used = limit.units(worth: ahead)
                let missing = saturatingAdd(used, wanted) &- limit.burst.value
                if missing > worst {
                    worst = missing
                    d.meter = Int32(limit.meter)
                    d.end = Int32(limit.end)
                    d.limit = limit.burst.value
                    d.committed = used
                    d.remaining = max(limit.burst.value &- used, 0)
                    d.requested = wanted
                    if limit.end == LimitEnd.halt { d.verdict = .halt }
                    if limit.end == LimitEnd.pause { d.verdict = .pause }
                    runtime.reportOnce(limit, i, .throttle, plan.session, committed: used)
                }
            }
            l = Int(limit.next.value)
        }
    }

    /// An observed limit would have refused what `record` was granted: say which.
    @inline(never)
    func explainObserved(_ leaf: Int, _ record: Record, _ d: inout Decision) {
        d.flags |= Decision.observed
        var i = leaf
        var steps = Steps()
        while steps.goOn() {
            var l = Int(node(i).firstLimit.loadAcquiring())
            while l != 0, steps.goOn() {
                let limit = self.limit(l)
                if limit.countsAmounts, holds(limit, at: node(i)),
                    let cell = cell(of: limit.meter, at: i), record.held[limit.meter] > 0, cell.committed.value > limit.top
                {
                    let wanted = record.held[limit.meter]
                    d.budget = id(of: i)
                    d.meter = Int32(limit.meter)
                    d.end = Int32(limit.end)
                    d.limit = saturatingAdd(limit.amount.value, limit.extra.value)
                    d.committed = max(cell.committed.value &- limit.floor &- wanted, 0)
                    d.remaining = max(d.limit &- d.committed, 0)
                    d.requested = wanted
                    runtime.reportOnce(
                        limit, i, .observed, record.node.value, committed: d.committed)
                    return
                }
                l = Int(limit.next.value)
            }
            if i == 0 { return }
            i = Int(node(i).parent.value)
        }
    }
}

extension LimitSlot {
    /// A rate: how many units `nanos` are worth, rounded up.
    func units(worth nanos: Int64) -> Int64 {
        let time = UInt128(UInt64(max(period.value, 1)))
        let product = UInt128(UInt64(max(nanos, 0))) * UInt128(UInt64(max(amount.value, 0)))
        let units = (product + time - 1) / time
        return units > UInt128(UInt64(Bound.ceiling)) ? Bound.ceiling : Int64(units)
    }
}
