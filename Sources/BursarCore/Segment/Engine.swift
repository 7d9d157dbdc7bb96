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
    var timeToLive: Int64
    var policy: Policy
    var clock: Clock
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
    static let lifeOffset = 1024  // Half: Life
    static let forksOffset = 1032  // Half: how often the process that it belongs to was forked
    static let signalOffset = 1028  // Half: Signal bits
    static let shiftsOffset = 1040  // the clock's two shifts
    static let rollAtOffset = 1056  // Word: unix ns at which the next calendar window opens
    static let rollingAtOffset = 1064  // Word: steady ns at which the next rolling bucket opens
    static let attentionOffset = 1088  // Word: tail of the attention ring
    static let attentionHeadOffset = 1152  // Word
    static let attentionRing = 2048  // 512 Halves
    static let attentionSlots: Int64 = 512
    static let pageBytes = 4096

    @inline(__always) var me: Int64 { Int64(engine.pointee.slot) }
    @inline(__always) var life: Half { Half(page + Core.lifeOffset) }
    @inline(__always) var forks: Half { Half(page + Core.forksOffset) }
    @inline(__always) var signal: Half { Half(page + Core.signalOffset) }

    @inline(__always) func node(_ i: Int) -> Node { Node(engine.pointee.nodes + i &* Node.size) }
    @inline(__always) func cell(_ i: Int) -> Cell { Cell(engine.pointee.cells + i &* Cell.size) }
    @inline(__always) func limit(_ i: Int) -> LimitSlot {
        LimitSlot(engine.pointee.limits + i &* LimitSlot.size)
    }
    @inline(__always) func record(_ i: Int) -> Record {
        Record(engine.pointee.records + i &* Record.size)
    }
    @inline(__always) var batch: Word { Word(engine.pointee.header + Header.batch) }
    @inline(__always) var highWater: Half { Half(engine.pointee.header + Header.highWater) }
    @inline(__always) var forcedHighWater: Half {
        Half(engine.pointee.header + Header.forcedHighWater)
    }
    @inline(__always) func statistic(_ offset: Int) -> Word { Word(engine.pointee.header + offset) }
    @inline(__always) func tool(_ i: Int) -> Tool { Tool(engine.pointee.tools + i &* Tool.size) }
    @inline(__always) var rollAt: Word { Word(page + Core.rollAtOffset) }
    @inline(__always) var rollingAt: Word { Word(page + Core.rollingAtOffset) }
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
    static let empty: UInt32 = 1  // the loop sleeps: the journal had no record
    static let resting: UInt32 = 2  // the loop sleeps: no record was settled
    static let overflow: UInt32 = 4  // the attention ring was full: look at every node
}
