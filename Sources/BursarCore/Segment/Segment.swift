// The mapping and its tables: sizes, free lists, validation of options. The
// layout itself is in Layout.swift.

internal import CPlatform

/// What a segment has room for.
public struct Capacity {
    public var nodes: UInt32
    public var records: UInt32
    public var textBytes: UInt32
    /// Several processes attach: it has an undo log, and models have numbers in it.
    public var isShared: Bool

    public static let nodesDefault: UInt32 = 65_536
    public static let nodesLargest: UInt32 = 16_777_216
    public static let recordsDefault: UInt32 = 16_384
    public static let recordsLargest: UInt32 = 524_288
    public static let textDefault: UInt32 = 64 << 20
    /// Of a home, whose memory is taken when it is made.
    public static let homeNodesDefault: UInt32 = 10_240
    public static let homeTextDefault: UInt32 = 2 << 20

    /// 0 is the default. A home's texts take their room with its sessions.
    public init(
        nodes: UInt32, records: UInt32, textBytes: UInt32, isShared: Bool = false
    ) throws(Failure) {
        self.isShared = isShared
        self.nodes =
            nodes == 0 ? (isShared ? Capacity.homeNodesDefault : Capacity.nodesDefault) : nodes
        self.records = records == 0 ? Capacity.recordsDefault : records
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
        let homeText = max(Capacity.homeTextDefault, UInt32(min(Int(self.nodes) * 205, 1 << 31)))
        self.textBytes =
            textBytes == 0 ? (isShared ? homeText : Capacity.textDefault) : textBytes
        self.records = max(self.records, 64)
        self.nodes = max(self.nodes, 16)
        self.textBytes = max(self.textBytes, 1 << 16)
    }
}

/// How many entries each table has and where it begins: follows from the capacity.
struct Geometry {
    let nodesMax: UInt32, cellsMax: UInt32, limitsMax: UInt32, recordsMax: UInt32
    let slabUnits: UInt32, nameBuckets: Int, textBuckets: Int
    let modelsMax: UInt32, undoMax: Int, raisesMax: Int
    let eventsAt: Int, nodesAt: Int, cellsAt: Int, limitsAt: Int, recordsAt: Int, toolsAt: Int
    let windowsAt: Int, modelsAt: Int, namesAt: Int, textsAt: Int
    let foldLogAt: Int
    let undoAt: Int, raisesAt: Int, slabAt: Int
    let bytes: Int

    init(_ capacity: Capacity) {
        nodesMax = capacity.nodes
        // Three cells and four limits for each node on average: untouched, they
        // take address space only.
        cellsMax = capacity.nodes &* 3 &+ 64
        limitsMax = capacity.nodes &* 4 &+ 64
        recordsMax = capacity.records
        slabUnits = capacity.textBytes / UInt32(Slab.unit)
        nameBuckets = Geometry.power(Int(nodesMax) / 8)
        textBuckets = Geometry.power(Int(slabUnits) / 8)
        modelsMax = capacity.isShared ? 4096 : 0
        undoMax = capacity.isShared ? 8192 : 0
        raisesMax = capacity.isShared ? 256 : 0
        var at = Header.page + SlotTable.bytes
        func place(_ count: Int, _ size: Int) -> Int {
            defer { at += (count * size + 4095) & ~4095 }
            return at
        }
        eventsAt = place(1, EventRing.bytes)
        nodesAt = place(Int(nodesMax), Node.size)
        cellsAt = place(Int(cellsMax), Cell.size)
        limitsAt = place(Int(limitsMax), LimitSlot.size)
        recordsAt = place(Int(recordsMax), Record.size)
        toolsAt = place(Int(Segment.toolsMax), Tool.size)
        windowsAt = place(Int(WindowTable.most), WindowTable.entrySize)
        modelsAt = place(Int(modelsMax), 4)
        namesAt = place(nameBuckets, 4)
        textsAt = place(textBuckets, 4)
        undoAt = place(undoMax, UndoLog.entrySize)
        raisesAt = place(raisesMax, UndoLog.entrySize)
        // A block may be read as the largest, wherever it is.
        slabAt = place(Int(slabUnits) + 16, Slab.unit)
        foldLogAt = place(FoldLog.bytes, 1)
        bytes = at
    }

    /// The next power of two, 64 to 2^18.
    private static func power(_ wanted: Int) -> Int {
        var power = 64
        while power < wanted, power < 1 << 18 { power *= 2 }
        return power
    }
}

/// A mapping of the segment. Not thread-safe: its lists are guarded by the config lock.
final class Segment {
    let base: UnsafeMutableRawPointer
    let places: Geometry
    let edit: UndoLog
    let freeNodes: FreeList
    let freeCells: FreeList
    let freeLimits: FreeList
    var bytes: Int { places.bytes }
    var nodesMax: UInt32 { places.nodesMax }
    var recordsMax: UInt32 { places.recordsMax }
    static let toolsMax: UInt32 = 4096

    /// A new one in anonymous memory.
    convenience init(_ capacity: Capacity) throws(Failure) {
        let places = Geometry(capacity)
        guard let mapped = bursar__map(places.bytes) else {
            throw Failure(
                .memory,
                "no address space for a segment of \(places.bytes) bytes; lower sessions_max or reservations_max"
            )
        }
        self.init(mapped, places)
        format()
    }

    /// Memory of a segment, which it unmaps in the end.
    init(_ base: UnsafeMutableRawPointer, _ places: Geometry) {
        self.base = base
        self.places = places
        let edit = UndoLog(base, places)
        self.edit = edit
        func list(_ words: Int, _ table: Int, _ link: Int, _ size: Int, _ end: UInt32) -> FreeList {
            FreeList(base + words, link: base + table + link, stride: size, end: end, edit)
        }
        freeNodes = list(Header.freeNodes, places.nodesAt, Node.freeLink, Node.size, places.nodesMax)
        freeCells = list(Header.freeCells, places.cellsAt, Cell.freeLink, Cell.size, places.cellsMax)
        freeLimits = list(
            Header.freeLimits, places.limitsAt, LimitSlot.freeLink, LimitSlot.size, places.limitsMax)
    }

    /// Makes zeroed memory an empty segment. What says which one it is, its maker adds.
    func format() {
        freeNodes.format()
        freeCells.format()
        freeLimits.format()
        Half(base + Header.slabFresh).value = 1
        Half(base + Header.windowCount).value = 1  // 0 is the window of a total
        Word(base + Header.rollAt).value = .max
        Word(base + Header.rollingAt).value = .max
        Word(base + Header.topUpAt).value = .max
        // The root of everything: open, no parent, no cells, no time limits.
        let root = Node(base + places.nodesAt)
        root.dueAt.value = .max
        root.flags.value = NodeFlag.untold
        Word(base + Header.untold).value = 1
        Word(base + Header.magic).value = Header.magicValue
    }

    /// Gives the memory back, a file's too, and keeps the addresses: late calls find zeros,
    /// and what they write is nobody's.
    func clear() { bursar__map_clear(base, bytes) }

    deinit { bursar__unmap(base, bytes) }
}
