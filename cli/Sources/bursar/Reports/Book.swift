// Prices as this command knows them: those built in, and files that it is given. A private
// runtime of its own, because a home keeps no prices of models.

import ArgumentParser
import CBursar

/// `--prices`, on commands that reckon with prices.
struct PriceOptions: ParsableArguments {
    @Option(
        name: .customLong("prices"),
        help: ArgumentHelp(
            "A price file on top of the built-in prices: LiteLLM's JSON or bursar-prices-1.",
            valueName: "file"), completion: Completion.file)
    var files: [String] = []

    func book() throws -> Book {
        let book = try Book()
        for file in files { _ = try book.load(file) }
        return book
    }
}

/// What a step used, by class: docs/prices.md.
struct Usage {
    var input: Int64 = 0
    var cacheRead: Int64 = 0
    var cacheWrite: Int64 = 0
    var cacheWrite1h: Int64 = 0
    var output: Int64 = 0
    var reasoning: Int64 = 0
    var audioInput: Int64 = 0
    var cacheReadAudio: Int64 = 0
    var audioOutput: Int64 = 0
    var imageInput: Int64 = 0
    var imageOutput: Int64 = 0

    /// The columns of v_steps, in the order of `init(_:at:)`.
    static let columns = """
        input_tokens, cache_read_input_tokens, cache_write_input_tokens, cache_write_1h_input_tokens, output_tokens, \
        reasoning_output_tokens, audio_input_tokens, cache_read_audio_input_tokens, audio_output_tokens, \
        image_input_tokens, image_output_tokens
        """
    static let count = 11

    init() {}

    init(_ row: Row, at first: Int) {
        input = row.int(first)
        cacheRead = row.int(first + 1)
        cacheWrite = row.int(first + 2)
        cacheWrite1h = row.int(first + 3)
        output = row.int(first + 4)
        reasoning = row.int(first + 5)
        audioInput = row.int(first + 6)
        cacheReadAudio = row.int(first + 7)
        audioOutput = row.int(first + 8)
        imageInput = row.int(first + 9)
        imageOutput = row.int(first + 10)
    }
}

final class Book {
    let runtime: OpaquePointer
    private var models: [String: bursar_model_t] = [:]

    init() throws {
        var opened: OpaquePointer?
        var error = bursar_error_t.new
        guard bursar_open(nil, &opened, &error) == BURSAR_OK, let opened else {
            throw Failure(error)
        }
        runtime = opened
    }

    deinit { bursar_close(runtime) }

    /// Loads a price file, and returns how many models it has and what of it cannot be expressed, a line each.
    func load(_ path: String) throws -> (models: Int32, report: String) {
        let bytes = try contents(of: path)
        var error = bursar_error_t.new
        var count: Int32 = 0
        var report = [CChar](repeating: 0, count: 1 << 20)
        var length = 0
        let status = bytes.withUnsafeBytes { bytes in
            bursar_prices_load(
                runtime, bytes.bindMemory(to: CChar.self).baseAddress ?? emptyText, bytes.count,
                &report, report.count,
                &length, &count, &error)
        }
        if status != BURSAR_OK, status != BURSAR_E_BUFFER {
            let place = error.line > 0 ? " line \(error.line), column \(error.column):" : ""
            throw Failure("\(path.visible):\(place) \(Failure(error).description)", Code.of(status))
        }
        models = [:]
        let written = report.prefix(min(length, report.count)).map { UInt8(bitPattern: $0) }
        return (count, String(decoding: written.prefix { $0 != 0 }, as: UTF8.self))
    }

    func model(_ name: String) throws -> bursar_model_t {
        if let known = models[name] { return known }
        if name.isEmpty { throw Failure("a model's name is empty: say one such as gpt-4o", Code.text) }
        var id: bursar_model_t = 0
        let status = name.withText { bursar_model_find(runtime, $0.data ?? emptyText, $0.len, &id) }
        if status != BURSAR_OK { throw Failure(status, "the model \(name.named)") }
        models[name] = id
        return id
    }

    /// Of the standard variant and lowest tier; nothing when no price is known.
    func rates(_ name: String) throws -> bursar_rates_t? {
        var rates = bursar_rates_t()
        rates.size = UInt32(MemoryLayout<bursar_rates_t>.size)
        let status = bursar_price_get(runtime, try model(name), &rates)
        if status == BURSAR_E_PRICE { return nil }
        if status != BURSAR_OK { throw Failure(status, "the price of \(name.named)") }
        return rates
    }

    /// What a step costs, in nano-dollars; nothing when no price is known, or the usage is none.
    func quote(_ name: String, _ variant: Int32, _ usage: Usage) throws -> Int64? {
        var given = bursar_usage_t()
        given.size = UInt32(MemoryLayout<bursar_usage_t>.size)
        given.input_tokens = usage.input
        given.cache_read_input_tokens = usage.cacheRead
        given.cache_write_input_tokens = usage.cacheWrite
        given.cache_write_1h_input_tokens = usage.cacheWrite1h
        given.output_tokens = usage.output
        given.reasoning_output_tokens = usage.reasoning
        given.audio_input_tokens = usage.audioInput
        given.cache_read_audio_input_tokens = usage.cacheReadAudio
        given.audio_output_tokens = usage.audioOutput
        given.image_input_tokens = usage.imageInput
        given.image_output_tokens = usage.imageOutput
        var nanos: Int64 = 0
        return bursar_price_quote(runtime, try model(name), variant, &given, &nanos) == BURSAR_OK
            ? nanos : nil
    }

    static func variant(_ word: String?) -> Int32 {
        switch word {
        case "batch": BURSAR_VARIANT_BATCH
        case "flex": BURSAR_VARIANT_FLEX
        case "priority": BURSAR_VARIANT_PRIORITY
        default: BURSAR_VARIANT_STANDARD
        }
    }
}
