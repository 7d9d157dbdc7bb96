// Prices on their way into the book: rows with open classes, and how they close.
//
// 1. A class that a tier or variant does not name has the larger of its rates in
//    the tier below and, in a variant, in the standard variant's same tier.
// 2. What is named nowhere has the rate of its whole: cache read and write,
//    audio and image input as input; reasoning, audio and image output as
//    output; the 1-hour cache write as the other; cached audio as audio where
//    that is named, otherwise as cache read.
// 3. A variant has every tier that the standard variant has.

internal import CPrices

/// The classes that a row has a rate for.
enum RateClass: UInt8 {
    case input, output, cacheRead, cacheWrite, cacheWrite1h, reasoning
    case audioInput, cacheReadAudioInput, audioOutput, imageInput, imageOutput, request

    static let count: UInt8 = 12
    static func each(_ body: (RateClass) -> Void) {
        for raw in 0..<count { if let c = RateClass(rawValue: raw) { body(c) } }
    }
}

extension PriceRow {
    static let open: Int64 = -1

    /// A row in which no class is named.
    static func blank(_ variant: Variant, above: Int64) -> PriceRow {
        var row = PriceRow()
        RateClass.each { row[$0] = open }
        row.above = above
        row.variant = UInt16(variant.rawValue)
        return row
    }

    @inline(never)
    subscript(_ c: RateClass) -> Int64 {
        get {
            switch c {
            case .input: input
            case .output: output
            case .cacheRead: cache_read
            case .cacheWrite: cache_write
            case .cacheWrite1h: cache_write_1h
            case .reasoning: reasoning
            case .audioInput: audio_input
            case .cacheReadAudioInput: cache_read_audio_input
            case .audioOutput: audio_output
            case .imageInput: image_input
            case .imageOutput: image_output
            case .request: request_nanos
            }
        }
        set {
            switch c {
            case .input: input = newValue
            case .output: output = newValue
            case .cacheRead: cache_read = newValue
            case .cacheWrite: cache_write = newValue
            case .cacheWrite1h: cache_write_1h = newValue
            case .reasoning: reasoning = newValue
            case .audioInput: audio_input = newValue
            case .cacheReadAudioInput: cache_read_audio_input = newValue
            case .audioOutput: audio_output = newValue
            case .imageInput: image_input = newValue
            case .imageOutput: image_output = newValue
            case .request: request_nanos = newValue
            }
        }
    }

    var isFree: Bool {
        var sum: Int64 = 0
        RateClass.each { sum |= self[$0] }
        return sum == 0
    }

    /// Gives what is open the rate of its whole.
    mutating func close() {
        func fill(_ c: RateClass, _ rate: Int64) { if self[c] == PriceRow.open { self[c] = rate } }
        fill(.cacheRead, input)
        fill(.cacheWrite, input)
        fill(.cacheWrite1h, cache_write)
        fill(.reasoning, output)
        fill(.cacheReadAudioInput, audio_input == PriceRow.open ? cache_read : audio_input)
        fill(.audioInput, input)
        fill(.imageInput, input)
        fill(.audioOutput, output)
        fill(.imageOutput, output)
        fill(.request, 0)
    }
}

/// One model's prices at one date, being read.
struct PriceDraft {
    private(set) var rows: [PriceRow] = []
    var fromUnix: Int64 = 0
    var chat = true

    /// The rate of a class, `PriceRow.open` where it was not named.
    subscript(_ variant: Variant, _ above: Int64, _ c: RateClass) -> Int64 {
        get {
            for row in rows where row.variant == UInt16(variant.rawValue) && row.above == above {
                return row[c]
            }
            return PriceRow.open
        }
        set {
            for i in rows.indices
            where rows[i].variant == UInt16(variant.rawValue) && rows[i].above == above {
                rows[i][c] = newValue
                return
            }
            var row = PriceRow.blank(variant, above: above)
            row[c] = newValue
            rows.append(row)
        }
    }

    var isBlank: Bool { rows.isEmpty }

    /// Opens cache writes at 0: in a source that means that they are not charged extra.
    mutating func dropFreeCacheWrites() {
        for i in rows.indices {
            if rows[i].cache_write == 0 { rows[i].cache_write = PriceRow.open }
            if rows[i].cache_write_1h == 0 { rows[i].cache_write_1h = PriceRow.open }
        }
    }

    /// The set's rows, closed, sorted and linked. The standard variant's lowest
    /// tier must name input and output.
    func finished() -> [PriceRow] {
        var set = tiers(of: .standard, standard: [])
        let standard = set
        var starts: [UInt16] = [0, 0, 0, 0]
        for variant in [Variant.batch, .flex, .priority] where has(variant) {
            starts[Int(variant.rawValue)] = UInt16(set.count)
            set += tiers(of: variant, standard: standard)
        }
        for i in set.indices {
            set[i].close()
            set[i].from_unix = fromUnix
            set[i].chat = chat ? 1 : 0
            let next = i + 1
            set[i].next_tier = next < set.count && set[next].variant == set[i].variant ? 1 : 0
        }
        set[0].batch = starts[1]
        set[0].flex = starts[2]
        set[0].priority = starts[3]
        set[0].rows = UInt16(set.count)
        return set
    }

    private func has(_ variant: Variant) -> Bool {
        rows.contains { $0.variant == UInt16(variant.rawValue) }
    }

    /// A variant's tiers by rising threshold, with what they take over (rule 1).
    private func tiers(of variant: Variant, standard: [PriceRow]) -> [PriceRow] {
        var result: [PriceRow] = []
        func add(_ row: PriceRow) {
            for (i, other) in result.enumerated() {
                if row.above == other.above { return }
                if row.above < other.above {
                    result.insert(row, at: i)
                    return
                }
            }
            result.append(row)
        }
        for row in rows where row.variant == UInt16(variant.rawValue) { add(row) }
        for row in standard { add(.blank(variant, above: row.above)) }
        for i in result.indices {
            let below = i > 0 ? result[i - 1] : nil
            var beside: PriceRow?
            for row in standard where row.above <= result[i].above { beside = row }
            RateClass.each { c in
                guard result[i][c] == PriceRow.open else { return }
                result[i][c] = max(below?[c] ?? PriceRow.open, beside?[c] ?? PriceRow.open)
            }
        }
        return result
    }
}
