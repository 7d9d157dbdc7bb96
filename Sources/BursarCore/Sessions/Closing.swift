// Closing sessions, and freeing closed nodes when no record names them any more.
//
// Closed nodes wait in a list, oldest first, so that children come before their
// parents. It is linked through `dueAt`: a closed node has no time limits, only the
// config lock's holder writes it, and `max - next` is a time that no step finds due.
// (Every other field of a closed node is still read or written: `rungs`, `agent` and
// the limits until it is removed, the counters by the fold, `row` by refusals.)
// Everything here runs under the config lock; each node is committed by itself.

internal import CPlatform

extension Runtime {
    /// The header's bursar_session_close().
    public func sessionClose(_ id: Int64) throws(Failure) {
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            guard core.node(i).isSession else {
                throw Failure(.invalid, "this is a budget; bursar_budget_remove() removes budgets")
            }
            closeAll(i)
        }
        ringKeeper()
    }

    /// Closes a session and all below it, from the leaves up: whoever is killed on the
    /// way leaves sessions that are closed and sessions that are open.
    private func closeAll(_ i: Int, why: UInt32 = 0) {
        eachBelow(i) { below in
            close(below, why: why)
            edit.commit()
        }
        close(i, why: why)
    }

    /// Closes a node, which waits from now on to be freed. `why` is an interned text, if
    /// there is more to say than that it was closed.
    func close(_ i: Int, why: UInt32 = 0) {
        let node = core.node(i)
        if i == 0 || node.state.value & (StateBit.closed | StateBit.free) != 0 { return }
        core.untell(i)
        if node.reasonText.value == 0 {
            slab.retain(why)
            edit[node.reasonText] = why
        }
        node.lastStep.value = clock.steady
        change(i, set: StateBit.closed)
        edit[node.dueAt] = .max
        let last = core.header(Header.closingLast)
        if last.value == 0 {
            edit[core.header(Header.closingFirst)] = UInt32(i)
        } else {
            edit[core.node(Int(last.value)).dueAt] = .max - Int64(i)
        }
        edit[last] = UInt32(i)
    }

    /// Ends the sessions that a process opened and did not hand to others: it is dead,
    /// or has left. A living process that it forked has them from now on; without one
    /// they are closed. Under the attachment's `search`. Takes the config lock; false when
    /// that was not to be had in time, and whoever looks for the dead next has to do it.
    @discardableResult
    func endSessions(ofSlot slot: UInt32, within nanos: Int64 = SharedLock.patience) -> Bool {
        guard config.lock(for: nanos) else { return false }
        defer { config.unlock() }
        let heir = attachment.livingChild(of: slot)
        let why = slab.intern(bytes("its process has ended")) ?? 0
        for i in 1..<max(Int(segment.freeNodes.highWater), 1) {
            let node = core.node(i)
            guard node.isSession, node.owner == slot, !node.isHanded,
                node.state.value & (StateBit.closed | StateBit.free) == 0
            else { continue }
            if let heir {
                edit[node.misc] = (node.misc.value & ~0x0FFF_0000) | (heir << 16)
            } else {
                closeAll(i, why: why)
            }
            edit.commit()
        }
        slab.release(why)
        return true
    }

    /// Hands a session to others: it outlives the process that opened it.
    func hand(_ id: Int64) throws(Failure) {
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            guard core.node(i).isSession else {
                throw Failure(.invalid, "this is a budget; only sessions are handed on")
            }
            edit[core.node(i).misc] = core.node(i).misc.value | Node.handed
        }
    }

    /// Frees the closed nodes that no record names and that the ledger knows to be
    /// closed. A record in CLAIMED may name any: then all wait. Takes the config lock, or
    /// leaves it to the next fold.
    func reclaim() {
        guard config.tryLock(for: SharedLock.patience) else { return }
        reclaimLocked()
        config.unlock()
    }

    /// Asks for places; where there are none, once more when closed sessions have been freed,
    /// and again while more of them may be: for a second, since on a busy machine a thread
    /// that claims a record may be interrupted for long.
    func makingRoom<T>(_ body: () throws(Failure) -> T) throws(Failure) -> T {
        let until = clock.steady + 20 * SharedLock.patience
        while true {
            do throws(Failure) {
                return try body()
            } catch {
                if error.status != .capacity || clock.steady >= until { throw error }
                try foldFirst()
                let mayFreeMore = try configuring {
                    reclaimLocked()
                    return reclaimWaits
                }
                if !mayFreeMore { return try body() }
                bursar__thread_yield()
            }
        }
    }

    /// The same, under the config lock.
    private func reclaimLocked() {
        reclaimWaits = false
        let first = core.header(Header.closingFirst)
        if first.value == 0 { return }
        guard let named = namedNodes() else {
            reclaimWaits = true
            return
        }
        var before: UInt32 = 0
        var i = first.value
        var left = segment.nodesMax
        while i != 0, i < segment.nodesMax, left > 0 {
            left -= 1
            let node = core.node(Int(i))
            let next = following(i)
            let by = named[Int64(i)]
            if by != nil || node.childCount.value > 0
                || node.state.value & StateBit.closed == 0
                || (ledger.block != nil && node.flags.value & NodeFlag.untold != 0)
            {
                if by == 0 { reclaimWaits = true }
                before = i
            } else {
                if before == 0 {
                    edit[first] = next
                } else {
                    edit[core.node(Int(before)).dueAt] = .max - Int64(next)
                }
                if next == 0 { edit[core.header(Header.closingLast)] = before }
                remove(i)
                edit.commit()
            }
            i = next
        }
    }

    private func following(_ i: UInt32) -> UInt32 {
        UInt32(truncatingIfNeeded: Int64.max &- core.node(Int(i)).dueAt.value)
    }

    /// The nodes that records name; nil when one of them is in CLAIMED.
    private func namedNodes() -> KeyMap? {
        var named = KeyMap()  // 1: by a step in flight; 0: by one that the next fold ends
        var isClaimed = false
        core.eachRecord { _, record in
            // Sequentially consistent: pairs with the claim.
            var state = RecordWord.state(record.word.loadSequential())
            // A claim lasts some hundred nanoseconds, unless its thread has to wait.
            var spins = 0
            while state == RecordState.claimed, spins < 1000 {
                spins += 1
                if spins % 100 == 0 { bursar__thread_yield() } else { bursar__cpu_relax() }
                state = RecordWord.state(record.word.loadSequential())
            }
            #if BURSAR_SEAM
            if Plant.ignoresClaims.isOn, state == RecordState.claimed { return true }
            #endif
            if state == RecordState.claimed {
                isClaimed = true
                return false
            }
            if state != RecordState.free {
                let node = Int64(record.node.value & 0xFFFF_FFFF)
                let isOpen = state == RecordState.held || state == RecordState.inFlight
                if isOpen || named[node] == nil { named.set(node, isOpen ? 1 : 0) }
            }
            return true
        }
        return isClaimed ? nil : named
    }
}
