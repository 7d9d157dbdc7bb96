// Taking a free record, and giving it back.
//
// A record is claimed by one compare-and-swap on its own word: there is no free
// list that a crash could break. Each thread walks its own stretch of the table,
// so that threads do not meet, and stays below the high-water mark while it can,
// so that scans stay short and lines stay warm.

internal import CPlatform

extension Core {
    /// The stretch that a thread walks before it starts again.
    @inline(__always) private static var stretch: UInt32 { 4096 }
    /// A busy thread rings the loop every 2,048 steps, so that folding keeps up.
    @inline(__always) private static var pressureMask: UInt32 { 2047 }

    /// A record in CLAIMED, and its word; nil when none is free.
    @inline(__always)
    func claim() -> (index: Int, gen: Int64)? {
        let end = engine.pointee.forcedFrom
        var hint = bursar__hint_get()
        if hint >= end { hint = bursar__hint_start(end, engine.pointee.slot) }
        let word = record(Int(hint)).word
        let seen = word.value
        if RecordWord.state(seen) == RecordState.free {
            let gen = max(RecordWord.gen(seen), 1)
            // The mark first: a scan that sees the mark below this record
            // happened before the claim.
            if hint >= highWater.value { raise(highWater, to: hint &+ 1) }
            // Sequentially consistent: pairs with the closer's scan and the loop's.
            if word.exchange(seen, for: RecordWord.make(RecordState.claimed, actor: me, gen: gen))
                .exchanged
            {
                let next = Core.following(hint, end)
                bursar__hint_set(next)
                // The next step's lines are on their way while this one is made.
                bursar__prefetch_write(record(Int(next)).p)
                bursar__prefetch_write(record(Int(next)).p + 64)
                if hint & Core.pressureMask == Core.pressureMask { runtime.ringKeeper() }
                return (Int(hint), gen)
            }
        }
        return claimElsewhere(hint, end)
    }

    @inline(__always)
    private static func following(_ hint: UInt32, _ end: UInt32) -> UInt32 {
        let next = hint &+ 1
        // Back to the start of the stretch, not into a neighbour's.
        return next & (stretch &- 1) == 0 || next >= end ? hint & ~(stretch &- 1) : next
    }

    @inline(never)
    private func claimElsewhere(_ hint: UInt32, _ end: UInt32) -> (index: Int, gen: Int64)? {
        var tried: UInt32 = 0
        var i = hint
        while tried < end {
            if i >= highWater.value { raise(highWater, to: i &+ 1) }
            if let gen = claim(at: Int(i)) {
                bursar__hint_set(Core.following(i, end))
                return (Int(i), gen)
            }
            tried &+= 1
            i = i &+ 1 < end ? i &+ 1 : 0
        }
        return nil
    }

    private func claim(at i: Int) -> Int64? {
        let word = record(i).word
        let seen = word.value
        guard RecordWord.state(seen) == RecordState.free else { return nil }
        let gen = max(RecordWord.gen(seen), 1)
        let claimed = RecordWord.make(RecordState.claimed, actor: me, gen: gen)
        return word.exchange(seen, for: claimed).exchanged ? gen : nil
    }

    /// A record of the part that is kept for late settles and forced charges.
    func claimForced() -> (index: Int, gen: Int64)? {
        let start = engine.pointee.forcedFrom
        for i in start..<engine.pointee.recordsMax {
            raise(forcedHighWater, to: i &- start &+ 1)
            if let gen = claim(at: Int(i)) {
                return (Int(i), gen)
            }
        }
        return claim()
    }

    @inline(never)
    private func raise(_ mark: Half, to value: UInt32) {
        var seen = mark.value
        while seen < value {
            if mark.exchange(seen, for: value) { return }
            seen = mark.value
        }
    }

    /// CLAIMED or RELEASING back to FREE, with the next generation.
    @inline(__always)
    func free(_ i: Int, gen: Int64) {
        record(i).word.storeReleasing(RecordWord.make(RecordState.free, actor: 0, gen: gen &+ 1))
    }

    /// The records that may be in use: the two used parts of the table.
    func eachRecord(_ body: (Int, Record) -> Bool) {
        var i = 0
        let end = Int(min(highWater.value, engine.pointee.forcedFrom))
        while i < end {
            if !body(i, record(i)) { return }
            i += 1
        }
        i = Int(engine.pointee.forcedFrom)
        let room = engine.pointee.recordsMax - engine.pointee.forcedFrom
        let forcedEnd = i + Int(min(forcedHighWater.value, room))
        while i < forcedEnd {
            if !body(i, record(i)) { return }
            i += 1
        }
    }
}
