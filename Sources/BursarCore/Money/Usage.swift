// What a step uses and what it may use at most: the inputs of pricing.

/// How a provider is asked to run a step; the header's numbers.
public enum Variant: Int32, Sendable {
    case standard, batch, flex, priority
}

/// Which cache the input of a request may be written to.
public enum CacheWrite: Int32, Sendable {
    case none, fiveMinutes, oneHour
}

/// Tokens by class. Sub-classes are part of their whole: `cacheRead…` and
/// `cacheWrite…` of input, `cacheWrite1h…` of `cacheWrite…`, audio and image
/// input of input, reasoning, audio and image output of output.
public struct Usage: Equatable, Sendable {
    public var inputTokens: Int64 = 0
    public var cacheReadInputTokens: Int64 = 0
    public var cacheWriteInputTokens: Int64 = 0
    public var cacheWrite1hInputTokens: Int64 = 0
    public var outputTokens: Int64 = 0
    public var reasoningOutputTokens: Int64 = 0
    public var audioInputTokens: Int64 = 0
    public var cacheReadAudioInputTokens: Int64 = 0
    public var audioOutputTokens: Int64 = 0
    public var imageInputTokens: Int64 = 0
    public var imageOutputTokens: Int64 = 0
    /// Priced extras that were used, in nano-dollars.
    public var extraNanos: Int64 = 0

    public init() {}

    /// What most steps have none of: any of its bits is set when there is something.
    @inline(__always)
    var rare: Int64 {
        cacheWriteInputTokens | audioInputTokens | audioOutputTokens | imageInputTokens
            | imageOutputTokens | extraNanos
    }

    /// How many amounts that are, and all of them in one number that tells others apart.
    static let rareCount = 8
    @inline(__always)
    static func mixed(_ amount: (Int) -> Int64) -> Int64 {
        var h: UInt64 = 0xcbf2_9ce4_8422_2325
        for k in 0..<rareCount {
            h = (h ^ UInt64(bitPattern: amount(k))) &* 0x9E37_79B9_7F4A_7C15
            h ^= h >> 29
        }
        return Int64(bitPattern: h | 1)
    }

    /// Whether nothing is negative and no sub-class is above its whole. Cached
    /// and written input exclude each other; so do the kinds of output, and
    /// audio and image input.
    @inline(__always)
    public var isValid: Bool {
        // A negative term shows in the sign of the bitwise or.
        let signs =
            inputTokens | cacheReadInputTokens | cacheWriteInputTokens
            | cacheWrite1hInputTokens | outputTokens | reasoningOutputTokens
            | audioInputTokens | cacheReadAudioInputTokens | audioOutputTokens
            | imageInputTokens | imageOutputTokens | extraNanos
        guard signs >= 0 else { return false }
        // Differences of values that are not negative cannot overflow.
        return cacheReadInputTokens <= inputTokens
            && cacheWriteInputTokens <= inputTokens &- cacheReadInputTokens
            && cacheWrite1hInputTokens <= cacheWriteInputTokens
            && audioInputTokens <= inputTokens
            && imageInputTokens <= inputTokens &- audioInputTokens
            && cacheReadAudioInputTokens <= audioInputTokens
            && cacheReadAudioInputTokens <= cacheReadInputTokens
            && reasoningOutputTokens <= outputTokens
            && audioOutputTokens <= outputTokens &- reasoningOutputTokens
            && imageOutputTokens
                <= outputTokens &- reasoningOutputTokens &- audioOutputTokens
    }
}

/// What a request may use at most, but for its output. Nothing negative.
public struct StepEstimate: Sendable {
    public var inputTokens: Int64 = 0
    /// The estimate's upper end; below `inputTokens` it counts as `inputTokens`.
    public var inputTokensUpper: Int64 = 0
    /// Answers asked for, at least 1.
    public var choices: Int32 = 1
    public var variant = Variant.standard
    public var cacheWrite = CacheWrite.none
    /// Priced extras, in nano-dollars.
    public var extraNanos: Int64 = 0

    public init() {}
}
