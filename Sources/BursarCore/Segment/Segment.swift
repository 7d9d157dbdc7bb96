// The mapping and its tables: sizes, free lists, validation of options. The
// layout itself is in Layout.swift.

internal import CPlatform

/// What a segment has room for.
public struct Capacity {
    public var nodes: UInt32
    public var records: UInt32
    public var textBytes: UInt32

    public static let nodesDefault: UInt32 = 65_536
    public static let nodesLargest: UInt32 = 16_777_216
    public static let recordsDefault: UInt32 = 16_384
    public static let recordsLargest: UInt32 = 524_288
    public static let textDefault: UInt32 = 64 << 20

    public init(nodes: UInt32, records: UInt32, textBytes: UInt32) throws(Failure) {
        self.nodes = nodes == 0 ? Capacity.nodesDefault : nodes
        self.records = records == 0 ? Capacity.recordsDefault : records
        self.textBytes = textBytes == 0 ? Capacity.textDefault : textBytes
        if self.nodes > Capacity.nodesLargest {
            throw Failure(
                .invalid,
                "sessions_max is \(self.nodes); at most \(Capacity.nodesLargest) are possible")
        }
        if self.records > Capacity.recordsLargest {
            throw Failure(
                .invalid,
                "reservations_max is \(self.records); at most \(Capacity.recordsLargest) are possible"
            )
        }
        self.records = max(self.records, 64)
        self.nodes = max(self.nodes, 16)
        self.textBytes = max(self.textBytes, 1 << 16)
    }
}

/// A table's free entries: those given back, then those never used.
struct FreeList {
    private var returned: [UInt32] = []
    private var fresh: UInt32
    private let end: UInt32

    init(from: UInt32, to: UInt32) {
        fresh = from
        end = to
    }

    mutating func take() -> UInt32? {
        if let last = returned.popLast() { return last }
        guard fresh < end else { return nil }
        defer { fresh += 1 }
        return fresh
    }

    mutating func give(_ index: UInt32) { returned.append(index) }

    /// Entries up to here were used at some time.
    var highWater: UInt32 { fresh }
    var inUse: Int { Int(fresh) - returned.count }
    var room: Int { Int(end - fresh) + returned.count }
}

/// The mapping. Not thread-safe: the free lists are guarded by the config lock.
final class Segment {
    let base: UnsafeMutableRawPointer
    let bytes: Int
    let nodesMax: UInt32, cellsMax: UInt32, limitsMax: UInt32, recordsMax: UInt32
    let slabUnits: UInt32
    let nodesAt: Int, cellsAt: Int, limitsAt: Int, recordsAt: Int, toolsAt: Int, slabAt: Int
    static let toolsMax: UInt32 = 4096

    var freeNodes: FreeList
    var freeCells: FreeList
    var freeLimits: FreeList

    /// `mapping` makes a segment of so many bytes, or finds one; private memory by default.
    init(
        _ capacity: Capacity,
        mapping: (Int) throws(Failure) -> UnsafeMutableRawPointer = Segment.anonymous
    ) throws(Failure) {
        func pages(_ bytes: Int) -> Int { (bytes + 4095) & ~4095 }
        nodesMax = capacity.nodes
        // Three cells and four limits for each node on average: untouched, they
        // take address space only.
        cellsMax = capacity.nodes &* 3 &+ 64
        limitsMax = capacity.nodes &* 4 &+ 64
        recordsMax = capacity.records
        slabUnits = capacity.textBytes / UInt32(Slab.unit)
        nodesAt = Header.page + SlotTable.bytes
        cellsAt = nodesAt + pages(Int(nodesMax) * Node.size)
        limitsAt = cellsAt + pages(Int(cellsMax) * Cell.size)
        recordsAt = limitsAt + pages(Int(limitsMax) * LimitSlot.size)
        toolsAt = recordsAt + pages(Int(recordsMax) * Record.size)
        slabAt = toolsAt + pages(Int(Segment.toolsMax) * Tool.size)
        bytes = slabAt + pages(Int(slabUnits) * Slab.unit)
        base = try mapping(bytes)
        freeNodes = FreeList(from: 1, to: nodesMax)
        freeCells = FreeList(from: 1, to: cellsMax)
        freeLimits = FreeList(from: 1, to: limitsMax)
    }

    static func anonymous(_ bytes: Int) throws(Failure) -> UnsafeMutableRawPointer {
        guard let mapped = bursar__map(bytes) else {
            throw Failure(
                .memory,
                "no address space for a segment of \(bytes) bytes; lower sessions_max or reservations_max"
            )
        }
        return mapped
    }

    /// Gives the memory back and keeps the addresses: late calls read zeros.
    func clear() { bursar__map_clear(base, bytes) }

    deinit { bursar__unmap(base, bytes) }
}
