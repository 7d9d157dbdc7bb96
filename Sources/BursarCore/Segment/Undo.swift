// The undo log: what makes a configuration call all or nothing, though its process
// may be killed at any instruction of it.
//
// Under the config lock every word that belongs to the configuration is written
// through `edit[word] = value`. In a segment that processes share that is, in this
// order: an entry (where, what stood there), the count of entries (release), the
// word (release). Giving the lock up sets the count to 0: the commit, one store.
// Who takes the lock and finds a count above 0 is the successor of somebody who was
// killed: it writes the old values back, newest first, and sets the count to 0. A
// successor killed in the middle of that leaves the count as it was, and the next
// one does the same again. Private segments have no log: threads do not die alone.
//
// Long calls (closing a subtree, observing everything) commit between pieces that
// are whole by themselves: a session is closed or it is not.
//
// What steps of other processes may have seen meanwhile, as they take no lock:
// - A ceiling never rises before the commit: a rise is an entry of a second list,
//   done after the commit, by the successor if need be. So no step is ever granted
//   on money that a roll-back takes away. A fall is done at once, and a roll-back
//   ends it: steps were refused for a moment.
// - A new node is known to nobody: its number leaves the call after the commit. Its
//   generation is not undone, so that a number that an event told is never another's.
// - A state word that was stopped and goes on again refused some steps; one that was
//   revived and is stopped again admitted some, which somebody had asked for.
// - A cell that an open node gets is never unlinked: steps may have charged it. It is
//   taken from its list and committed first, linked by one store, and counts only
//   when the epoch has grown, which is never undone (see `ensureCell`).
// - A limit that is linked or unlinked is a rate to a step, and nothing else: at
//   worst a step charges a rate that is gone, or does not refund one.
// - Words that steps write too are not logged as wholes: of a node's state the
//   recount hint, of its flags `marked`, of a limit's `fired` all but the generation
//   stay as they are. At worst an alert is told twice.

internal import CPlatform

final class UndoLog {
    private let base: UnsafeMutableRawPointer
    private let bytes: Int
    private let entries: UnsafeMutableRawPointer
    private let raises: UnsafeMutableRawPointer
    private let count: Half
    private let raised: Half
    private let capacity: Int
    private let raisesMax: Int
    /// Runs before each store; for tests, which look at the segment then.
    var probe: (() -> Void)?

    private var isOn: Bool { capacity > 0 }

    /// An entry: 0 where | kind << 56, 8 the old value (of a half: mask << 32 | value).
    static let entrySize = 16
    private enum Kind {
        static let word: Int64 = 0
        static let half: Int64 = 1
        static let state: Int64 = 2
    }

    init(_ base: UnsafeMutableRawPointer, _ places: Geometry) {
        self.base = base
        bytes = places.bytes
        entries = base + places.undoAt
        raises = base + places.raisesAt
        count = Half(base + Header.undoCount)
        raised = Half(base + Header.raised)
        capacity = places.undoMax
        raisesMax = places.raisesMax
    }

    // MARK: - Writing

    subscript(_ word: Word) -> Int64 {
        get { word.value }
        set {
            let old = word.value
            if old == newValue { return }
            note(word.address, Kind.word, old)
            word.storeReleasing(newValue)
        }
    }

    subscript(_ half: Half) -> UInt32 {
        get { half.value }
        set {
            let old = half.value
            if old == newValue { return }
            note(half.address, Kind.half, Int64(bitPattern: 0xFFFF_FFFF << 32 | UInt64(old)))
            half.storeReleasing(newValue)
        }
    }

    /// Sets and clears bits of a word whose other bits are not ours.
    func update(_ half: Half, setting: UInt32 = 0, clearing: UInt32 = 0) {
        let mask = setting | clearing
        let old = half.value & mask
        if old == setting { return }
        note(half.address, Kind.half, Int64(bitPattern: UInt64(mask) << 32 | UInt64(old)))
        half.update(setting: setting, clearing: clearing)
    }

    /// Sets and clears bits of a node's state; the value before. Sequentially
    /// consistent: pairs with a walk's load after its claim.
    @discardableResult
    func update(state: Word, setting: Int64 = 0, clearing: Int64 = 0) -> Int64 {
        note(state.address, Kind.state, state.value)
        return state.update(setting: setting, clearing: clearing)
    }

    /// A node's whole state, with another generation or none of the bits.
    func store(state: Word, _ value: Int64) {
        note(state.address, Kind.state, state.value)
        state.storeSequential(value)
    }

    /// Bytes to an address that is a multiple of 8; the rest of the last word is 0.
    func copy(_ from: UnsafeRawBufferPointer, to p: UnsafeMutableRawPointer) {
        var at = 0
        while at < from.count {
            var word: UInt64 = 0
            for k in 0..<min(8, from.count - at) { word |= UInt64(from[at + k]) << UInt64(8 * k) }
            self[Word(p + at)] = Int64(bitPattern: word.littleEndian)
            at += 8
        }
    }

    func zero(_ p: UnsafeMutableRawPointer, _ count: Int) {
        for at in stride(from: 0, to: count, by: 8) { self[Word(p + at)] = 0 }
    }

    /// A new ceiling: at once when it falls, else after the commit.
    func set(ceiling: Word, to value: Int64) {
        let offset = Int64(ceiling.address - base)
        var n = Int(raised.value)
        if isOn {
            // One that was to rise may be changed again before the commit.
            for k in 0..<min(n, raisesMax) where Word(raises + k * UndoLog.entrySize).value == offset {
                Word(raises + k * UndoLog.entrySize + 8).value = value
            }
        }
        if value <= ceiling.value || !isOn {
            self[ceiling] = value
            return
        }
        for k in 0..<min(n, raisesMax) where Word(raises + k * UndoLog.entrySize).value == offset {
            return
        }
        if n >= raisesMax {
            commit()
            n = 0
        }
        // Without an entry the raise would be done by a successor at once.
        if count.value == 0 { note(ceiling.address, Kind.word, ceiling.value) }
        Word(raises + n * UndoLog.entrySize).value = offset
        Word(raises + n * UndoLog.entrySize + 8).value = value
        probe?()
        raised.storeReleasing(UInt32(n + 1))
    }

    private func note(_ address: UnsafeMutableRawPointer, _ kind: Int64, _ old: Int64) {
        probe?()
        guard isOn else { return }
        var n = Int(count.value)
        if n >= capacity {
            // No call is as long as that; if one were, it would be cut in two here.
            commit()
            n = 0
        }
        let entry = entries + n * UndoLog.entrySize
        Word(entry).value = Int64(address - base) | kind << 56
        Word(entry + 8).value = old
        probe?()
        count.storeReleasing(UInt32(n + 1))
        probe?()
    }

    // MARK: - The end

    /// What was written stays, and ceilings rise.
    func commit() {
        guard isOn else { return }
        if count.value != 0 {
            probe?()
            count.storeReleasing(0)
        }
        if raised.value != 0 { raiseAll() }
    }

    private func raiseAll() {
        for k in 0..<min(Int(raised.value), raisesMax) {
            let offset = Word(raises + k * UndoLog.entrySize).value
            guard let p = place(offset, size: 8) else { continue }
            probe?()
            Word(p).storeReleasing(Word(raises + k * UndoLog.entrySize + 8).value)
        }
        probe?()
        raised.storeReleasing(0)
    }

    /// After the lock was taken: undoes what a dead process had begun, or ends what
    /// it had committed.
    func recover() {
        guard isOn else { return }
        if count.value == 0 {
            if raised.value != 0 { raiseAll() }
            return
        }
        raised.storeReleasing(0)
        var n = min(Int(count.loadAcquiring()), capacity)
        while n > 0 {
            n -= 1
            undo(entries + n * UndoLog.entrySize)
        }
        count.storeReleasing(0)
    }

    private func undo(_ entry: UnsafeMutableRawPointer) {
        let what = Word(entry).value
        let old = Word(entry + 8).value
        let kind = what >> 56
        guard let p = place(what & ((1 << 56) - 1), size: kind == Kind.half ? 4 : 8) else { return }
        switch kind {
        case Kind.half:
            let mask = UInt32(truncatingIfNeeded: old >> 32)
            Half(p).update(setting: UInt32(truncatingIfNeeded: old) & mask, clearing: mask)
        case Kind.state:
            let ours = StateBit.all & ~StateBit.recount
            Word(p).update(setting: old & ours, clearing: ours)
        default: Word(p).storeReleasing(old)
        }
    }

    /// An offset as an address, if a log may name it.
    private func place(_ offset: Int64, size: Int64) -> UnsafeMutableRawPointer? {
        guard offset >= Header.configured, offset <= Int64(bytes) - size, offset % size == 0 else {
            return nil
        }
        return base + Int(offset)
    }
}
