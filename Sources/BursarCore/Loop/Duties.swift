// What the loop does when it wakes. Each duty finds its own work; the loop is only
// told that there may be some. Returns when to come again.

extension Runtime {
    /// Folding settles to this rhythm while steps are being settled.
    private static var tick: Int64 { 50_000_000 }

    func attendToAll() -> Int64 {
        if core.life.value != 0 { return .max }
        core.signal.update(clearing: Signal.empty | Signal.resting)
        lookAtMarked()
        runTimers()
        folding.lock()
        var scan = foldLocked()
        // Before sleeping: say so, then look again (see Core.wake).
        if scan.moving == 0 {
            core.signal.update(setting: scan.used == 0 ? Signal.empty | Signal.resting : Signal.resting)
            scan = self.scan()
            if scan.moving > 0 { core.signal.update(clearing: Signal.empty | Signal.resting) }
        }
        folding.unlock()

        let now = clock.steady
        var next = scan.moving > 0 ? now + Runtime.tick : Int64.max
        // Clear of `empty` nobody rings for a step that may expire.
        next = min(next, scan.nextExpiry)
        config.lock()
        next = min(next, timers.next, core.rollingAt.value, core.topUpAt.value)
        let rollAt = core.rollAt.value
        config.unlock()
        if rollAt < .max {
            // The unix clock may step: look at least once a minute.
            let wait = max(saturatingAdd(rollAt, 0 &- clock.unix), 0)
            next = min(next, now + min(wait, 60_000_000_000))
        }
        return next
    }

    /// Nodes that crossed a watermark.
    private func lookAtMarked() {
        let head = Word(core.page + Core.attentionHeadOffset)
        let tail = Word(core.page + Core.attentionOffset)
        config.lock()
        defer { config.unlock() }
        while head.value < tail.loadAcquiring() {
            let slot = Int(head.value & (Core.attentionSlots - 1))
            let entry = Half(core.page + Core.attentionRing + slot * 4)
            let i = entry.loadAcquiring()
            if i == 0 { break }  // taken, not written yet: the writer rings after it
            entry.value = 0
            head.storeReleasing(head.value + 1)
            evaluateThresholds(Int(i) - 1)
        }
        if core.signal.update(clearing: Signal.overflow) & Signal.overflow != 0 {
            var i: UInt32 = 0
            while i < segment.freeNodes.highWater {
                if core.node(Int(i)).flags.value & NodeFlag.marked != 0 {
                    evaluateThresholds(Int(i))
                }
                i += 1
            }
        }
    }

    /// Deadlines, idle, unattended, top-ups that end.
    private func runTimers() {
        config.lock()
        defer { config.unlock() }
        let now = clock.steady
        endTopUps()
        while let timer = timers.pop(due: now) {
            let i = Int(timer.index)
            guard let armed = armedAt(i), armed.value == timer.due else { continue }
            armed.value = 0
            evaluateTimeLimits(i)
            armTimer(i, notBefore: now + 1)
        }
    }
}
