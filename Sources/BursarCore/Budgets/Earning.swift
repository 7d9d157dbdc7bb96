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

/// What limits on cost have earned by the ledger, one after the other: these for each.
private enum Share {
    static let budget = 0  // its id
    static let each = 1, most = 2
    static let limit = 3  // its slot
    static let since = 4  // unix ns from which on an outcome has to be verified to count
    static let earned = 5
    static let change = since  // in the end: what that is more than before
    static let words = 6
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
        var (shares, names) = earners()
        let began = earnDone.value
        config.unlock()
        let batch = core.batch.loadAcquiring()
        if !shares.isEmpty {
            let connection = try ledger(through: batch)
            let segment = core.statistic(Header.segmentID).value
            for k in 0..<names.count {
                if try !connection.look(&shares, k * Share.words, names[k], segment) { return }
            }
        }
        guard config.lock(for: SharedLock.patience) else { return }
        defer { config.unlock() }
        // Else somebody was faster, or something changed.
        if earnDone.value != began || core.life.value != Life.open { return }
        var at = 0
        while at < shares.count { put(&shares, &at) }
        edit[earnDone] = batch
    }

    /// All limits that earn, and the names of the outcomes that count for each.
    private func earners() -> (shares: [Int64], names: [[UInt8]]) {
        var shares: [Int64] = []
        var names: [[UInt8]] = []
        var block = core.header(Header.earners).value
        var left = segment.nodesMax
        while block != 0, left > 0 {
            left -= 1
            let earning = Earning(p: slab.address(block))
            block = earning.next.value
            guard let i = core.index(of: earning.node.value),
                core.node(i).state.value & StateBit.closed == 0
            else { continue }
            let name = slab.text(earning.outcome.value)
            eachLimit(i) { l, limit in
                if limit.meter != MeterIndex.cost || limit.isRate || isDefault(limit, at: i) { return }
                shares.append(earning.node.value)
                shares.append(earning.each.value)
                shares.append(earning.most.value)
                shares.append(Int64(l))
                shares.append(earnsSince(limit))
                shares.append(0)
                names.append(name)
            }
        }
        return (shares, names)
    }

    /// An outcome leaves a rolling window up to a sixtieth of it early: until then nobody looks
    /// again.
    private func earnsSince(_ limit: LimitSlot) -> Int64 {
        switch limit.windowKind {
        case WindowCode.calendar: return max((limit.window.value >> 1) &* 1_000_000_000, 0)
        case WindowCode.rolling:
            let span = windows.window(windowNumber(limit)).spanNanos
            return max(clock.unix &- span &+ span / 60, 0)
        default: return 0
        }
    }

    /// What the limits of one budget have earned, from `at` on; moves on to the next one's.
    private func put(_ shares: inout [Int64], _ at: inout Int) {
        let id = shares[at]
        let first = at
        while at < shares.count, shares[at] == id { at += Share.words }
        guard let i = core.index(of: id), let earning = earning(of: i) else { return }
        var isChanged = false
        var share = first
        while share < at {
            let limit = core.limit(Int(shares[share + Share.limit]))
            let by = shares[share + Share.earned] &- (earned(i, limit)?.value ?? 0)
            edit[limit.extra] = max(saturatingAdd(limit.extra.value, by), 0)
            shares[share + Share.change] = by
            if by != 0 { isChanged = true }
            share += Share.words
        }
        for k in 0..<LimitList.limitsMax {
            let share = first + k * Share.words
            let isOne = share < at
            note(earning, k, isOne ? UInt32(shares[share + Share.limit]) : 0, isOne ? shares[share + Share.earned] : 0)
        }
        if !isChanged { return }
        recompute(i, meter: MeterIndex.cost)
        edit.commit()  // the ceiling has risen when it is told
        share = first - Share.words
        while share + Share.words < at {
            share += Share.words
            if shares[share + Share.change] == 0 { continue }
            let limit = core.limit(Int(shares[share + Share.limit]))
            var event = Event(type: .topUp)
            event.id = id
            event.amount = shares[share + Share.change]
            event.limit = saturatingAdd(limit.amount.value, limit.extra.value)
            event.path = path(of: i)
            event.text = bytes("earned")
            send(event)
        }
    }

    /// Place `k` says what a limit has earned.
    func note(_ earning: Earning, _ k: Int, _ slot: UInt32, _ earned: Int64) {
        edit[earning.slot(k)] = slot
        edit[earning.generation(k)] = core.limit(Int(slot)).fired.value >> 16
        edit[earning.earned(k)] = earned
    }
}

extension Connection {
    /// What the ledger says of one share; false when it does not know the budget yet.
    fileprivate func look(
        _ shares: inout [Int64], _ k: Int, _ name: [UInt8], _ segment: Int64
    ) throws(Failure) -> Bool {
        guard let budget = try first(.budgetOfNode, segment, shares[k]) else { return false }
        // So many are enough.
        let each = max(shares[k + Share.each], 1)
        let enough = (shares[k + Share.most] &- 1) / each &+ 1
        let row = self[.earning]
        row.put(budget)
        row.put(name)
        row.put(shares[k + Share.since])
        row.put(enough)
        let count = try row.first() ?? 0
        shares[k + Share.earned] = count < enough ? count &* each : shares[k + Share.most]
        return true
    }
}
