// How far the estimator was off, in a histogram for each model and kind.
//
// An error is |likely - billed| / billed. The histogram's unit is 2^-13 (0.012 %); up to
// 16 units every one has a place, above it each doubling has eight, up to 8 times the
// truth, so that what is read from it is at most an eighth too high.

/// What the estimator says of itself.
public struct EstimateError: Sendable {
    /// Pairs of a model and a kind that were counted.
    public var pairs: UInt32 = 0
    public var steps: Int64 = 0
    /// Those whose input was more than what was reserved for it.
    public var below: Int64 = 0
    /// Errors in millionths that half, and 99 of 100, of the steps do not pass.
    public var medianPpm: Int64 = 0
    public var p99Ppm: Int64 = 0
    public var inputTokens: Int64 = 0
    public var reservedTokens: Int64 = 0
    public init() {}
}

extension Estimator {
    private static let unit: Int64 = 1 << 13
    private static let places = 112

    private func histogram(_ pair: UnsafeMutablePointer<Pair>) -> UnsafeMutablePointer<UInt32> {
        (UnsafeMutableRawPointer(pair) + 64).assumingMemoryBound(to: UInt32.self)
    }

    /// Under the lock.
    func count(_ asked: Estimate, _ input: Int64, _ pair: UnsafeMutablePointer<Pair>) {
        let off = asked.tokens > input ? asked.tokens - input : input - asked.tokens
        let place = Estimator.place(min(off * Estimator.unit / input, Estimator.unit * 8 - 1))
        histogram(pair)[place] &+= 1
        if input > asked.tokensMax { pair.pointee.misses += 1 }
        pair.pointee.billed = saturatingAdd(pair.pointee.billed, input)
        pair.pointee.reserved = saturatingAdd(pair.pointee.reserved, asked.tokensMax)
    }

    private static func place(_ units: Int64) -> Int {
        if units < 16 { return Int(units) }
        let octave = 63 - units.leadingZeroBitCount
        return (octave - 2) * 8 + Int(units >> Int64(octave - 3)) - 8
    }

    /// The first units that are beyond a place.
    private static func end(_ place: Int) -> Int64 {
        place < 16 ? Int64(place) + 1 : Int64(place % 8 + 9) << Int64(place / 8 - 1)
    }

    /// Of a model (0 = all) and a kind (negative = all).
    public func error(model: Int32, kind: Int32) -> EstimateError {
        var told = EstimateError()
        lock.lock()
        defer { lock.unlock() }
        var wanted: [UnsafeMutablePointer<Pair>] = []
        for place in 0..<Estimator.pairs {
            let pair = pair(at: place)
            let key = pair.pointee.key
            guard key != 0, model == 0 || key >> 8 == UInt32(bitPattern: model),
                kind < 0 || key & 0xFF == UInt32(bitPattern: kind)
            else { continue }
            wanted.append(pair)
            told.below += pair.pointee.misses
            told.inputTokens = saturatingAdd(told.inputTokens, pair.pointee.billed)
            told.reservedTokens = saturatingAdd(told.reservedTokens, pair.pointee.reserved)
            for place in 0..<Estimator.places { told.steps += Int64(histogram(pair)[place]) }
        }
        told.pairs = UInt32(wanted.count)
        var seen: Int64 = 0
        for place in 0..<Estimator.places where seen < told.steps {
            for pair in wanted { seen += Int64(histogram(pair)[place]) }
            let ppm = Estimator.end(place) * 1_000_000 / Estimator.unit
            if told.medianPpm == 0, seen * 2 >= told.steps { told.medianPpm = ppm }
            if told.p99Ppm == 0, seen * 100 >= told.steps * 99 { told.p99Ppm = ppm }
        }
        return told
    }
}
