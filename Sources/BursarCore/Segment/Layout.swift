// The layout of the segment: every offset of every structure, in one place.
//
// The segment is one mapping: header page (see Engine.swift), nodes, cells, limits,
// journal records, tools, the tables of Segment.swift's Geometry, slab. It holds indices, never pointers; index 0 of each table is
// "none" (node 0 is the root of everything). All fields are atomics read
// relaxed unless said otherwise; who may write is said beside each.
//
// Node (128 bytes): a budget or a session.
//     0  state      Word  gen << 32 | bits          CONFIG; read on every step
//     8  parent     Half  node index, 0 = the root  CONFIG, before it is open
//    12  firstCell  Half                            CONFIG; release
//    16  firstLimit Half                            CONFIG
//    20  flags      Half  NodeFlag, depth << 24     CONFIG
//    24  lastStep   Word  steady ns                 any step (sessions, and idle limits)
//                   closed: when that was, as steady ns
//    32  dueAt      Word  steady ns of the first time limit to look at; max = none
//                         closed: max - the next closed node, which no step finds due
//    40  extras     Half  slab block: ladder, holdback, paused time
//    44  labels     Half  a session: slab block
//        rungs      Half  a budget: highest rung by complexity, a byte each
//    48  row        Half  refusals in a row         any refusal
//    52  toolCalls  Half                            FOLD
//    56  reasonText Half  interned                  CONFIG
//    60  misc       Half  complexity | state reason << 8 | owner's slot << 16 | handed << 28
//    64  agent      Half  a session: interned
//        meta       Half  a budget: slab block of name, owner, cost centre, purpose
//    68  dirty      Half  grows before evidence of a cut-off step is destroyed
//    72  clean      Half  RECOUNT: what `dirty` was when the node was counted last
//    76  firstChild, 80 next, 84 previous  Half     CONFIG
//    88  childCount Half                            CONFIG
//    92  refusals   Half                            any refusal
//    96  opened     Word  steady ns
//   104  steps      Word                            FOLD
//   112  input      Word                            FOLD
//   120  output     Word                            FOLD
//
// Cell (64 bytes): one meter of one node. All hot words share its line.
//     0  committed  Word  spent + reserved          any step
//     8  ceiling    Word  the most committed may reach now   CONFIG; release
//    16  watermark  Word  wake the loop when committed reaches it
//    24  spent[0], 32 spent[1]  Word                FOLD, copied, never edited in place
//    40  stamp[0], 48 stamp[1]  Word  the batch that wrote it
//    56  next       Half                            CONFIG; release
//    60  kind       Half  meter | born << 5: steps whose epoch is older do not count here
//
// Limit (64 bytes): one limit of one node.                     CONFIG unless said
//     0  amount     Word
//     8  base[0], 16 base[1]  Word  what was settled when window w started, by its low bit
//                   the other one, of a calendar limit set midway: unix ns of that
//                   a rate: burst amount, nanoseconds of its period
//                   a time limit: paused time when it started, when its node's timer comes up
//    24  window     Word  start (unix s, calendar) or bucket (rolling) << 1 | slot of base;
//                         a rate: arrival time (any step);  a time limit: steady ns of its start
//    32  extra      Word
//    40  node Half, 44 next Half
//    48  kind       Half  meter | window << 8 | end << 16 | downgrade << 24
//    52  alerts     Half  four percents, a byte each
//    56  spec       Half  its window in the table of windows; a rolling limit: the slab
//                         block of its ring, which has the window
//    60  fired      Half  alerts that were sent, and LimitFlag
//
// Tool (16 bytes):  0 price Word nano-dollars a call,  8 meter Half of calls(tool) or 0,
//                  12 name Half interned                        CONFIG
//
// Record (256 bytes): see Journal.swift.

internal import Synchronization

/// Bits of a node's state word; 0 means open.
public enum StateBit {
    public static let closed: Int64 = 1
    public static let killed: Int64 = 2
    public static let paused: Int64 = 4  // by somebody
    public static let halted: Int64 = 8  // by a time limit that says halt
    public static let held: Int64 = 16  // by a time limit that says pause
    public static let recount: Int64 = 32  // a hint, not a stop
    public static let free: Int64 = 64  // not in use
    public static let stops: Int64 = closed | killed | paused | halted | held | free
    public static let all: Int64 = 0xFFFF_FFFF
}

/// Bits of a node's flags.
public enum NodeFlag {
    public static let session: UInt32 = 1
    public static let declared: UInt32 = 2
    public static let rates: UInt32 = 4  // has a rate limit
    public static let downgrades: UInt32 = 8  // a limit has a downgrade share
    public static let observes: UInt32 = 16  // has an observed limit
    public static let observed: UInt32 = 32  // everything here is observed
    public static let idles: UInt32 = 64  // has an idle limit: every step marks lastStep
    public static let limited: UInt32 = 128  // has at least one limit
    public static let marked: UInt32 = 256  // waits in the attention queue
    public static let laddered: UInt32 = 512  // a session with a ladder
    public static let holdsBack: UInt32 = 1024  // a session with a holdback
    static let untold: UInt32 = 2048  // the ledger does not know how it is now
    static let telling: UInt32 = 4096  // and is being told, unless it changes meanwhile
    static let special = rates | observes | idles
    /// What a route leaves to the walk.
    static let unplain = special | observed | holdsBack
}

/// Bits of a limit's `fired`, above the alerts' four and the downgrade's one.
public enum LimitFlag {
    public static let downgrade: UInt32 = 16
    public static let refusing: UInt32 = 32
    public static let observed: UInt32 = 64
    /// What the ledger is told of.
    static let told: UInt32 = 127
    /// A calendar limit that is younger than its window: the other base says since when.
    static let midway: UInt32 = 128
    /// It was told that the open window begins in a time that has not come.
    static let ahead: UInt32 = 256
    /// The slot's generation, so that a timer of a former limit is told apart.
    static let gen: UInt32 = 1 << 16
    static let genMask: UInt32 = 0xFFFF_0000
}

/// `LimitSlot.windowKind` and `.end` as numbers: the raw values of WindowKind and End.
enum WindowCode {
    static let total = WindowKind.total.rawValue
    static let session = WindowKind.session.rawValue
    static let calendar = WindowKind.calendar.rawValue
    static let rolling = WindowKind.rolling.rawValue
    static let rate = WindowKind.rate.rawValue
    static let none = WindowKind.none.rawValue
}
enum LimitEnd {
    static let halt = End.halt.rawValue
    static let pause = End.pause.rawValue
    static let throttle = End.throttle.rawValue
    static let observe = End.observe.rawValue
}

public struct Node {
    @usableFromInline let p: UnsafeMutableRawPointer
    @inlinable @inline(__always) init(_ p: UnsafeMutableRawPointer) { self.p = p }
    static let size = 128

    @inline(__always) var state: Word { Word(p) }
    @inline(__always) var parent: Half { Half(p + 8) }
    @inline(__always) var firstCell: Half { Half(p + 12) }
    @inline(__always) var firstLimit: Half { Half(p + 16) }
    @inline(__always) var flags: Half { Half(p + 20) }
    @inline(__always) var lastStep: Word { Word(p + 24) }
    @inline(__always) var dueAt: Word { Word(p + 32) }
    @inline(__always) var extras: Half { Half(p + 40) }
    @inline(__always) var labels: Half { Half(p + 44) }
    @inline(__always) var rungs: Half { Half(p + 44) }
    @inline(__always) var row: Half { Half(p + 48) }
    @inline(__always) var toolCalls: Half { Half(p + 52) }
    @inline(__always) var reasonText: Half { Half(p + 56) }
    @inline(__always) var misc: Half { Half(p + 60) }
    @inline(__always) var meta: Half { Half(p + 64) }
    @inline(__always) var agent: Half { Half(p + 64) }
    @inline(__always) var dirty: Half { Half(p + 68) }
    @inline(__always) var clean: Half { Half(p + 72) }
    @inline(__always) var firstChild: Half { Half(p + 76) }
    @inline(__always) var next: Half { Half(p + 80) }
    @inline(__always) var previous: Half { Half(p + 84) }
    @inline(__always) var childCount: Half { Half(p + 88) }
    @inline(__always) var refusals: Half { Half(p + 92) }
    @inline(__always) var opened: Word { Word(p + 96) }
    @inline(__always) var steps: Word { Word(p + 104) }
    @inline(__always) var input: Word { Word(p + 112) }
    @inline(__always) var output: Word { Word(p + 120) }

    /// Links free nodes.
    static let freeLink = 80

    var generation: Int64 { state.value >> 32 }
    var isSession: Bool { flags.value & NodeFlag.session != 0 }
    var depth: UInt32 { flags.value >> 24 }
    var complexity: Int { Int(misc.value & 0xFF) }
    var stateReason: Reason { Reason(rawValue: Int32((misc.value >> 8) & 0xFF)) ?? .none }

    /// The slot of the process that opened a session; it is closed when that dies,
    /// unless it was handed to others.
    var owner: UInt32 { (misc.value >> 16) & 0xFFF }
    static let handed: UInt32 = 1 << 28
    var isHanded: Bool { misc.value & Node.handed != 0 }
}

public struct Cell {
    let p: UnsafeMutableRawPointer
    @inline(__always) init(_ p: UnsafeMutableRawPointer) { self.p = p }
    static let size = 64

    @inline(__always) var committed: Word { Word(p) }
    @inline(__always) var ceiling: Word { Word(p + 8) }
    @inline(__always) var watermark: Word { Word(p + 16) }
    @inline(__always) func spent(_ slot: Int) -> Word { Word(p + 24 + slot * 8) }
    @inline(__always) func stamp(_ slot: Int) -> Word { Word(p + 40 + slot * 8) }
    @inline(__always) var next: Half { Half(p + 56) }
    @inline(__always) var kind: Half { Half(p + 60) }

    /// Links free cells.
    static let freeLink = 56

    @inline(__always) var meter: Int { Int(kind.value & 31) }
    static let bornMax: UInt32 = (1 << 27) - 1

    /// The slot that is right for batch `h`: the larger stamp not above it.
    @inline(__always) func slot(at h: Int64) -> Int {
        let a = stamp(0).loadAcquiring()
        let b = stamp(1).loadAcquiring()
        if a > h { return 1 }
        if b > h { return 0 }
        return a >= b ? 0 : 1
    }
}

public struct LimitSlot {
    let p: UnsafeMutableRawPointer
    @inline(__always) init(_ p: UnsafeMutableRawPointer) { self.p = p }
    static let size = 64

    @inline(__always) var amount: Word { Word(p) }
    @inline(__always) func base(_ slot: Int) -> Word { Word(p + 8 + slot * 8) }
    @inline(__always) var window: Word { Word(p + 24) }
    @inline(__always) var extra: Word { Word(p + 32) }
    @inline(__always) var node: Half { Half(p + 40) }
    @inline(__always) var next: Half { Half(p + 44) }
    @inline(__always) var kind: Half { Half(p + 48) }
    @inline(__always) var alerts: Half { Half(p + 52) }
    @inline(__always) var spec: Half { Half(p + 56) }
    @inline(__always) var fired: Half { Half(p + 60) }

    /// Links free limits: the node, so that a step that stands on a limit that was
    /// just let go still finds the next.
    static let freeLink = 40

    @inline(__always) var meter: Int { Int(kind.value & 0xFF) }
    @inline(__always) var windowKind: UInt8 { UInt8(truncatingIfNeeded: kind.value >> 8) }
    @inline(__always) var end: UInt8 { UInt8(truncatingIfNeeded: kind.value >> 16) }
    @inline(__always) var downgrade: Int64 { Int64(kind.value >> 24) }
}

public struct Tool {
    let p: UnsafeMutableRawPointer
    @inline(__always) init(_ p: UnsafeMutableRawPointer) { self.p = p }
    static let size = 16

    @inline(__always) var price: Word { Word(p) }
    @inline(__always) var meter: Half { Half(p + 8) }
    @inline(__always) var name: Half { Half(p + 12) }
}

/// A slab block of a session with a ladder or a holdback, and of whatever was paused:
/// eight models, their count, the nano-dollars kept back; how long it has been paused
/// and since when it is (0 = it is not).
struct Ladder {
    let p: UnsafeMutableRawPointer
    static let bytes = 64
    static let rungsMax = 8

    @inline(__always) func model(_ rung: Int) -> Int32 {
        p.load(fromByteOffset: (rung & 7) * 4, as: Int32.self)
    }
    @inline(__always) var count: Int {
        Int(min(max(p.load(fromByteOffset: 32, as: Int32.self), 0), 8))
    }
    @inline(__always) var holdback: Int64 { p.load(fromByteOffset: 40, as: Int64.self) }
    var paused: Word { Word(p + 48) }
    var pausedSince: Word { Word(p + 56) }
}

/// The ceiling of a meter without a limit. Amounts are bounded by `amountMax`,
/// so that sums far beyond it still fit 64 bits.
enum Bound {
    static let ceiling: Int64 = 1 << 62
    static let amount: Int64 = 1 << 53
    static let tokens: Int64 = 1 << 40
}
