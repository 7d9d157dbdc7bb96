// Reserve: hold the worst case of a step at every level, or say why not.
//
// A session without a ladder makes one attempt; what else may be tried (lower
// rungs, fewer output tokens) and every explanation live in Refusal.swift, out
// of the way of the path that grants.
//
// The path from here to the last store allocates nothing, takes no lock, makes no
// system call, touches no reference count and cannot trap.

internal import CPlatform
internal import CPrices

extension Core {
    /// What one attempt asks for: a model at its prices, an output.
    struct Try {
        var model: Int32 = 0
        var set: Int32 = 0
        var flags: UInt32 = 0  // RecordFlag
        var worst = WorstCase(fixed: 0, perToken: 0)
        var output: Int64 = 0
    }

    /// The header's bursar_reserve().
    public func reserve(_ session: Int64, _ q: Request, _ d: inout Decision) -> Status {
        withUnsafePointer(to: q) { reserve(session, $0, &d) }
    }

    /// The same, reading the caller's own struct; `d` is fresh.
    @inline(__always)
    public func reserve(
        _ session: Int64, _ request: UnsafePointer<Request>, _ d: inout Decision
    ) -> Status {
        withUnsafeTemporaryAllocation(byteCount: Route.bytes, alignment: 16) { room in
            guard let room = room.baseAddress else { return .memory }
            return reserve(session, request, room, &d)
        }
    }

    @_optimize(speed) @inline(never)
    private func reserve(
        _ session: Int64, _ request: UnsafePointer<Request>, _ room: UnsafeMutableRawPointer,
        _ d: inout Decision
    ) -> Status {
        if let status = obstacleToNew() { return status }
        guard let leaf = index(of: session) else { return .notFound }
        let node = self.node(leaf)
        let flags = node.flags.value
        guard request.pointee.isSound, flags & NodeFlag.session != 0 else { return .invalid }
        let now = engine.pointee.clock.steadyCoarse
        if flags & NodeFlag.laddered != 0 {
            return reserveOnLadder(session, leaf, request.pointee, now, &d)
        }
        let model = request.pointee.model
        guard let wanted = prepare(request, model: model, output: request.pointee.maxOutput) else {
            return .invalid
        }
        let stop = attempt(session, leaf, request, wanted, asked: model, now, room, &d)
        if stop.cause == .none {
            if node.row.value != 0 { node.row.value = 0 }
            return .ok
        }
        return reconsider(Plan(session, leaf, request.pointee, asked: model), wanted, stop, &d)
    }

    /// Prices the worst case; nil when the amounts overflow.
    @inline(__always)
    func prepare(_ q: UnsafePointer<Request>, model: Int32, output: Int64) -> Try? {
        var t = Try()
        t.model = model
        t.output = output
        if model != 0 {
            t.set = engine.pointee.prices.currentSet(model: model)
            if t.set == 0 { return prepareUnpriced(q, t) }
        } else if q.pointee.tool == 0, q.pointee.input | output != 0 {
            return prepareUnpriced(q, t)
        }
        return price(q, t)
    }

    /// Fills in what the step can cost at most.
    @inline(__always)
    func price(_ q: UnsafePointer<Request>, _ given: Try) -> Try? {
        var t = given
        if t.set != 0 {
            guard let rows = engine.pointee.prices.rows(set: t.set),
                let worst = rows.worstCase(q.pointee.estimate)
            else { return nil }
            t.worst = worst
        }
        return t
    }

    /// No price is known: the runtime's policy.
    @inline(never)
    private func prepareUnpriced(_ q: UnsafePointer<Request>, _ given: Try) -> Try? {
        var t = given
        if runtime.book.know(t.model) {
            t.set = engine.pointee.prices.currentSet(model: t.model)
            return price(q, t)
        }
        // A number that no name was given is a mistake, not an unknown model.
        guard engine.pointee.prices.isNumbered(t.model) else { return nil }
        switch engine.pointee.policy.unknownModel {
        case .refuse:
            t.flags = RecordFlag.unpriced | RecordFlag.refusable
            return t
        case .free:
            t.flags = RecordFlag.unpriced
            return t
        case .dearest:
            t.flags = RecordFlag.unpriced
            t.set = engine.pointee.prices.dearestSet
            return price(q, t)
        }
    }

    /// Claims a record, writes it, charges the path. The stop says why not.
    @_optimize(speed) @inline(never)
    func attempt(
        _ session: Int64, _ leaf: Int, _ q: UnsafePointer<Request>, _ t: Try, asked: Int32, _ now: Int64,
        _ room: UnsafeMutableRawPointer, _ d: inout Decision
    ) -> Stop {
        let choices = Int64(max(q.pointee.choices, 1))
        let input = max(q.pointee.input, q.pointee.inputUpper)
        let (output, tooMany) = t.output.multipliedReportingOverflow(by: choices)
        guard var cost = t.set == 0 ? q.pointee.extraNanos : t.worst.nanos(outputTokens: t.output),
            !tooMany
        else { return Stop(cause: .invalid) }
        if q.pointee.tool != 0 {
            guard q.pointee.tool < Int32(bitPattern: engine.pointee.toolsMax),
                tool(Int(q.pointee.tool)).name.value != 0
            else { return Stop(cause: .invalid) }
            cost = saturatingAdd(cost, tool(Int(q.pointee.tool)).price.value)
        }
        if cost > Bound.amount { return Stop(cause: .invalid) }
        if t.flags & RecordFlag.refusable != 0, isMoneyLimited(leaf) {
            return Stop(cause: .price, node: Int32(truncatingIfNeeded: leaf))
        }
        let isModel = t.model != 0 || q.pointee.tool == 0
        let calls = q.pointee.tool != 0 ? tool(Int(q.pointee.tool)).meter.value << 8 : 0
        let meters = (q.pointee.units > 0 ? UInt32(truncatingIfNeeded: q.pointee.meter) : 0) | calls
        // The epoch, then the cells: every cell that counts the step is there.
        let born = epoch.loadAcquiring()
        var route = Route(room)
        route.put(
            cost: cost, input: input, output: output, cached: 0, steps: isModel ? 1 : 0,
            calls: q.pointee.tool != 0 ? 1 : 0, inFlight: 1)
        let isPlain = route.gather(self, leaf: leaf, epoch: born, named: meters != 0)
        #if BURSAR_SEAM
        let wasOpen = Plant.checksFirst.isOn && isPlain && route.isOpen(gen: session >> 32, now: now)
        #endif
        guard let (i, gen) = claim() else { return Stop(cause: .journal) }
        let record = self.record(i)
        let hasMore = q.pointee.units | q.pointee.parent | q.pointee.timeToLive != 0 || meters != 0
        record.node.value = session
        record.expiresAt.value = saturatingAdd(
            now, q.pointee.timeToLive > 0 ? q.pointee.timeToLive : engine.pointee.timeToLive)
        record.flags.value =
            (t.flags & RecordFlag.kept) | (q.pointee.flags & Request.stream != 0 ? RecordFlag.stream : 0)
            | (isModel ? 0 : RecordFlag.charge) | (hasMore ? RecordFlag.more : 0)
            | (UInt32(truncatingIfNeeded: q.pointee.attempt) << 16)
            | (UInt32(truncatingIfNeeded: q.pointee.variant) << 24)
            | (UInt32(truncatingIfNeeded: q.pointee.complexity) << 26)
        record.epoch.value = born
        record.asked.value = UInt32(bitPattern: asked)
        record.granted.value = UInt32(bitPattern: t.model)
        record.price.value = priced(t.set)
        record.tool.value = UInt32(bitPattern: q.pointee.tool)
        record.heldCost.value = cost
        record.heldInput.value = input
        record.heldOutput.value = output
        record.reservedAt.value = now
        record.streamed.value = 0
        if hasMore {
            record.meterWord.value = meters
            record.unitsWord.value = q.pointee.units
            record.usedUnitsWord.value = 0
            record.originalWord.value = q.pointee.parent
            record.ownTimeWord.value = q.pointee.timeToLive
            record.rateEndWord.value = .max
            record.keyWord.value = 0
        }
        #if BURSAR_SEAM
        if wasOpen {
            let passage = chargeRoute(route)
            let state = passage.stop.cause == .none ? RecordState.inFlight : RecordState.free
            record.word.storeReleasing(
                RecordWord.make(
                    state, actor: state == RecordState.free ? 0 : me,
                    gen: state == RecordState.free ? gen &+ 1 : gen))
            return passage.stop
        }
        #endif
        let passage: Passage
        if isPlain, route.isOpen(gen: session >> 32, now: now) {
            passage = chargeRoute(route)
        } else {
            passage = charge(
                record.held, record, leaf: leaf, gen: session >> 32, now: now,
                final: q.pointee.flags & Request.final != 0)
        }
        if passage.stop.cause != .none {
            free(i, gen: gen)
            return passage.stop
        }
        let state = q.pointee.flags & Request.hold != 0 ? RecordState.held : RecordState.inFlight
        record.word.storeReleasing(RecordWord.make(state, actor: me, gen: gen))
        wake(from: q.pointee.timeToLive != 0 ? Signal.empty | Signal.resting : Signal.empty)

        d.reservation = Handle.make(index: i, gen: gen)
        d.maxOutput = t.output
        d.reservedNanos = cost
        d.model = t.model
        d.verdict = .allow
        d.reason = .none
        var told: UInt32 = 0
        if passage.flags & NodeFlag.limited == 0 { told = Decision.undeclared }
        if t.flags & RecordFlag.unpriced != 0 { told |= Decision.unpriced }
        d.flags = told
        if passage.observed { explainObserved(leaf, record, &d) }
        return Stop()
    }

    @inline(__always)
    private func chargeRoute(_ route: Route) -> Passage {
        var passage = Passage()
        passage.flags = route.flags
        let refused = route.charge(self)
        if refused >= 0 {
            passage.stop = route.stop(self, at: refused)
        } else if route.flags & NodeFlag.limited == 0,
            engine.pointee.policy.undeclared == .refuse
        {
            route.takeBack(route.cells)
            passage.stop = Stop(cause: .undeclared)
        }
        return passage
    }

    /// Whether a money limit that stops anybody holds for a session.
    @inline(never)
    func isMoneyLimited(_ leaf: Int) -> Bool {
        if headerFlags.value & HeaderFlag.observed != 0 { return false }
        var i = leaf
        var steps = Steps()
        while i != 0, steps.goOn() {
            let flags = node(i).flags.value
            if flags & NodeFlag.observed == 0 {
                if let cell = cell(of: MeterIndex.cost, at: i),
                    cell.ceiling.loadAcquiring() < Bound.ceiling
                {
                    return true
                }
                if flags & NodeFlag.rates != 0, hasMoneyRate(i) { return true }
            }
            i = Int(node(i).parent.value)
        }
        return false
    }

    private func hasMoneyRate(_ i: Int) -> Bool {
        var l = Int(node(i).firstLimit.loadAcquiring())
        var steps = Steps()
        while l != 0, steps.goOn() {
            let limit = self.limit(l)
            if limit.isRate, limit.meter == MeterIndex.cost, limit.end != LimitEnd.observe {
                return true
            }
            l = Int(limit.next.value)
        }
        return false
    }
}
