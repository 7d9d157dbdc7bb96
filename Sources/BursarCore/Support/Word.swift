// Atomic words at fixed places in the segment. Every field that more than one
// thread can touch is one of these; the ordering is spelled at each call.

public import Synchronization

/// A 64-bit atomic at an address. Relaxed through `value`.
@frozen
public struct Word {
    @usableFromInline let cell: UnsafeMutablePointer<SharedWord>

    @inlinable @inline(__always)
    public init(_ address: UnsafeMutableRawPointer) {
        cell = address.assumingMemoryBound(to: SharedWord.self)
    }

    @inlinable @inline(__always)
    public var value: Int64 {
        get { cell.pointee.load(ordering: .relaxed) }
        nonmutating set { cell.pointee.store(newValue, ordering: .relaxed) }
    }

    @inlinable @inline(__always)
    public func loadAcquiring() -> Int64 { cell.pointee.load(ordering: .acquiring) }

    @inlinable @inline(__always)
    public func loadSequential() -> Int64 {
        cell.pointee.load(ordering: .sequentiallyConsistent)
    }

    @inlinable @inline(__always)
    public func storeReleasing(_ value: Int64) { cell.pointee.store(value, ordering: .releasing) }

    @inlinable @inline(__always)
    public func storeSequential(_ value: Int64) {
        cell.pointee.store(value, ordering: .sequentiallyConsistent)
    }

    var address: UnsafeMutableRawPointer { UnsafeMutableRawPointer(cell) }

    /// Adds and returns the new value; release, so that who reads the counter
    /// after the charge also sees the record as claimed (see Journal.swift).
    @inlinable @inline(__always)
    public func add(_ amount: Int64) -> Int64 {
        cell.pointee.wrappingAdd(amount, ordering: .releasing).newValue
    }

    @inlinable @inline(__always)
    public func subtract(_ amount: Int64) {
        cell.pointee.wrappingSubtract(amount, ordering: .releasing)
    }

    /// One strong compare-and-swap, sequentially consistent.
    @inlinable @inline(__always)
    public func exchange(_ expected: Int64, for desired: Int64) -> (exchanged: Bool, original: Int64) {
        cell.pointee.compareExchange(
            expected: expected, desired: desired, ordering: .sequentiallyConsistent)
    }

    /// Sets and clears bits; sequentially consistent. Returns the value before.
    @discardableResult
    public func update(setting: Int64 = 0, clearing: Int64 = 0) -> Int64 {
        var old = value
        while true {
            let new = (old & ~clearing) | setting
            let (done, seen) = exchange(old, for: new)
            if done { return old }
            old = seen
        }
    }
}

/// A 32-bit atomic at an address. Relaxed through `value`.
@frozen
public struct Half {
    @usableFromInline let cell: UnsafeMutablePointer<SharedHalf>

    @inlinable @inline(__always)
    public init(_ address: UnsafeMutableRawPointer) {
        cell = address.assumingMemoryBound(to: SharedHalf.self)
    }

    @inlinable @inline(__always)
    public var value: UInt32 {
        get { cell.pointee.load(ordering: .relaxed) }
        nonmutating set { cell.pointee.store(newValue, ordering: .relaxed) }
    }

    @inlinable @inline(__always)
    public func loadAcquiring() -> UInt32 { cell.pointee.load(ordering: .acquiring) }

    @inlinable @inline(__always)
    public func storeReleasing(_ value: UInt32) { cell.pointee.store(value, ordering: .releasing) }

    var address: UnsafeMutableRawPointer { UnsafeMutableRawPointer(cell) }

    /// Adds and returns the new value, wrapping.
    @inlinable @inline(__always) @discardableResult
    public func add(_ amount: UInt32) -> UInt32 {
        cell.pointee.wrappingAdd(amount, ordering: .relaxed).newValue
    }

    /// One strong compare-and-swap.
    @inlinable @inline(__always)
    public func exchange(_ expected: UInt32, for desired: UInt32) -> Bool {
        cell.pointee.compareExchange(
            expected: expected, desired: desired, ordering: .acquiringAndReleasing
        ).exchanged
    }

    /// Sets and clears bits. Returns the value before.
    @discardableResult
    public func update(setting: UInt32 = 0, clearing: UInt32 = 0) -> UInt32 {
        var old = value
        while true {
            let new = (old & ~clearing) | setting
            let (done, seen) = cell.pointee.compareExchange(
                expected: old, desired: new, ordering: .acquiringAndReleasing)
            if done { return old }
            old = seen
        }
    }
}

/// Keeps loads before it before loads after it; pairs with release stores.
@inlinable @inline(__always)
public func acquireFence() { atomicMemoryFence(ordering: .acquiring) }

/// After a lock was taken: what others did before they gave it up is seen, and
/// what is done from here on comes after.
@inlinable @inline(__always)
public func sequentialFence() { atomicMemoryFence(ordering: .sequentiallyConsistent) }

/// `base + amount` that stays at the ends of Int64 instead of wrapping.
@inlinable @inline(__always)
public func saturatingAdd(_ base: Int64, _ amount: Int64) -> Int64 {
    let (sum, overflow) = base.addingReportingOverflow(amount)
    return overflow ? (amount < 0 ? .min : .max) : sum
}
