// Ceilings are derived: the least of base + amount + extra over a meter's limits.
// Every edit happens under the config lock; steps only read.

extension Runtime {
    /// Each limit of a node, in the order in which they were written.
    func eachLimit(_ i: Int, _ body: (UInt32, LimitSlot) -> Void) {
        var l = core.node(i).firstLimit.value
        var left = LimitList.limitsMax
        while l != 0, left > 0 {
            let limit = core.limit(Int(l))
            let next = limit.next.value
            body(l, limit)
            l = next
            left -= 1
        }
    }

    /// Whether a limit stands at a node for the sessions below it only.
    func isDefault(_ limit: LimitSlot, at i: Int) -> Bool {
        limit.windowKind == WindowCode.session && !core.node(i).isSession
    }

    /// Works out the ceiling and the watermark of one meter of a node.
    func recompute(_ i: Int, meter: Int) {
        guard let cell = core.cell(of: meter, at: i) else { return }
        if !core.node(i).isSession { core.untell(i) }
        let before = cell.ceiling.value
        var ceiling = Bound.ceiling
        var mark = Int64.max
        let committed = cell.committed.value
        eachLimit(i) { _, limit in
            guard limit.meter == meter, limit.countsAmounts, !isDefault(limit, at: i) else { return }
            let top = limit.top
            if limit.end == LimitEnd.observe {
                if limit.fired.value & LimitFlag.observed == 0 { mark = min(mark, saturatingAdd(top, 1)) }
            } else {
                ceiling = min(ceiling, top)
            }
            for k in 0..<4 {
                let percent = Int64((limit.alerts.value >> UInt32(k * 8)) & 0xFF)
                if percent == 0 { break }
                let threshold = limit.threshold(percent)
                if limit.fired.value & (1 << UInt32(k)) == 0 {
                    mark = min(mark, threshold)
                } else if committed < threshold {
                    // There is room again: it may be crossed again.
                    limit.fired.update(clearing: 1 << UInt32(k))
                    mark = min(mark, threshold)
                }
            }
            if limit.downgrade > 0 {
                let threshold = limit.threshold(limit.downgrade)
                if limit.fired.value & LimitFlag.downgrade != 0, committed < threshold {
                    limit.fired.update(clearing: LimitFlag.downgrade)
                }
                if limit.fired.value & LimitFlag.downgrade == 0 { mark = min(mark, threshold) }
            }
        }
        edit[cell.watermark] = mark
        // Pairs with the acquire in the walk: a new base is seen with its ceiling.
        edit.set(ceiling: cell.ceiling, to: max(min(ceiling, Bound.ceiling), -Bound.ceiling))
        if ceiling > before {
            eachLimit(i) { _, limit in
                if limit.meter == meter {
                    limit.fired.update(clearing: LimitFlag.refusing | LimitFlag.observed)
                }
            }
        }
    }

    /// Looks at a marked node: which shares were crossed.
    func evaluateThresholds(_ i: Int) {
        let node = core.node(i)
        node.flags.update(clearing: NodeFlag.marked)
        if node.state.value & StateBit.free != 0 { return }
        var meters: UInt64 = 0
        eachLimit(i) { _, limit in
            guard limit.countsAmounts, !isDefault(limit, at: i),
                let cell = core.cell(of: limit.meter, at: i)
            else { return }
            meters |= 1 << UInt64(limit.meter)
            let committed = cell.committed.value
            for k in 0..<4 {
                let percent = Int64((limit.alerts.value >> UInt32(k * 8)) & 0xFF)
                if percent == 0 { break }
                let bit: UInt32 = 1 << UInt32(k)
                if committed >= limit.threshold(percent), limit.fired.value & bit == 0 {
                    limit.fired.update(setting: bit)
                    report(.threshold, limit, i, percent: percent, committed: committed)
                }
            }
            if limit.downgrade > 0, committed >= limit.threshold(limit.downgrade),
                limit.fired.value & LimitFlag.downgrade == 0
            {
                limit.fired.update(setting: LimitFlag.downgrade)
                report(.downgrade, limit, i, percent: limit.downgrade, committed: committed)
            }
            if limit.end == LimitEnd.observe, committed > limit.top,
                limit.fired.value & LimitFlag.observed == 0
            {
                limit.fired.update(setting: LimitFlag.observed)
                report(.observed, limit, i, percent: 100, committed: committed)
            }
        }
        for meter in 0..<32 where meters & (1 << UInt64(meter)) != 0 { recompute(i, meter: meter) }
    }

    private func report(
        _ type: EventType, _ limit: LimitSlot, _ i: Int, percent: Int64, committed: Int64
    ) {
        var event = Event(type: type)
        event.id = core.id(of: i)
        event.session = core.node(i).isSession ? event.id : 0
        event.meter = Int32(limit.meter)
        event.percent = Int32(truncatingIfNeeded: percent)
        event.limit = saturatingAdd(limit.amount.value, limit.extra.value)
        event.committed = max(committed &- limit.floor, 0)
        event.path = path(of: i)
        send(event)
    }
}

extension LimitSlot {
    /// The counter's value at which `percent` of the limit is committed.
    func threshold(_ percent: Int64) -> Int64 {
        let whole = saturatingAdd(amount.value, extra.value)
        let part = (UInt128(UInt64(max(whole, 0))) * UInt128(UInt64(percent)) + 99) / 100
        return saturatingAdd(floor, Int64(clamping: part))
    }
}
