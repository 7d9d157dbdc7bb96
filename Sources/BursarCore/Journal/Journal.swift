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
// Record (256 bytes; a plain step touches the first two cache lines only):
//     0  word       [63..60 state][59..48 actor][47..44 0][43..0 gen]
//        actor: the slot of the process responsible now; FREE, SETTLED 0; FOLDING
//        the low bits of the batch
//     8  node       gen << 32 | index of the session that the step belongs to
//    16  time       steady ns: expires at, while held or in flight; settled at, afterwards
//    24  flags      Half  RecordFlag | attempt << 16 | variant << 24 | complexity << 26
//    28  epoch      Half  cells born later do not count this step
//    32  asked Half, 36 granted Half       models
//    40  price Half the price set that it was reserved at (0 = none) | that process's
//                   slot << 20 | its generation << 28: a set's number means something
//                   in its process only, and a slot is another process's later
//    44  tool  Half
//    48  heldCost, 56 heldInput, 64 heldOutput      what is held; every other
//                   meter follows from these, as `held` says
//    72  usedCost, 80 usedInput, 88 usedOutput, 96 cacheRead   what was used
//   104  reasoning  tokens of the output
//   112  reservedAt steady ns
//   120  streamed   output tokens seen so far
//   A correction's held amounts and `streamed`, `units`, `ownTime` and `rateEnd`
//   are what the folder found it to change: see `delta`.
//   The third line is only valid with RecordFlag.more:
//   128  meter      Half  a named meter | the tool's call meter << 8  (0 = none)
//   136  units      held of the named meter, 144 used of it
//   152  original   a correction: the handle that it corrects; else the parent step
//   160  ownTime    the step's own time to live, 0 = the runtime's
//   168  askedCost  what the model asked for would have cost (else what it cost)
//   176  rateEnd    steady ns until which what it charged at a rate is owed
//   184  key        idempotency key, mixed (else none)
//   The fourth line is only valid with RecordFlag.detail (else all is 0), in the order
//   of `Report.rare`: tokens written to a cache, of those for an hour, audio input,
//   of that cached, audio output, image input, image output; nano-dollars of extras

internal import CPlatform
internal import Synchronization

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
    static let more: UInt32 = 256  // the third line is valid
    static let direct: UInt32 = 512  // settled at once: was never in flight
    static let unsent: UInt32 = 1024  // expired while held: nothing happened
    static let refusable: UInt32 = 2048  // while reserving: refuse under a money limit
    static let lowered: UInt32 = 4096  // a correction: windows' bases fell with it
    static let detail: UInt32 = 8192  // the fourth line is valid
    static let outcome = estimated | overrun | unsent | detail  // what settling found
    static let kept: UInt32 = 0x7FF  // what a new record takes of a try's flags
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
    static let size = 256

    @inline(__always) var word: Word { Word(p) }
    @inline(__always) var node: Word { Word(p + 8) }
    @inline(__always) var expiresAt: Word { Word(p + 16) }
    @inline(__always) var settledAt: Word { Word(p + 16) }
    @inline(__always) var flags: Half { Half(p + 24) }
    @inline(__always) var epoch: Half { Half(p + 28) }
    @inline(__always) var asked: Half { Half(p + 32) }
    @inline(__always) var granted: Half { Half(p + 36) }
    @inline(__always) var price: Half { Half(p + 40) }
    @inline(__always) var tool: Half { Half(p + 44) }
    @inline(__always) var heldCost: Word { Word(p + 48) }
    @inline(__always) var heldInput: Word { Word(p + 56) }
    @inline(__always) var heldOutput: Word { Word(p + 64) }
    @inline(__always) var usedCost: Word { Word(p + 72) }
    @inline(__always) var usedInput: Word { Word(p + 80) }
    @inline(__always) var usedOutput: Word { Word(p + 88) }
    @inline(__always) var cacheRead: Word { Word(p + 96) }
    @inline(__always) var reasoning: Word { Word(p + 104) }
    @inline(__always) var reservedAt: Word { Word(p + 112) }
    @inline(__always) var streamed: Word { Word(p + 120) }

    // Behind RecordFlag.more.
    @inline(__always) private var hasMore: Bool { flags.value & RecordFlag.more != 0 }
    @inline(__always) var meterWord: Half { Half(p + 128) }
    @inline(__always) var unitsWord: Word { Word(p + 136) }
    @inline(__always) var usedUnitsWord: Word { Word(p + 144) }
    @inline(__always) var originalWord: Word { Word(p + 152) }
    @inline(__always) var ownTimeWord: Word { Word(p + 160) }
    @inline(__always) var askedCostWord: Word { Word(p + 168) }
    @inline(__always) var rateEndWord: Word { Word(p + 176) }
    @inline(__always) var keyWord: Word { Word(p + 184) }
    var meters: UInt32 { hasMore ? meterWord.value : 0 }
    var units: Int64 { hasMore ? unitsWord.value : 0 }
    var usedUnits: Int64 { hasMore ? usedUnitsWord.value : 0 }
    var original: Int64 { hasMore ? originalWord.value : 0 }
    var ownTime: Int64 { hasMore ? ownTimeWord.value : 0 }
    var askedCost: Int64 { hasMore ? askedCostWord.value : usedCost.value }
    var rateEnd: Int64 { hasMore ? rateEndWord.value : .max }
    var key: UInt64 { hasMore ? UInt64(bitPattern: keyWord.value) : 0 }

    // Behind RecordFlag.detail: tokens of rarer classes, and priced extras.
    var hasDetail: Bool { flags.value & RecordFlag.detail != 0 }
    @inline(__always) func detailWord(_ k: Int) -> Word { Word(p + 192 + k * 8) }
    /// All of it in one number, to compare; 0: nothing.
    var rare: Int64 { hasDetail ? Usage.mixed { detailWord($0).value } : 0 }

    var attempt: UInt32 { flags.value >> 16 & 0xFF }
    var variant: UInt32 { flags.value >> 24 & 3 }
    var complexity: UInt32 { flags.value >> 26 & 3 }

    /// Makes the third line valid: all zero, but what the step is taken to cost.
    func addMore() {
        if hasMore { return }
        meterWord.value = 0
        unitsWord.value = 0
        usedUnitsWord.value = 0
        originalWord.value = 0
        ownTimeWord.value = 0
        askedCostWord.value = usedCost.value
        rateEndWord.value = .max
        keyWord.value = 0
        flags.value |= RecordFlag.more
    }

    /// What the step holds, by meter.
    @inline(__always)
    var held: Amounts {
        let bits = flags.value
        return Amounts(
            cost: heldCost.value, input: heldInput.value, output: heldOutput.value, cached: 0,
            steps: bits & RecordFlag.charge == 0 ? 1 : 0, calls: tool.value != 0 ? 1 : 0,
            inFlight: bits & (RecordFlag.direct | RecordFlag.correction) == 0 ? 1 : 0,
            meters: bits & RecordFlag.more == 0 ? 0 : meterWord.value,
            units: bits & RecordFlag.more == 0 ? 0 : unitsWord.value)
    }

    /// What a correction changes, as the folder worked it out once: it stands in
    /// fields that a correction has no other use for.
    var delta: Amounts {
        get {
            Amounts(
                cost: heldCost.value, input: heldInput.value, output: heldOutput.value,
                cached: streamed.value, steps: ownTimeWord.value, calls: rateEndWord.value,
                inFlight: 0, meters: meters, units: unitsWord.value)
        }
        nonmutating set {
            let input = newValue[MeterIndex.inputTokens]
            let output = newValue[MeterIndex.outputTokens]
            heldCost.value = newValue[MeterIndex.cost]
            heldInput.value = input
            heldOutput.value = output
            streamed.value = input &+ output &- newValue[MeterIndex.freshTokens]
            ownTimeWord.value = newValue[MeterIndex.steps]
            rateEndWord.value = newValue[MeterIndex.toolCalls]
            unitsWord.value = newValue.units
        }
    }

    var isCorrection: Bool { flags.value & RecordFlag.correction != 0 }
    /// The bits of `price` that number a set, below its process: see `Core.set(of:)`.
    static let priceBits: UInt32 = 20
    static let priceNumber: UInt32 = (1 << priceBits) - 1
    /// No process has this slot.
    static let nobody: UInt32 = 0xFFF

    /// What the step used, by meter.
    @inline(__always)
    var used: Amounts {
        let bits = flags.value
        let happened: Int64 = bits & RecordFlag.unsent == 0 ? 1 : 0
        return Amounts(
            cost: usedCost.value, input: usedInput.value, output: usedOutput.value,
            cached: cacheRead.value, steps: bits & RecordFlag.charge == 0 ? happened : 0,
            calls: tool.value != 0 ? happened : 0, inFlight: 0,
            meters: bits & RecordFlag.more == 0 ? 0 : meterWord.value,
            units: bits & RecordFlag.more == 0 ? 0 : usedUnitsWord.value)
    }
}

/// Amounts by meter: on the stack, so that a walk finds each with one load.
struct Amounts {
    private var fixed: InlineArray<8, Int64>
    let meters: UInt32
    let units: Int64

    @inline(__always)
    init(
        cost: Int64, input: Int64, output: Int64, cached: Int64, steps: Int64, calls: Int64,
        inFlight: Int64, meters: UInt32, units: Int64
    ) {
        let tokens = input &+ output
        fixed = [cost, tokens, input, output, tokens &- cached, steps, calls, inFlight]
        self.meters = meters
        self.units = units
    }

    @inline(__always)
    subscript(_ meter: Int) -> Int64 {
        meter < MeterIndex.named ? fixed[unchecked: meter & 7] : named(meter)
    }

    /// A named meter's units, and the calls of a limited tool.
    @inline(never)
    private func named(_ meter: Int) -> Int64 {
        var sum: Int64 = 0
        if Int(meters & 0xFF) == meter { sum = units }
        if Int((meters >> 8) & 0xFF) == meter { sum = saturatingAdd(sum, fixed[MeterIndex.toolCalls]) }
        return sum
    }

    /// self - other, meter by meter, of one record.
    @inline(__always)
    func minus(_ other: borrowing Amounts) -> Amounts {
        var result = self
        for m in 0..<8 { result.fixed[unchecked: m] = fixed[unchecked: m] &- other.fixed[unchecked: m] }
        return Amounts(result.fixed, meters, units &- other.units)
    }

    @inline(__always)
    private init(_ fixed: InlineArray<8, Int64>, _ meters: UInt32, _ units: Int64) {
        self.fixed = fixed
        self.meters = meters
        self.units = units
    }

    /// Meter by meter the larger of the two, of one record.
    func most(_ other: borrowing Amounts) -> Amounts {
        var result = self
        for m in 0..<8 { result.fixed[unchecked: m] = max(fixed[unchecked: m], other.fixed[unchecked: m]) }
        return Amounts(result.fixed, meters, max(units, other.units))
    }

    /// Whether any meter is above 0, or below.
    @inline(__always)
    var signs: (up: Bool, down: Bool) {
        var negative = units
        var positive = 0 &- units
        for m in 0..<8 {
            negative |= fixed[unchecked: m]
            positive |= 0 &- fixed[unchecked: m]
        }
        return (positive < 0, negative < 0)
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
