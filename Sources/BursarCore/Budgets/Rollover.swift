// Windows open: the base of a limit becomes what was settled when its window
// started, counters stay. A window's start only grows, so a clock that steps back
// pays nothing out twice.
//
// S, what was settled by the start, is `spent` (folded) plus the settled records
// of the journal that settled before it. Both locks are held, so nothing is folded
// meanwhile; a settle in the middle may be missed, which can only make S low, and
// a low base under-admits.

/// A rolling window's buckets.
struct Ring {
    let buckets: RollingBuckets
    let words: UnsafeMutablePointer<Int64>
}

extension Runtime {
    /// Opens what is due. Fold and config locks held.
    func rollDue() {
        let unix = clock.unix
        let steady = clock.steady
        if calendarTimers.next <= unix {
            var boundary = Int64.min
            while let timer = calendarTimers.pop(due: unix) {
                let limit = core.limit(Int(timer.index))
                guard isCurrent(timer, limit), limit.windowKind == WindowCode.calendar else {
                    continue
                }
                let (start, _) = windows.bounds(limit.spec.value, unix: unix / 1_000_000_000)
                if start > limit.window.value >> 1 {
                    if start != boundary {
                        boundary = start
                        gatherUnfolded(before: steady - (unix - start * 1_000_000_000))
                    }
                    open(limit, window: start)
                }
                schedule(timer.index)
            }
        }
        if rollingTimers.next <= steady {
            var boundary = Int64.min
            while let timer = rollingTimers.pop(due: steady) {
                let limit = core.limit(Int(timer.index))
                guard isCurrent(timer, limit), let ring = rings[timer.index] else { continue }
                let start = ring.buckets.boundaryNanos(at: steady)
                if start != boundary {
                    boundary = start
                    gatherUnfolded(before: start)
                }
                roll(limit, ring, now: steady)
                schedule(timer.index)
            }
        }
        core.rollAt.value = calendarTimers.next
        core.rollingAt.value = rollingTimers.next
    }

    private func isCurrent(_ timer: Timer, _ limit: LimitSlot) -> Bool {
        timer.gen == limit.fired.value >> 16
    }

    /// Arms the timer of a windowed limit. Config lock held.
    func schedule(_ l: UInt32) {
        let limit = core.limit(Int(l))
        let gen = limit.fired.value >> 16
        if limit.windowKind == WindowCode.calendar {
            let (_, end) = windows.bounds(limit.spec.value, unix: limit.window.value >> 1)
            let due = end > Int64.max / 1_000_000_000 ? .max : end * 1_000_000_000
            calendarTimers.insert(Timer(due: due, .limit, index: l, gen: gen))
            dropRetired(&calendarTimers)
            core.rollAt.value = calendarTimers.next
        } else if limit.windowKind == WindowCode.rolling, let ring = rings[l] {
            let due = ring.buckets.nextBoundaryNanos(after: clock.steady)
            rollingTimers.insert(Timer(due: due, .limit, index: l, gen: gen))
            dropRetired(&rollingTimers)
            core.rollingAt.value = rollingTimers.next
        } else {
            return
        }
        ringKeeper()
    }

    /// Entries of limits that are gone, once they outnumber the others.
    private func dropRetired(_ heap: inout TimerHeap) {
        if heap.count <= 2 * segment.freeLimits.inUse + 1024 { return }
        heap.compact { isCurrent($0, core.limit(Int($0.index))) }
    }

    private func open(_ limit: LimitSlot, window start: Int64) {
        let i = Int(limit.node.value)
        let meter = limit.meter
        let next = (limit.window.value & 1) ^ 1
        limit.base(Int(next)).value = settledSum(i, meter)
        limit.window.storeReleasing(start << 1 | next)  // the commit
        limit.extra.value = 0
        limit.fired.update(clearing: ~LimitFlag.genMask)
        recompute(i, meter: meter)
        var event = Event(type: .window)
        event.id = core.id(of: i)
        event.meter = Int32(meter)
        event.limit = limit.amount.value
        event.path = path(of: i)
        send(event)
    }

    /// Folded and gathered, of one meter of one node.
    private func settledSum(_ i: Int, _ meter: Int) -> Int64 {
        guard let cell = core.cell(of: meter, at: i) else { return 0 }
        let spent = cell.spent(cell.slot(at: core.batch.loadAcquiring())).value
        return saturatingAdd(spent, batchWork.sum(UInt32(i), meter, born: cell.kind.value >> 5))
    }

    func startRing(_ l: UInt32, span: Int64, base: Int64, now: Int64) {
        let words = UnsafeMutablePointer<Int64>.allocate(capacity: RollingBuckets.words)
        let ring = Ring(buckets: RollingBuckets(spanNanos: span), words: words)
        rings[l] = ring
        let limit = core.limit(Int(l))
        limit.base(0).value = base
        limit.base(1).value = base
        limit.window.value = ring.buckets.begin(at: now, settledByNow: base, ring: words) << 1
    }

    private func roll(_ limit: LimitSlot, _ ring: Ring, now: Int64) {
        let i = Int(limit.node.value)
        var current = limit.window.value >> 1
        ring.buckets.advance(
            to: now, settledByNow: settledSum(i, limit.meter),
            lastSettledNanos: ring.buckets.boundaryNanos(at: now) - 1, current: &current,
            ring: ring.words)
        let base = ring.buckets.base(at: now, current: current, ring: ring.words)
        let next = (limit.window.value & 1) ^ 1
        limit.base(Int(next)).value = base
        limit.window.storeReleasing(current << 1 | next)
        recompute(i, meter: limit.meter)
    }

    /// Nanoseconds until a windowed limit's next window (a rolling one's next
    /// bucket); 0 for a total.
    func untilNextWindow(_ limit: LimitSlot) -> Int64 {
        config.lock()
        defer { config.unlock() }
        if limit.windowKind == WindowCode.calendar {
            let (_, end) = windows.bounds(limit.spec.value, unix: limit.window.value >> 1)
            return max(end * 1_000_000_000 - clock.unix, 1)
        }
        if limit.windowKind == WindowCode.rolling {
            let span = windows.window(limit.spec.value).spanNanos
            return max(RollingBuckets(spanNanos: span).nextBoundaryNanos(after: clock.steady) - clock.steady, 1)
        }
        return 0
    }
}
