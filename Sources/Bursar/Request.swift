// What a step asks for, and what it used.

internal import BursarCore

/// A step that is asked for: a call of a model or of a tool.
public struct Request: Sendable, Hashable {
    /// The model wanted; nil = the best of the ladder, or none for a tool.
    public var model: Model?
    /// A call of a tool: counts as one, at the tool's price.
    public var tool: Tool?
    /// Estimated input tokens, cached included.
    public var input: Int
    /// The estimate's upper end, for prices by context; 0 = `input`.
    public var inputUpper = 0
    /// The most output tokens wanted.
    public var maxOutput: Int
    /// The least that is useful; 0 = the smaller of `maxOutput` and 256.
    public var minOutput: Int
    /// Answers asked for.
    public var choices = 1
    /// Priced extras: hosted tools, charges by the unit.
    public var extra = Money.zero
    /// A named meter, with `units` of it.
    public var meter: Meter?
    public var units = 0
    public var variant = Variant.standard
    public var complexity = Complexity.unspecified
    /// The cache that the input may be written to.
    public var cacheWrite = CacheWrite.none
    /// Only held: ``Step/begin()`` before it goes out.
    public var isHeld = false
    /// ``Step/stream(output:)`` will be called; unsettled it is settled at what was seen.
    public var isStreamed = false
    /// The final answer: may use what the session holds back.
    public var isFinal = false
    /// This model or nothing: no rung below it.
    public var isAsAsked = false
    /// 0 = the first attempt; a retry says which.
    public var attempt = 0
    /// The reservation of the step that this one retries or belongs to.
    public var parent: Int64 = 0
    /// After this it is settled at an estimate; zero = as the runtime says.
    public var timeToLive = Duration.zero

    public enum CacheWrite: Sendable { case none, fiveMinutes, oneHour }

    /// A call of a model.
    public init(_ model: Model? = nil, input: Int, maxOutput: Int, minOutput: Int = 0) {
        self.model = model
        self.input = input
        self.maxOutput = maxOutput
        self.minOutput = minOutput
    }

    /// A call of a tool, or with `extra` of anything that has a price.
    public init(_ tool: Tool?, extra: Money = .zero) {
        self.init(input: 0, maxOutput: 0)
        self.tool = tool
        self.extra = extra
    }

    @inline(__always)
    var forCore: BursarCore.Request {
        var request = BursarCore.Request()
        request.model = model?.number ?? 0
        request.tool = tool?.number ?? 0
        request.input = Int64(input)
        request.inputUpper = Int64(inputUpper)
        request.maxOutput = Int64(maxOutput)
        request.minOutput = Int64(minOutput)
        request.extraNanos = extra.nanos
        request.units = Int64(units)
        request.meter = meter?.rawValue ?? 0
        // What does not fit is invalid there, and stays so.
        request.choices = Int32(exactly: choices) ?? -1
        request.variant = variant.rawValue
        request.complexity = complexity.rawValue
        request.attempt = Int32(exactly: attempt) ?? -1
        request.parent = parent
        request.timeToLive = timeToLive.nanoseconds
        request.flags =
            (isHeld ? BursarCore.Request.hold : 0)
            | (isStreamed ? BursarCore.Request.stream : 0)
            | (isFinal ? BursarCore.Request.final : 0)
            | (isAsAsked ? BursarCore.Request.asAsked : 0)
        switch cacheWrite {
        case .none: break
        case .fiveMinutes: request.flags |= BursarCore.Request.cacheWrite
        case .oneHour: request.flags |= BursarCore.Request.cacheWrite1h
        }
        return request
    }
}

/// What a step used, in tokens. The sub-classes are part of their whole: cache read and
/// write of input, reasoning of output.
public struct Usage: Sendable, Hashable {
    /// Cached included.
    public var input: Int
    /// Reasoning included.
    public var output: Int
    public var cacheRead: Int
    /// All that was written, for an hour included.
    public var cacheWrite: Int
    public var cacheWriteForOneHour: Int
    public var reasoning: Int
    public var audioInput = 0
    public var cacheReadAudioInput = 0
    public var audioOutput = 0
    public var imageInput = 0
    public var imageOutput = 0
    /// Priced extras that were used.
    public var extra = Money.zero
    /// What the provider billed: then nothing is priced.
    public var cost: Money?
    /// Of the request's named meter.
    public var units = 0
    /// The answer was cut off: settled at what was seen, never below.
    public var isIncomplete = false
    /// Settling again with this key answers with the first receipt.
    public var key: Key?
    private var isWorst = false

    public init(
        input: Int = 0, output: Int = 0, cacheRead: Int = 0, cacheWrite: Int = 0,
        cacheWriteForOneHour: Int = 0, reasoning: Int = 0
    ) {
        self.input = input
        self.output = output
        self.cacheRead = cacheRead
        self.cacheWrite = cacheWrite
        self.cacheWriteForOneHour = cacheWriteForOneHour
        self.reasoning = reasoning
    }

    /// Nothing is known: the full worst case, flagged as estimated.
    public static let worst: Usage = {
        var usage = Usage()
        usage.isWorst = true
        return usage
    }()

    /// The answer was cut off and nobody counted: what was streamed, flagged.
    public static let incomplete: Usage = {
        var usage = Usage()
        usage.isIncomplete = true
        return usage
    }()

    @inline(__always)
    var forCore: Report {
        var report = Report()
        report.usage.inputTokens = Int64(input)
        report.usage.outputTokens = Int64(output)
        report.usage.cacheReadInputTokens = Int64(cacheRead)
        report.usage.cacheWriteInputTokens = Int64(cacheWrite)
        report.usage.cacheWrite1hInputTokens = Int64(cacheWriteForOneHour)
        report.usage.reasoningOutputTokens = Int64(reasoning)
        report.usage.audioInputTokens = Int64(audioInput)
        report.usage.cacheReadAudioInputTokens = Int64(cacheReadAudioInput)
        report.usage.audioOutputTokens = Int64(audioOutput)
        report.usage.imageInputTokens = Int64(imageInput)
        report.usage.imageOutputTokens = Int64(imageOutput)
        report.usage.extraNanos = extra.nanos
        report.costNanos = cost?.nanos ?? 0
        report.units = Int64(units)
        if let key { report.key = (key.low, key.high) }
        report.flags =
            (isIncomplete ? Report.incomplete : 0) | (cost != nil ? Report.cost : 0)
            | (isWorst ? Report.worst : 0)
        return report
    }
}
