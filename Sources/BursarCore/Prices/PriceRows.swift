// Pricing: what usage costs, and what a request may cost at most.
//
// Rates are pico-dollars per token and at most `Rate.max`, so that every sum
// here stays far inside 128 bits: two products below 2^63 * 2^50, and amounts
// below 2^63 * 1000. There is one division per price, by 1,000.

internal import CPrices

typealias PriceRow = bursar__price_row

/// A rate's bounds, in pico-dollars per token.
public enum Rate {
    /// $1,000 per token.
    public static let max: Int64 = 1_000_000_000_000_000
}

/// One model's prices at one date: immutable, never freed while its book lives.
public struct PriceRows {
    let first: UnsafePointer<PriceRow>

    @inline(__always)
    init(_ first: UnsafePointer<PriceRow>) { self.first = first }

    /// The first tier of a variant; a variant without prices is as standard.
    @inline(__always)
    func base(_ variant: Variant) -> UnsafePointer<PriceRow> {
        switch variant {
        case .standard: first
        case .batch: first + Int(first.pointee.batch)
        case .flex: first + Int(first.pointee.flex)
        case .priority: first + Int(first.pointee.priority)
        }
    }

    /// The row for a request: the whole of it is priced by the tier that its
    /// total input falls into.
    @inline(__always)
    func row(_ variant: Variant, inputTokens: Int64) -> UnsafePointer<PriceRow> {
        var row = base(variant)
        while row.pointee.next_tier != 0, inputTokens > row[1].above { row += 1 }
        return row
    }

    /// What `usage` costs in nano-dollars, half to even; nil when that is more
    /// than Int64 holds. `usage` must be valid: of another the price is
    /// meaningless.
    ///
    /// Cached tokens are taken as text, unless `usage` says that they are audio
    /// or there are more audio and image tokens than fit beside them.
    @inline(__always)
    public func cost(_ usage: Usage, variant: Variant) -> Int64? {
        let row = row(variant, inputTokens: usage.inputTokens)
        return PriceRows.nanos(rounding: PriceRows.picos(usage, row), halfToEven: true)
    }

    @inline(__always)
    private static func picos(_ usage: Usage, _ row: UnsafePointer<PriceRow>) -> Int128 {
        let read = usage.cacheReadInputTokens
        let written = usage.cacheWriteInputTokens
        var fresh = usage.inputTokens &- read &- written
        var output = usage.outputTokens
        var sum = amount(usage.extraNanos, 1000) &+ amount(row.pointee.request_nanos, 1000)

        if usage.audioInputTokens | usage.imageInputTokens | usage.cacheReadAudioInputTokens != 0 {
            let readAudio = usage.cacheReadAudioInputTokens
            let audio = min(usage.audioInputTokens &- readAudio, fresh)
            let image = min(usage.imageInputTokens, fresh &- audio)
            fresh = fresh &- audio &- image
            sum =
                sum &+ amount(audio, row.pointee.audio_input)
                &+ amount(image, row.pointee.image_input)
                &+ amount(readAudio, row.pointee.cache_read_audio_input)
                &+ amount(read &- readAudio, row.pointee.cache_read)
        } else {
            sum = sum &+ amount(read, row.pointee.cache_read)
        }
        if written != 0 {
            let hour = usage.cacheWrite1hInputTokens
            sum =
                sum &+ amount(written &- hour, row.pointee.cache_write)
                &+ amount(hour, row.pointee.cache_write_1h)
        }
        if usage.audioOutputTokens | usage.imageOutputTokens != 0 {
            sum =
                sum &+ amount(usage.audioOutputTokens, row.pointee.audio_output)
                &+ amount(usage.imageOutputTokens, row.pointee.image_output)
            output = output &- usage.audioOutputTokens &- usage.imageOutputTokens
        }
        let reasoning = usage.reasoningOutputTokens
        return sum &+ amount(fresh, row.pointee.input)
            &+ amount(output &- reasoning, row.pointee.output)
            &+ amount(reasoning, row.pointee.reasoning)
    }

    @inline(__always)
    static func amount(_ tokens: Int64, _ rate: Int64) -> Int128 {
        Int128(tokens) &* Int128(rate)
    }

    /// Pico-dollars to nano-dollars, half to even or up; nil above Int64.
    @inline(__always)
    static func nanos(rounding picos: Int128, halfToEven: Bool) -> Int64? {
        var quotient: UInt64
        let remainder: UInt64
        if picos >> 64 == 0 {
            (quotient, remainder) = UInt64(truncatingIfNeeded: picos)
                .quotientAndRemainder(dividingBy: 1000)
        } else {
            guard picos > 0, picos < Int128(Int64.max) &* 1000 else { return nil }
            let (q, r) = picos.quotientAndRemainder(dividingBy: 1000)
            (quotient, remainder) = (UInt64(truncatingIfNeeded: q), UInt64(truncatingIfNeeded: r))
        }
        if halfToEven {
            if remainder > 500 || (remainder == 500 && quotient & 1 == 1) { quotient &+= 1 }
        } else if remainder != 0 {
            quotient &+= 1
        }
        return Int64(exactly: quotient)
    }

    /// What a request may cost at most; nil when its numbers are negative or so
    /// large that no price could be told.
    ///
    /// Input is priced at the dearest class that it may become (uncached, read
    /// from a cache, and where asked for written to one), output at the dearer of text and
    /// reasoning, each at the dearest tier that input up to the estimate's upper
    /// end falls into. So usage within the estimate, without audio and images,
    /// never costs more.
    @inline(__always)
    public func worstCase(_ estimate: StepEstimate) -> WorstCase? {
        let upper = max(estimate.inputTokens, estimate.inputTokensUpper)
        guard estimate.inputTokens >= 0, estimate.extraNanos >= 0, estimate.choices > 0 else {
            return nil
        }
        var row = base(estimate.variant)
        var input = PriceRows.input(row, estimate.cacheWrite)
        var output = max(row.pointee.output, row.pointee.reasoning)
        var request = row.pointee.request_nanos
        while row.pointee.next_tier != 0, upper > row[1].above {
            row += 1
            input = max(input, PriceRows.input(row, estimate.cacheWrite))
            output = max(output, row.pointee.output, row.pointee.reasoning)
            request = max(request, row.pointee.request_nanos)
        }
        let (perToken, overflow) = output.multipliedReportingOverflow(
            by: Int64(estimate.choices))
        guard !overflow else { return nil }
        let fixed =
            PriceRows.amount(upper, input) &+ PriceRows.amount(request, 1000)
            &+ PriceRows.amount(estimate.extraNanos, 1000)
        return WorstCase(fixed: fixed, perToken: perToken)
    }

    @inline(__always)
    private static func input(_ row: UnsafePointer<PriceRow>, _ write: CacheWrite) -> Int64 {
        let plain = max(row.pointee.input, row.pointee.cache_read)
        return switch write {
        case .none: plain
        case .fiveMinutes: max(plain, row.pointee.cache_write)
        case .oneHour: max(plain, row.pointee.cache_write, row.pointee.cache_write_1h)
        }
    }
}

/// The most that a request may cost, as a line over the output tokens granted
/// to each of its answers.
public struct WorstCase {
    /// Pico-dollars without any output.
    let fixed: Int128
    /// Pico-dollars per output token, for all answers together.
    let perToken: Int64

    /// Nano-dollars to hold for `outputTokens` (not negative), rounded up; nil above Int64.
    @inline(__always)
    public func nanos(outputTokens: Int64) -> Int64? {
        let picos = fixed &+ PriceRows.amount(outputTokens, perToken)
        return PriceRows.nanos(rounding: picos, halfToEven: false)
    }

    /// The most output tokens that `nanos` pays for; -1 when it does not even
    /// pay for the input, Int64.max when output costs nothing.
    public func outputTokens(fitting nanos: Int64) -> Int64 {
        let left = PriceRows.amount(nanos, 1000) &- fixed
        if left < 0 { return -1 }
        if perToken == 0 { return .max }
        // Almost always within 64 bits, where a division is quick.
        if left >> 63 == 0 { return Int64(truncatingIfNeeded: left) / perToken }
        return Int64(exactly: left / Int128(perToken)) ?? .max
    }
}
