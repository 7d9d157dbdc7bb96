// What a budget earns: every outcome of it that somebody verified raises its limits on cost,
// by an amount and up to a total that it was declared with.
//
// What was earned is never counted up. It is worked out from the ledger, each time anew: the
// outcomes whose latest revision is `verified` and that are credited to the budget or to
// something below it; of a limit with a window those that were first verified since it began.
// So an outcome earns once, in one window, whoever says it how often, and whoever died.
//
// A limit's share stands in `extra` with its top-ups, and by itself in the budget's block:
// both change in one edit of the undo log. `earnDone` says with it through which batch the
// ledger was read. It is due again when
// - a batch has a revision: the folder writes its number to `earnDue` before the ledger
//   commits, so that whoever dies after that leaves the work to the keeper;
// - a window opens, or limits or settings change: `earnDone` falls below 0, each time by one
//   more, so that what was read meanwhile is not put in.
// Who revises an outcome does the work before the call returns; else the keeper's writer does.

internal import CLedger

/// A slab block of a budget that earns: 0 the next one's block, 4 interned name of the outcomes
/// that count (0 = all), 8 the budget's id, 16 nano-dollars for each, 24 nano-dollars at most;
/// from 32 on for each limit 16 bytes: its slot, the slot's generation, what it has earned.
struct Earning {
    let p: UnsafeMutableRawPointer
    static let bytes = 32 + 16 * LimitList.limitsMax

    var next: Half { Half(p) }
    var outcome: Half { Half(p + 4) }
    var node: Word { Word(p + 8) }
    var each: Word { Word(p + 16) }
    var most: Word { Word(p + 24) }
    func slot(_ k: Int) -> Half { Half(p + 32 + k * 16) }
    func generation(_ k: Int) -> Half { Half(p + 36 + k * 16) }
    func earned(_ k: Int) -> Word { Word(p + 40 + k * 16) }
}

/// A budget that earns, and its limits on cost with what each has earned by the ledger.
private struct Earner {
    var i: Int
    var id: Int64
    var each: Int64
    var most: Int64
    var outcome: [UInt8]
    var limits: [(slot: UInt32, since: Int64, earned: Int64)] = []
}

extension Runtime {
    private var earnDone: Word { core.statistic(Header.earnDone) }

    var isEarningDue: Bool {
        earnDone.value < core.statistic(Header.earnDue).loadAcquiring() && ledger.block != nil
    }

    /// nil: it earns nothing.
    func earning(of i: Int) -> Earning? {
        if i == 0 || core.node(i).isSession { return nil }
        let block = meta(UInt32(i)).earning.value
        return block == 0 ? nil : Earning(p: slab.address(block))
    }

    /// The place of what a limit has earned. Config lock held, as for all that follows.
    func earned(_ i: Int, _ limit: LimitSlot) -> Word? {
        guard let earning = earning(of: i) else { return nil }
        for k in 0..<LimitList.limitsMax
        where core.limit(Int(earning.slot(k).value)).p == limit.p
            && earning.generation(k).value == limit.fired.value >> 16
        {
            return earning.earned(k)
        }
        return nil
    }

    /// Something changed that earnings follow from.
    func earnAgain(_ i: Int) {
        if earning(of: i) == nil { return }
        edit[earnDone] = min(earnDone.value, 0) - 1
        ringKeeper()
    }

    /// A new window has earned nothing, or some of a rolling one's outcomes are too old.
    func earnAnew(_ limit: LimitSlot) {
        let i = Int(limit.node.value)
        let isRolling = limit.windowKind == WindowCode.rolling
        let earned = limit.meter == MeterIndex.cost ? earned(i, limit) : nil
        if isRolling, earned?.value ?? 0 == 0 { return }
        if !isRolling, let earned { edit[earned] = 0 }
        earnAgain(i)
    }

    /// Sets, changes or with 0 ends what a budget earns.
    func setEarning(_ i: Int, _ each: Int64, _ most: Int64, _ outcome: [UInt8]) throws(Failure) {
        if each == 0 { return dropEarning(i) }
        let name = try intern(outcome)
        let place = meta(UInt32(i)).earning
        if place.value == 0 {
            guard let block = slab.allocate(bytes: Earning.bytes) else {
                slab.release(name)
                throw full("budgets that earn", "text_bytes_max")
            }
            let first = core.header(Header.earners)
            let new = Earning(p: slab.address(block))
            edit[new.node] = core.id(of: i)
            edit[new.next] = first.value
            edit[first] = block
            edit[place] = block
        }
        let earning = Earning(p: slab.address(place.value))
        slab.release(earning.outcome.value)
        edit[earning.outcome] = name
        edit[earning.each] = each
        edit[earning.most] = most
        earnAgain(i)
    }

    /// What it has earned goes, too.
    func dropEarning(_ i: Int) {
        guard let earning = earning(of: i) else { return }
        eachLimit(i) { _, limit in
            if let earned = earned(i, limit) { edit[limit.extra] = max(limit.extra.value &- earned.value, 0) }
        }
        recompute(i, meter: MeterIndex.cost)
        let place = meta(UInt32(i)).earning
        var link = core.header(Header.earners)
        var left = segment.nodesMax
        while link.value != 0, link.value != place.value, left > 0 {
            link = Earning(p: slab.address(link.value)).next
            left -= 1
        }
        if link.value == place.value { edit[link] = earning.next.value }
        slab.release(earning.outcome.value)
        slab.free(place.value, bytes: Earning.bytes)
        edit[place] = 0
    }

    // MARK: - Working it out

    /// Works out what budgets have earned by now, and raises or lowers their limits to it. Any
    /// thread. Where it does not come to an end, it is due still.
    func earn() throws(Failure) {
        guard config.lock(for: SharedLock.patience) else { return }
        var all = earners()
        let began = earnDone.value
        config.unlock()
        let batch = core.batch.loadAcquiring()
        if !all.isEmpty {
            let connection = try ledger(through: batch)
            for k in 0..<all.count where try !connection.look(&all[k], in: core.statistic(Header.segmentID).value) { return }
        }
        guard config.lock(for: SharedLock.patience) else { return }
        defer { config.unlock() }
        // Else somebody was faster, or something changed.
        if earnDone.value != began || core.life.value != Life.open { return }
        for earner in all { put(earner) }
        edit[earnDone] = batch
    }

    private func earners() -> [Earner] {
        var all: [Earner] = []
        var block = core.header(Header.earners).value
        var left = segment.nodesMax
        while block != 0, left > 0 {
            left -= 1
            let earning = Earning(p: slab.address(block))
            block = earning.next.value
            guard let i = core.index(of: earning.node.value),
                core.node(i).state.value & StateBit.closed == 0
            else { continue }
            var earner = Earner(
                i: i, id: earning.node.value, each: earning.each.value, most: earning.most.value,
                outcome: slab.text(earning.outcome.value))
            eachLimit(i) { l, limit in
                if limit.meter == MeterIndex.cost, limit.countsAmounts, !isDefault(limit, at: i) {
                    earner.limits.append((l, earnsSince(limit), 0))
                }
            }
            all.append(earner)
        }
        return all
    }

    /// Since when an outcome has to be verified to count, unix. One leaves a rolling window up
    /// to a sixtieth of it early: until then nobody looks again.
    private func earnsSince(_ limit: LimitSlot) -> Int64 {
        switch limit.windowKind {
        case WindowCode.calendar: return max((limit.window.value >> 1) &* 1_000_000_000, 0)
        case WindowCode.rolling:
            let span = windows.window(windowNumber(limit)).spanNanos
            return max(clock.unix &- span &+ span / 60, 0)
        default: return 0
        }
    }

    private func put(_ earner: Earner) {
        guard let earning = earning(of: earner.i), earning.node.value == earner.id else { return }
        var changes: [(limit: LimitSlot, by: Int64)] = []
        for share in earner.limits {
            let limit = core.limit(Int(share.slot))
            let by = share.earned &- (earned(earner.i, limit)?.value ?? 0)
            if by != 0 { changes.append((limit, by)) }
            edit[limit.extra] = max(saturatingAdd(limit.extra.value, by), 0)
        }
        note(earning, earner.limits.map { ($0.slot, $0.earned) })
        if changes.isEmpty { return }
        recompute(earner.i, meter: MeterIndex.cost)
        edit.commit()  // the ceiling has risen when it is told
        for (limit, by) in changes {
            var event = Event(type: .topUp)
            event.id = earner.id
            event.amount = by
            event.limit = saturatingAdd(limit.amount.value, limit.extra.value)
            event.path = path(of: earner.i)
            event.text = bytes("earned")
            send(event)
        }
    }

    /// What limits have earned, in place of what stood there.
    func note(_ earning: Earning, _ all: [(slot: UInt32, earned: Int64)]) {
        for k in 0..<LimitList.limitsMax {
            let one = k < all.count ? all[k] : (0, 0)
            edit[earning.slot(k)] = one.0
            edit[earning.generation(k)] = core.limit(Int(one.0)).fired.value >> 16
            edit[earning.earned(k)] = one.1
        }
    }
}

extension Connection {
    /// What the ledger says; false when it does not know the budget yet.
    fileprivate func look(_ earner: inout Earner, in segment: Int64) throws(Failure) -> Bool {
        guard let budget = try first(.budgetOfNode, segment, earner.id) else { return false }
        // So many are enough.
        let enough = (earner.most &- 1) / max(earner.each, 1) &+ 1
        for k in 0..<earner.limits.count {
            let row = self[.earning]
            row.put(budget)
            row.put(earner.outcome)
            row.put(earner.limits[k].since)
            row.put(enough)
            let count = try row.first() ?? 0
            earner.limits[k].earned = count < enough ? count &* earner.each : earner.most
        }
        return true
    }
}
