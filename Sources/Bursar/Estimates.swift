// Tokens of an input before it is sent, learnt from what providers billed.

internal import BursarCore

/// What an input is made of.
public struct Content: RawRepresentable, Sendable, Hashable {
    public var rawValue: Int32
    /// 4 to 255 are the program's own, and begin as text.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Prose and code in ASCII.
    public static let text = Content(rawValue: 0)
    /// Text with many characters beyond ASCII.
    public static let wide = Content(rawValue: 1)
    /// Schemas, arguments, data.
    public static let json = Content(rawValue: 2)
    /// Its size is what a tokenizer of the program's own counted.
    public static let counted = Content(rawValue: 3)
}

/// An input's tokens: ``Session/estimate(_:bytes:fixedTokens:content:conversation:)``.
public struct Estimate: Sendable {
    var forCore: BursarCore.Estimate

    /// The likely number.
    public var tokens: Int { Int(forCore.tokens) }
    /// What to reserve: fewer than billed once in 400 inputs.
    public var tokensMax: Int { Int(forCore.tokensMax) }
}

/// How far off estimates were.
public struct EstimateError: Sendable, Hashable {
    public let steps: Int
    /// Those billed at more than was to be reserved.
    public let below: Int
    /// |tokens - billed| / billed that half, and 99 of 100, of the steps do not pass.
    public let median: Double
    public let p99: Double
    /// Billed, of all these inputs, and what was to be reserved for them.
    public let input: Int
    public let reserved: Int
}

extension Session {
    /// What `bytes` of text come to on a model, by what this runtime has learnt of it, of the kind
    /// of content and of this session's last input in the conversation.
    ///
    /// `fixedTokens`: at most, of what is no text. `conversation`: any number; inputs with the
    /// same one continue each other.
    public func estimate(
        _ model: Model, bytes: Int, fixedTokens: Int = 0, content: Content = .text,
        conversation: UInt64 = 0
    ) throws(BursarError) -> Estimate {
        try runtime.estimate(
            model, session: id, bytes: bytes, fixedTokens: fixedTokens, content: content,
            conversation: conversation)
    }
}

extension Runtime {
    func estimate(
        _ model: Model, session: Int64, bytes: Int, fixedTokens: Int, content: Content,
        conversation: UInt64
    ) throws(BursarError) -> Estimate {
        try call { (runtime) throws(BursarCore.Failure) in
            var asked = BursarCore.Estimate()
            asked.model = model.number
            asked.session = session
            asked.conversation = conversation
            asked.bytes = Int64(bytes)
            asked.fixedTokens = Int64(fixedTokens)
            asked.kind = content.rawValue
            try runtime.estimator.estimate(&asked)
            return Estimate(forCore: asked)
        }
    }

    /// What the provider billed for an input that was estimated. `granted`: where it is another
    /// model. Leave out answers without usage, and those for which the provider ran tools.
    public func learn(
        _ estimate: Estimate, input: Int, output: Int = 0, granted: Model? = nil
    ) throws(BursarError) {
        try call { (runtime) throws(BursarCore.Failure) in
            var asked = estimate.forCore
            if let granted, granted.number != asked.model {
                asked.model = granted.number
                asked.basis = 0
            }
            try runtime.estimator.learn(asked, input: Int64(input), output: Int64(output))
        }
    }

    /// How far off the estimates were since the runtime was opened, of one model and one kind of
    /// content; nil = all.
    public func estimateError(
        of model: Model? = nil, content: Content? = nil
    ) throws(BursarError) -> EstimateError {
        try call { (runtime) throws(BursarCore.Failure) in
            let told = runtime.estimator.error(model: model?.number ?? 0, kind: content?.rawValue ?? -1)
            return EstimateError(
                steps: Int(told.steps), below: Int(told.below),
                median: Double(told.medianPpm) / 1e6, p99: Double(told.p99Ppm) / 1e6,
                input: Int(told.inputTokens), reserved: Int(told.reservedTokens))
        }
    }
}
