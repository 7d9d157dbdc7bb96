// The journal: a fixed table of records in the segment, the truth about every
// step that is not folded yet. Counters are a cache of it.
//
// One word holds a record's state, the process responsible for it now, and its
// generation; every transition is one store or one compare-and-swap on it:
//
//   FREE -> CLAIMED -> (HELD ->) IN_FLIGHT -> SETTLING -> ADJUSTING -> SETTLED
//        -> FOLDING(batch) -> FREE          and HELD/IN_FLIGHT -> RELEASING -> FREE
//
// Invariant, for every node and meter, at rest:
//   committed = spent + sum held + sum settled and not folded.
//
// Why it holds at any instant as `committed >= truth`:
// - every charge precedes the store that makes the record count (charge before
//   IN_FLIGHT, raise before ADJUSTING); every uncharge follows the store that
//   makes it count less (RELEASING, ADJUSTING, the batch number in the header);
// - one compare-and-swap wins each exit from FREE, HELD, IN_FLIGHT and SETTLED;
//   all other exits belong to one live actor, so they are plain release stores;
// - the generation grows on every return to FREE, refused requests included, so
//   a stale handle never matches.
// Ordering: charges are release and the words are loaded acquire, so whoever
// sees HELD sees the charge; claims and node states are sequentially consistent,
// so a closer that saw no CLAIMED record knows that a later claimer sees CLOSED.
//
// Record (320 bytes):
//     0  word       [63..60 state][59..48 actor][47..44 0][43..0 gen]
//     8  node       gen << 32 | index of the session that the step belongs to
//    16  expiresAt  steady ns
//    24  settledAt  steady ns
//    32  streamed   output tokens seen so far
//    40  asked Half, 44 granted Half       models
//    48  flags      Half  RecordFlag | attempt << 16 | variant << 24
//    52  epoch      Half  cells born later do not count this step
//    56  price      price version: the row that reserved it (0 = none)
//    64  amt[8]     what is held, by meter (a correction, once folding: the difference)
//   128  used[8]    what was used, by meter
//   192  meter      Half  a named meter | the tool's call meter << 8  (0 = none)
//   196  tool       Half
//   200  units      held of the named meter, 208 used of it
//   216  askedCost  what the model asked for would have cost
//   224  original   a correction: the handle that it corrects; else the parent step
//   232  key        idempotency key, mixed
//   240  cacheRead, 248 cacheWrite   tokens used
//   256  detail[8]  cacheWrite1h, reasoning, audioIn, cachedAudio, audioOut, imageIn, imageOut, extra

internal import CPlatform
public import Synchronization

public enum RecordState {
    static let free: Int64 = 0
    static let claimed: Int64 = 1
    static let held: Int64 = 2
    static let inFlight: Int64 = 3
    static let settling: Int64 = 4
    static let adjusting: Int64 = 5
    static let settled: Int64 = 6
    static let folding: Int64 = 7
    static let releasing: Int64 = 8
}

public enum RecordFlag {
    static let estimated: UInt32 = 1
    static let correction: UInt32 = 2
    static let stream: UInt32 = 4
    static let unpriced: UInt32 = 8
    static let overrun: UInt32 = 16
    static let released: UInt32 = 32
    static let charge: UInt32 = 64  // no model: a tool or a charge
    static let late: UInt32 = 128
    static let refusable: UInt32 = 256  // while reserving: refuse under a money limit
    static let kept: UInt32 = 0xFF  // what a new record takes of a try's flags
}

/// The packed word of a record.
enum RecordWord {
    static let genMask: Int64 = (1 << 44) - 1

    @inline(__always) static func make(_ state: Int64, actor: Int64, gen: Int64) -> Int64 {
        (state << 60) | ((actor & 0xFFF) << 48) | (gen & genMask)
    }
    @inline(__always) static func state(_ word: Int64) -> Int64 { (word >> 60) & 0xF }
    @inline(__always) static func actor(_ word: Int64) -> Int64 { (word >> 48) & 0xFFF }
    @inline(__always) static func gen(_ word: Int64) -> Int64 { word & genMask }
}

public struct Record {
    let p: UnsafeMutableRawPointer
    @inline(__always) init(_ p: UnsafeMutableRawPointer) { self.p = p }
    static let size = 320

    @inline(__always) var word: Word { Word(p) }
    @inline(__always) var node: Word { Word(p + 8) }
    @inline(__always) var expiresAt: Word { Word(p + 16) }
    @inline(__always) var settledAt: Word { Word(p + 24) }
    @inline(__always) var streamed: Word { Word(p + 32) }
    @inline(__always) var asked: Half { Half(p + 40) }
    @inline(__always) var granted: Half { Half(p + 44) }
    @inline(__always) var flags: Half { Half(p + 48) }
    @inline(__always) var epoch: Half { Half(p + 52) }
    @inline(__always) var price: Word { Word(p + 56) }
    @inline(__always) func amt(_ meter: Int) -> Word { Word(p + 64 + meter * 8) }
    @inline(__always) func used(_ meter: Int) -> Word { Word(p + 128 + meter * 8) }
    @inline(__always) var meter: Half { Half(p + 192) }
    @inline(__always) var tool: Half { Half(p + 196) }
    @inline(__always) var units: Word { Word(p + 200) }
    @inline(__always) var usedUnits: Word { Word(p + 208) }
    @inline(__always) var askedCost: Word { Word(p + 216) }
    @inline(__always) var original: Word { Word(p + 224) }
    @inline(__always) var key: Word { Word(p + 232) }
    @inline(__always) var cacheRead: Word { Word(p + 240) }
    @inline(__always) var cacheWrite: Word { Word(p + 248) }
    /// cacheWrite1h, reasoning, audioIn, cachedAudio, audioOut, imageIn, imageOut, extra
    @inline(__always) func detail(_ index: Int) -> Word { Word(p + 256 + index * 8) }

    /// What the step holds of a meter, named ones included.
    @inline(__always) func held(_ m: Int) -> Int64 {
        m < MeterIndex.named ? amt(m).value : named(m, units: units, calls: amt(MeterIndex.toolCalls))
    }

    /// What the step used of a meter, named ones included.
    @inline(__always) func spent(_ m: Int) -> Int64 {
        m < MeterIndex.named
            ? used(m).value : named(m, units: usedUnits, calls: used(MeterIndex.toolCalls))
    }

    @inline(never)
    private func named(_ m: Int, units: Word, calls: Word) -> Int64 {
        let meters = meter.value
        var sum: Int64 = 0
        if Int(meters & 0xFF) == m { sum = units.value }
        if Int((meters >> 8) & 0xFF) == m { sum = saturatingAdd(sum, calls.value) }
        return sum
    }
}

/// A reservation's handle: index << 44 | generation. Generations start at 1, so
/// no handle is 0.
enum Handle {
    @inline(__always) static func make(index: Int, gen: Int64) -> Int64 {
        (Int64(index) << 44) | (gen & RecordWord.genMask)
    }
    @inline(__always) static func index(_ handle: Int64) -> Int { Int(handle >> 44) }
    @inline(__always) static func gen(_ handle: Int64) -> Int64 { handle & RecordWord.genMask }
}
