// A machine to run the core on: one thread, fibers for the threads of simulated
// processes, memory whose every access can be a place to switch, locks that die
// with their process, clocks that move when told to.
//
// Everything that a run changes is logged, so that the machine can be set back.

@testable import BursarCore
import Fibers

final class Machine: World {
    private(set) var base = UnsafeMutableRawPointer(bitPattern: 16)!
    private(set) var bytes = 0
    var processes: [Process] = []
    var fibers: [Fiber] = []
    /// Who runs; nil: the scheduler, whose accesses are nobody's.
    private(set) var current: Fiber?
    private var scheduler: UnsafeMutableRawPointer?
    private var isDraining = false
    private var drained = 0
    private static let drainMax = 100_000
    /// Whose locks the scheduler takes when it calls the core itself.
    var acting = 0
    var steady: Int64 = 1_000_000_000_000
    var unix: Int64 = 1_767_225_600_000_000_000  // 2026-01-01

    // Places: halves of the segment, then bytes of the lock file, then mutexes.
    private var segmentPlaces = 0
    private let lockBytes: UnsafeMutablePointer<Int64>
    private static let lockBytesCount = 4300
    /// Mutexes that are held: who holds them is in the histories.
    private var held: [UnsafeMutableRawPointer: Int] = [:]
    private var readers: [UInt32] = []
    private var writers: [UInt32] = []
    private(set) var isPoint: [Bool] = []
    /// Places that may become points: those that are written do, when somebody may die
    /// after each write; others when two fibers meet there.
    private var mayBePoint: [Bool] = []
    var stopsAtWrites = true
    /// A place turned out to be contended that was not known to be.
    var hasGrown = false

    /// Of everything that was written since the start.
    private(set) var hash: UInt64 = 0
    private(set) var writes = 0
    private var log: [(p: UnsafeMutableRawPointer, half: Bool, old: Int64)] = []
    private(set) var steps = 0

    /// Sees every change of the segment, with who made it, after it is made.
    var observer: ((_ offset: Int, _ old: Int64, _ new: Int64, _ fiber: Fiber?) -> Void)?
    /// May change what is about to be done: planted bugs.
    var saboteur: Saboteur?

    override init() {
        lockBytes = .allocate(capacity: Machine.lockBytesCount)
        lockBytes.initialize(repeating: 0, count: Machine.lockBytesCount)
    }

    func attach(
        segment: UnsafeMutableRawPointer, bytes: Int, mayBePoint: (_ place: Int) -> Bool
    ) {
        base = segment
        self.bytes = bytes
        segmentPlaces = bytes >> 2
        let count = segmentPlaces + Machine.lockBytesCount + 256
        readers = Array(repeating: 0, count: count)
        writers = readers
        isPoint = Array(repeating: false, count: count)
        self.mayBePoint = (0..<count).map(mayBePoint)
        clearPoints()
    }

    // MARK: - Places

    @inline(__always)
    private func place(_ p: UnsafeMutableRawPointer) -> Int? {
        let offset = p - base
        return offset >= 0 && offset < bytes ? offset >> 2 : nil
    }
    func isLock(place: Int) -> Bool { place >= segmentPlaces }
    func lockByte(place: Int) -> Int? {
        let byte = place - segmentPlaces
        return byte >= 0 && byte < Machine.lockBytesCount ? byte : nil
    }
    /// All mutexes of a process are one place: with one thread nobody meets there.
    private func mutexPlace(_ f: Fiber) -> Int {
        segmentPlaces + Machine.lockBytesCount + f.process.id
    }

    @inline(__always)
    private static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
        var h = (a ^ (b &* 0x9E37_79B9_7F4A_7C15)) &* 0xFF51_AFD7_ED55_8CCD
        h ^= h >> 32
        h = h &* 0xC4CE_B9FE_1A85_EC53
        return h ^ (h >> 29)
    }
    static func mixed(_ a: UInt64, _ b: Int64) -> UInt64 { mix(a, UInt64(bitPattern: b)) }

    /// Before an access: perhaps a place to switch.
    @inline(__always)
    private func touch(_ f: Fiber, _ place: Int, _ kind: Access) {
        if isDraining {
            drained += 1
            if drained > Machine.drainMax { pause(f) }
            return
        }
        let bit = UInt32(1) << UInt32(f.id)
        if kind == .load { readers[place] |= bit } else { writers[place] |= bit }
        if !isPoint[place] {
            let all = readers[place] | writers[place]
            if writers[place] != 0, all & (all - 1) != 0, mayBePoint[place] {
                isPoint[place] = true
                hasGrown = true
            }
        }
        if isPoint[place] || (stopsAtWrites && kind != .load && kind != .lock && mayBePoint[place]),
            !f.isAlone
        {
            f.next = (place, kind)
            pause(f)
        }
        steps += 1
        // A step that changes nothing else is one all the same.
        f.history = f.history &+ 1
    }

    private func pause(_ f: Fiber) {
        current = nil
        fiber_switch(&f.sp, scheduler)
    }

    @inline(__always)
    private func raw(_ p: UnsafeMutableRawPointer, _ half: Bool) -> Int64 {
        half ? Int64(p.load(as: UInt32.self)) : p.load(as: Int64.self)
    }

    private func write(_ p: UnsafeMutableRawPointer, _ half: Bool, _ value: Int64, place: Int) {
        let old = raw(p, half)
        let new = half ? Int64(UInt32(truncatingIfNeeded: value)) : value
        if old == new { return }
        log.append((p, half, old))
        if half {
            p.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
        } else {
            p.storeBytes(of: value, as: Int64.self)
        }
        let key = UInt64(place)
        hash ^= Machine.mix(key, UInt64(bitPattern: old)) ^ Machine.mix(key, UInt64(bitPattern: new))
        writes += 1
        current?.isAlone = false
        if place < segmentPlaces, !isDraining, let observer {
            let f = current
            current = nil
            observer(place << 2, old, new, f)
            current = f
        }
    }

    // MARK: - What the core calls

    override func load(_ p: UnsafeMutableRawPointer, half: Bool) -> Int64 {
        guard let f = current, let place = place(p) else { return raw(p, half) }
        touch(f, place, .load)
        var value = raw(p, half)
        if let saboteur, !isDraining { value = saboteur.load(place << 2, value, f) }
        f.history = Machine.mix(f.history, UInt64(bitPattern: value))
        return value
    }

    override func store(_ p: UnsafeMutableRawPointer, half: Bool, _ value: Int64) {
        guard let place = place(p) else {
            if half {
                p.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
            } else {
                p.storeBytes(of: value, as: Int64.self)
            }
            return
        }
        guard let f = current else { return write(p, half, value, place: place) }
        touch(f, place, .store)
        if let saboteur, !isDraining {
            saboteur.store(p, half, place << 2, value, f)
        } else {
            write(p, half, value, place: place)
        }
    }

    override func add(_ p: UnsafeMutableRawPointer, half: Bool, _ amount: Int64) -> Int64 {
        guard let place = place(p) else {
            let old = raw(p, half)
            store(p, half: half, old &+ amount)
            return old
        }
        guard let f = current else {
            let old = raw(p, half)
            write(p, half, old &+ amount, place: place)
            return old
        }
        touch(f, place, .change)
        let old = raw(p, half)
        if let saboteur, !isDraining {
            saboteur.add(p, half, place << 2, amount, f)
        } else {
            write(p, half, old &+ amount, place: place)
        }
        f.history = Machine.mix(f.history, UInt64(bitPattern: old))
        return old
    }

    override func exchange(
        _ p: UnsafeMutableRawPointer, half: Bool, _ expected: Int64, for desired: Int64
    ) -> Int64 {
        guard let place = place(p), let f = current else {
            let old = raw(p, half)
            if old == expected {
                if let place = place(p) {
                    write(p, half, desired, place: place)
                } else {
                    store(p, half: half, desired)
                }
            }
            return old
        }
        touch(f, place, .change)
        var old = raw(p, half)
        if let saboteur, !isDraining {
            old = saboteur.exchange(p, half, place << 2, old, expected, desired, f)
        } else if old == expected {
            write(p, half, desired, place: place)
        }
        f.history = Machine.mix(f.history, UInt64(bitPattern: old))
        return old
    }

    /// For saboteurs: a write by whoever runs, without a switch before it.
    func put(_ p: UnsafeMutableRawPointer, _ half: Bool, _ value: Int64) {
        write(p, half, value, place: (p - base) >> 2)
    }
    /// For saboteurs: between two writes that the code makes as one.
    func stop(_ f: Fiber, at offset: Int) {
        f.next = (offset >> 2, .change)
        if !f.isAlone { pause(f) }
        current = f
    }
    func peek(_ p: UnsafeMutableRawPointer, _ half: Bool) -> Int64 { raw(p, half) }

    // MARK: - Locks

    private func take(_ p: UnsafeMutableRawPointer, _ place: Int, _ owner: Int64) -> Bool {
        if isDraining { return true }
        if let f = current { touch(f, place, .lock) }
        let held = p.load(as: Int64.self)
        if let f = current { f.history = Machine.mixed(f.history, held == 0 ? 1 : 2) }
        if held != 0 { return false }
        write(p, false, owner, place: place)
        return true
    }
    private var processMark: Int64 { Int64(current?.process.id ?? acting) + 1 }

    override func lock(_ mutex: UnsafeMutableRawPointer) {
        while !tryLock(mutex) { wait(1) }
    }
    override func tryLock(_ mutex: UnsafeMutableRawPointer) -> Bool {
        guard let f = current, !isDraining else { return true }
        touch(f, mutexPlace(f), .lock)
        let isFree = held[mutex] == nil
        if isFree { held[mutex] = f.process.id }
        f.history = Machine.mixed(f.history, isFree ? 1 : 2)
        return isFree
    }
    override func unlock(_ mutex: UnsafeMutableRawPointer) {
        guard let f = current, !isDraining else { return }
        touch(f, mutexPlace(f), .lock)
        held[mutex] = nil
        writes += 1  // who waits for it may look again
    }
    override func tryLock(byte: Int64) -> Bool {
        if isDraining || saboteur?.opens(byte: byte) ?? false { return true }
        let p = UnsafeMutableRawPointer(lockBytes + Int(byte))
        // A process that has a byte gets it again, as the kernel has it.
        if p.load(as: Int64.self) == processMark { return true }
        return take(p, segmentPlaces + Int(byte), processMark)
    }
    override func unlock(byte: Int64) {
        if isDraining { return }
        let p = UnsafeMutableRawPointer(lockBytes + Int(byte))
        let place = segmentPlaces + Int(byte)
        if let f = current { touch(f, place, .lock) }
        if p.load(as: Int64.self) == processMark { write(p, false, 0, place: place) }
    }
    /// The process that has a byte.
    func holder(byte: Int64) -> Int? {
        let mark = lockBytes[Int(byte)]
        return mark == 0 ? nil : Int(mark) - 1
    }
    func give(byte: Int64, to process: Int) {
        write(
            UnsafeMutableRawPointer(lockBytes + Int(byte)), false, Int64(process) + 1,
            place: segmentPlaces + Int(byte))
    }

    // MARK: - The ledger's file

    /// Its last append may be cut in two by a death.
    var tearsFile = false
    private(set) var file: [UInt8] = []
    private var files: [(mark: Int, before: [UInt8])] = []
    private var filePlace: Int { segmentPlaces + Machine.lockBytesCount + 255 }

    private func change(file new: [UInt8]) {
        files.append((log.count, file))
        // So that a mark that is taken now and one taken before differ.
        log.append((UnsafeMutableRawPointer(lockBytes), false, lockBytes[0]))
        hash ^= Machine.hashed(file) ^ Machine.hashed(new)
        file = new
        writes += 1
    }

    private static func hashed(_ bytes: [UInt8]) -> UInt64 {
        if bytes.isEmpty { return 0 }
        var h = mix(1, UInt64(bytes.count))
        bytes.withUnsafeBytes { raw in
            var at = 0
            while at + 8 <= raw.count {
                h = mix(h, raw.loadUnaligned(fromByteOffset: at, as: UInt64.self))
                at += 8
            }
        }
        return h
    }

    override func fileSize() -> Int {
        if let f = current {
            touch(f, filePlace, .load)
            f.history = Machine.mixed(f.history, Int64(file.count))
        }
        return file.count
    }

    override func fileRead(_ into: UnsafeMutableRawPointer, _ count: Int, at offset: Int) -> Int {
        if let f = current {
            touch(f, filePlace, .load)
            f.history = Machine.mixed(f.history, Int64(bitPattern: Machine.hashed(file)))
        }
        let n = max(min(count, file.count - offset), 0)
        for k in 0..<n { into.storeBytes(of: file[offset + k], toByteOffset: k, as: UInt8.self) }
        return n
    }

    override func fileAppend(_ bytes: UnsafeRawBufferPointer) {
        if isDraining { return }
        if tearsFile, let f = current {
            touch(f, filePlace, .store)
            change(file: file + bytes.prefix(bytes.count / 2))
            touch(f, filePlace, .store)
            change(file: file + bytes.dropFirst(bytes.count / 2))
            return
        }
        if let f = current { touch(f, filePlace, .store) }
        change(file: file + bytes)
    }

    override func fileCut(to size: Int) {
        if isDraining { return }
        if let f = current { touch(f, filePlace, .store) }
        change(file: Array(file.prefix(size)))
    }

    // MARK: - Time

    /// 0 nanoseconds: a turn of a bounded spin, which may end with nothing changed.
    override func wait(_ nanos: Int64) {
        guard let f = current, !isDraining else { return }
        if f.isAlone {
            f.waits += 1
            steady += 100_000
            unix += 100_000
            // A bounded wait ends, another never does.
            if f.waits > 20_000 {
                f.isStuck = true
                f.isAlone = false
                pause(f)
            }
            return
        }
        f.isWaiting = true
        f.spins = nanos == 0
        f.sawWrites = writes
        pause(f)
    }

    override func clock(_ which: Int32) -> Int64 {
        guard let f = current, !isDraining else { return which == 0 ? unix : steady }
        touch(f, clockPlace, .load)
        let now = which == 0 ? unix : steady
        // What spins let pass, microseconds, decides nothing else.
        f.history = Machine.mixed(f.history, now / dollar)
        return now
    }
    private var clockPlace: Int { segmentPlaces + Machine.lockBytesCount + 254 }

    /// Both clocks move.
    func pass(_ nanos: Int64) {
        if let f = current { touch(f, clockPlace, .store) }
        steady += nanos
        unix += nanos
        writes += 1
    }
    override var hint: UInt32 {
        get { current?.hint ?? 0 }
        set { current?.hint = newValue }
    }

    // MARK: - Scheduling

    func isRunnable(_ f: Fiber) -> Bool {
        f.state == .ready && f.process.isAlive && !f.process.isStopped
            && (!f.isWaiting || writes != f.sawWrites)
    }

    /// Runs a fiber to before its next access to a contended place.
    func step(_ f: Fiber) {
        precondition(f.state == .ready, "a run went another way than before")
        f.isWaiting = false
        current = f
        fiber_switch(&scheduler, f.sp)
        current = nil
    }

    func end(_ f: Fiber) {
        f.state = .finished
        f.next = (-1, .load)
        pause(f)
        fatalError("a fiber that ended went on")
    }

    /// Gives a fiber something to do; it has not begun.
    func start(_ f: Fiber, _ body: @escaping () -> Void) {
        f.body = body
        f.state = .ready
        f.isWaiting = false
        f.isAlone = false
        f.isStuck = false
        f.waits = 0
        f.history = 0
        f.results = 0
        f.hint = 0
        f.mustDrain = false
        f.next = (-1, .load)
        f.arm()
    }

    /// A process is gone: its threads stand still for ever, the kernel frees its bytes.
    func kill(_ process: Process) {
        process.isAlive = false
        process.isStopped = false
        for f in fibers where f.process === process && f.state == .ready { f.state = .dead }
        for (mutex, holder) in held where holder == process.id { held[mutex] = nil }
        freeBytes(of: process)
    }

    /// What the kernel does at a process's death.
    func freeBytes(of process: Process) {
        for byte in 0..<Machine.lockBytesCount where lockBytes[byte] == Int64(process.id) + 1 {
            write(
                UnsafeMutableRawPointer(lockBytes + byte), false, 0, place: segmentPlaces + byte)
        }
    }

    /// Lets fibers that hold memory of the heap run to their ends, unseen. Then `undo`.
    func drain() {
        isDraining = true
        for f in fibers where f.state != .finished && f.mustDrain {
            drained = 0
            current = f
            fiber_switch(&scheduler, f.sp)
            current = nil
        }
        isDraining = false
        held.removeAll()
    }

    // MARK: - Setting back

    var mark: Int { log.count }

    func undo(to mark: Int) {
        if mark == 0 { held.removeAll() }
        while let last = files.last, last.mark >= mark {
            hash ^= Machine.hashed(file) ^ Machine.hashed(last.before)
            file = last.before
            files.removeLast()
        }
        while log.count > mark {
            let (p, half, old) = log.removeLast()
            let key: UInt64
            if let place = place(p) {
                key = UInt64(place)
            } else {
                key = UInt64(segmentPlaces + (p - UnsafeMutableRawPointer(lockBytes)) / 8)
            }
            let new = raw(p, half)
            hash ^=
                Machine.mix(key, UInt64(bitPattern: old)) ^ Machine.mix(key, UInt64(bitPattern: new))
            if half {
                p.storeBytes(of: UInt32(truncatingIfNeeded: old), as: UInt32.self)
            } else {
                p.storeBytes(of: old, as: Int64.self)
            }
        }
    }

    /// What was written so far is where runs start.
    func settle() {
        log.removeAll(keepingCapacity: true)
        files.removeAll()
        hash = Machine.hashed(file)
    }

    /// Forgets who touched what, but not which places are contended.
    func forgetAccesses() {
        for k in readers.indices {
            readers[k] = 0
            writers[k] = 0
        }
    }
    private func clearPoints() {
        for k in isPoint.indices { isPoint[k] = false }
        // A death opens these, which is nobody's access.
        for slot in 0..<32 { isPoint[segmentPlaces + Int(LockByte.slot(UInt32(slot)))] = true }
    }
    /// For random runs: every place that may be one.
    func makeEverythingPoint() {
        for k in isPoint.indices where mayBePoint[k] { isPoint[k] = true }
    }
    var points: [Int] { isPoint.indices.filter { isPoint[$0] } }
}

/// Changes what fibers do to memory: a planted bug. Each does what the machine would
/// unless it overrides it.
class Saboteur {
    unowned let machine: Machine
    init(_ machine: Machine) { self.machine = machine }

    /// A run starts over.
    func reset() {}
    func load(_ offset: Int, _ value: Int64, _ f: Fiber) -> Int64 { value }
    func store(_ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ value: Int64, _ f: Fiber) {
        machine.put(p, half, value)
    }
    func add(_ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ amount: Int64, _ f: Fiber) {
        machine.put(p, half, machine.peek(p, half) &+ amount)
    }
    /// The value that the caller is told was there.
    func exchange(
        _ p: UnsafeMutableRawPointer, _ half: Bool, _ offset: Int, _ old: Int64, _ expected: Int64,
        _ desired: Int64, _ f: Fiber
    ) -> Int64 {
        if old == expected { machine.put(p, half, desired) }
        return old
    }
    /// A lock that anybody gets.
    func opens(byte: Int64) -> Bool { false }
}
