// Kill, pause, and their undoing: one store at the node, whatever hangs below it.

extension Runtime {
    public enum Control { case kill, revive, pause, resume }

    /// The header's bursar_kill(), bursar_revive(), bursar_pause(), bursar_resume().
    public func control(_ what: Control, _ id: Int64, reason: [UInt8]) throws(Failure) {
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            let node = core.node(i)
            let state = node.state.value
            if state & StateBit.closed != 0 {
                throw Failure(.notFound, "the session was closed")
            }
            let text = Path.line(reason, most: 256)
            switch what {
            case .kill:
                if state & StateBit.killed != 0 { return }
                try remember(text, at: i)
                change(i, set: StateBit.killed)
                tell(.kill, i, reason: .killed, text: text)
            case .revive:
                if state & StateBit.killed == 0 { return }
                change(i, clear: StateBit.killed)
                tell(.revive, i, text: text)
            case .pause:
                if state & StateBit.paused != 0 { return }
                try makeExtras(i)
                try remember(text, at: i)
                change(i, set: StateBit.paused)
                tell(.pause, i, reason: .paused, text: text)
            case .resume:
                let ended = StateBit.held | StateBit.halted
                if state & (StateBit.paused | ended) == 0 { return }
                change(i, clear: StateBit.paused | ended)
                if state & ended != 0 {
                    setStateReason(i, .none)
                    restartTimeLimits(i)
                } else {
                    node.lastStep.value = clock.steady
                    rescheduleTimeLimits(i)
                }
                tell(.resume, i, text: text)
            }
        }
        ringKeeper()
    }

    private func remember(_ text: [UInt8], at i: Int) throws(Failure) {
        let node = core.node(i)
        let block = try intern(signed(text))
        slab.release(node.reasonText.value)
        edit[node.reasonText] = block
    }

    /// An event about what somebody did at a node. Config lock held.
    func tell(_ type: EventType, _ i: Int, reason: Reason = .none, text: [UInt8] = []) {
        var event = Event(type: type)
        event.id = core.id(of: i)
        event.session = core.node(i).isSession ? event.id : 0
        event.reason = reason
        event.path = path(of: i)
        event.text = text
        event.actor = actor
        send(event)
    }

    // MARK: - Events

    /// An event about a step's node, from outside the config lock. Without its path
    /// where that lock is not to be had: a settle has to go on.
    func report(
        _ type: EventType, node i: Int, session: Int64, amount: Int64, reason: Reason,
        reservation: Int64 = 0
    ) {
        var event = Event(type: type)
        event.id = core.id(of: i)
        event.session = session
        event.reservation = reservation
        event.amount = amount
        event.reason = reason
        if config.tryLock(for: SharedLock.moment) {
            event.path = path(of: i)
            config.unlock()
        }
        send(event, for: SharedLock.moment)
    }

    /// A limit refuses, or would: told once until it admits again.
    func reportOnce(
        _ limit: LimitSlot, _ i: Int, _ type: EventType, _ session: Int64, committed: Int64
    ) {
        let bit = type == .observed ? LimitFlag.observed : LimitFlag.refusing
        if limit.fired.update(setting: bit) & bit != 0 { return }
        var event = Event(type: type)
        event.id = core.id(of: i)
        event.session = session
        event.meter = Int32(limit.meter)
        event.percent = 100
        event.limit = limit.isRate
            ? limit.amount.value : saturatingAdd(limit.amount.value, limit.extra.value)
        event.committed = committed
        event.reason = limit.isRate ? .rate : .limit
        if config.tryLock(for: SharedLock.patience) {
            event.path = path(of: i)
            config.unlock()
        }
        send(event)
    }
}
