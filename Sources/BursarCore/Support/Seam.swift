// Only in the model's build: the one place where a simulation takes the place of
// the machine. Shared words, locks, clocks and waiting go to `Seam.world`; nothing
// else of the core knows. See docs/protocol.md for what is built on it.
//
// Declarations here hide the C functions of the same name.

#if BURSAR_SEAM

internal import CLibuv
internal import CPlatform
public import Synchronization

public enum Seam {
    nonisolated(unsafe) public static var world = World()
    /// The planted bug that is switched on, if any: a test of the tests.
    nonisolated(unsafe) public static var plant = Plant.none
}

/// Bugs that can be planted in the code itself; see Plants.swift of the model.
public enum Plant: Int, CaseIterable, Sendable {
    case none
    // Recount.
    case transitIsNothing, claimsAreNothing, comparesStates, looksOnce, bodiesFirst
    case recountTrustsBatch, storesSum
    // Fold.
    case ignoresLedger, redoesDelta
    // Windows and limits.
    case rollsAgain, baseFromCommitted, ceilingFirst, rollTrustsBatch, topsUpBarely
    // Nodes.
    case checksFirst, ignoresClaims
    // Settle.
    case amendsInPlace

    /// Whether this one is switched on.
    public var isOn: Bool { Seam.plant == self }
}

/// The machine, as the core sees it. This one is plain memory and one thread.
open class World {
    public init() {}

    open func load(_ p: UnsafeMutableRawPointer, half: Bool) -> Int64 {
        half ? Int64(p.load(as: UInt32.self)) : p.load(as: Int64.self)
    }
    open func store(_ p: UnsafeMutableRawPointer, half: Bool, _ value: Int64) {
        if half {
            p.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
        } else {
            p.storeBytes(of: value, as: Int64.self)
        }
    }
    /// The value before.
    open func add(_ p: UnsafeMutableRawPointer, half: Bool, _ amount: Int64) -> Int64 {
        let old = World.load(self)(p, half: half)
        World.store(self)(p, half: half, old &+ amount)
        return old
    }
    /// The value before; exchanged if that is what was expected.
    open func exchange(
        _ p: UnsafeMutableRawPointer, half: Bool, _ expected: Int64, for desired: Int64
    ) -> Int64 {
        let old = World.load(self)(p, half: half)
        if old == expected { World.store(self)(p, half: half, desired) }
        return old
    }

    open func lock(_ mutex: UnsafeMutableRawPointer) {}
    open func tryLock(_ mutex: UnsafeMutableRawPointer) -> Bool { true }
    open func unlock(_ mutex: UnsafeMutableRawPointer) {}
    /// The kernel's locks: bytes, each of one process.
    open func tryLock(byte: Int64) -> Bool { true }
    open func unlock(byte: Int64) {}

    /// The ledger's file.
    open func fileSize() -> Int { 0 }
    open func fileRead(_ into: UnsafeMutableRawPointer, _ count: Int, at offset: Int) -> Int { 0 }
    open func fileAppend(_ bytes: UnsafeRawBufferPointer) {}
    open func fileCut(to size: Int) {}

    /// Somebody else has to move first, or time to pass.
    open func wait(_ nanos: Int64) {}
    open func clock(_ which: Int32) -> Int64 { 0 }
    open var hint: UInt32 { get { 0 } set {} }
}

/// In place of `Atomic`.
public struct SeamCell<Value: FixedWidthInteger & BitwiseCopyable>: ~Copyable {
    private var raw: Value

    @inline(__always)
    private mutating func address() -> UnsafeMutableRawPointer {
        withUnsafeMutablePointer(to: &self) { UnsafeMutableRawPointer($0) }
    }
    private static var half: Bool { Value.bitWidth == 32 }

    public mutating func load(ordering: AtomicLoadOrdering) -> Value {
        Value(truncatingIfNeeded: Seam.world.load(address(), half: Self.half))
    }
    public mutating func store(_ value: Value, ordering: AtomicStoreOrdering) {
        Seam.world.store(address(), half: Self.half, Int64(truncatingIfNeeded: value))
    }
    public mutating func wrappingAdd(
        _ amount: Value, ordering: AtomicUpdateOrdering
    ) -> (oldValue: Value, newValue: Value) {
        let old = Value(
            truncatingIfNeeded: Seam.world.add(
                address(), half: Self.half, Int64(truncatingIfNeeded: amount)))
        return (old, old &+ amount)
    }
    @discardableResult
    public mutating func wrappingSubtract(
        _ amount: Value, ordering: AtomicUpdateOrdering
    ) -> (oldValue: Value, newValue: Value) {
        wrappingAdd(0 &- amount, ordering: ordering)
    }
    public mutating func compareExchange(
        expected: Value, desired: Value, ordering: AtomicUpdateOrdering
    ) -> (exchanged: Bool, original: Value) {
        let old = Value(
            truncatingIfNeeded: Seam.world.exchange(
                address(), half: Self.half, Int64(truncatingIfNeeded: expected),
                for: Int64(truncatingIfNeeded: desired)))
        return (old == expected, old)
    }
}

public typealias SharedWord = SeamCell<Int64>
public typealias SharedHalf = SeamCell<UInt32>

func bursar__lock(_ mutex: UnsafeMutableRawPointer!) { Seam.world.lock(mutex) }
func bursar__lock_try(_ mutex: UnsafeMutableRawPointer!) -> Int32 {
    Seam.world.tryLock(mutex) ? 1 : 0
}
func bursar__unlock(_ mutex: UnsafeMutableRawPointer!) { Seam.world.unlock(mutex) }
func bursar__ledger_open(_ path: UnsafePointer<CChar>!, _ make: Int32) -> Int32 { 3 }
/// One file: none is so long that another is begun.
func bursar__ledger_range(
    _ prefix: UnsafePointer<CChar>!, _ first: UnsafeMutablePointer<Int64>!,
    _ last: UnsafeMutablePointer<Int64>!
) -> Int32 {
    (first.pointee, last.pointee) = (1, 1)
    return 0
}
func bursar__ledger_reserve(_ fd: Int32, _ offset: Int64, _ bytes: Int64) -> Int32 { 0 }
func bursar__ledger_close(_ fd: Int32) {}
func bursar__ledger_size(_ fd: Int32) -> Int64 { Int64(Seam.world.fileSize()) }
func bursar__ledger_read(
    _ fd: Int32, _ bytes: UnsafeMutableRawPointer!, _ count: Int, _ offset: Int64
) -> Int64 {
    count == 0 ? 0 : Int64(Seam.world.fileRead(bytes, count, at: Int(offset)))
}
func bursar__ledger_append(_ fd: Int32, _ bytes: UnsafeRawPointer!, _ count: Int) -> Int32 {
    Seam.world.fileAppend(UnsafeRawBufferPointer(start: bytes, count: count))
    return 0
}
func bursar__ledger_cut(_ fd: Int32, _ size: Int64) -> Int32 {
    Seam.world.fileCut(to: Int(size))
    return 0
}
func bursar__sleep(_ nanos: Int64) { Seam.world.wait(nanos) }
func bursar__thread_yield() { Seam.world.wait(0) }
func bursar__cpu_relax() { Seam.world.wait(0) }
func bursar__clock(_ which: Int32) -> Int64 { Seam.world.clock(which) }
func bursar__clock_steady_coarse() -> Int64 { Seam.world.clock(BURSAR__CLOCK_STEADY) }
func bursar__hint_get() -> UInt32 { Seam.world.hint }
func bursar__hint_set(_ hint: UInt32) { Seam.world.hint = hint }
func bursar__hint_start(_ end: UInt32, _ slot: UInt32) -> UInt32 { 0 }
/// No thread is started and no bell rings: the simulation does what is due.
func bursar__thread_start(
    _ body: @convention(c) (UnsafeMutableRawPointer?) -> Void, _ argument: UnsafeMutableRawPointer!,
    _ thread: UnsafeMutablePointer<UInt64>!
) -> Int32 { -1 }
func uv_loop_init(_ loop: UnsafeMutablePointer<uv_loop_t>!) -> Int32 { -1 }

#else

public import Synchronization

public typealias SharedWord = Atomic<Int64>
public typealias SharedHalf = Atomic<UInt32>

#endif
