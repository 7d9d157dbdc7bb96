// Each access of Sources/BursarCore/Support/Word.swift by itself, for a look at the
// instructions that it becomes on ARM: see orders.sh.

@_cdecl("order_load_acquiring")
public func loadAcquiring(_ p: UnsafeMutableRawPointer) -> Int64 { Word(p).loadAcquiring() }
@_cdecl("order_load_sequential")
public func loadSequential(_ p: UnsafeMutableRawPointer) -> Int64 { Word(p).loadSequential() }
@_cdecl("order_store_releasing")
public func storeReleasing(_ p: UnsafeMutableRawPointer) { Word(p).storeReleasing(5) }
@_cdecl("order_store_sequential")
public func storeSequential(_ p: UnsafeMutableRawPointer) { Word(p).storeSequential(5) }
@_cdecl("order_add")
public func add(_ p: UnsafeMutableRawPointer) -> Int64 { Word(p).add(7) }
@_cdecl("order_subtract")
public func subtract(_ p: UnsafeMutableRawPointer) { Word(p).subtract(7) }
@_cdecl("order_exchange")
public func exchange(_ p: UnsafeMutableRawPointer) -> Bool { Word(p).exchange(1, for: 2).exchanged }
@_cdecl("order_acquire_fence")
public func fence(_ p: UnsafeMutableRawPointer) -> Int64 {
    let before = Word(p).value
    acquireFence()
    return before &+ Word(p).value
}
@_cdecl("order_sequential_fence")
public func fence() { sequentialFence() }
