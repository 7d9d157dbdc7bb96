// Budgets: declaring, removing, changing limits, topping up, observing.

/// The header's bursar_budget_options_t.
public struct BudgetOptions {
    public var replaces = false
    public var isObserved = false
    public var limits: [UInt8] = []
    public var owner: [UInt8] = []
    public var costCenter: [UInt8] = []
    public var purpose: [UInt8] = []
    /// Nano-dollars that each verified outcome adds to its limits on cost, and at most all of
    /// them; 0 = it earns nothing. Of this name only, if there is one.
    public var earn: Int64 = 0
    public var earnMost: Int64 = 0
    public var earnOutcome: [UInt8] = []
    public var topRungs: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
    public var complexity: Int32 = 0
    public init() {}
}

extension Runtime {
    /// The header's bursar_budget_declare().
    public func budgetDeclare(_ path: [UInt8], _ options: BudgetOptions) throws(Failure) -> Int64 {
        let names = try Path.parse(path)
        try foldFirst()
        return try makingRoom { () throws(Failure) in try declare(names, options) }
    }

    private func declare(_ names: [[UInt8]], _ options: BudgetOptions) throws(Failure) -> Int64 {
        try configuring { () throws(Failure) in
            let list = options.limits.isEmpty
                ? LimitList([]) : try parse(options.limits, onSession: false)
            for text in [options.owner, options.costCenter, options.purpose, options.earnOutcome] where !text.isEmpty {
                if text.count > 256 || !Path.isText(text) || text.contains(where: { $0 < 0x20 }) {
                    throw Failure(.path, "owner, cost centre, purpose and the name of outcomes are up to 256 bytes of UTF-8 without control characters")
                }
            }
            guard (options.earn > 0) == (options.earnMost > 0) else {
                throw Failure(.invalid, "a budget that earns says `earn`, for each outcome, and `earn_most`, in all")
            }
            guard options.complexity >= 0, options.complexity <= 3 else {
                throw Failure(.invalid, "complexity is 0 to 3")
            }
            // All or nothing: a part of a path would take its places for good.
            if segment.freeNodes.room < missing(names) {
                throw full("budgets and sessions", "sessions_max")
            }
            let i = try ensure(names)
            // A new one opens when it has its limits.
            defer {
                if core.node(Int(i)).state.value & StateBit.closed != 0 {
                    open(i)
                    rescheduleTimeLimits(Int(i))
                }
            }
            let node = core.node(Int(i))
            let isNew = node.flags.value & NodeFlag.declared == 0
            if isNew || options.replaces {
                try setLimits(Int(i), list)
                if !isNew { tell(.limits, Int(i)) }
            } else if list != limits(of: Int(i)) {
                tell(.declared, Int(i), text: options.limits)
            }
            if isNew || options.replaces { try describe(Int(i), options) }
            edit.update(node.flags, setting: NodeFlag.declared)
            core.untell(Int(i))
            return core.id(of: Int(i))
        }
    }

    func describe(_ i: Int, _ options: BudgetOptions) throws(Failure) {
        let node = core.node(i)
        let meta = meta(UInt32(i))
        let was = [meta.owner.value, meta.costCenter.value]
        for (field, text) in [
            (meta.owner, options.owner), (meta.costCenter, options.costCenter),
            (meta.purpose, options.purpose),
        ] {
            let block = try intern(text)
            slab.release(field.value)
            edit[field] = block
        }
        let r = options.topRungs
        edit[node.rungs] =
            UInt32(r.0) | UInt32(r.1) << 8 | UInt32(r.2) << 16 | UInt32(r.3) << 24
        edit[node.misc] = (node.misc.value & ~0xFF) | UInt32(options.complexity)
        edit.update(
            node.flags, setting: options.isObserved ? NodeFlag.observed : 0,
            clearing: options.isObserved ? 0 : NodeFlag.observed)
        try setEarning(i, options.earn, options.earnMost, options.earnOutcome)
        // What is below has them too, unless it has its own.
        if was != [meta.owner.value, meta.costCenter.value] { eachBelow(i) { core.untell($0) } }
        judgeTimeAgain(i)
    }

    /// The header's bursar_budget_find().
    public func budgetFind(_ path: [UInt8]) throws(Failure) -> Int64 {
        let names = try Path.parse(path)
        return try configuring { () throws(Failure) in
            guard let i = find(names) else { throw Failure(.notFound, "no such budget") }
            return core.id(of: Int(i))
        }
    }

    /// The header's bursar_budget_remove().
    public func budgetRemove(_ id: Int64) throws(Failure) {
        try foldFirst()  // frees closed sessions
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            let node = core.node(i)
            guard i != 0, !node.isSession else {
                throw Failure(.invalid, "this is no budget; bursar_session_close() closes sessions")
            }
            if node.childCount.value > 0 {
                var failure = Failure(
                    .inUse,
                    "the budget has \(node.childCount.value) budgets or live sessions below it; remove or close them first"
                )
                failure.id = id
                throw failure
            }
            // Its name is free at once; the node when no record is left.
            close(i)
            forgetName(UInt32(i))
        }
        ringKeeper()
    }

    /// The header's bursar_limits_set().
    public func limitsSet(_ id: Int64, _ text: [UInt8]) throws(Failure) {
        try foldFirst()
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            guard i != 0 else {
                throw Failure(.notFound, "no budget is named; 0 has no limits of its own")
            }
            // Its steps in flight know nothing of meters that it would get now.
            if core.node(i).state.value & StateBit.closed != 0 {
                throw Failure(.notFound, "it was closed")
            }
            let list = try parse(text, onSession: core.node(i).isSession)
            try setLimits(i, list)
            if !core.node(i).isSession {
                edit.update(core.node(i).flags, setting: NodeFlag.declared)
            }
            reviveIfThereIsTime(i)
            edit.commit()
            tell(.limits, i, text: text)
        }
        ringKeeper()
    }

    /// A node that a time limit ended goes on when the limit was taken away or raised.
    private func reviveIfThereIsTime(_ i: Int) {
        let ended = StateBit.held | StateBit.halted
        guard core.node(i).state.value & ended != 0 else { return }
        let now = clock.steady
        var isOver = false
        eachLimit(i) { _, limit in
            guard limit.isTime else { return }
            if elapsed(limit, i, at: now) >= saturatingAdd(limit.amount.value, limit.extra.value) {
                isOver = true
            } else {
                limit.fired.update(clearing: LimitFlag.refusing)
            }
        }
        if isOver { return }
        change(i, clear: ended)
        setStateReason(i, .none)
        rescheduleTimeLimits(i)
        tell(.resume, i)
    }

    /// The header's bursar_top_up().
    public func topUp(_ id: Int64, _ amount: [UInt8], for time: Int64, reason: [UInt8]) throws(Failure)
    {
        guard time >= 0 else { throw Failure(.invalid, "for_ns is negative; 0 does not expire") }
        try foldFirst()
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            let top: TopUp
            do throws(LimitError) {
                top = try amount.withUnsafeBufferPointer { (bytes) throws(LimitError) in
                    try LimitParser.parseTopUp(bytes, meterKnown: { self.meter(named: $0) != nil })
                }
            } catch {
                throw Runtime.failure(error)
            }
            var meter = Int(top.meter.rawValue)
            if top.meter == .unassigned {
                let name = top.isCall ? Runtime.callsName(top.name) : top.name
                meter = self.meter(named: name).map { Int($0) } ?? -1
            }
            var topped: [(limit: UInt32, time: Int64)] = []
            eachLimit(i) { l, limit in
                guard limit.meter == meter, !limit.isRate, !isDefault(limit, at: i) else { return }
                let most = lastsAtMost(limit)
                topped.append((l, min(time > 0 ? time : .max, most > 0 ? most : .max)))
            }
            if topped.isEmpty {
                var failure = Failure(.notFound, "it has no limit on that meter to top up; limits_set() gives it one")
                failure.id = id
                throw failure
            }
            if !core.node(i).isSession { core.untell(i) }
            try expireTopUps(topped, i, top.amount)
            for (l, _) in topped {
                let extra = core.limit(Int(l)).extra
                #if BURSAR_SEAM
                if Plant.topsUpBarely.isOn, let cell = core.cell(of: meter, at: i) {
                    cell.ceiling.value += top.amount
                    return
                }
                #endif
                edit[extra] = saturatingAdd(extra.value, top.amount)
            }
            if meter < MeterIndex.end { recompute(i, meter: meter) } else { reviveIfThereIsTime(i) }
            rescheduleTimeLimits(i)
            edit.commit()  // the ceiling has risen when it is told
            var event = Event(type: .topUp)
            event.id = id
            event.meter = Int32(meter)
            event.amount = top.amount
            event.path = path(of: i)
            event.text = Path.line(reason, most: 256)
            event.actor = actor
            send(event)
        }
        ringKeeper()
    }

    /// Time limits that had run out are judged again: the node is observed now, or
    /// not any more. Config lock held.
    private func judgeTimeAgain(_ i: Int) {
        var hasRunOut = false
        eachLimit(i) { _, limit in
            if limit.isTime, limit.fired.value & LimitFlag.refusing != 0 {
                limit.fired.update(clearing: LimitFlag.refusing)
                hasRunOut = true
            }
        }
        if !hasRunOut { return }
        let ended = StateBit.held | StateBit.halted
        if core.node(i).state.value & ended != 0 {
            change(i, clear: ended)
            setStateReason(i, .none)
            tell(.resume, i)
        }
        rescheduleTimeLimits(i)
    }

    /// The header's bursar_observe().
    public func observe(_ id: Int64, _ on: Bool) throws(Failure) {
        try configuring { () throws(Failure) in
            if id == 0 {
                core.untell(0)
                edit.update(
                    core.headerFlags, setting: on ? HeaderFlag.observed : 0,
                    clearing: on ? 0 : HeaderFlag.observed)
                for i in 1..<max(Int(segment.freeNodes.highWater), 1) {
                    edit.commit()
                    judgeTimeAgain(i)
                }
                return
            }
            let i = try resolve(id)
            core.untell(i)
            edit.update(
                core.node(i).flags, setting: on ? NodeFlag.observed : 0, clearing: on ? 0 : NodeFlag.observed)
            judgeTimeAgain(i)
        }
    }
}
