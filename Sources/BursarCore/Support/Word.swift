public import Synchronization
import CPlatform

@frozen public struct Word {
    @usableFromInline let cell: UnsafeMutablePointer<Atomic<Int64>>
    @inlinable @inline(__always) public init(_ p: UnsafeMutableRawPointer) { cell = p.assumingMemoryBound(to: Atomic<Int64>.self) }
    @inlinable @inline(__always) public func add(_ n: Int64) -> Int64 { cell.pointee.wrappingAdd(n, ordering: .releasing).newValue }
}
public final class Thing { var d: [UInt64: Int] = [:]; public init() {}
    public func f(_ n: Int) -> Int { d[UInt64(n)] = n; return d.count } }
public func mapped() -> UnsafeMutableRawPointer { bursar__map(4096)! }
public func mul(_ a: Int64, _ b: Int64) -> Int64 { let x = UInt128(UInt64(a)) * UInt128(UInt64(b)); return Int64(truncatingIfNeeded: x / 1000) }
