// Time limits: wall, idle, unattended. Nothing counts them down: each node has
// the steady time at which the first of them must be looked at, `dueAt`, which
// every step compares with its coarse clock; the loop looks when nobody steps.

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
        guard config.tryLock(for: SharedLock.patience) else { return }
        defer { config.unlock() }
        evaluateTimeLimits(i)
    }

    /// Paused time of a node and those above it, until `now`. Config lock held.
    func pausedTime(of i: Int, at now: Int64) -> Int64 {
        var sum: Int64 = 0
        eachUp(i) { i in
            let block = core.node(i).extras.value
            if block == 0 { return }
            let extras = Ladder(p: slab.address(block))
            let since = extras.pausedSince.value
            sum = saturatingAdd(sum, extras.paused.value)
            if since > 0 { sum = saturatingAdd(sum, max(now &- since, 0)) }
        }
        return sum
    }

    private func isPaused(_ i: Int) -> Bool {
        var isPaused = false
        eachUp(i) { i in
            if core.node(i).state.value & (StateBit.paused | StateBit.held) != 0 { isPaused = true }
        }
        return isPaused
    }

    /// The block that a node's paused time is kept in.
    func makeExtras(_ i: Int) throws(Failure) {
        let node = core.node(i)
        if node.extras.value != 0 { return }
        guard let block = slab.allocate(bytes: Ladder.bytes) else {
            throw full("pauses", "text_bytes_max")
        }
        edit[node.extras] = block
    }

    func setStateReason(_ i: Int, _ reason: Reason) {
        let misc = core.node(i).misc
        edit[misc] = (misc.value & ~0xFF00) | (UInt32(reason.rawValue) << 8)
    }

    /// How much of a time limit has passed.
    func elapsed(_ limit: LimitSlot, _ i: Int, at now: Int64) -> Int64 {
        let start = limit.window.value
        switch limit.meter {
        case MeterIndex.wall:
            let paused = pausedTime(of: i, at: now) &- limit.base(0).value
            return max(now &- start &- paused, 0)
        case MeterIndex.idle:
            return isPaused(i) ? 0 : max(now &- max(start, core.node(i).lastStep.value), 0)
        default: return max(now &- start, 0)
        }
    }

    /// Ends what has run out, and says when to look again. Config lock held.
    func evaluateTimeLimits(_ i: Int) {
        let node = core.node(i)
        let state = node.state.value
        // Of a closed node `dueAt` is the list's of those that wait to be freed.
        if state & (StateBit.free | StateBit.closed) != 0 { return }
        let now = clock.steady
        var next = Int64.max
        var ended: (bit: Int64, reason: Reason)?
        // Told when the node stands still: who hears of it may ask at once.
        var told: [(EventType, LimitSlot, Reason, Int64)] = []
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
                    told.append((type, limit, reason, passed))
                }
            }
        }
        if let ended {
            // Without room for its paused time the deadline holds all the same.
            try? makeExtras(i)
            setStateReason(i, ended.reason)
            change(i, set: ended.bit)
            next = .max
        }
        edit[node.dueAt] = next
        for (type, limit, reason, passed) in told { tell(type, limit, i, reason, passed) }
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
        let node = core.node(i)
        guard node.state.value & (StateBit.free | StateBit.closed) == 0, node.dueAt.value < .max
        else { return }
        if !core.isKeeper {
            core.attend(to: i)
            return
        }
        let due = max(node.dueAt.value, notBefore)
        guard let armed = armedAt(i) else { return }
        // One that is over came up while another limit was the first.
        if armed.value > clock.steady, armed.value <= due { return }
        armed.value = due
        timers.insert(Timer(due: due, index: UInt32(i)))
        if timers.count > 2 * segment.freeNodes.inUse + 1024 {
            timers.compact { armedAt(Int($0.index))?.value == $0.due }
        }
        loop.ring()
    }

    /// The heap again, from the nodes: for who takes over as the keeper. Config lock
    /// held.
    func rebuildTimers() {
        timers = TimerHeap()
        for i in 1..<max(Int(segment.freeNodes.highWater), 1) {
            let node = core.node(i)
            guard node.state.value & (StateBit.free | StateBit.closed) == 0,
                node.dueAt.value < .max, let armed = armedAt(i)
            else { continue }
            armed.value = node.dueAt.value
            timers.insert(Timer(due: armed.value, index: UInt32(i)))
        }
    }

    var nodesUsed: Int { Int(segment.freeNodes.highWater) }

    /// Starts a node's time limits again, those that ran out included.
    func restartTimeLimits(_ i: Int, only meter: Int? = nil) {
        let now = clock.steady
        eachLimit(i) { _, limit in
            guard limit.isTime, meter == nil || limit.meter == meter else { return }
            edit[limit.window] = now
            edit[limit.base(0)] = pausedTime(of: i, at: now)
            limit.fired.update(clearing: LimitFlag.refusing)
        }
        core.node(i).lastStep.value = now
        rescheduleTimeLimits(i)
    }

    /// Sets and clears state bits, and keeps the time that a node stood paused.
    func change(_ i: Int, set: Int64 = 0, clear: Int64 = 0) {
        let node = core.node(i)
        let standing = StateBit.paused | StateBit.held
        if !node.isSession { core.untell(i) }
        let before = edit.update(state: node.state, setting: set, clearing: clear)
        let after = (before | set) & ~clear
        guard node.extras.value != 0, (before & standing == 0) != (after & standing == 0) else {
            return
        }
        let extras = Ladder(p: slab.address(node.extras.value))
        let since = extras.pausedSince.value
        if after & standing != 0 {
            edit[extras.pausedSince] = clock.steady
        } else {
            if since > 0 {
                edit[extras.paused] = saturatingAdd(
                    extras.paused.value, max(clock.steady &- since, 0))
            }
            edit[extras.pausedSince] = 0
        }
    }

    /// Fills a refusal's figures from the time limit that ended a node.
    func describeTimeLimit(_ i: Int, _ d: inout Decision) {
        guard config.tryLock(for: SharedLock.patience) else { return }
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
