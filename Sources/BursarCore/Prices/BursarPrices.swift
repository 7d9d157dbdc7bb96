// Reads Bursar's own price file, `bursar-prices-1`: see docs/prices.md. Strict:
// a member that is not understood is an error, so that no price is lost to a typo.

internal import CPrices

struct BursarPrices {
    private var scanner: JSONScanner
    private(set) var entries: [PriceBook.Entry] = []
    private var names = NameTable()

    init(_ scanner: JSONScanner) { self.scanner = scanner }

    /// Reads what follows the first member, `format`.
    mutating func read() throws(Failure) {
        let version = try scanner.string()
        guard version.raw.equals("bursar-prices-1") else {
            throw scanner.failure("the format is not `bursar-prices-1`")
        }
        while let key = try scanner.nextMember() {
            if key.raw.equals("as_of") || key.raw.equals("source") {
                _ = try scanner.string()
            } else if key.raw.equals("models") {
                try scanner.enterObject()
                while let name = try scanner.nextMember() { try readModel(name) }
            } else {
                throw unknown(key, "expected as_of, source or models")
            }
        }
        try scanner.end()
    }

    /// One object, or an array of them by rising date.
    private mutating func readModel(_ key: JSONText) throws(Failure) {
        var entry = PriceBook.Entry(name: try newName(key))
        var aliases: [[UInt8]] = []
        if try scanner.kind() == .array {
            try scanner.enterArray()
            while try scanner.nextElement() {
                let start = try scanner.mark()
                let rows = try readSet(&aliases)
                if let last = entry.sets.last, rows[0].from_unix <= last[0].from_unix {
                    throw scanner.failure("prices of a model stand by rising `from`", at: start)
                }
                entry.sets.append(rows)
            }
            if entry.sets.isEmpty { throw scanner.failure("a model without prices") }
        } else {
            entry.sets = [try readSet(&aliases)]
        }
        entries.append(entry)
        for alias in aliases {
            entries.append(PriceBook.Entry(name: alias, aliasOf: entry.name))
        }
    }

    @inline(never)
    private mutating func newName(_ text: JSONText) throws(Failure) -> [UInt8] {
        let name = text.bytes
        guard !name.isEmpty, name.count <= ModelName.bytesMax else {
            throw scanner.failure("a model's name has 1 to 256 bytes")
        }
        let isNew = name.withUnsafeBufferPointer { bytes in
            if names.find(bytes) != 0 { return false }
            _ = names.insert(bytes)
            return true
        }
        guard isNew else { throw unknown(text, "this name stands twice in the file") }
        return name
    }

    private mutating func readSet(_ aliases: inout [[UInt8]]) throws(Failure) -> [PriceRow] {
        var draft = PriceDraft()
        let start = try scanner.mark()
        try scanner.enterObject()
        while let key = try scanner.nextMember() {
            if key.raw.equals("from") {
                draft.fromUnix = try date()
            } else if key.raw.equals("chat") {
                draft.chat = try scanner.word() == UInt8(ascii: "t")
            } else if key.raw.equals("aliases") {
                try scanner.enterArray()
                while try scanner.nextElement() {
                    aliases.append(try newName(try scanner.string()))
                }
            } else if let variant = BursarPrices.variant(key.raw) {
                try scanner.enterObject()
                while let inner = try scanner.nextMember() {
                    try readMember(inner, of: variant, into: &draft)
                }
            } else {
                try readMember(key, of: .standard, into: &draft)
            }
        }
        guard draft[.standard, 0, .input] != PriceRow.open,
            draft[.standard, 0, .output] != PriceRow.open
        else { throw scanner.failure("a model needs `input` and `output`", at: start) }
        return draft.finished()
    }

    @inline(never)
    private mutating func readMember(
        _ key: JSONText, of variant: Variant, into draft: inout PriceDraft
    ) throws(Failure) {
        guard key.raw.equals("tiers") else {
            return try readRate(key, of: variant, above: 0, into: &draft)
        }
        try scanner.enterArray()
        while try scanner.nextElement() {
            try scanner.enterObject()
            guard let first = try scanner.nextMember(), first.raw.equals("above") else {
                throw scanner.failure("a tier begins with `above`, a number of input tokens")
            }
            let number = try scanner.number()
            guard number.first != UInt8(ascii: "-"),
                let (above, isExact) = Decimal.scaled(number, by: 0), isExact, above > 0
            else { throw scanner.failure("`above` is a whole number above 0") }
            while let inner = try scanner.nextMember() {
                try readRate(inner, of: variant, above: above, into: &draft)
            }
        }
    }

    private mutating func readRate(
        _ key: JSONText, of variant: Variant, above: Int64, into draft: inout PriceDraft
    ) throws(Failure) {
        guard let rate = BursarPrices.rates.first(where: { key.raw.equals($0.0) })?.1 else {
            throw unknown(key, "not a class of tokens; see docs/prices.md")
        }
        let start = try scanner.mark()
        let text = try scanner.string().raw
        let value: Int64
        do throws(LimitError) {
            value = rate == .request ? try MoneyText.parse(text) : try MoneyText.parseRate(text)
        } catch {
            // Its own place counts from the quote; the file's is told instead.
            throw scanner.failure(
                [UInt8](error.sentence.drop { $0 != UInt8(ascii: ":") }.dropFirst(2)),
                at: start + Int(error.column))
        }
        guard rate == .request || value <= Rate.max else {
            throw scanner.failure("above $1,000 per token", at: start)
        }
        draft[variant, above, rate] = value
    }

    /// Unix seconds of "2026-10-01", at midnight UTC.
    private mutating func date() throws(Failure) -> Int64 {
        let start = try scanner.mark()
        let text = try scanner.string().raw
        guard text.count == 10, text[4] == UInt8(ascii: "-"), text[7] == UInt8(ascii: "-"),
            let year = Decimal.scaled(text.prefix(bytes: 4), by: 0)?.value,
            let month = Decimal.scaled(text.dropping(5).prefix(bytes: 2), by: 0)?.value,
            let day = Decimal.scaled(text.dropping(8), by: 0)?.value,
            year >= 1970, month >= 1, month <= 12, day >= 1
        else { throw scanner.failure("a date is written 2026-10-01, from 1970 on", at: start) }
        let days = CivilDate.days(year: year, month: month, day: day)
        guard CivilDate(daysSince1970: days).day == day else {
            throw scanner.failure("this month has no such day", at: start)
        }
        return days * 86_400
    }

    private func unknown(_ key: JSONText, _ sentence: Sentence) -> Failure {
        let name: Sentence = "\(key.bytes): "
        return scanner.failure((name + sentence).bytes)
    }

    private static func variant(_ name: UnsafeBufferPointer<UInt8>) -> Variant? {
        if name.equals("batch") { return .batch }
        if name.equals("flex") { return .flex }
        return name.equals("priority") ? .priority : nil
    }

    private static let rates: [(StaticString, RateClass)] = [
        ("input", .input), ("output", .output), ("cache_read", .cacheRead),
        ("cache_write", .cacheWrite), ("cache_write_1h", .cacheWrite1h), ("reasoning", .reasoning),
        ("audio_input", .audioInput), ("cache_read_audio_input", .cacheReadAudioInput),
        ("audio_output", .audioOutput), ("image_input", .imageInput),
        ("image_output", .imageOutput), ("request", .request),
    ]
}
