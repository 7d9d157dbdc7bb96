// Prices of models and tools, and the names that steps pass as numbers.

internal import BursarCore

/// What a model costs; nil = as the class that it is part of, input or output.
public struct Rates: Sendable, Hashable {
    public var input: Rate
    public var output: Rate
    public var cacheRead: Rate?
    /// Kept for five minutes.
    public var cacheWrite: Rate?
    public var cacheWriteForOneHour: Rate?
    public var reasoning: Rate?
    public var perRequest: Money

    public init(
        input: Rate, output: Rate, cacheRead: Rate? = nil, cacheWrite: Rate? = nil,
        cacheWriteForOneHour: Rate? = nil, reasoning: Rate? = nil, perRequest: Money = .zero
    ) {
        self.input = input
        self.output = output
        self.cacheRead = cacheRead
        self.cacheWrite = cacheWrite
        self.cacheWriteForOneHour = cacheWriteForOneHour
        self.reasoning = reasoning
        self.perRequest = perRequest
    }

    init(_ rates: BursarCore.Rates) {
        func optional(_ picos: Int64) -> Rate? { picos < 0 ? nil : Rate(picosPerToken: picos) }
        input = Rate(picosPerToken: rates.inputPicos)
        output = Rate(picosPerToken: rates.outputPicos)
        cacheRead = optional(rates.cacheReadPicos)
        cacheWrite = optional(rates.cacheWritePicos)
        cacheWriteForOneHour = optional(rates.cacheWrite1hPicos)
        reasoning = optional(rates.reasoningPicos)
        perRequest = Money(nanos: rates.requestNanos)
    }

    var forCore: BursarCore.Rates {
        var rates = BursarCore.Rates()
        rates.inputPicos = input.picosPerToken
        rates.outputPicos = output.picosPerToken
        rates.cacheReadPicos = cacheRead?.picosPerToken ?? -1
        rates.cacheWritePicos = cacheWrite?.picosPerToken ?? -1
        rates.cacheWrite1hPicos = cacheWriteForOneHour?.picosPerToken ?? -1
        rates.reasoningPicos = reasoning?.picosPerToken ?? -1
        rates.requestNanos = perRequest.nanos
        return rates
    }
}

/// A price in whole pico-dollars per token.
public struct Rate: Sendable, Hashable {
    public var picosPerToken: Int64

    public init(picosPerToken: Int64) { self.picosPerToken = picosPerToken }

    /// Reads `$0.28/M`, `$0.28/k`, `$0.00000028/token`, exactly.
    public init(_ text: String) throws(BursarError) {
        picosPerToken = try reading(text) { (bytes) throws(LimitError) in
            try MoneyText.parseRate(bytes)
        }
    }
}

/// A price book that was loaded.
public struct LoadedPrices: Sendable, Hashable {
    /// How many models it has.
    public let models: Int
    /// What it has and a step's price cannot express, a line each.
    public let report: String
}

extension Runtime {
    // MARK: - Names

    /// Resolves a model's name once; a name without a known price is resolved too.
    public func model(_ name: String) throws(BursarError) -> Model {
        var text = name
        return try call { (runtime) throws(BursarCore.Failure) in
            let number = try text.withBytes { (bytes) throws(BursarCore.Failure) in
                try runtime.modelFind(bytes)
            }
            return Model(name: name, number: number)
        }
    }

    /// The model of a number; nil for 0.
    func model(number: Int32) throws(BursarError) -> Model? {
        try call { (runtime) throws(BursarCore.Failure) in Model(number, of: runtime) }
    }

    /// Resolves a tool's name once, and sets what one call costs, if that is given;
    /// at first a tool costs nothing.
    public func tool(_ name: String, price: Money? = nil) throws(BursarError) -> Tool {
        try call { (runtime) throws(BursarCore.Failure) in
            let number = try runtime.toolFind(name.bytes)
            if let price { try runtime.toolPriceSet(number, nanos: price.nanos) }
            return Tool(name: name, number: number)
        }
    }

    /// Names a meter of the program's own, `credits`, `gpu_seconds`, or finds it. At
    /// most 24 with those of `calls(tool)`.
    public func meter(_ name: String) throws(BursarError) -> Meter {
        try call { (runtime) throws(BursarCore.Failure) in
            Meter(rawValue: try runtime.meterDefine(name.bytes))
        }
    }

    /// Limit text as Bursar prints it back, or the error that it has.
    public func canonicalLimits(
        _ limits: String..., onSession: Bool = false
    ) throws(BursarError) -> String {
        try call { (runtime) throws(BursarCore.Failure) in
            String(
                bytes: try BursarCore.Runtime.canonicalLimits(
                    limits.list, onSession: onSession, of: runtime))
        }
    }

    // MARK: - Prices

    /// Overrides one model's prices, from now on.
    public func setPrice(of model: String, _ rates: Rates) throws(BursarError) {
        var text = model
        try call { (runtime) throws(BursarCore.Failure) in
            try text.withBytes { (bytes) throws(BursarCore.Failure) in
                try runtime.priceSet(bytes, rates.forCore)
            }
        }
    }

    /// The rates in force for a model's standard variant and lowest tier; nil = unknown.
    public func price(of model: Model) throws(BursarError) -> Rates? {
        try call { (runtime) throws(BursarCore.Failure) in
            runtime.priceGet(model.number).map(Rates.init)
        }
    }

    /// What `usage` costs on a model, half to even.
    ///
    /// - Throws: ``Failure/Code/price`` when that is unknown.
    public func quote(
        _ usage: Usage, on model: Model, variant: Variant = .standard
    ) throws(BursarError) -> Money {
        try call { (runtime) throws(BursarCore.Failure) in
            let nanos = try runtime.priceQuote(model.number, variant.rawValue, usage.forCore.usage)
            return Money(nanos: nanos)
        }
    }

    /// Loads a price book, all or nothing: LiteLLM's
    /// `model_prices_and_context_window.json` or Bursar's own format (docs/prices.md).
    ///
    /// - Throws: ``Failure/Code/price`` with line and column.
    @discardableResult
    public func loadPrices(_ json: some Sequence<UInt8>) throws(BursarError) -> LoadedPrices {
        let bytes = [UInt8](json)
        return try call { (runtime) throws(BursarCore.Failure) in
            let loaded = try bytes.withUnsafeBufferPointer { (bytes) throws(BursarCore.Failure) in
                try runtime.pricesLoad(bytes)
            }
            return LoadedPrices(models: loaded.models, report: String(bytes: loaded.report))
        }
    }
}

extension Model {
    init?(_ number: Int32, of runtime: BursarCore.Runtime) {
        guard let name = runtime.modelName(number) else { return nil }
        self.init(name: String(bytes: name), number: number)
    }
}

extension String {
    /// Its UTF-8, without a copy when it is native.
    fileprivate mutating func withBytes<T>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(BursarCore.Failure) -> T
    ) throws(BursarCore.Failure) -> T {
        var result: Result<T, BursarCore.Failure>?
        withUTF8 { bytes in
            do throws(BursarCore.Failure) {
                result = .success(try body(bytes))
            } catch {
                result = .failure(error)
            }
        }
        // Invariant: withUTF8 calls its body.
        return try result!.get()
    }
}
