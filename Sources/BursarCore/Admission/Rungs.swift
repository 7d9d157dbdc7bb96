// The ladder, and what is tried when a request does not fit as it stands.
//
// In this order: the full request on the wanted rung, the full request on each
// lower rung, the highest rung on which at least `minOutput` tokens fit, clamped;
// then it is refused. A model that is not on the ladder is only ever clamped.
// Nothing here allocates, so that a step granted on a lower rung costs a few
// walks and no more.

internal import CPrices

extension Core {
    /// A request and the rungs that it may be granted on.
    struct Plan {
        let session: Int64
        let leaf: Int
        let q: Request
        let asked: Int32
        var ladder: Ladder? = nil
        var wanted = 0  // the rung of the model asked for
        var start = 0  // the first rung that may be used
        var isDowngrading = false
        var isCharge = false  // a charge: no step of a model

        init(_ session: Int64, _ leaf: Int, _ q: Request, asked: Int32) {
            self.session = session
            self.leaf = leaf
            self.q = q
            self.asked = asked
        }

        var rungs: Int { ladder?.count ?? 1 }
        func model(_ rung: Int) -> Int32 { ladder?.model(rung) ?? asked }
    }

    /// `prepare` and `attempt` once more, out of line.
    @inline(never)
    private func ready(_ q: Request, model: Int32) -> Try? {
        withUnsafePointer(to: q) { prepare($0, model: model, output: q.maxOutput) }
    }

    @inline(never)
    private func attempt(_ plan: Plan, _ t: Try, _ now: Int64, _ d: inout Decision) -> Stop {
        withUnsafePointer(to: plan.q) { q in
            withUnsafeTemporaryAllocation(byteCount: Route.bytes, alignment: 16) { room in
                guard let room = room.baseAddress else { return Stop(cause: .journal) }
                return attempt(plan.session, plan.leaf, q, t, asked: plan.asked, now, room, &d)
            }
        }
    }

    @inline(never)
    func reserveOnLadder(
        _ session: Int64, _ leaf: Int, _ q: Request, _ now: Int64, _ d: inout Decision
    ) -> Status {
        let ladder = Ladder(p: slab(node(leaf).extras.value))
        var rung = 0
        if q.model != 0 {
            while rung < ladder.count, ladder.model(rung) != q.model { rung += 1 }
        } else if q.tool != 0 {
            rung = ladder.count
        }
        var plan: Plan
        if rung < ladder.count {
            plan = Plan(session, leaf, q, asked: ladder.model(rung))
            let cap = topRung(leaf, q)
            if q.flags & Request.asAsked != 0 {
                if cap > rung {
                    d = Decision()
                    d.verdict = .halt
                    d.reason = .downgrade
                    d.remedy = .cheaperModel
                    return refused(plan, &d)
                }
            } else {
                let shares = shareRung(leaf, rungs: ladder.count)
                plan.ladder = ladder
                plan.wanted = rung
                plan.isDowngrading = shares > 0
                plan.start = min(max(rung, cap, shares), ladder.count - 1)
            }
        } else {
            plan = Plan(session, leaf, q, asked: q.model)
        }
        guard let first = ready(q, model: plan.model(plan.start)) else {
            return .invalid
        }
        let stop = attempt(plan, first, now, &d)
        if stop.cause != .none { return reconsider(plan, first, stop, &d) }
        return granted(plan, rung: plan.start, clamped: false, &d)
    }

    /// Says on a grant how it differs from what was wanted.
    private func granted(_ plan: Plan, rung: Int, clamped: Bool, _ d: inout Decision) -> Status {
        node(plan.leaf).row.value = 0
        if plan.isDowngrading { d.flags |= Decision.downgrading }
        if rung > plan.wanted { d.flags |= Decision.lowerRung }
        if clamped { d.flags |= Decision.clamped }
        if rung > plan.wanted || clamped {
            d.verdict = .downgrade
            d.reason = .downgrade
        }
        return .ok
    }

    /// The first attempt was stopped: everything else that may be tried.
    @inline(never)
    func reconsider(
        _ plan: Plan, _ first: Try, _ firstStop: Stop, _ d: inout Decision
    ) -> Status {
        let q = plan.q
        var stop = firstStop
        if stop.cause == .invalid { return .invalid }
        if stop.cause == .journal || isAnythingDue() {
            // A stopped loop never denies a new day's money.
            runtime.catchUp(leaf: plan.leaf, isFull: stop.cause == .journal)
            let again = engine.pointee.clock.steadyCoarse
            stop = attempt(plan, first, again, &d)
            if stop.cause == .none { return granted(plan, rung: plan.start, clamped: false, &d) }
        }
        if stop.cause == .amount || stop.cause == .journal, runtime.freesWhatTheDeadHold() {
            let again = engine.pointee.clock.steadyCoarse
            stop = attempt(plan, first, again, &d)
            if stop.cause == .none { return granted(plan, rung: plan.start, clamped: false, &d) }
        }
        let now = engine.pointee.clock.steadyCoarse
        guard stop.cause == .amount else { return refuse(plan, first, stop, &d) }
        var rung = plan.start + 1
        while rung < plan.rungs {
            if let lower = ready(q, model: plan.model(rung)),
                attempt(plan, lower, now, &d).cause == .none
            {
                return granted(plan, rung: rung, clamped: false, &d)
            }
            rung += 1
        }
        if q.maxOutput > 0 {
            let least = q.leastOutput
            rung = plan.start
            while rung < plan.rungs {
                if clamp(plan, rung, least, now, &d) {
                    return granted(plan, rung: rung, clamped: true, &d)
                }
                rung += 1
            }
        }
        return refuse(plan, first, stop, &d)
    }

    /// Grants as many output tokens as fit now, if they are enough.
    private func clamp(
        _ plan: Plan, _ rung: Int, _ least: Int64, _ now: Int64, _ d: inout Decision
    ) -> Bool {
        guard var t = ready(plan.q, model: plan.model(rung)) else { return false }
        // Others take room between the look and the charge; after a few losses
        // there is none to speak of.
        for _ in 0..<4 {
            let fits = fittingOutput(plan, t)
            if fits < least { return false }
            t.output = min(fits, plan.q.maxOutput)
            if attempt(plan, t, now, &d).cause == .none { return true }
        }
        return false
    }

    /// The most output tokens per choice that every ceiling leaves room for; -1 = not even none.
    private func fittingOutput(_ plan: Plan, _ t: Try) -> Int64 {
        let q = plan.q
        let choices = Int64(max(q.choices, 1))
        let input = max(q.input, q.inputUpper)
        var most = q.maxOutput
        let all = headerFlags.value & HeaderFlag.observed != 0
        var i = plan.leaf
        var steps = Steps()
        while steps.goOn() {
            let node = self.node(i)
            let flags = node.flags.value
            var c = all || flags & NodeFlag.observed != 0 ? 0 : Int(node.firstCell.loadAcquiring())
            while c != 0, steps.goOn() {
                let cell = self.cell(c)
                let meter = cell.meter
                var room = cell.ceiling.loadAcquiring() &- cell.committed.value
                if meter == MeterIndex.cost {
                    if flags & NodeFlag.holdsBack != 0,
                        !(q.flags & Request.final != 0 && i == plan.leaf)
                    {
                        room = room &- Ladder(p: slab(node.extras.value)).holdback
                    }
                    let price = q.tool != 0 ? tool(Int(q.tool)).price.value : 0
                    room = room &- price
                    if t.set != 0 {
                        // Nothing to pay passes a spent budget.
                        if t.worst.nanos(outputTokens: most) ?? 1 != 0 || price != 0 {
                            most = min(most, t.worst.outputTokens(fitting: room))
                        }
                    } else if room < q.extraNanos && (q.extraNanos | price) != 0 {
                        return -1
                    }
                } else if meter == MeterIndex.outputTokens {
                    most = min(most, room / choices)
                } else if meter == MeterIndex.tokens || meter == MeterIndex.freshTokens {
                    most = min(most, (room &- input) / choices)
                } else if amount(of: meter, plan, t) > max(room, 0) {
                    return -1
                }
                c = Int(cell.next.value)
            }
            if i == 0 || most < 0 { break }
            i = Int(node.parent.value)
        }
        return most
    }

    /// What an attempt would hold of a meter.
    func amount(of meter: Int, _ plan: Plan, _ t: Try) -> Int64 {
        let q = plan.q
        let output = t.output &* Int64(max(q.choices, 1))
        let input = max(q.input, q.inputUpper)
        switch meter {
        case MeterIndex.cost:
            let price = q.tool != 0 && !plan.isCharge ? tool(Int(q.tool)).price.value : 0
            let worst = t.set == 0 ? q.extraNanos : t.worst.nanos(outputTokens: t.output) ?? 0
            return saturatingAdd(worst, price)
        case MeterIndex.tokens, MeterIndex.freshTokens: return input &+ output
        case MeterIndex.inputTokens: return input
        case MeterIndex.outputTokens: return output
        case MeterIndex.steps: return !plan.isCharge && (t.model != 0 || q.tool == 0) ? 1 : 0
        case MeterIndex.toolCalls: return q.tool != 0 ? 1 : 0
        case MeterIndex.inFlight: return plan.isCharge ? 0 : 1
        default:
            var sum: Int64 = q.units > 0 && Int(q.meter) == meter ? q.units : 0
            if q.tool != 0, Int(tool(Int(q.tool)).meter.value) == meter { sum = sum &+ 1 }
            return sum
        }
    }

    /// The least that any form of the request which may be granted would hold.
    func leastAmount(of meter: Int, _ plan: Plan, _ t: Try) -> Int64 {
        if plan.isCharge { return amount(of: meter, plan, t) }
        var least = Int64.max
        for rung in plan.start..<max(plan.rungs, plan.start + 1) {
            guard var lower = ready(plan.q, model: plan.model(rung)),
                lower.flags & RecordFlag.refusable == 0
            else { continue }
            lower.output = plan.q.leastOutput
            least = min(least, amount(of: meter, plan, lower))
        }
        return min(least, amount(of: meter, plan, t))
    }

    // MARK: - Where on the ladder

    /// The highest rung that the budgets above allow for the step's complexity.
    private func topRung(_ leaf: Int, _ q: Request) -> Int {
        var complexity = Int(q.complexity)
        var top = 0
        var i = leaf
        var steps = Steps()
        while steps.goOn() {
            let node = self.node(i)
            if complexity == 0 { complexity = node.complexity }
            if i == 0 { break }
            i = Int(node.parent.value)
        }
        if complexity == 0 { complexity = 2 }  // standard
        i = leaf
        while i != 0, steps.goOn() {
            let node = self.node(i)
            let caps = node.isSession ? 0 : node.rungs.value
            let cap = Int((caps >> UInt32(complexity * 8)) & 0xFF)
            if cap > 0 { top = max(top, cap - 1) }
            i = Int(node.parent.value)
        }
        return top
    }

    /// How far limits that are past their downgrade share push down: past P % of
    /// a limit the second rung, and evenly down to the last at 100 %.
    private func shareRung(_ leaf: Int, rungs: Int) -> Int {
        guard rungs > 1 else { return 0 }
        var lowest = 0
        var i = leaf
        var walk = Steps()
        while walk.goOn() {
            let node = self.node(i)
            if node.flags.value & NodeFlag.downgrades != 0 {
                var l = Int(node.firstLimit.loadAcquiring())
                while l != 0, walk.goOn() {
                    let limit = self.limit(l)
                    if limit.downgrade > 0, limit.countsAmounts, holds(limit, at: node),
                        let cell = cell(of: limit.meter, at: i)
                    {
                        let share = limit.share(committed: cell.committed.value)
                        if share >= limit.downgrade {
                            let span = max(100 - limit.downgrade, 1)
                            let steps = (share - limit.downgrade) * Int64(rungs - 1) / span
                            lowest = max(lowest, min(1 + Int(steps), rungs - 1))
                        }
                    }
                    l = Int(limit.next.value)
                }
            }
            if i == 0 { break }
            i = Int(node.parent.value)
        }
        return lowest
    }
}

extension LimitSlot {
    /// What was settled when the open window started.
    var floor: Int64 { base(Int(window.value & 1)).value }

    /// Percent of the limit that is committed in its window, 0 to 100.
    func share(committed: Int64) -> Int64 {
        let whole = saturatingAdd(amount.value, extra.value)
        let part = committed &- floor
        if part >= whole { return 100 }
        if part <= 0 { return 0 }
        return Int64(UInt128(UInt64(part)) * 100 / UInt128(UInt64(whole)))
    }
}
