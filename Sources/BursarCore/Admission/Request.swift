// What a step asks for, what it is told, what it used, what it cost: the header's
// structs, field by field in the same places, so that the hot calls read and write
// the caller's own memory. A test compares the layouts.

/// bursar_request_t. Every amount is checked by `isSound` before it is used.
public struct Request: Sendable {
    public var size = UInt32(MemoryLayout<Request>.size)
    public var flags: UInt32 = 0
    public var model: Int32 = 0
    public var tool: Int32 = 0
    public var input: Int64 = 0
    public var inputUpper: Int64 = 0
    public var maxOutput: Int64 = 0
    public var minOutput: Int64 = 0
    public var extraNanos: Int64 = 0
    public var units: Int64 = 0
    public var meter: Int32 = 0
    public var choices: Int32 = 0
    public var variant: Int32 = 0
    public var complexity: Int32 = 0
    public var attempt: Int32 = 0
    public var reserved: Int32 = 0
    public var parent: Int64 = 0
    public var timeToLive: Int64 = 0

    public init() {}

    public static let hold: UInt32 = 1
    public static let stream: UInt32 = 2
    public static let final: UInt32 = 4
    public static let cacheWrite: UInt32 = 8
    public static let cacheWrite1h: UInt32 = 16
    public static let asAsked: UInt32 = 32
    static let known: UInt32 = 63

    /// Whether every amount is one that a step can have. One comparison for
    /// all token counts: their union has a bit above the bound, or the sign.
    @inline(__always)
    var isSound: Bool {
        let tokens = input | inputUpper | maxOutput | minOutput
        return UInt64(bitPattern: tokens) < UInt64(Bound.tokens)
            && UInt64(bitPattern: extraNanos | units) < UInt64(Bound.amount)
            && UInt32(bitPattern: choices) <= 1024 && UInt32(bitPattern: variant) <= 3
            && UInt32(bitPattern: complexity) <= 3 && UInt32(bitPattern: attempt) <= 255
            && flags & ~Request.known == 0 && timeToLive >= 0 && parent >= 0 && tool >= 0
            && model >= 0
            && (units == 0 || (meter >= 8 && meter < 32))
    }
}

extension Request {
    /// The least useful output.
    var leastOutput: Int64 { min(minOutput > 0 ? minOutput : 256, maxOutput) }

    /// What pricing needs of it.
    @inline(__always)
    var estimate: StepEstimate {
        var e = StepEstimate()
        e.inputTokens = input
        e.inputTokensUpper = inputUpper
        e.choices = max(choices, 1)
        e.variant = Variant(rawValue: variant) ?? .standard
        if flags & (Request.cacheWrite | Request.cacheWrite1h) != 0 {
            e.cacheWrite = flags & Request.cacheWrite1h != 0 ? .oneHour : .fiveMinutes
        }
        e.extraNanos = extraNanos
        return e
    }
}

/// bursar_decision_t.
public struct Decision: Sendable {
    public var size = UInt32(MemoryLayout<Decision>.size)
    var verdictCode: Int32 = 0
    var reasonCode: Int32 = 0
    var remedyCode: Int32 = 0
    public var reservation: Int64 = 0
    public var maxOutput: Int64 = 0
    public var reservedNanos: Int64 = 0
    public var model: Int32 = 0
    public var flags: UInt32 = 0
    public var budget: Int64 = 0
    public var meter: Int32 = 0
    public var end: Int32 = 0
    public var limit: Int64 = 0
    public var committed: Int64 = 0
    public var remaining: Int64 = 0
    public var requested: Int64 = 0
    public var retryAfter: Int64 = 0
    var unused: (Int64, Int64, Int64) = (0, 0, 0)

    public init() {}

    public var verdict: Verdict {
        get { Verdict(rawValue: verdictCode) ?? .halt }
        set { verdictCode = newValue.rawValue }
    }
    public var reason: Reason {
        get { Reason(rawValue: reasonCode) ?? .none }
        set { reasonCode = newValue.rawValue }
    }
    public var remedy: Remedy {
        get { Remedy(rawValue: remedyCode) ?? .none }
        set { remedyCode = newValue.rawValue }
    }
    /// Whether its codes are ones that this version knows.
    public var isKnown: Bool {
        Verdict(rawValue: verdictCode) != nil && Reason(rawValue: reasonCode) != nil
            && Remedy(rawValue: remedyCode) != nil
    }

    public static let transient: UInt32 = 1
    public static let clamped: UInt32 = 2
    public static let lowerRung: UInt32 = 4
    public static let unpriced: UInt32 = 8
    public static let observed: UInt32 = 16
    public static let undeclared: UInt32 = 32
    public static let downgrading: UInt32 = 64
}

/// bursar_usage_t: what a step used, as its caller says.
public struct Report: Sendable {
    public var size = UInt32(MemoryLayout<Report>.size)
    public var flags: UInt32 = 0
    public var usage = Usage()
    public var costNanos: Int64 = 0
    public var units: Int64 = 0
    public var key: (UInt64, UInt64) = (0, 0)

    public init() {}

    /// What most steps have none of, one by one: the header's fields but for input, cache
    /// reads, output and reasoning.
    static func rare(_ report: UnsafePointer<Report>, _ k: Int) -> Int64 {
        UnsafeRawPointer(report).load(fromByteOffset: 8 + (k < 2 ? k + 2 : k + 4) * 8, as: Int64.self)
    }

    public static let incomplete: UInt32 = 1
    public static let cost: UInt32 = 2
    public static let worst: UInt32 = 4

    @inline(__always)
    var isSound: Bool {
        usage.isValid
            && UInt64(bitPattern: usage.inputTokens | usage.outputTokens) < UInt64(Bound.tokens)
            && UInt64(bitPattern: costNanos | units | usage.extraNanos) < UInt64(Bound.amount)
            && flags & ~7 == 0
    }
}

/// Two words of a key as one that is not 0; 0 = no key.
@inline(__always)
func mixed(_ key: (UInt64, UInt64)) -> UInt64 {
    if key.0 | key.1 == 0 { return 0 }
    let sum = (key.0 ^ (key.1 &* 0x9E37_79B9_7F4A_7C15)) &* 0xBF58_476D_1CE4_E5B9
    return (sum ^ (sum >> 31)) | 1
}

/// bursar_receipt_t.
public struct Receipt: Sendable {
    public var size = UInt32(MemoryLayout<Receipt>.size)
    public var flags: UInt32 = 0
    public var costNanos: Int64 = 0
    public var reservedNanos: Int64 = 0
    public var overrunNanos: Int64 = 0
    public var askedCostNanos: Int64 = 0
    public var model: Int32 = 0
    var reserved: UInt32 = 0

    public init() {}

    public static let overrun: UInt32 = 1
    public static let estimated: UInt32 = 2
    public static let replay: UInt32 = 4
    public static let late: UInt32 = 8
    public static let unpriced: UInt32 = 16
}

/// bursar_charge_t.
public struct DirectCharge: Sendable {
    public var size = UInt32(MemoryLayout<DirectCharge>.size)
    public var flags: UInt32 = 0
    public var nanos: Int64 = 0
    public var tool: Int32 = 0
    public var meter: Int32 = 0
    public var units: Int64 = 0
    public var key: (UInt64, UInt64) = (0, 0)

    public init() {}

    public static let force: UInt32 = 1
}
