// What a dead process left: its records become what they would have become.
//
// A process is dead when somebody else has acquired the lock of its slot; the
// acquirer is the only recoverer. Whatever an operation had done halfway is marked
// (the path's nodes are dirty) before the record forgets it, and counted away by
// the recount. The recoverer's own death is the same procedure on its slot.

internal import CPlatform

/// A step that was settled at an estimate because nobody else would: to be told.
struct Orphan {
    var session: Int64
    var handle: Int64
    var cost: Int64
}

extension Core {
    /// One record, if it is a dead slot's. Whether it was and nobody else won it; and
    /// what is to be told of it.
    func recover(_ i: Int, _ record: Record, from slot: UInt32) -> (isDone: Bool, orphan: Orphan?) {
        let word = record.word.loadAcquiring()
        let state = RecordWord.state(word)
        guard RecordWord.actor(word) == Int64(slot), state != RecordState.folding else {
            return (false, nil)
        }
        let gen = RecordWord.gen(word)
        switch state {
        case RecordState.claimed, RecordState.releasing:
            markDirty(record)
            free(i, gen: gen)
        case RecordState.adjusting:  // it was committed
            markDirty(record)
            record.word.storeReleasing(RecordWord.make(RecordState.settled, actor: 0, gen: gen))
        case RecordState.settling:
            markDirty(record)
            let orphan = settleForTheDead(i, record, word)
            return (orphan != nil, orphan)
        case RecordState.held:
            guard leaf(of: record) != nil else {
                runtime.reportCorrupt("a reservation names no session")
                return (false, nil)
            }
            let releasing = RecordWord.make(RecordState.releasing, actor: me, gen: gen)
            // An expirer may win, or who was handed the reservation.
            if !record.word.exchange(word, for: releasing).exchanged { return (false, nil) }
            record.flags.value |= RecordFlag.released
            uncharge(record.held, record, leaf: Int(truncatingIfNeeded: record.node.value & 0xFFFF_FFFF))
            free(i, gen: gen)
        case RecordState.inFlight:
            let orphan = expire(i, word)
            return (orphan != nil, orphan)
        default: return (false, nil)
        }
        return (true, nil)
    }

    /// SETTLING of a dead process: it had not committed. The step ends at its
    /// estimate, whatever had been written.
    private func settleForTheDead(_ i: Int, _ record: Record, _ word: Int64) -> Orphan? {
        let gen = RecordWord.gen(word)
        guard leaf(of: record) != nil else {
            runtime.reportCorrupt("a settlement names no session")
            return nil
        }
        let settling = RecordWord.make(RecordState.settling, actor: me, gen: gen)
        if !record.word.exchange(word, for: settling).exchanged { return nil }
        // Only an expirer says that a step was never sent.
        let wasSent = record.flags.value & RecordFlag.unsent == 0
        record.flags.update(clearing: RecordFlag.outcome)
        return settleAtEstimate(i, record, gen: gen, estimated(record, wasSent: wasSent))
    }
}

extension Runtime {
    /// Ends what the process of a slot had begun. The caller holds the slot's lock,
    /// and nobody else does. How many records that were.
    @discardableResult
    func recover(slot: UInt32) -> Int {
        sequentialFence()
        var count = 0
        var orphans: [Orphan] = []
        core.eachRecord { i, record in
            let (isDone, orphan) = core.recover(i, record, from: slot)
            if isDone { count += 1 }
            if let orphan { orphans.append(orphan) }
            return true
        }
        _ = core.statistic(Header.recovered).add(Int64(count))
        for orphan in orphans { report(orphan) }
        return count
    }

    func report(_ orphan: Orphan) {
        report(
            .orphan, node: Int(truncatingIfNeeded: orphan.session & 0xFFFF_FFFF),
            session: orphan.session, amount: orphan.cost, reason: .none,
            reservation: orphan.handle)
    }

    /// Recovers every slot whose process is dead. How many slots and records that were.
    @discardableResult
    func recoverDead() -> Int {
        var records = 0
        var isStuck = false  // once is enough for all
        let slots = attachment.takeDead { slot in
            records += recover(slot: slot)
            if !isStuck { isStuck = !endSessions(ofSlot: slot) }
            return !isStuck
        }
        return slots + records
    }
}
