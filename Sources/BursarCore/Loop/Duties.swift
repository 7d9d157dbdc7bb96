// What the loop does when it wakes. Each duty finds its own work; the loop is only
// told that there may be some. Returns when to come again.
//
// Of all runtimes on a home one is the keeper, who holds the keeper lock and does
// what is due for all: thresholds, deadlines, windows, folding, what outlived its
// time, and what the dead left behind. The kernel lets go of the lock when its
// process dies, and the next runtime that looks takes over; everything that the
// keeper knows it has found in the segment. The others' loops deliver events.

extension Runtime {
    /// Folding settles to this rhythm while steps are being settled.
    private static var tick: Int64 { 50_000_000 }
    /// How often the dead are looked for while records are in use, and else.
    private static var watch: Int64 { 200_000_000 }
    private static var rest: Int64 { 1_000_000_000 }

    func attendToAll() -> Int64 {
        if core.life.value == Life.closed { return .max }
        takeEvents()
        lookAtHomeNowAndThen()
        guard core.isKeeper || (clock.steady >= keepsNotBefore && becomeKeeper()) else {
            let isEmpty = core.signal.value & Signal.empty != 0
            return clock.steady + (isEmpty ? Runtime.rest : Runtime.watch)
        }
        core.signal.update(clearing: Signal.empty | Signal.resting)
        let hasLooked = lookAtNodes()
        lookForTheDead()
        let dirty = recount()
        guard folding.lock(for: Runtime.tick) else {
            // Somebody folds, or was stopped while he did.
            return clock.steady + Runtime.tick
        }
        var scan = foldLocked()
        // Before sleeping: say so, then look again (see Core.wake).
        if scan.moving == 0 {
            core.signal.update(setting: scan.used == 0 ? Signal.empty | Signal.resting : Signal.resting)
            scan = self.scan()
            if untoldEvents != nil { scan.moving += 1 }
            if scan.moving > 0 { core.signal.update(clearing: Signal.empty | Signal.resting) }
        }
        folding.unlock()
        let now = clock.steady
        var next = scan.moving > 0 || dirty > 0 || !hasLooked ? now + Runtime.tick : Int64.max
        if let writer, core.batch.value != writerTold || isEarningDue {
            // To this rhythm: what a transaction costs beside its rows is shared by more.
            let due = writerRung + Runtime.tick
            if now >= due {
                writerTold = core.batch.value
                writerRung = now
                writer.ring()
            } else {
                next = min(next, due)
            }
        }
        if attachment.isShared { next = min(next, now + (scan.used > 0 ? Runtime.watch : Runtime.rest)) }
        // Clear of `empty` nobody rings for a step that may expire.
        next = min(next, scan.nextExpiry)
        guard config.lock(for: SharedLock.patience) else { return min(next, now + Runtime.tick) }
        next = min(next, timers.next, core.rollingAt.value, core.topUpAt.value)
        let rollAt = core.rollAt.value
        let isUnable = cannotRoll && attachment.isShared
        config.unlock()
        if isUnable {
            // Somebody who can read the zones keeps, if there is one; if not, we do again.
            keepsNotBefore = now + Runtime.rest
            resignAsKeeper()
            return keepsNotBefore
        }
        if rollAt < .max {
            // The unix clock may step: look at least once a minute.
            let wait = max(saturatingAdd(rollAt, 0 &- clock.unix), 0)
            next = min(next, now + min(wait, 60_000_000_000))
        }
        return next
    }

    // MARK: - Who keeps

    /// Takes over, if nobody keeps. Loop thread only.
    private func becomeKeeper() -> Bool {
        guard attachment.keeper.tryLock() else { return false }
        core.keeps.value = 1
        Half(core.engine.pointee.header + Header.keeperSlot).value = core.engine.pointee.slot
        hasTakenOver = false
        if let place = attachment.place, let path = attachment.ledgerPath {
            writer = LedgerWriter(core, place, outbox: path)
            writerTold = 0
        }
        lastWatch = 0
        return true
    }

    /// Lets others keep. Loop thread only.
    func resignAsKeeper() {
        guard core.isKeeper else { return }
        writer?.stop()
        writer = nil
        core.keeps.value = 0
        Half(core.engine.pointee.header + Header.keeperSlot).value = 0
        attachment.keeper.unlock()
        attachment.ringListeners(except: core.page)
    }

    /// Has whoever keeps look; this runtime, when nobody does.
    func ringKeeper() {
        if !core.isKeeper {
            let slot = Half(core.engine.pointee.header + Header.keeperSlot).value
            if slot != 0, attachment.ring(slot) { return }
        }
        loop.ring()
    }

    // MARK: - Duties

    /// Nodes that crossed a watermark, or got a time limit from somebody else; deadlines,
    /// idle, unattended, top-ups that end. False when the config lock was not to be had.
    private func lookAtNodes() -> Bool {
        guard config.lock(for: SharedLock.patience) else { return false }
        defer { config.unlock() }
        book.learn()
        if !hasTakenOver {
            // What was marked by, or for, the keeper before may have no bit.
            for i in 0..<nodesUsed where core.node(i).flags.value & NodeFlag.marked != 0 {
                evaluateThresholds(i)
            }
            rebuildTimers()
            lookForWindowsAhead()
            cannotRoll = false  // it is found out again when a window is due
            hasTakenOver = true
            edit.commit()
        }
        lookAtClock()
        core.eachMarked { i in
            evaluateThresholds(i)
            armTimer(i)
        }
        edit.commit()
        runTimers()
        return true
    }

    /// A unix clock that was set back leaves windows open that it opened before. Config
    /// lock held.
    private func lookAtClock() {
        let lead = clock.unix &- clock.steady
        if lead < saturatingAdd(clockLead, -1_000_000_000) { lookForWindowsAhead() }
        clockLead = lead
    }

    /// What processes left behind that are no more.
    private func lookForTheDead() {
        guard attachment.place != nil, clock.steady - lastWatch >= Runtime.watch - Runtime.tick else {
            return
        }
        lastWatch = clock.steady
        _ = recoverDead()
    }

    /// Puts in order what dead processes hold, for a step that was refused; not more
    /// often than every 20 ms. True when there was something.
    func freesWhatTheDeadHold() -> Bool {
        guard attachment.place != nil else { return false }
        let now = clock.steady
        let last = core.searchedAt.value
        guard now - last >= 20_000_000, core.searchedAt.exchange(last, for: now).exchanged,
            recoverDead() > 0
        else { return false }
        recount()
        return true
    }

    /// Whether the home is where others would find it: once a second.
    private func lookAtHomeNowAndThen() {
        guard attachment.isShared, clock.steady - lastLook >= Runtime.rest else { return }
        lastLook = clock.steady
        lookAtHome()
    }

    private func runTimers() {
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
