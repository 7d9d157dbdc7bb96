// Windows open: the base of a limit becomes what was settled when its window
// started, counters stay. A window's start only grows, so a clock that steps back
// pays nothing out twice.
//
// S, what was settled by the start, is `spent` (folded) plus what the journal's
// records used that settled before it: those in ADJUSTING, SETTLED, and FOLDING into
// the batch that is not spent yet. A folder may be at work meanwhile: whoever finds
// another batch number afterwards adds up again. A settle in the middle may be
// missed, which can only make S low, and a low base under-admits. A correction
// is left out, as `lowerBases` takes care of it when it is folded, but for one that is
// being folded: its bases may have been lowered before this window was there.
//
// Everything here runs under the config lock; each limit is committed by itself.

/// A windowed limit that a window opens of.
struct DueWindow {
    var limit: UInt32
    /// Steady ns of the window's start (a rolling one's bucket).
    var boundary: Int64
    /// A calendar window's start in unix seconds.
    var start: Int64
}

/// What a process keeps of windowed limits, to walk them without a scan.
struct WindowedLimits {
    var limits: [UInt32] = []
    var version = UInt32.max
}

extension Runtime {
    /// Opens what is due, everywhere.
    func rollDue() {
        let unix = clock.unix
        let steady = clock.steady
        if unix < core.rollAt.value, steady < core.rollingAt.value {
            #if BURSAR_SEAM
            if !Plant.rollsAgain.isOn { return }
            #else
            return
            #endif
        }
        refreshWindowed()
        var due: [DueWindow] = []
        for l in windowed.limits {
            if let window = dueWindow(l, unix: unix, steady: steady) { due.append(window) }
        }
        if !roll(due, steady: steady) { return }
        cannotRoll = false
        var rollAt = Int64.max
        var rollingAt = Int64.max
        for l in windowed.limits {
            let limit = core.limit(Int(l))
            if limit.windowKind == WindowCode.calendar {
                rollAt = min(rollAt, nextWindow(limit, steady: steady))
            } else if limit.windowKind == WindowCode.rolling {
                rollingAt = min(rollingAt, nextWindow(limit, steady: steady))
            }
        }
        // What cannot be opened here stays due, for a process that can.
        if !cannotRoll { edit[core.rollAt] = rollAt }
        edit[core.rollingAt] = rollingAt
    }

    /// Opens what is due on a session's path: for a step that was refused. Takes the
    /// config lock.
    func rollPath(leaf: Int) {
        guard config.lock(for: SharedLock.patience) else { return }
        defer { config.unlock() }
        let unix = clock.unix
        let steady = clock.steady
        var due: [DueWindow] = []
        eachUp(leaf) { i in
            eachLimit(i) { l, _ in
                if let window = dueWindow(l, unix: unix, steady: steady) { due.append(window) }
            }
        }
        _ = roll(due, steady: steady)
    }

    private func dueWindow(_ l: UInt32, unix: Int64, steady: Int64) -> DueWindow? {
        let limit = core.limit(Int(l))
        if limit.windowKind == WindowCode.calendar {
            guard let (start, _) = windows.bounds(limit.spec.value, unix: unix / 1_000_000_000)
            else { return nil }
            if start <= limit.window.value >> 1 {
                #if BURSAR_SEAM
                if !Plant.rollsAgain.isOn { return nil }
                #else
                return nil
                #endif
            }
            return DueWindow(
                limit: l, boundary: steady &- (unix &- start &* 1_000_000_000), start: start)
        }
        if limit.windowKind == WindowCode.rolling {
            let buckets = buckets(limit)
            let boundary = buckets.boundaryNanos(at: steady)
            if boundary <= buckets.boundaryNanos(of: limit.window.value >> 1) { return nil }
            return DueWindow(limit: l, boundary: boundary, start: 0)
        }
        return nil
    }

    /// When the next window of a limit opens: unix ns of a calendar window, steady ns of
    /// a rolling one's bucket. One whose zone cannot be read here is due: see `cannotRoll`.
    private func nextWindow(_ limit: LimitSlot, steady: Int64) -> Int64 {
        if limit.windowKind == WindowCode.rolling {
            return buckets(limit).nextBoundaryNanos(after: steady)
        }
        guard let (_, end) = windows.bounds(limit.spec.value, unix: limit.window.value >> 1) else {
            lacksZone(of: limit)
            return 0
        }
        let (nanos, overflows) = end.multipliedReportingOverflow(by: 1_000_000_000)
        return overflows ? (end < 0 ? 0 : .max) : nanos
    }

    /// A zone cannot be read here, as in an image without tzdata: told once. Whoever keeps
    /// and finds this lets others keep.
    private func lacksZone(of limit: LimitSlot) {
        cannotRoll = true
        if toldOfZone { return }
        toldOfZone = true
        let zone = windows.window(limit.spec.value).zone
        tellHome(
            "the time zone \(zone) of a limit cannot be read here (is tzdata missing?): this process opens no windows of that limit, another has to")
    }

    /// The list again, when another process or somebody's death changed it.
    private func refreshWindowed() {
        let version = core.header(Header.windowedVersion).value
        let most = 2 * Int(core.header(Header.windowedCount).value) + 1024
        if windowed.version == version, windowed.limits.count <= most { return }
        windowed.limits.removeAll(keepingCapacity: true)
        for l in 1..<max(segment.freeLimits.highWater, 1) where isWindowed(core.limit(Int(l))) {
            windowed.limits.append(l)
        }
        windowed.version = version
    }

    private func isWindowed(_ limit: LimitSlot) -> Bool {
        limit.windowKind == WindowCode.calendar || limit.windowKind == WindowCode.rolling
    }

    /// A limit was written: when it is windowed, the next window is waited for.
    func schedule(_ l: UInt32) {
        let limit = core.limit(Int(l))
        guard isWindowed(limit) else { return }
        let count = core.header(Header.windowedCount)
        edit[count] = count.value &+ 1
        let isCurrent = windowed.version == core.header(Header.windowedVersion).value
        countWindowed()
        if isCurrent {
            windowed.limits.append(l)
            windowed.version = core.header(Header.windowedVersion).value
        }
        let at = limit.windowKind == WindowCode.calendar ? core.rollAt : core.rollingAt
        edit[at] = min(at.value, nextWindow(limit, steady: clock.steady))
        ringKeeper()
    }

    /// A windowed limit goes; a process's list may keep its number.
    func unschedule(_ limit: LimitSlot) {
        guard isWindowed(limit) else { return }
        let count = core.header(Header.windowedCount)
        edit[count] = count.value > 0 ? count.value - 1 : 0
    }

    private func countWindowed() {
        let version = core.header(Header.windowedVersion)
        edit[version] = version.value &+ 1
    }

    // MARK: - A clock that was ahead

    /// Whether a limit's window begins later than the one after now's: a clock that was set
    /// right since then had opened it. As starts only grow, nothing renews it until then.
    func isAhead(_ limit: LimitSlot) -> Bool {
        guard limit.windowKind == WindowCode.calendar,
            let (_, end) = windows.bounds(limit.spec.value, unix: clock.unix / 1_000_000_000)
        else { return false }
        return limit.window.value >> 1 > end
    }

    /// Tells of such windows, once of each. Config lock held.
    func lookForWindowsAhead() {
        refreshWindowed()
        for l in windowed.limits {
            let limit = core.limit(Int(l))
            guard isAhead(limit),
                limit.fired.update(setting: LimitFlag.ahead) & LimitFlag.ahead == 0
            else { continue }
            var event = Event(type: .window)
            event.id = core.id(of: Int(limit.node.value))
            event.meter = Int32(limit.meter)
            event.limit = limit.amount.value
            event.path = path(of: Int(limit.node.value))
            event.text = Sentence(
                "its window begins in a time that has not come: the clock was ahead; set the limit anew, or nothing is renewed until then"
            ).bytes
            send(event)
        }
    }

    // MARK: - What was settled by a window's start

    /// Opens windows, those of one boundary after another; false when folders left no
    /// time to add up, so that it must be done again.
    private func roll(_ due: [DueWindow], steady: Int64) -> Bool {
        var left = due
        while !left.isEmpty {
            var boundary = Int64.max
            for window in left { boundary = min(boundary, window.boundary) }
            var now: [DueWindow] = []
            var later: [DueWindow] = []
            for window in left {
                if window.boundary == boundary { now.append(window) } else { later.append(window) }
            }
            let cells = now.map { window in
                let limit = core.limit(Int(window.limit))
                return cellIndex(of: limit.meter, at: Int(limit.node.value))
            }
            guard let sums = settled(cells, before: boundary) else { return false }
            for k in 0..<now.count {
                edit.commit()
                let limit = core.limit(Int(now[k].limit))
                if limit.windowKind == WindowCode.calendar {
                    open(limit, window: now[k].start, base: sums[k])
                } else {
                    roll(limit, settled: sums[k], now: steady)
                }
            }
            left = later
        }
        return true
    }

    /// Folded, and what is not folded yet and settled before a steady time, of cells
    /// (0: none); before `.min`, what is folded, less what is just being corrected.
    func settled(_ cells: [UInt32], before boundary: Int64) -> [Int64]? {
        for _ in 0..<100 {
            let h = core.batch.loadAcquiring()
            var sums = KeyMap()
            for c in cells where c != 0 {
                let cell = core.cell(Int(c))
                sums.set(Int64(c), cell.spent(cell.slot(at: h)).value)
            }
            let isWhole = addUnfolded(before: boundary, batch: h, to: &sums)
            acquireFence()
            #if BURSAR_SEAM
            if Plant.baseFromCommitted.isOn {
                return cells.map { $0 == 0 ? 0 : core.cell(Int($0)).committed.value }
            }
            if Plant.rollTrustsBatch.isOn {
                return cells.map { c in
                    guard c != 0, let sum = sums[Int64(c)] else { return 0 }
                    let cell = core.cell(Int(c))
                    let now = cell.spent(cell.slot(at: core.batch.loadAcquiring())).value
                    return sum &+ now &- cell.spent(cell.slot(at: h)).value
                }
            }
            #endif
            if isWhole, core.batch.loadAcquiring() == h { return cells.map { sums[Int64($0)] ?? 0 } }
        }
        return nil
    }

    /// Adds what the journal has settled before a steady time and not folded by batch
    /// `h` to the cells that are wanted; false when a record was freed meanwhile.
    private func addUnfolded(
        before boundary: Int64, batch h: Int64, to sums: inout KeyMap
    ) -> Bool {
        var isWhole = true
        var sum = sums
        core.eachRecord { _, record in
            let word = record.word.loadAcquiring()
            switch RecordWord.state(word) {
            case RecordState.adjusting, RecordState.settled: break
            case RecordState.folding where RecordWord.actor(word) == (h &+ 1) & 0xFFF: break
            default: return true
            }
            let settledAt = record.settledAt.value
            let node = record.node.value
            let epoch = record.epoch.value
            let isCorrection = record.flags.value & RecordFlag.correction != 0
            let isFolding = RecordWord.state(word) == RecordState.folding
            let used = isCorrection ? record.delta : record.used
            acquireFence()
            // The same generation: what was read is what had settled.
            if RecordWord.gen(record.word.value) != RecordWord.gen(word) {
                isWhole = false
                return false
            }
            if isCorrection ? !isFolding : settledAt >= boundary { return true }
            eachUp(Int(node & 0xFFFF_FFFF)) { i in
                eachCell(i) { c, cell in
                    let amount = isCorrection ? min(used[cell.meter], 0) : used[cell.meter]
                    if amount != 0, cell.kind.value >> 5 <= epoch, let known = sum[Int64(c)] {
                        sum.set(Int64(c), saturatingAdd(known, amount))
                    }
                }
            }
            return true
        }
        sums = sum
        return isWhole
    }

    private func open(_ limit: LimitSlot, window start: Int64, base: Int64) {
        let i = Int(limit.node.value)
        let next = (limit.window.value & 1) ^ 1
        #if BURSAR_SEAM
        if Plant.ceilingFirst.isOn, let cell = core.cell(of: limit.meter, at: i) {
            cell.ceiling.value = saturatingAdd(base, limit.amount.value)
        }
        #endif
        edit[limit.base(Int(next))] = base
        edit[limit.window] = start << 1 | next
        edit[limit.extra] = 0
        earnAnew(limit)
        edit.update(limit.fired, clearing: LimitFlag.midway)
        limit.fired.update(clearing: ~LimitFlag.genMask)
        recompute(i, meter: limit.meter)
        var event = Event(type: .window)
        event.id = core.id(of: i)
        event.meter = Int32(limit.meter)
        event.limit = limit.amount.value
        event.path = path(of: i)
        send(event)
    }

    // MARK: - Rolling windows: a ring in a slab block, and the window's number after it

    private static var ringBytes: Int { (RollingBuckets.words + 1) * 8 }

    func makeRing() throws(Failure) -> UInt32 {
        guard let block = slab.allocate(bytes: Runtime.ringBytes) else {
            throw full("rolling windows", "text_bytes_max")
        }
        return block
    }

    func freeRing(_ block: UInt32) { slab.free(block, bytes: Runtime.ringBytes) }

    /// The number of a limit's window in the table.
    func windowNumber(_ limit: LimitSlot) -> UInt32 {
        if limit.windowKind != WindowCode.rolling { return limit.spec.value }
        let p = slab.address(limit.spec.value) + RollingBuckets.words * 8
        return UInt32(truncatingIfNeeded: Word(p).value)
    }

    private func buckets(_ limit: LimitSlot) -> RollingBuckets {
        RollingBuckets(spanNanos: windows.window(windowNumber(limit)).spanNanos)
    }

    /// When a rolling limit's last bucket began, steady, and what had been settled at the
    /// start of each, the oldest first.
    func buckets(of limit: LimitSlot) -> (began: Int64, settled: [Int64]) {
        let current = limit.window.value >> 1
        let buckets = buckets(limit)
        var settled = ring(of: limit)
        settled = settled.withUnsafeMutableBufferPointer {
            buckets.settled(current: current, ring: $0.baseAddress!)
        }
        return (buckets.boundaryNanos(of: current), settled)
    }

    /// The inverse, for another clock: see `RollingBuckets.begin`.
    func startRing(
        _ limit: LimitSlot, _ former: [Int64], began: Int64, settled: Int64, quiet: Int64, now: Int64
    ) {
        let buckets = buckets(limit)
        let (current, base) = withRing(limit) { ring in
            let current = buckets.begin(
                at: now, former, began: began, settledByNow: settled, lastSettledNanos: quiet,
                ring: ring)
            return (current, buckets.base(at: now, current: current, ring: ring))
        }
        edit[limit.base(0)] = base
        edit[limit.base(1)] = base
        edit[limit.window] = current << 1
    }

    func ring(of limit: LimitSlot) -> [Int64] {
        (0..<RollingBuckets.words).map { Word(slab.address(limit.spec.value) + $0 * 8).value }
    }

    private func withRing<R>(
        _ limit: LimitSlot, _ body: (UnsafeMutablePointer<Int64>) -> R
    ) -> R {
        let p = slab.address(limit.spec.value)
        var ring = ring(of: limit)
        let result = ring.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
        for k in 0..<RollingBuckets.words { edit[Word(p + k * 8)] = ring[k] }
        return result
    }

    /// `spec` names the block already.
    func startRing(_ limit: LimitSlot, number: UInt32, base: Int64, now: Int64) {
        edit[Word(slab.address(limit.spec.value) + RollingBuckets.words * 8)] = Int64(number)
        edit[limit.base(0)] = base
        edit[limit.base(1)] = base
        let buckets = buckets(limit)
        edit[limit.window] =
            withRing(limit) { buckets.begin(at: now, settledByNow: base, ring: $0) } << 1
    }

    private func roll(_ limit: LimitSlot, settled: Int64, now: Int64) {
        let buckets = buckets(limit)
        var current = limit.window.value >> 1
        let base = withRing(limit) { ring in
            buckets.advance(
                to: now, settledByNow: settled,
                lastSettledNanos: buckets.boundaryNanos(at: now) - 1, current: &current, ring: ring)
            return buckets.base(at: now, current: current, ring: ring)
        }
        let next = (limit.window.value & 1) ^ 1
        edit[limit.base(Int(next))] = base
        edit[limit.window] = current << 1 | next
        earnAnew(limit)
        recompute(Int(limit.node.value), meter: limit.meter)
    }

    /// Whether a step of then belongs to the time before a limit's window. (A rolling one's
    /// ring is of all times.)
    func isBefore(_ limit: LimitSlot, _ settledUnix: Int64) -> Bool {
        if limit.windowKind != WindowCode.calendar { return limit.windowKind == WindowCode.rolling }
        let since =
            limit.fired.value & LimitFlag.midway != 0
            ? limit.base(Int(limit.window.value & 1) ^ 1).value
            : (limit.window.value >> 1) &* 1_000_000_000
        return since > settledUnix
    }

    /// A step of the time before a window turned out cheaper: the window's base falls
    /// with it. `change` is below 0.
    func lowerBase(_ limit: LimitSlot, by change: Int64, settledUnix: Int64) {
        guard isBefore(limit, settledUnix) else { return }
        if limit.windowKind == WindowCode.calendar {
            let base = limit.base(Int(limit.window.value & 1))
            edit[base] = saturatingAdd(base.value, change)
        } else {
            withRing(limit) { ring in
                for k in 0..<RollingBuckets.words { ring[k] = saturatingAdd(ring[k], change) }
            }
            for k in 0...1 { edit[limit.base(k)] = saturatingAdd(limit.base(k).value, change) }
        }
        recompute(Int(limit.node.value), meter: limit.meter)
    }

    /// Nanoseconds until a windowed limit's next window (a rolling one's next
    /// bucket); 0 for a total.
    func untilNextWindow(_ limit: LimitSlot) -> Int64 {
        guard config.tryLock(for: SharedLock.patience) else { return SharedLock.patience }
        defer { config.unlock() }
        guard isWindowed(limit) else { return 0 }
        let steady = clock.steady
        let now = limit.windowKind == WindowCode.calendar ? clock.unix : steady
        let next = nextWindow(limit, steady: steady)
        // A zone that cannot be read: when another process opens the window, nobody knows.
        return next == 0 ? 60_000_000_000 : max(saturatingAdd(next, -now), 1)
    }
}
