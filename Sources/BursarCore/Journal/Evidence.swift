// What a record says, read as if an attacker had written it: whom it names, what
// it counts, what it can have put on the counters; and the marks that keep the
// evidence of an operation that death cut off.

extension Core {
    /// No path is longer; a longer one is a loop.
    static var pathMax: Int { 64 }

    /// Each node from `leaf` up to the root. False, and no more calls, for a path
    /// that cannot be.
    @discardableResult
    func eachAbove(_ leaf: Int, _ body: (Int) -> Void) -> Bool {
        var i = leaf
        for _ in 0..<Core.pathMax {
            guard i >= 0, i < Int(engine.pointee.nodesMax) else { return false }
            body(i)
            if i == 0 { return true }
            i = Int(node(i).parent.value)
        }
        return false
    }

    /// The node that a record names now; nil when that cannot be: the index is none,
    /// the generation another's, or the path leads nowhere. The body of a record in
    /// CLAIMED may be another step's.
    func leaf(of record: Record) -> Int? {
        let id = record.node.value
        let i = Int(truncatingIfNeeded: id & 0xFFFF_FFFF)
        guard i > 0, i < Int(engine.pointee.nodesMax), node(i).state.value >> 32 == id >> 32,
            eachAbove(i, { _ in })
        else { return nil }
        return i
    }

    /// Whether a record's path passes a node.
    func passes(_ record: Record, _ n: Int) -> Bool {
        guard let leaf = leaf(of: record) else { return false }
        var found = false
        eachAbove(leaf) { if $0 == n { found = true } }
        return found
    }

    /// The least that a record counts and the most that it can have put on the
    /// counters, by its word; `h` is the batch in the header. Nil: nothing.
    func counts(_ record: Record, _ word: Int64, at h: Int64) -> (least: Amounts, most: Amounts)? {
        let used = record.used
        let held = record.isCorrection ? used : record.held
        #if BURSAR_SEAM
        let state = RecordWord.state(word)
        let isClaim = state == RecordState.claimed || state == RecordState.releasing
        if Plant.transitIsNothing.isOn && Core.isTransitional(word)
            || Plant.claimsAreNothing.isOn && isClaim
        {
            return (Amounts.none, Amounts.none)
        }
        #endif
        switch RecordWord.state(word) {
        case RecordState.claimed, RecordState.releasing: return (Amounts.none, held.most(used))
        case RecordState.held, RecordState.inFlight: return (held, held)
        case RecordState.settling: return (held, held.most(used))
        case RecordState.adjusting: return (used, held.most(used))
        case RecordState.settled: return (used, used)
        case RecordState.folding:
            if RecordWord.actor(word) == (h &+ 1) & 0xFFF { return (used, used) }
            if !record.isCorrection { return nil }
            return (Amounts.none, used.minus(record.delta))
        default: return nil
        }
    }

    /// Marks the path of a record whose operation was cut off: each node is counted
    /// again. Before the record's state says nothing of it any more.
    func markDirty(_ record: Record) {
        let i = Int(truncatingIfNeeded: record.node.value & 0xFFFF_FFFF)
        eachAbove(i) { node($0).dirty.add(1) }
        // The nodes, then the word that says that there are some.
        sequentialFence()
        _ = statistic(Header.dirt).add(1)
        sequentialFence()
    }

    static func isTransitional(_ word: Int64) -> Bool {
        switch RecordWord.state(word) {
        case RecordState.claimed, RecordState.settling, RecordState.adjusting, RecordState.releasing:
            return true
        default: return false
        }
    }
}

extension Amounts {
    static var none: Amounts {
        Amounts(
            cost: 0, input: 0, output: 0, cached: 0, steps: 0, calls: 0, inFlight: 0, meters: 0,
            units: 0)
    }
}

extension Runtime {
    /// Something in the segment is what it cannot be. Counted, told once, left alone.
    func reportCorrupt(_ text: StaticString) {
        _ = core.statistic(Header.corrupt).add(1)
        guard Half(core.page + Core.corruptOffset).exchange(0, for: 1) else { return }
        var event = Event(type: .corrupt)
        event.text = Sentence("\(plain: text)").bytes
        send(event)
    }
}
