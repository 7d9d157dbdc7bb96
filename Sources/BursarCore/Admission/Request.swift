// What a step asks for and what it is told: plain values, the header's fields.

/// A step, as asked. Every amount is checked by `obstacle()` before it is used.
public struct Request {
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

/// The answer. The header explains every field.
public struct Decision {
    public var verdict = Verdict.allow
    public var reason = Reason.none
    public var remedy = Remedy.none
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

    public init() {}

    static let transient: UInt32 = 1
    static let clamped: UInt32 = 2
    static let lowerRung: UInt32 = 4
    static let unpriced: UInt32 = 8
    static let observed: UInt32 = 16
    static let undeclared: UInt32 = 32
    static let downgrading: UInt32 = 64
}
