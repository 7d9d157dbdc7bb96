// Setting limits: from text to slots, what stays of the former ones, and back to
// text. Under the config lock.

extension Runtime {
    /// Reads limit text as it stands on a budget or a session.
    func parse(_ text: [UInt8], onSession: Bool) throws(Failure) -> LimitList {
        try Runtime.parse(text, onSession: onSession, of: self)
    }

    /// Without a runtime, no meters have names.
    static func parse(
        _ text: [UInt8], onSession: Bool, of runtime: Runtime?
    ) throws(Failure) -> LimitList {
        do throws(LimitError) {
            return try text.withUnsafeBufferPointer { (bytes) throws(LimitError) in
                try LimitParser.parse(
                    bytes, onSession: onSession,
                    meterKnown: { runtime?.meter(named: $0) != nil }, zone: zoneAnswer)
            }
        } catch {
            throw failure(error)
        }
    }

    static func zoneAnswer(_ name: [UInt8]) -> ZoneAnswer {
        do throws(ZoneError) {
            _ = try WindowTable.zones.find(name: name)
            return .known
        } catch {
            switch error {
            case .unknown(let suggestion), .offset(let suggestion):
                return .unknown(suggestion: suggestion.isEmpty ? nil : suggestion)
            default: return .unknown(suggestion: nil)
            }
        }
    }

    static func failure(_ error: LimitError) -> Failure {
        var failure = Failure(.limitText, bytes: error.sentence)
        failure.line = error.line
        failure.column = error.column
        return failure
    }

    /// Replaces the limits of a node. What stays the same (meter and window)
    /// keeps its window, its top-ups and the alerts that were sent; but for a window that
    /// a wrong clock opened, which begins now.
    func setLimits(_ i: Int, _ list: LimitList) throws(Failure) {
        let node = core.node(i)
        var parsed: [(limit: Limit, meter: UInt32, window: UInt32)] = []
        for limit in list.limits {
            let meter = try number(of: limit)
            parsed.append((limit, meter, try windows.number(limit.window)))
        }
        if parsed.count > segment.freeLimits.room { throw full("limits", "sessions_max") }
        for (limit, meter, _) in parsed where meter < 32 && limit.window.kind != .rate {
            if limit.window.kind == .session, !node.isSession { continue }
            try ensureCell(i, meter: Int(meter))
        }
        var former: [(UInt32, LimitSlot)] = []
        eachLimit(i) { l, slot in former.append((l, slot)) }
        var rings = try makeRings(parsed, former)
        // From here on nothing fails.
        if !node.isSession { core.untell(i) }
        earnAgain(i)
        var touched: UInt64 = 0
        for (_, slot) in former where slot.countsAmounts { touched |= 1 << UInt64(slot.meter) }
        var slots: [UInt32] = []
        var fresh: [UInt32] = []
        for (limit, meter, window) in parsed {
            if limit.window.kind != .rate, meter < 32 { touched |= 1 << UInt64(meter) }
            if let k = former.firstIndex(where: {
                UInt32($0.1.meter) == meter && windowNumber($0.1) == window && !isAhead($0.1)
            }) {
                let (l, slot) = former.remove(at: k)
                write(limit, meter: meter, into: slot)
                slots.append(l)
            } else if let l = segment.freeLimits.take() {
                slots.append(l)
                fresh.append(l)
                let ring = limit.window.kind == .rolling ? rings.popLast() ?? 0 : 0
                start(core.limit(Int(l)), limit, meter: meter, window: window, ring: ring, at: i)
            }
        }
        // Link the new list, then let go of what is not on it.
        var next: UInt32 = 0
        for l in slots.reversed() {
            let slot = core.limit(Int(l))
            edit[slot.node] = UInt32(i)
            edit[slot.next] = next
            next = l
        }
        edit[node.firstLimit] = next
        for (l, _) in former { retire(l) }
        refreshFlags(i)
        for meter in 0..<32 where touched & (1 << UInt64(meter)) != 0 { recompute(i, meter: meter) }
        rescheduleTimeLimits(i)
        for l in fresh { schedule(l) }  // the others are
    }

    /// A block for each rolling limit that is new.
    private func makeRings(
        _ parsed: [(limit: Limit, meter: UInt32, window: UInt32)], _ former: [(UInt32, LimitSlot)]
    ) throws(Failure) -> [UInt32] {
        var rings: [UInt32] = []
        var former = former
        for (limit, meter, window) in parsed where limit.window.kind == .rolling {
            if let k = former.firstIndex(where: {
                UInt32($0.1.meter) == meter && windowNumber($0.1) == window
            }) {
                former.remove(at: k)
                continue
            }
            do throws(Failure) {
                rings.append(try makeRing())
            } catch {
                for ring in rings { freeRing(ring) }
                throw error
            }
        }
        return rings
    }

    /// The meter's number; a tool's calls get one when they are first limited.
    private func number(of limit: Limit) throws(Failure) -> UInt32 {
        if limit.meter != Meter.unassigned { return UInt32(limit.meter.rawValue) }
        if !limit.isCall {
            guard let meter = meter(named: limit.name) else {
                throw Failure(.limitText, bytes: limit.name)
            }
            return meter
        }
        let tool = try findTool(limit.name)
        let slot = core.tool(Int(tool))
        if slot.meter.value == 0 {
            edit[slot.meter] = try defineMeter(Runtime.callsName(limit.name))
        }
        return slot.meter.value
    }

    static func callsName(_ tool: [UInt8]) -> [UInt8] {
        [UInt8]("calls(") + tool + [UInt8(ascii: ")")]
    }

    private func write(_ limit: Limit, meter: UInt32, into slot: LimitSlot) {
        let was = (slot.amount.value, slot.burst.value, slot.period.value)
        edit[slot.amount] = limit.amount
        var alerts: UInt32 = 0
        for (k, percent) in limit.alerts.prefix(4).enumerated() {
            alerts |= UInt32(percent) << UInt32(k * 8)
        }
        if alerts != slot.alerts.value { slot.fired.update(clearing: 15) }
        edit[slot.alerts] = alerts
        edit[slot.kind] =
            meter | UInt32(limit.window.kind.rawValue) << 8 | UInt32(limit.end.rawValue) << 16
            | UInt32(limit.downgrade) << 24
        if limit.window.kind == .rate {
            edit[slot.burst] = limit.burst > 0 ? limit.burst : limit.amount
            edit[slot.period] = limit.window.spanNanos
            if was != (slot.amount.value, slot.burst.value, slot.period.value) { bear(slot) }
        }
    }

    /// A rate is new: what steps in flight were charged before is not refunded by
    /// it, as it was worth another time.
    private func bear(_ slot: LimitSlot) {
        let born = core.epoch.value &+ 1
        edit[slot.extra] = Int64(born)
        core.epoch.storeReleasing(born)
    }

    /// A new limit: where its window stands, and what was settled by its start.
    private func start(
        _ slot: LimitSlot, _ limit: Limit, meter: UInt32, window: UInt32, ring: UInt32, at i: Int
    ) {
        for word in [slot.base(0), slot.base(1), slot.window, slot.extra] { edit[word] = 0 }
        slot.fired.update(clearing: ~LimitFlag.genMask)
        edit[slot.alerts] = 0
        edit[slot.spec] = ring != 0 ? ring : window
        write(limit, meter: meter, into: slot)
        let node = core.node(i)
        let steady = clock.steady
        switch limit.window.kind {
        case .calendar:
            let unix = clock.unix
            let start = windows.bounds(window, unix: unix / 1_000_000_000)?.start ?? 0
            edit[slot.window] = start << 1
            let opened = unix &- (steady &- node.opened.value)
            edit[slot.base(0)] =
                opened >= start &* 1_000_000_000 ? 0 : settled(i, Int(meter), tightestAt: start)
            edit[slot.base(1)] = unix
            edit.update(slot.fired, setting: LimitFlag.midway)
        case .rolling:
            let isYoung = steady &- node.opened.value < limit.window.spanNanos
            let base = isYoung ? 0 : settled(i, Int(meter), tightestAt: .min)
            startRing(slot, number: window, base: base, now: steady)
        case .rate:
            edit[slot.window] = steady
            bear(slot)
        case .none where meter >= 32:
            edit[slot.window] = steady
            edit[slot.base(0)] = pausedTime(of: i, at: steady)
        default: break
        }
    }

    /// What a node had settled of a meter when a window that starts at `start`
    /// began: the base of another limit whose window began no later (low: it only
    /// under-admits), or all that is folded now.
    private func settled(_ i: Int, _ meter: Int, tightestAt start: Int64) -> Int64 {
        var known: Int64?
        eachLimit(i) { _, limit in
            if limit.meter == meter, limit.windowKind == WindowCode.calendar,
                limit.window.value >> 1 <= start
            {
                known = max(known ?? 0, limit.floor)
            }
        }
        if let known { return known }
        // Less a correction that is being folded: `lowerBases` has passed here, or will.
        return settled([cellIndex(of: meter, at: i)], before: .min)?[0] ?? 0
    }

    /// Gives a limit's slot back.
    private func retire(_ l: UInt32) {
        let slot = core.limit(Int(l))
        unschedule(slot)
        if slot.windowKind == WindowCode.rolling { freeRing(slot.spec.value) }
        edit[slot.kind] = UInt32(WindowCode.none) << 8 | 31
        let gen = (slot.fired.value & LimitFlag.genMask) &+ LimitFlag.gen
        edit.update(slot.fired, setting: gen, clearing: LimitFlag.genMask & ~gen)
        segment.freeLimits.give(l)
    }

    func removeLimits(_ i: Int) {
        var all: [UInt32] = []
        eachLimit(i) { l, _ in all.append(l) }
        edit[core.node(i).firstLimit] = 0
        for l in all { retire(l) }
    }

    /// What the hot path must know about a node's limits.
    private func refreshFlags(_ i: Int) {
        var flags: UInt32 = 0
        eachLimit(i) { _, limit in
            if isDefault(limit, at: i) { return }
            flags |= NodeFlag.limited
            if limit.isRate { flags |= NodeFlag.rates }
            if limit.downgrade > 0 { flags |= NodeFlag.downgrades }
            if limit.end == LimitEnd.observe { flags |= NodeFlag.observes }
            if limit.meter == MeterIndex.idle { flags |= NodeFlag.idles }
        }
        let all = NodeFlag.limited | NodeFlag.special | NodeFlag.downgrades
        edit.update(core.node(i).flags, setting: flags, clearing: all & ~flags)
    }

    // MARK: - Back to text

    /// A slot as the limit that it was written as.
    func limit(of slot: LimitSlot) -> Limit {
        var name: [UInt8] = []
        var isCall = false
        if let known = meterName(slot.meter) {
            name = known
            let prefix = [UInt8]("calls(")
            if name.count > prefix.count, Array(name.prefix(prefix.count)) == prefix {
                isCall = true
                name = Array(name[prefix.count..<(name.count - 1)])
            }
        }
        let window = windows.window(windowNumber(slot))
        var alerts: [UInt8] = []
        for k in 0..<4 {
            let percent = UInt8(truncatingIfNeeded: slot.alerts.value >> UInt32(k * 8))
            if percent > 0 { alerts.append(min(percent, 100)) }
        }
        let burst = slot.isRate && slot.burst.value != slot.amount.value ? slot.burst.value : 0
        return Limit(
            name.isEmpty ? Meter(rawValue: UInt8(slot.meter)) : .unassigned, slot.amount.value,
            window, name: name, isCall: isCall, alerts: alerts, downgrade: UInt8(slot.downgrade),
            burst: burst, end: End(rawValue: slot.end) ?? .halt)
    }

    /// The canonical list of a node's limits.
    func limits(of i: Int) -> LimitList {
        var list: [Limit] = []
        eachLimit(i) { _, slot in list.append(limit(of: slot)) }
        return LimitList(list)
    }
}
