// The engine: what the hot path needs to know of a runtime, in one plain page
// of memory behind the handle. No class is touched to admit a step.
//
// `bursar_runtime_t *` is the address of this page. Closing marks it and keeps
// it (see Quarantine.swift), so that a late call finds a closed engine instead
// of freed memory.

internal import CPlatform

/// Positions of meters in cells and records; the header's numbers.
public enum MeterIndex {
    public static let cost = 0
    public static let tokens = 1
    public static let inputTokens = 2
    public static let outputTokens = 3
    public static let freshTokens = 4
    public static let steps = 5
    public static let toolCalls = 6
    public static let inFlight = 7
    public static let named = 8
    public static let end = 32
    public static let wall = 32
    public static let idle = 33
    public static let unattended = 34
}

/// Words of the segment's header page. 0 to 127 say what the segment is, 128 to 255
/// are counters, 256 to 511 belong to the journal and the fold, 512 to 1023 to the
/// tables under the config lock, 1024 to 2047 to the loop, events and doorbells.
enum Header {
    static let magic = 0
    static let layout = 8
    static let segmentID = 16
    static let batch = 24  // FOLD; release
    static let highWater = 128  // records ever used, grows
    static let epoch = 132  // CONFIG: cells born
    static let flags = 136  // CONFIG: HeaderFlag
    static let forcedHighWater = 140  // the same of the forced part, from its start
    static let transient = 192  // refusals that were transient
    static let refusals = 200
    static let estimated = 208  // steps settled at an estimate
    static let late = 216  // settles that came after the estimate
    static let overrun = 224  // nano-dollars billed above what was held
    static let wakeUps = 232  // of the loop
    // Journal and fold: all written by who folds or recounts.
    static let foldOpen = 256  // not 0: records may be in FOLDING
    static let settledSteps = 264  // folded
    static let oldestSettled = 272  // steady ns of a settled record not folded; 0 = none seen
    static let recounts = 280  // cells that were counted again
    static let recountRetries = 288
    static let recountLowered = 296  // nano-dollars that the dead had left behind
    static let corrupt = 304  // times that something was found which cannot be
    static let recovered = 312  // records of dead processes
    static let dirt = 320  // grows whenever a node was marked dirty
    static let dirtSeen = 328  // CONFIG: what it was when every node was clean
    /// From here on CONFIG, by the undo log but for what says otherwise.
    static let configured = 512
    static let freeNodes = 512  // three FreeLists
    static let freeCells = 524
    static let freeLimits = 536
    static let slabFresh = 548  // Half
    static let slabReturned = 552  // five Halves, by size of block
    static let windowCount = 572  // Half
    static let windowedVersion = 576  // Half: grows when a windowed limit comes or goes
    static let windowedCount = 580  // Half
    static let toolCount = 584  // Half
    static let meterCount = 588  // Half
    static let topUps = 592  // Half: the first block of top-ups that end
    static let closingFirst = 596  // Half: closed nodes that wait to be freed
    static let closingLast = 600  // Half
    static let modelCount = 604  // Half
    static let undoCount = 608  // Half: entries of the undo log; not in it itself
    static let raised = 612  // Half: ceilings that rise after the commit; likewise
    static let rollAt = 616  // Word: unix ns at which the next calendar window opens
    static let rollingAt = 624  // Word: steady ns at which the next rolling bucket opens
    static let topUpAt = 632  // Word: steady ns at which the next top-up ends
    static let meterNames = 640  // 24 Halves: interned
    static let page = 4096
    static let magicValue: Int64 = 0x4255_5253_4152_0001
}

enum HeaderFlag {
    static let observed: UInt32 = 1  // everything is observed
}

/// How an engine decides where its options leave it a choice.
public struct Policy {
    public enum UnknownModel: Int32 { case refuse = 1, dearest, free }
    public enum Undeclared: Int32 { case allow = 1, refuse }
    public var unknownModel = UnknownModel.refuse
    public var undeclared = Undeclared.allow
    public var plainCharge = false
    public init() {}
}

public struct Engine {
    // Read-mostly: set at open, but for the four words below.
    var header: UnsafeMutableRawPointer
    var nodes: UnsafeMutableRawPointer
    var cells: UnsafeMutableRawPointer
    var limits: UnsafeMutableRawPointer
    var records: UnsafeMutableRawPointer
    var slab: UnsafeMutableRawPointer
    var tools: UnsafeMutableRawPointer
    var nodesMax: UInt32
    var cellsMax: UInt32
    var limitsMax: UInt32
    var recordsMax: UInt32
    /// Records from here on are kept for late settles and forced charges.
    var forcedFrom: UInt32
    var toolsMax: UInt32
    var slabUnits: UInt32
    var timeToLive: Int64
    var policy: Policy
    var clock: Clock
    var forks: UInt32
    /// The process's slot: the actor of records that it is responsible for.
    var slot: UInt32
    /// The runtime, retained by the page until it closes.
    var runtime: UnsafeMutableRawPointer
    /// Price rows by model: see PriceBook.
    var prices: PriceIndex
}

/// The address of an engine's page: what every core function starts from.
public struct Core {
    public let engine: UnsafeMutablePointer<Engine>

    @inline(__always)
    public init(page: UnsafeMutableRawPointer) {
        engine = page.assumingMemoryBound(to: Engine.self)
    }

    public var page: UnsafeMutableRawPointer { UnsafeMutableRawPointer(engine) }

    // Words of the page beyond the engine, changed while it runs.
    static let lifeOffset = 1024  // Half: 0 open, 1 closed
    static let signalOffset = 1028  // Half: Signal bits
    static let shiftsOffset = 1040  // the clock's two shifts
    static let corruptOffset = 1032  // Half: 1 = it was told that the segment is corrupt
    static let attentionOffset = 1088  // Word: tail of the attention ring
    static let attentionHeadOffset = 1152  // Word
    static let attentionRing = 2048  // 512 Halves
    static let attentionSlots: Int64 = 512
    static let pageBytes = 4096

    @inline(__always) var me: Int64 { Int64(engine.pointee.slot) }
    @inline(__always) var life: Half { Half(page + Core.lifeOffset) }
    @inline(__always) var signal: Half { Half(page + Core.signalOffset) }

    // An index that the segment gives is bounded wherever it is used: one beyond the
    // table's end means entry 0.
    @inline(__always) private func bounded(_ i: Int, _ end: UInt32) -> Int {
        UInt(bitPattern: i) < UInt(end) ? i : 0
    }
    @inline(__always) func node(_ i: Int) -> Node {
        Node(engine.pointee.nodes + bounded(i, engine.pointee.nodesMax) &* Node.size)
    }
    @inline(__always) func cell(_ i: Int) -> Cell {
        Cell(engine.pointee.cells + bounded(i, engine.pointee.cellsMax) &* Cell.size)
    }
    @inline(__always) func limit(_ i: Int) -> LimitSlot {
        LimitSlot(engine.pointee.limits + bounded(i, engine.pointee.limitsMax) &* LimitSlot.size)
    }
    /// A block of the slab: at least 512 bytes from here on are mapped.
    @inline(__always) func slab(_ block: UInt32) -> UnsafeMutableRawPointer {
        engine.pointee.slab + bounded(Int(block), engine.pointee.slabUnits) &* Slab.unit
    }
    @inline(__always) func record(_ i: Int) -> Record {
        Record(engine.pointee.records + i &* Record.size)
    }
    @inline(__always) var batch: Word { Word(engine.pointee.header + Header.batch) }
    @inline(__always) var highWater: Half { Half(engine.pointee.header + Header.highWater) }
    @inline(__always) var forcedHighWater: Half {
        Half(engine.pointee.header + Header.forcedHighWater)
    }
    /// A half of the header page.
    @inline(__always) func header(_ offset: Int) -> Half { Half(engine.pointee.header + offset) }
    @inline(__always) func statistic(_ offset: Int) -> Word { Word(engine.pointee.header + offset) }
    /// A tool that there is not is number 0, which costs nothing.
    @inline(__always) func tool(_ i: Int) -> Tool {
        let isOne = i >= 0 && i < Int(engine.pointee.toolsMax)
        return Tool(engine.pointee.tools + (isOne ? i : 0) &* Tool.size)
    }
    @inline(__always) var rollAt: Word { Word(engine.pointee.header + Header.rollAt) }
    @inline(__always) var rollingAt: Word { Word(engine.pointee.header + Header.rollingAt) }
    @inline(__always) var topUpAt: Word { Word(engine.pointee.header + Header.topUpAt) }
    @inline(__always) var epoch: Half { Half(engine.pointee.header + Header.epoch) }
    @inline(__always) var headerFlags: Half { Half(engine.pointee.header + Header.flags) }
    @inline(__always) var transientRefusals: Word {
        Word(engine.pointee.header + Header.transient)
    }
    @inline(__always) var refusals: Word { Word(engine.pointee.header + Header.refusals) }

    /// The class behind the page. Slow paths only.
    public var runtime: Runtime {
        Unmanaged<Runtime>.fromOpaque(engine.pointee.runtime).takeUnretainedValue()
    }

    /// Whether calls may go on: nil, or why not.
    @inline(__always)
    public func obstacle() -> Status? {
        if life.value != 0 { return .closed }
        if engine.pointee.forks != bursar__forks() { return .forked }
        return nil
    }

    /// The index of an id's node, or nil when the id names nothing any more.
    @inline(__always)
    func index(of id: Int64) -> Int? {
        let i = Int(truncatingIfNeeded: id & 0xFFFF_FFFF)
        // Generations start at 1: generation 0 is a place that was never used.
        guard id >> 32 > 0, i > 0, i < Int(engine.pointee.nodesMax) else { return nil }
        let state = node(i).state.loadSequential()
        return (state >> 32) == (id >> 32) && state & StateBit.free == 0 ? i : nil
    }

    func id(of i: Int) -> Int64 {
        i == 0 ? 0 : (node(i).state.value & ~StateBit.all) | Int64(i)
    }

    // MARK: - Signals to the loop

    /// Rings the loop if it sleeps in one of these ways: one system call for
    /// the first step after a rest, none while it is awake.
    ///
    /// No wake-up is lost: the loop sets the bit and then looks at the journal
    /// again, and whoever changes a record does a compare-and-swap on its word
    /// (CLAIMED, SETTLING) before it reads the bit.
    @inline(__always)
    func wake(from sleep: UInt32) {
        if signal.value & sleep != 0 { wakeLoop() }
    }

    @inline(never)
    func wakeLoop() {
        let sleeping = Signal.empty | Signal.resting
        if signal.update(clearing: sleeping) & sleeping != 0 { runtime.loop.ring() }
    }

    /// Marks a node for the loop: something about it crossed a threshold.
    @inline(never)
    func attend(to i: Int) {
        if node(i).flags.update(setting: NodeFlag.marked) & NodeFlag.marked != 0 { return }
        let tail = Word(page + Core.attentionOffset)
        let head = Word(page + Core.attentionHeadOffset)
        // The margin covers every thread that may stand between check and add.
        if tail.value &- head.value > Core.attentionSlots - 128 {
            signal.update(setting: Signal.overflow)
        } else {
            let slot = (tail.add(1) &- 1) & (Core.attentionSlots - 1)
            Half(page + Core.attentionRing + Int(slot) * 4).storeReleasing(UInt32(i) &+ 1)
        }
        runtime.loop.ring()
    }
}

/// Bits of the signal word.
enum Signal {
    static let empty: UInt32 = 1  // the loop sleeps: the journal had no record
    static let resting: UInt32 = 2  // the loop sleeps: no record was settled
    static let overflow: UInt32 = 4  // the attention ring was full: look at every node
}
