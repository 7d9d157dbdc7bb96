// Reads LiteLLM's model_prices_and_context_window.json: a flat map of models to
// fields, prices in dollars per token. docs/prices.md says which fields become
// which class; whatever else costs something is listed in the report.

internal import CPrices

struct LiteLLMPrices {
    private var scanner: JSONScanner
    private(set) var entries: [PriceBook.Entry] = []
    /// A line for each price that no class of tokens expresses.
    private(set) var report: [UInt8] = []

    // The model being read.
    private var name: [UInt8] = []
    private var draft = PriceDraft()
    private var cacheHit = PriceRow.open
    private var hasOther = false

    private struct Field {
        var rate: RateClass
        var variant = Variant.standard
        var above: Int64 = 0
    }

    init(_ scanner: JSONScanner) { self.scanner = scanner }

    /// Reads from the first member on; `first` is its name.
    mutating func read(first: JSONText?) throws(Failure) {
        var next = first
        while let key = next {
            if key.raw.equals("format") {
                guard try scanner.kind() == .object else {
                    throw scanner.failure("`format` must be the first member")
                }
            }
            if key.raw.equals("sample_spec") {
                try scanner.skip()
            } else {
                name = key.bytes
                guard !name.isEmpty, name.count <= ModelName.bytesMax else {
                    throw scanner.failure("a model's name has 1 to 256 bytes")
                }
                try readModel()
            }
            next = try scanner.nextMember()
        }
        try scanner.end()
    }

    private mutating func readModel() throws(Failure) {
        draft = PriceDraft()
        draft.chat = false
        cacheHit = PriceRow.open
        hasOther = false
        var isMeasure = false  // answers with numbers, not with tokens
        try scanner.enterObject()
        while let key = try scanner.nextMember() {
            if key.raw.equals("mode"), try scanner.kind() == .string {
                let mode = try scanner.string().raw
                draft.chat =
                    mode.equals("chat") || mode.equals("completion") || mode.equals("responses")
                isMeasure =
                    mode.equals("embedding") || mode.equals("rerank") || mode.equals("moderation")
            } else if key.raw.equals("tiered_pricing"), try scanner.kind() == .array {
                try scanner.enterArray()
                while try scanner.nextElement() { try readTier() }
            } else if LiteLLMPrices.isPrice(key.raw) {
                try readPrice(key.raw, above: 0)
            } else {
                try scanner.skip()
            }
        }
        finish(isMeasure: isMeasure)
    }

    private static func isPrice(_ field: UnsafeBufferPointer<UInt8>) -> Bool {
        field.contains("cost") || field.contains("pric")
    }

    private mutating func finish(isMeasure: Bool) {
        if draft[.standard, 0, .cacheRead] == PriceRow.open, cacheHit != PriceRow.open {
            draft[.standard, 0, .cacheRead] = cacheHit
        }
        let input = draft[.standard, 0, .input]
        if input > 0 { draft.dropFreeCacheWrites() }
        if draft[.standard, 0, .output] == PriceRow.open {
            let made = max(draft[.standard, 0, .imageOutput], draft[.standard, 0, .audioOutput])
            draft[.standard, 0, .output] = isMeasure ? max(made, 0) : made
        }
        guard input != PriceRow.open, draft[.standard, 0, .output] != PriceRow.open else {
            if hasOther || !draft.isBlank {
                note("not loaded: no price per token of input and output")
            }
            return
        }
        let rows = draft.finished()
        guard !hasOther || rows.contains(where: { !$0.isFree }) else {
            note("not loaded: its price is not per token")
            return
        }
        entries.append(PriceBook.Entry(name: name, sets: [rows]))
    }

    /// One object of `tiered_pricing`: its `range` may stand behind its prices.
    private mutating func readTier() throws(Failure) {
        var above: Int64?
        var look = scanner
        try look.enterObject()
        while let key = try look.nextMember() {
            guard key.raw.equals("range"), try look.kind() == .array else {
                try look.skip()
                continue
            }
            try look.enterArray()
            while try look.nextElement() {
                let number = try look.number()
                if above == nil {
                    guard number[0] != UInt8(ascii: "-"),
                        let (tokens, isExact) = Decimal.scaled(number, by: 0), isExact
                    else { throw look.failure("a range begins with a whole number of tokens") }
                    above = tokens
                }
            }
        }
        guard let above else {
            hasOther = true
            note("tiered_pricing without a range of tokens")
            scanner = look
            return
        }
        try scanner.enterObject()
        while let key = try scanner.nextMember() {
            if LiteLLMPrices.isPrice(key.raw) {
                try readPrice(key.raw, above: above)
            } else {
                try scanner.skip()
            }
        }
    }

    private mutating func readPrice(
        _ field: UnsafeBufferPointer<UInt8>, above: Int64
    ) throws(Failure) {
        switch try scanner.kind() {
        case .word:
            _ = try scanner.word()
            return
        case .object, .array, .string:
            try scanner.skip()
            hasOther = true
            note(field, "is not a price per token")
            return
        case .number: break
        }
        let start = try scanner.mark()
        let number = try scanner.number()
        let isHit = field.equals("input_cost_per_token_cache_hit")
        guard let found = isHit ? Field(rate: .cacheRead) : LiteLLMPrices.field(field) else {
            if Decimal.scaled(
                number.first == UInt8(ascii: "-") ? number.dropping(1) : number, by: 0)?.value != 0
            {
                hasOther = true
                note(field, "is not a price per token")
            }
            return
        }
        guard number.first != UInt8(ascii: "-"),
            let (value, isExact) = Decimal.scaled(number, by: found.rate == .request ? 9 : 12),
            value <= Rate.max
        else { throw scanner.failure("a price is 0 to $1,000 per token", at: start) }
        if !isExact { note(field, "was rounded up to a whole pico-dollar") }
        if isHit {
            cacheHit = value
        } else {
            draft[found.variant, max(found.above, above), found.rate] = value
        }
    }

    // MARK: - Fields

    private static let bases: [(StaticString, RateClass)] = [
        ("input_cost_per_token", .input),
        ("output_cost_per_token", .output),
        ("cache_read_input_token_cost", .cacheRead),
        ("cache_creation_input_token_cost", .cacheWrite),
        ("output_cost_per_reasoning_token", .reasoning),
        ("input_cost_per_audio_token", .audioInput),
        ("cache_read_input_audio_token_cost", .cacheReadAudioInput),
        ("output_cost_per_audio_token", .audioOutput),
        ("input_cost_per_image_token", .imageInput),
        ("output_cost_per_image_token", .imageOutput),
        ("input_cost_per_request", .request),
    ]

    /// A base, then in this order `_above_1hr`, `_above_200k_tokens`, and `_batches`, `_flex` or `_priority`.
    private static func field(_ text: UnsafeBufferPointer<UInt8>) -> Field? {
        for (base, rate) in bases where text.hasPrefix(base) {
            var field = Field(rate: rate)
            var rest = text.dropping(base.utf8CodeUnitCount)
            if rate == .cacheWrite, rest.hasPrefix("_above_1hr") {
                field.rate = .cacheWrite1h
                rest = rest.dropping(10)
            }
            if rest.hasPrefix("_above_") {
                let digits = rest.dropping(7)
                guard let end = digits.firstIndex(where: { !Decimal.isDigit($0) }), end > 0,
                    digits.dropping(end).hasPrefix("k_tokens"),
                    let (tokens, _) = Decimal.scaled(digits.prefix(bytes: end), by: 3)
                else { return nil }
                field.above = tokens
                rest = digits.dropping(end + 8)
            }
            if rest.equals("_batches") {
                field.variant = .batch
            } else if rest.equals("_flex") {
                field.variant = .flex
            } else if rest.equals("_priority") {
                field.variant = .priority
            } else if !rest.isEmpty {
                return nil
            }
            return field
        }
        return nil
    }

    // MARK: - Report

    private mutating func note(_ sentence: StaticString) {
        report.append(contentsOf: name)
        report.append(": ")
        report.append(sentence)
        report.append("\n")
    }

    private mutating func note(_ field: UnsafeBufferPointer<UInt8>, _ sentence: StaticString) {
        report.append(contentsOf: name)
        report.append(": ")
        report.append(contentsOf: field)
        report.append(" ")
        report.append(sentence)
        report.append("\n")
    }
}
