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
/// tables under the config lock, 1024 to 2047 to the loop, events and doorbells, 2048
/// on to what the ledger is told.
enum Header {
    static let magic = 0
    static let layout = 8
    static let segmentID = 16
    static let batch = 24  // FOLD; release
    static let bytes = 32  // of the whole segment
    static let nodes = 40, records = 44, textBytes = 48  // Halves: its capacity
    static let lastSlot = 52  // Half, MAKING: the slot that was taken last
    static let home = 56  // 32 hexadecimal digits
    static let boot = 88  // 36 bytes
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
    static let ledgerFails = 336  // 1 = the ledger could not be written when it was tried last
    static let flightsTold = 344  // Half, FOLD: what the ledger was told last is that steps are in flight
    static let eventsTold = 352  // a Cell, FOLD: see Ledger/ToldEvents.swift
    static let earnDue = 416  // FOLD, release: the last batch with a revision: see Budgets/Earning.swift
    static let ledgerFailedAt = 424  // FOLD: steady ns at which it could not be written last; 0 = never
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
    static let earners = 736  // Half: the first block of a budget that earns
    static let earnDone = 744  // Word: the batch through which it was worked out what they have earned
    // The loop's, from here on.
    static let signal = 1024  // Signal bits
    static let keeperSlot = 1028  // of the process that attends to what is due for all
    static let eventsSent = 1032  // Word: EVENTS; release: events in the ring, all in all
    static let attention = 1088  // 64 Words: a bit for each group of nodes with a mark
    static let untold = 2048  // 64 Words, CONFIG: the same for nodes that the ledger is to be told of
    static let page = 4096
    static let magicValue: Int64 = 0x4255_5253_4152_0001
}

enum HeaderFlag {
    static let observed: UInt32 = 1  // everything is observed
}

/// How an engine decides where its options leave it a choice.
public struct Policy {
    public enum UnknownModel: Int32 { case refuse = 1, dearest, free }
    /// Of a runtime that says nothing: a private one allows, a home refuses.
    public enum Undeclared: Int32 { case byKind = 0, allow, refuse }
    public var unknownModel = UnknownModel.refuse
    public var undeclared = Undeclared.byKind
    public var plainCharge = false
    public enum Role: Int32 { case `operator` = 1, agent }
    /// An agent neither raises, revives nor removes: a guard against accidents.
    public var role = Role.operator
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
    /// The process's slot: the actor of records that it is responsible for.
    var slot: UInt32
    /// What stands above the number of a price set in this process's records.
    var priceMark: UInt32
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
    static let lifeOffset = 1024  // Half: Life
    static let forksOffset = 1028  // Half: how often the process that it belongs to was forked
    static let keepsOffset = 1032  // Half: 1 = this runtime is the keeper
    static let shiftsOffset = 1040  // the clock's two shifts
    static let corruptOffset = 1036  // Half: 1 = it was told that the segment is corrupt
    static let searchedAtOffset = 1056  // Word: steady ns when a refusal looked for the dead
    static let pageBytes = 4096

    @inline(__always) var me: Int64 { Int64(engine.pointee.slot) }
    @inline(__always) var life: Half { Half(page + Core.lifeOffset) }
    @inline(__always) var forks: Half { Half(page + Core.forksOffset) }
    @inline(__always) var keeps: Half { Half(page + Core.keepsOffset) }
    var searchedAt: Word { Word(page + Core.searchedAtOffset) }
    var isKeeper: Bool { keeps.value != 0 }
    @inline(__always) var signal: Half { Half(engine.pointee.header + Header.signal) }

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

    /// Whether calls may go on: nil, or why not. In the child of a fork a home's handle
    /// is attached anew here; whatever is read of the page before this is the parent's.
    @inline(__always)
    public func obstacle() -> Status? {
        // Acquire: pairs with the release in Runtime.reattach().
        if life.value == Life.open, forks.loadAcquiring() == bursar__forks() { return nil }
        return hindrance(isNew: false)
    }

    /// The same before something new: a step, or a change of budgets.
    @inline(__always)
    public func obstacleToNew() -> Status? {
        if life.value == Life.open, forks.loadAcquiring() == bursar__forks() { return nil }
        return hindrance(isNew: true)
    }

    @inline(never)
    private func hindrance(isNew: Bool) -> Status? {
        if life.value == Life.closed { return .closed }
        if forks.loadAcquiring() != bursar__forks() {
            do throws(Failure) { try Runtime.reattach(self) } catch { return error.status }
        }
        switch life.value {
        case Life.open: return nil
        case Life.adrift: return isNew ? .home : nil
        case Life.lost: return .home
        default: return .closed
        }
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
        if signal.update(clearing: sleeping) & sleeping != 0 { runtime.ringKeeper() }
    }

    /// Marks a node for the keeper: something about it crossed a threshold or
    /// changed. The node's mark, then its group's bit; whoever finds the bit set
    /// knows that the keeper was rung, or looks within a second. So a process that
    /// dies between the two leaves a mark without a bit, and the next to come along
    /// sets that.
    @inline(never)
    func attend(to i: Int) {
        let flags = node(i).flags
        if flags.value & NodeFlag.marked == 0 { flags.update(setting: NodeFlag.marked) }
        let group = i >> attentionShift
        let word = Word(engine.pointee.header + Header.attention + (group >> 6) * 8)
        let bit = Int64(1) << Int64(group & 63)
        // Sequentially consistent: pairs with the keeper's clearing before its look.
        if word.loadSequential() & bit != 0 { return }
        word.update(setting: bit)
        runtime.ringKeeper()
    }

    /// The ledger does not know how a node is now. Under the config lock, and before the
    /// change is committed: whoever is killed in between has marked for nothing.
    func untell(_ i: Int) {
        let group = i >> attentionShift
        let word = Word(engine.pointee.header + Header.untold + (group >> 6) * 8)
        let bit = Int64(1) << Int64(group & 63)
        if word.value & bit == 0 { word.value |= bit }
        node(i).flags.update(setting: NodeFlag.untold, clearing: NodeFlag.telling)
    }

    /// Nodes are marked in at most 4,096 groups of neighbours.
    var attentionShift: Int {
        let groups = Int(engine.pointee.nodesMax - 1) >> 12
        return groups == 0 ? 0 : Int.bitWidth - groups.leadingZeroBitCount
    }

    /// Each marked node, once. Keeper only.
    func eachMarked(_ body: (Int) -> Void) {
        let shift = attentionShift
        for k in 0..<64 {
            let word = Word(engine.pointee.header + Header.attention + k * 8)
            if word.value == 0 { continue }
            var bits = word.update(clearing: -1)
            while bits != 0 {
                let group = k << 6 + bits.trailingZeroBitCount
                bits &= bits &- 1
                let end = min((group + 1) << shift, Int(engine.pointee.nodesMax))
                for i in (group << shift)..<end where node(i).flags.value & NodeFlag.marked != 0 {
                    body(i)
                }
            }
        }
    }
}

/// What a handle still does.
enum Life {
    static let open: UInt32 = 0
    static let closed: UInt32 = 1
    /// Its home's files are not where others look for them: what is in flight still
    /// settles, nothing new begins.
    static let adrift: UInt32 = 2
    /// Its locks are gone: nothing is safe to do.
    static let lost: UInt32 = 3
}

/// Bits of the signal word.
enum Signal {
    static let empty: UInt32 = 1  // the keeper sleeps: the journal had no record
    static let resting: UInt32 = 2  // the keeper sleeps: no record was settled
}
