// Time limits: wall, idle, unattended. Nothing counts them down: each node has
// the steady time at which the first of them must be looked at, `dueAt`, which
// every step compares with its coarse clock; the loop looks when nobody steps.

/// How long a node has been paused, all in all, and since when it is.
struct Pause {
    var total: Int64 = 0
    var since: Int64 = 0  // 0 = not now
}

extension Core {
    /// A step found a node's time limits due: false when the node stops it.
    @inline(never)
    func passesTimeLimits(_ i: Int) -> Bool {
        runtime.checkTimeLimits(i)
        return node(i).state.loadSequential() & StateBit.stops == 0
    }
}

extension Runtime {
    func checkTimeLimits(_ i: Int) {
        config.lock()
        defer { config.unlock() }
        evaluateTimeLimits(i)
    }

    /// Paused time of a node and those above it, until `now`. Config lock held.
    func pausedTime(of i: Int, at now: Int64) -> Int64 {
        if pauses.isEmpty { return 0 }
        var sum: Int64 = 0
        var i = i
        while true {
            if let pause = pauses[UInt32(i)] {
                sum += pause.total + (pause.since > 0 ? max(now - pause.since, 0) : 0)
            }
            if i == 0 { return sum }
            i = Int(core.node(i).parent.value)
        }
    }

    private func isPaused(_ i: Int) -> Bool {
        var i = i
        while true {
            if core.node(i).state.value & (StateBit.paused | StateBit.held) != 0 { return true }
            if i == 0 { return false }
            i = Int(core.node(i).parent.value)
        }
    }

    /// How much of a time limit has passed.
    func elapsed(_ limit: LimitSlot, _ i: Int, at now: Int64) -> Int64 {
        let start = limit.window.value
        switch limit.meter {
        case MeterIndex.wall:
            return max(now - start - (pausedTime(of: i, at: now) - limit.base(0).value), 0)
        case MeterIndex.idle:
            return isPaused(i) ? 0 : max(now - max(start, core.node(i).lastStep.value), 0)
        default: return max(now - start, 0)
        }
    }

    /// Ends what has run out, and says when to look again. Config lock held.
    func evaluateTimeLimits(_ i: Int) {
        let node = core.node(i)
        let state = node.state.value
        if state & (StateBit.free | StateBit.closed) != 0 {
            node.dueAt.value = .max
            return
        }
        let now = clock.steady
        var next = Int64.max
        var ended: (bit: Int64, reason: Reason)?
        let isObserved =
            node.flags.value & NodeFlag.observed != 0
            || core.headerFlags.value & HeaderFlag.observed != 0
        eachLimit(i) { _, limit in
            guard limit.isTime else { return }
            let whole = saturatingAdd(limit.amount.value, limit.extra.value)
            let passed = elapsed(limit, i, at: now)
            if passed < whole {
                let rest = whole - passed
                next = min(next, saturatingAdd(now, isPaused(i) ? max(rest, 1_000_000_000) : rest))
            } else if limit.fired.value & LimitFlag.refusing == 0 {
                limit.fired.update(setting: LimitFlag.refusing)
                let reason: Reason =
                    limit.meter == MeterIndex.wall
                    ? .wall : limit.meter == MeterIndex.idle ? .idle : .unattended
                if limit.end == LimitEnd.observe || isObserved {
                    tell(.observed, limit, i, reason, passed)
                } else {
                    let isHalt = limit.end == LimitEnd.halt
                    ended = (isHalt ? StateBit.halted : StateBit.held, reason)
                    let type: EventType =
                        reason == .wall ? .deadline : reason == .idle ? .idle : .unattended
                    tell(type, limit, i, reason, passed)
                }
            }
        }
        if let ended {
            node.setStateReason(ended.reason)
            change(i, set: ended.bit)
            next = .max
        }
        node.dueAt.value = next
    }

    private func tell(
        _ type: EventType, _ limit: LimitSlot, _ i: Int, _ reason: Reason, _ passed: Int64
    ) {
        var event = Event(type: type)
        event.id = core.id(of: i)
        event.session = core.node(i).isSession ? event.id : 0
        event.meter = Int32(limit.meter)
        event.limit = saturatingAdd(limit.amount.value, limit.extra.value)
        event.committed = passed
        event.reason = reason
        event.path = path(of: i)
        send(event)
    }

    /// Works out `dueAt` again after an edit, and arms a timer. Config lock held.
    func rescheduleTimeLimits(_ i: Int) {
        evaluateTimeLimits(i)
        armTimer(i)
    }

    /// When the entry of `timers` that counts for a node comes up, 0 = there is
    /// none: kept in the second base of its first time limit.
    func armedAt(_ i: Int) -> Word? {
        var found: Word?
        eachLimit(i) { _, limit in if limit.isTime, found == nil { found = limit.base(1) } }
        return found
    }

    /// Has the loop look at a node when it is due. One entry of the heap counts
    /// for a node, its earliest; one that comes up too early looks again.
    func armTimer(_ i: Int, notBefore: Int64 = 0) {
        guard core.node(i).dueAt.value < .max else { return }
        if !core.isKeeper {
            core.attend(to: i)
            return
        }
        let due = max(core.node(i).dueAt.value, notBefore)
        guard let armed = armedAt(i) else { return }
        // One that is over came up while another limit was the first.
        if armed.value > clock.steady, armed.value <= due { return }
        armed.value = due
        timers.insert(Timer(due: due, .node, index: UInt32(i), gen: 0))
        if timers.count > 2 * (segment.freeNodes.inUse + topUps.count) + 1024 {
            timers.compact { timer in
                timer.kind != .node || armedAt(Int(timer.index))?.value == timer.due
            }
        }
        loop.ring()
    }

    /// Fills the heap from what stands in the nodes. Config lock held.
    func rebuildTimers() {
        for i in 1..<max(nodesUsed, 1) where core.node(i).state.value & StateBit.free == 0 {
            armedAt(i)?.value = 0
            armTimer(i)
        }
    }

    var nodesUsed: Int { Int(segment.freeNodes.highWater) }

    /// When the first of the timers, rollovers and top-ups is due. Config lock held.
    func nextTimer(_ now: Int64) -> Int64 {
        var next = min(timers.next, rollingTimers.next)
        if calendarTimers.next < .max {
            // The unix clock may step: look at least once a minute.
            let wait = max(calendarTimers.next - clock.unix, 0)
            next = min(next, now + min(wait, 60_000_000_000))
        }
        return next
    }

    /// Starts a node's time limits again, those that ran out included.
    func restartTimeLimits(_ i: Int, only meter: Int? = nil) {
        let now = clock.steady
        eachLimit(i) { _, limit in
            guard limit.isTime, meter == nil || limit.meter == meter else { return }
            limit.window.value = now
            limit.base(0).value = pausedTime(of: i, at: now)
            limit.fired.update(clearing: LimitFlag.refusing)
        }
        core.node(i).lastStep.value = now
        rescheduleTimeLimits(i)
    }

    /// Sets and clears state bits, and keeps the time that a node stood paused.
    func change(_ i: Int, set: Int64 = 0, clear: Int64 = 0) {
        let node = core.node(i)
        let standing = StateBit.paused | StateBit.held
        // Sequentially consistent: pairs with the walk's load after its claim.
        let before = node.state.update(setting: set, clearing: clear)
        let after = (before | set) & ~clear
        if before & standing == 0, after & standing != 0 {
            pauses[UInt32(i), default: Pause()].since = clock.steady
        } else if before & standing != 0, after & standing == 0 {
            var pause = pauses[UInt32(i)] ?? Pause()
            if pause.since > 0 { pause.total += max(clock.steady - pause.since, 0) }
            pause.since = 0
            pauses[UInt32(i)] = pause
        }
    }

    /// Fills a refusal's figures from the time limit that ended a node.
    func describeTimeLimit(_ i: Int, _ d: inout Decision) {
        config.lock()
        defer { config.unlock() }
        let now = clock.steady
        eachLimit(i) { _, limit in
            guard limit.isTime, limit.fired.value & LimitFlag.refusing != 0, d.limit == 0 else {
                return
            }
            d.meter = Int32(limit.meter)
            d.end = Int32(limit.end)
            d.limit = saturatingAdd(limit.amount.value, limit.extra.value)
            d.committed = elapsed(limit, i, at: now)
        }
    }
}
