// Reading: views of budgets, sessions, meters and limits, spend, health. What is
// settled counts as spent, folded or not: they fold if nobody else does, and wait for
// nobody who does.

internal import CPrices

/// The header's bursar_view_t.
public struct View {
    public var isSession = false
    public var state: Int32 = 0
    public var effectiveState: Int32 = 0
    public var reason = Reason.none
    public var flags: UInt32 = 0
    public var id: Int64 = 0
    public var parent: Int64 = 0
    public var spentNanos: Int64 = 0
    public var reservedNanos: Int64 = 0
    public var remainingNanos: Int64 = .max
    public var steps: Int64 = 0
    public var toolCalls: Int64 = 0
    public var inputTokens: Int64 = 0
    public var outputTokens: Int64 = 0
    public var refusals: Int64 = 0
    public var openedUnixNanos: Int64 = 0
    public var children: UInt32 = 0
    public var limits: UInt32 = 0
    public init() {}
}

/// The header's bursar_meter_view_t.
public struct MeterView {
    public var spent: Int64 = 0
    public var reserved: Int64 = 0
    public var committed: Int64 = 0
    public var remaining: Int64 = .max
    public init() {}
}

/// The header's bursar_limit_view_t.
public struct LimitView {
    public var meter: Int32 = 0
    public var end: Int32 = 0
    public var amount: Int64 = 0
    public var extra: Int64 = 0
    public var earned: Int64 = 0
    public var spent: Int64 = 0
    public var committed: Int64 = 0
    public var remaining: Int64 = 0
    public var startUnixNanos: Int64 = 0
    public var endUnixNanos: Int64 = 0
    public var text: [UInt8] = []
    public init() {}
}

/// The header's bursar_health_t.
public struct Health {
    public var nodes: Int64 = 0, nodesMax: Int64 = 0
    public var reservations: Int64 = 0, reservationsMax: Int64 = 0
    public var inFlight: Int64 = 0
    public var refusals: Int64 = 0, transientRefusals: Int64 = 0
    public var settledSteps: Int64 = 0, estimatedSteps: Int64 = 0, lateSettles: Int64 = 0
    public var overrunNanos: Int64 = 0
    public var folds: Int64 = 0, foldLagNanos: Int64 = 0
    public var events: Int64 = 0, eventsLost: Int64 = 0
    public var timers: Int64 = 0
    public var segmentBytes: Int64 = 0
    public var pricesAsOfUnix: Int64 = 0
    public var wakeUps: Int64 = 0
    public init() {}
}

/// The header's BURSAR_TEXT_*.
public enum TextKind: Int32 {
    case path = 1, agent, owner, costCenter, purpose, limits, reason, labels, ladder, meter, tool
}

extension Runtime {
    private func state(_ i: Int) -> Int32 {
        let bits = core.node(i).state.value
        if bits & StateBit.closed != 0 { return 4 }
        if bits & StateBit.killed != 0 { return 3 }
        if bits & StateBit.halted != 0 { return 2 }
        return bits & (StateBit.paused | StateBit.held) != 0 ? 1 : 0
    }

    private func reason(_ i: Int) -> Reason {
        let bits = core.node(i).state.value
        if bits & StateBit.closed != 0 { return .closed }
        if bits & StateBit.killed != 0 { return .killed }
        // In the order of `state`: who was paused after a deadline stays halted.
        if bits & StateBit.halted != 0 { return core.node(i).stateReason }
        if bits & StateBit.paused != 0 { return .paused }
        return bits & StateBit.held != 0 ? core.node(i).stateReason : .none
    }

    private func spent(_ cell: Cell) -> Int64 {
        cell.spent(cell.slot(at: core.batch.loadAcquiring())).value
    }

    /// Before a look: folds, unless somebody else does, and opens what is due.
    private func freshen(_ id: Int64) {
        tryFold()
        if core.isAnythingDue(), let i = id == 0 ? 0 : core.index(of: id) { rollPath(leaf: i) }
    }

    /// The header's bursar_read().
    public func read(_ id: Int64) throws(Failure) -> View {
        freshen(id)
        return try configuring { () throws(Failure) in view(try resolve(id), id) }
    }

    /// The header's bursar_views(): calls `body` for each id, with nil where it is gone.
    public func views(_ ids: UnsafeBufferPointer<Int64>, _ body: (Int, View?) -> Void) throws(Failure) {
        freshen(0)
        var k = 0
        while k < ids.count {
            try configuring { () throws(Failure) in
                for _ in 0..<min(256, ids.count - k) {
                    body(k, core.index(of: ids[k]).map { view($0, ids[k], isFolded: true) })
                    k += 1
                }
            }
        }
    }

    /// Config lock held. `isFolded`: without what is settled and not folded.
    private func view(_ i: Int, _ id: Int64, isFolded: Bool = false) -> View {
        let node = core.node(i)
        var view = View()
        view.id = id
        view.isSession = node.isSession
        view.state = state(i)
        view.parent = i == 0 ? 0 : core.id(of: Int(node.parent.value))
        eachUp(i) { above in
            let state = state(above)
            // Closed is a session's own affair; of the others the worst counts.
            if state > view.effectiveState {
                view.effectiveState = state
                view.reason = reason(above)
            }
        }
        let flags = node.flags.value
        if flags & NodeFlag.observed != 0 || core.headerFlags.value & HeaderFlag.observed != 0 {
            view.flags |= 1
        }
        if node.isSession ? !isLimitedAbove(i) : (i != 0 && flags & NodeFlag.declared == 0) {
            view.flags |= 2
        }
        let now = isFolded ? core.figures(i) : core.figuresNow(i, foldLog)
        if i == 0 {
            // Everything: the sum of what is directly below.
            eachChild(0) { child in
                if let cell = core.cell(of: MeterIndex.cost, at: child) {
                    view.spentNanos = saturatingAdd(view.spentNanos, spent(cell))
                    view.reservedNanos = saturatingAdd(
                        view.reservedNanos, max(cell.committed.value &- spent(cell), 0))
                }
            }
            view.spentNanos = saturatingAdd(view.spentNanos, now.unfoldedCost)
            view.reservedNanos = max(view.reservedNanos &- now.unfoldedCost, 0)
        } else if let cell = core.cell(of: MeterIndex.cost, at: i) {
            view.spentNanos = isFolded ? spent(cell) : core.settledNow(i, cell)
            view.reservedNanos = max(cell.committed.value &- view.spentNanos, 0)
            let ceiling = cell.ceiling.value
            if ceiling < Bound.ceiling {
                view.remainingNanos = max(ceiling &- cell.committed.value, 0)
            }
        }
        view.steps = now.steps
        view.toolCalls = now.toolCalls
        view.inputTokens = now.input
        view.outputTokens = now.output
        view.refusals = Int64(node.refusals.value)
        view.openedUnixNanos = clock.unix &- (clock.steady &- node.opened.value)
        view.children = node.childCount.value
        eachLimit(i) { _, _ in view.limits += 1 }
        return view
    }

    private func isLimitedAbove(_ i: Int) -> Bool {
        var isLimited = false
        eachUp(i) { i in
            let flags = core.node(i).flags.value
            if i != 0, flags & NodeFlag.session == 0, flags & NodeFlag.limited != 0 {
                isLimited = true
            }
        }
        return isLimited
    }

    /// The header's bursar_meter_read().
    public func meterRead(_ id: Int64, _ meter: Int32) throws(Failure) -> MeterView {
        freshen(id)
        return try configuring { () throws(Failure) in
            let i = try resolve(id)
            guard meter >= 0, meter < 32, let cell = core.cell(of: Int(meter), at: i) else {
                throw Failure(.notFound, "it does not count that meter: it has no limit on it")
            }
            var view = MeterView()
            view.spent = core.settledNow(i, cell)
            view.committed = cell.committed.value
            view.reserved = max(view.committed &- view.spent, 0)
            let ceiling = cell.ceiling.value
            if ceiling < Bound.ceiling { view.remaining = max(ceiling &- view.committed, 0) }
            return view
        }
    }

    /// The header's bursar_limit_read().
    public func limitRead(_ id: Int64, _ position: UInt32) throws(Failure) -> LimitView {
        freshen(id)
        return try configuring { () throws(Failure) in
            let i = try resolve(id)
            var k: UInt32 = 0
            var found: LimitSlot?
            eachLimit(i) { _, limit in
                if k == position { found = limit }
                k += 1
            }
            guard let limit = found else { throw Failure(.notFound, "it has no more limits") }
            var view = LimitView()
            view.meter = Int32(limit.meter)
            view.end = Int32(limit.end)
            view.amount = limit.amount.value
            view.text = self.limit(of: limit).print()
            let steady = clock.steady
            let unixOf = clock.unix - steady
            if limit.isTime {
                view.extra = limit.extra.value
                view.spent = elapsed(limit, i, at: steady)
                view.committed = view.spent
                view.startUnixNanos = limit.window.value &+ unixOf
                view.endUnixNanos = saturatingAdd(
                    view.startUnixNanos, saturatingAdd(view.amount, view.extra))
            } else if limit.isRate {
                let ahead = max(limit.window.value &- steady, 0)
                view.committed = limit.units(worth: ahead)
                view.spent = view.committed
                view.remaining = max(saturatingAdd(limit.burst.value, 0 &- view.committed), 0)
                return view
            } else if let cell = core.cell(of: limit.meter, at: i), !isDefault(limit, at: i) {
                view.extra = limit.extra.value
                view.earned = earned(i, limit)?.value ?? 0
                view.spent = max(core.settledNow(i, cell) &- limit.floor, 0)
                view.committed = max(cell.committed.value &- limit.floor, 0)
                if limit.windowKind == WindowCode.calendar {
                    let start = limit.window.value >> 1
                    let end = windows.bounds(limit.spec.value, unix: start)?.end ?? 0
                    view.startUnixNanos = start &* 1_000_000_000
                    view.endUnixNanos = end &* 1_000_000_000
                } else if limit.windowKind == WindowCode.rolling {
                    let span = windows.window(windowNumber(limit)).spanNanos
                    view.startUnixNanos = clock.unix - span
                    view.endUnixNanos = clock.unix
                }
            }
            view.remaining = max(saturatingAdd(view.amount, view.extra) &- view.committed, 0)
            return view
        }
    }

    /// The header's bursar_text_read().
    public func textRead(_ id: Int64, _ kind: TextKind) throws(Failure) -> [UInt8] {
        try configuring { () throws(Failure) in
            if kind == .meter {
                guard id >= 8, id < 32, let name = meterName(Int(id)) else {
                    throw Failure(.notFound, "no such named meter")
                }
                return name
            }
            if kind == .tool {
                guard id > 0, id <= Int64(toolCount) else {
                    throw Failure(.notFound, "no such tool")
                }
                return slab.text(core.tool(Int(id)).name.value)
            }
            let i = try resolve(id)
            let node = core.node(i)
            switch kind {
            case .path: return path(of: i)
            case .agent: return node.isSession ? slab.text(node.agent.value) : []
            case .owner: return inherited(i, Meta.owner)
            case .costCenter: return inherited(i, Meta.costCenter)
            case .purpose:
                return i == 0 || node.isSession ? [] : slab.text(meta(UInt32(i)).purpose.value)
            case .limits: return limits(of: i).limits.isEmpty ? [] : limits(of: i).print()
            case .reason: return words(of: i).why
            case .labels:
                var text: [UInt8] = []
                eachLabel(node.isSession ? node.labels.value : 0) { key, value in
                    text += slab.text(key) + [UInt8(ascii: "=")] + slab.text(value)
                    text.append(UInt8(ascii: "\n"))
                }
                return text
            case .ladder:
                guard node.flags.value & NodeFlag.laddered != 0 else { return [] }
                let ladder = Ladder(p: slab.address(node.extras.value))
                var text: [UInt8] = []
                for rung in 0..<ladder.count {
                    if rung > 0 { text.append(UInt8(ascii: ",")) }
                    text += book.name(ladder.model(rung)) ?? []
                }
                return text
            case .meter, .tool: return []
            }
        }
    }

    func inherited(_ i: Int, _ field: Int) -> [UInt8] {
        var block: UInt32 = 0
        eachUp(i) { i in
            if block == 0, i != 0, !core.node(i).isSession { block = meta(UInt32(i)).text(field).value }
        }
        return slab.text(block)
    }

    /// The header's bursar_children(): calls `body` with each id; how many there are.
    public func children(_ id: Int64, _ body: (Int64) -> Void) throws(Failure) -> Int {
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            eachChild(i) { body(core.id(of: $0)) }
            return Int(core.node(i).childCount.value)
        }
    }

    /// The header's bursar_spend_read(): nil past the last row.
    public func spendRead(_ position: Int) -> SpendRow? {
        if position == 0, folding.lock(for: 100_000_000) {
            foldLocked()
            folding.unlock()
        }
        return ledger.row(at: position)
    }

    /// The header's bursar_health().
    public func health() -> Health {
        var health = Health()
        health.settledSteps = core.statistic(Header.settledSteps).value
        health.folds = core.batch.value
        let oldest = core.statistic(Header.oldestSettled).value
        health.foldLagNanos = oldest > 0 ? max(clock.steady - oldest, 0) : 0
        health.nodes = Int64(segment.freeNodes.inUse) - 1
        health.nodesMax = Int64(segment.nodesMax) - 1
        health.timers = Int64(core.header(Header.windowedCount).value)
        if config.lock(for: SharedLock.patience) {
            health.timers += Int64(timers.count)
            config.unlock()
        }
        health.segmentBytes = Int64(segment.bytes)
        core.eachRecord { _, record in
            let state = RecordWord.state(record.word.value)
            if state != RecordState.free { health.reservations += 1 }
            if state == RecordState.inFlight || state == RecordState.held { health.inFlight += 1 }
            return true
        }
        health.reservationsMax = Int64(segment.recordsMax)
        health.refusals = core.refusals.value
        health.transientRefusals = core.transientRefusals.value
        health.estimatedSteps = core.statistic(Header.estimated).value
        health.lateSettles = core.statistic(Header.late).value
        health.overrunNanos = core.statistic(Header.overrun).value
        (health.events, health.eventsLost) = events.counts
        health.pricesAsOfUnix = PriceBook.asOfUnix
        health.wakeUps = core.statistic(Header.wakeUps).value
        return health
    }
}

// MARK: - Events and limit text, for the boundary

extension Runtime {
    public func setCallback(_ callback: ((borrowing Event) -> Void)?) {
        events.setCallback(callback)
        attachment.listen()
        loop.ring()
    }

    public func eventsDescriptor() throws(Failure) -> Int32 {
        let fd = events.descriptor()
        attachment.listen()
        if fd < 0 { throw Failure(.loop, "the system has no more file descriptors") }
        return fd
    }

    public func takeEvent() -> Event? { events.take() }

    /// The header's bursar_limits_parse(): canonical text; `runtime` knows named meters.
    public static func canonicalLimits(
        _ text: [UInt8], onSession: Bool, of runtime: Runtime?
    ) throws(Failure) -> [UInt8] {
        if let runtime {
            return try runtime.configuring { () throws(Failure) in
                try runtime.parse(text, onSession: onSession).print()
            }
        }
        return try parse(text, onSession: onSession, of: nil).print()
    }
}
