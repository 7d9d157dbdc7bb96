// Bugs that are planted by changing what reaches memory: an order, a value, a store
// that is left out. The code stays as it is. The others are switches in the code
// (see Seam.swift). Each comes from a simpler protocol that looks right.

@testable import BursarCore

/// What all of them need: whose record is where.
class WordSaboteur: Saboteur {
    let recordsAt: Int
    let cellsAt: Int
    let nodesAt: Int
    let limitsAt: Int
    /// The record that a fiber has in the middle of something, by fiber.
    var inHand: [Int: UnsafeMutableRawPointer] = [:]
    /// Stores to that word that are left out, by fiber.
    var skips: Set<Int> = []

    init(_ stage: Stage) {
        recordsAt = stage.places.recordsAt
        cellsAt = stage.places.cellsAt
        nodesAt = stage.places.nodesAt
        limitsAt = stage.places.limitsAt
        super.init(stage.machine)
    }

    override func reset() {
        inHand = [:]
        skips = []
    }

    func isWord(_ offset: Int) -> Bool {
        let at = offset - recordsAt
        return at >= 0 && at < 64 * Record.size && at % Record.size == 0
    }
    func isCommitted(_ offset: Int) -> Bool {
        offset >= cellsAt && offset < limitsAt && (offset - cellsAt) % Cell.size == 0
    }
    func isDirty(_ offset: Int) -> Bool {
        offset == Header.dirt
            || offset >= nodesAt && offset < cellsAt && (offset - nodesAt) % Node.size == 68
    }
    static func with(_ word: Int64, state: Int64) -> Int64 {
        RecordWord.make(state, actor: RecordWord.actor(word), gen: RecordWord.gen(word))
    }
    static func freed(_ word: Int64) -> Int64 {
        RecordWord.make(RecordState.free, actor: 0, gen: RecordWord.gen(word) + 1)
    }
    func state(_ p: UnsafeMutableRawPointer) -> Int64 { RecordWord.state(machine.peek(p, false)) }

    /// Keeps track; for those that override, call it.
    func follow(_ p: UnsafeMutableRawPointer, _ offset: Int, _ desired: Int64, _ f: Fiber) {
        switch RecordWord.state(desired) {
        case RecordState.claimed, RecordState.settling, RecordState.releasing: inHand[f.id] = p
        default: break
        }
    }

    override func exchange(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ old: Int64, _ expected: Int64,
        _ desired: Int64, _ f: Fiber
    ) -> Int64 {
        if old == expected, isWord(offset) { follow(p, offset, desired, f) }
        return super.exchange(p, half, offset, old, expected, desired, f)
    }
}

/// HELD is announced before the charge.
final class AnnounceFirst: WordSaboteur {
    override func add(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ amount: Int64, _ f: Fiber
    ) {
        if isCommitted(offset), amount > 0, let word = inHand[f.id], state(word) == RecordState.claimed {
            machine.put(word, false, Self.with(machine.peek(word, false), state: RecordState.inFlight))
            machine.stop(f, at: offset)
        }
        super.add(p, half, offset, amount, f)
    }
}

/// A released record is free before its charge is taken back.
final class FreeFirst: WordSaboteur {
    override func exchange(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ old: Int64, _ expected: Int64,
        _ desired: Int64, _ f: Fiber
    ) -> Int64 {
        if old == expected, isWord(offset), RecordWord.state(desired) == RecordState.releasing {
            machine.put(p, half, Self.freed(old))
            skips.insert(f.id)
            return old
        }
        return super.exchange(p, half, offset, old, expected, desired, f)
    }
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        if isWord(offset), skips.remove(f.id) != nil { return }
        super.store(p, half, offset, value, f)
    }
}

/// A refused step's record is free before its charge is taken back.
final class FreeBeforeUndo: WordSaboteur {
    override func add(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ amount: Int64, _ f: Fiber
    ) {
        if isCommitted(offset), amount < 0, let word = inHand[f.id], !skips.contains(f.id),
            state(word) == RecordState.claimed
        {
            machine.put(word, false, Self.freed(machine.peek(word, false)))
            skips.insert(f.id)
            machine.stop(f, at: offset)
        }
        super.add(p, half, offset, amount, f)
    }
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        if isWord(offset), skips.remove(f.id) != nil { return }
        super.store(p, half, offset, value, f)
    }
}

/// The generation stays when a record is freed: always, or only on refusal.
final class SameGeneration: WordSaboteur {
    let onlyRefused: Bool
    init(_ stage: Stage, onlyRefused: Bool) {
        self.onlyRefused = onlyRefused
        super.init(stage)
    }
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        var value = value
        if isWord(offset), RecordWord.state(value) == RecordState.free,
            !onlyRefused || state(p) == RecordState.claimed
        {
            value -= 1
        }
        super.store(p, half, offset, value, f)
    }
}

/// Settle does not claim the record: it writes, then stores.
final class NoClaim: WordSaboteur {
    override func exchange(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ old: Int64, _ expected: Int64,
        _ desired: Int64, _ f: Fiber
    ) -> Int64 {
        if old == expected, isWord(offset), RecordWord.state(desired) == RecordState.settling {
            return old
        }
        return super.exchange(p, half, offset, old, expected, desired, f)
    }
}

/// An overrun is added after the commit.
final class RaiseLate: WordSaboteur {
    private var late: [Int: [(UnsafeMutableRawPointer, Int, Int64)]] = [:]
    override func reset() {
        super.reset()
        late = [:]
    }
    override func add(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ amount: Int64, _ f: Fiber
    ) {
        if isCommitted(offset), amount > 0, let word = inHand[f.id], state(word) == RecordState.settling {
            late[f.id, default: []].append((p, offset, amount))
            return
        }
        super.add(p, half, offset, amount, f)
    }
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        super.store(p, half, offset, value, f)
        guard isWord(offset), RecordWord.state(value) == RecordState.adjusting else { return }
        for (p, offset, amount) in late.removeValue(forKey: f.id) ?? [] {
            machine.stop(f, at: offset)
            machine.put(p, false, machine.peek(p, false) + amount)
        }
    }
}

/// No mark before a dead operation's evidence goes; or the mark after it.
final class DirtyLate: WordSaboteur {
    let never: Bool
    private var late: [Int: [(UnsafeMutableRawPointer, Bool, Int, Int64)]] = [:]
    init(_ stage: Stage, never: Bool) {
        self.never = never
        super.init(stage)
    }
    override func reset() {
        super.reset()
        late = [:]
    }
    override func add(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ amount: Int64, _ f: Fiber
    ) {
        if isDirty(offset) {
            if !never { late[f.id, default: []].append((p, half, offset, amount)) }
            return
        }
        super.add(p, half, offset, amount, f)
    }
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        super.store(p, half, offset, value, f)
        if isWord(offset) {
            for (p, half, offset, amount) in late.removeValue(forKey: f.id) ?? [] {
                machine.stop(f, at: offset)
                machine.put(p, half, machine.peek(p, half) + amount)
            }
        }
    }
}

/// The one who expires leaves the owner in the word.
final class OwnerStays: WordSaboteur {
    override func exchange(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ old: Int64, _ expected: Int64,
        _ desired: Int64, _ f: Fiber
    ) -> Int64 {
        var desired = desired
        if isWord(offset), RecordWord.state(desired) == RecordState.settling {
            desired = RecordWord.make(
                RecordState.settling, actor: RecordWord.actor(expected), gen: RecordWord.gen(expected))
        }
        return super.exchange(p, half, offset, old, expected, desired, f)
    }
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        var value = value
        if isWord(offset), RecordWord.state(value) == RecordState.adjusting {
            value = RecordWord.make(
                RecordState.adjusting, actor: RecordWord.actor(machine.peek(p, half)),
                gen: RecordWord.gen(value))
        }
        super.store(p, half, offset, value, f)
    }
}

/// SETTLED at once, lowered afterwards.
final class NoAdjusting: WordSaboteur {
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        if isWord(offset) {
            if RecordWord.state(value) == RecordState.adjusting {
                skips.insert(f.id)
                let settled = RecordWord.make(RecordState.settled, actor: 0, gen: RecordWord.gen(value))
                return super.store(p, half, offset, settled, f)
            }
            if RecordWord.state(value) == RecordState.settled, skips.remove(f.id) != nil { return }
        }
        super.store(p, half, offset, value, f)
    }
}

/// The fold frees its records before the header says that they are spent.
final class FreeBeforeFlip: WordSaboteur {
    let records: Int
    override init(_ stage: Stage) {
        records = stage.scene.records + stage.scene.forced
        super.init(stage)
    }
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        if offset == Header.batch {
            for i in 0..<records {
                let at = recordsAt + i * Record.size
                let word = machine.base + at
                let old = machine.peek(word, false)
                guard RecordWord.state(old) == RecordState.folding else { continue }
                machine.put(word, false, Self.freed(old))
                machine.stop(f, at: offset)
            }
            skips.insert(f.id)
            return super.store(p, half, offset, value, f)
        }
        if isWord(offset), RecordWord.state(value) == RecordState.free, skips.contains(f.id) { return }
        super.store(p, half, offset, value, f)
    }
}

/// The header says that the batch is spent before the cells do.
final class FlipFirst: WordSaboteur {
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        if offset >= cellsAt, offset < limitsAt, [24, 32].contains((offset - cellsAt) % Cell.size) {
            let batch = machine.base + Header.batch
            if !skips.contains(f.id) {
                skips.insert(f.id)
                machine.put(batch, false, machine.peek(batch, false) + 1)
                machine.stop(f, at: offset)
            }
        }
        if offset == Header.batch, skips.remove(f.id) != nil { return }
        super.store(p, half, offset, value, f)
    }
}

/// The fold adds to the cell that everybody reads.
final class InPlace: WordSaboteur {
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        if offset >= cellsAt, offset < limitsAt {
            let field = (offset - cellsAt) % Cell.size
            if field == 24 || field == 32 {
                let other = field == 24 ? p + 8 : p - 8
                return super.store(other, half, offset, value, f)
            }
            if field == 40 || field == 48 { return }
        }
        super.store(p, half, offset, value, f)
    }
}

/// Settle does not look at the generation.
final class AnyGeneration: WordSaboteur {
    let stage: Stage
    override init(_ stage: Stage) {
        self.stage = stage
        super.init(stage)
    }
    override func load(_ offset: Int, _ value: Int64, _ f: Fiber) -> Int64 {
        guard isWord(offset), let handle = stage.handleBeingSettled(by: f) else { return value }
        return (value & ~RecordWord.genMask) | Handle.gen(handle)
    }
    override func exchange(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ old: Int64, _ expected: Int64,
        _ desired: Int64, _ f: Fiber
    ) -> Int64 {
        if isWord(offset), stage.handleBeingSettled(by: f) != nil {
            let said = (old & ~RecordWord.genMask) | RecordWord.gen(expected)
            if said == expected {
                machine.put(p, half, (desired & ~RecordWord.genMask) | RecordWord.gen(old))
            }
            return said
        }
        return super.exchange(p, half, offset, old, expected, desired, f)
    }
    override func store(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber
    ) {
        var value = value
        if isWord(offset), stage.handleBeingSettled(by: f) != nil {
            value = (value & ~RecordWord.genMask) | RecordWord.gen(machine.peek(p, half))
        }
        super.store(p, half, offset, value, f)
    }
}

/// Recovery stores instead of comparing: an expirer may have won.
final class StoreOverHeld: WordSaboteur {
    override func exchange(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ old: Int64, _ expected: Int64,
        _ desired: Int64, _ f: Fiber
    ) -> Int64 {
        if isWord(offset), RecordWord.state(desired) == RecordState.releasing, f.doing == "recover" {
            machine.put(p, half, desired)
            return expected
        }
        return super.exchange(p, half, offset, old, expected, desired, f)
    }
}

/// Everybody gets the lock of recounts and configuration.
final class OpenLock: Saboteur {
    override func opens(byte: Int64) -> Bool { byte == LockByte.config }
}
