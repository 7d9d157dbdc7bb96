// Exact decimals: digits scaled by a power of ten into an Int64 and back. No
// floating point, so that what people write is what is counted.

enum Digits {
    /// 10^exponent, for exponents up to 18.
    static func power(_ exponent: Int) -> UInt64 {
        var power: UInt64 = 1
        for _ in 0..<max(0, min(exponent, 18)) { power *= 10 }
        return power
    }

    static func append(_ value: UInt64, to text: inout [UInt8]) {
        let start = text.count
        var rest = value
        repeat {
            text.append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        text[start...].reverse()
    }

    /// Writes value / 10^scale, exactly, with no zero that says nothing.
    static func append(_ value: UInt64, scale: Int, to text: inout [UInt8]) {
        append(value / power(scale), to: &text)
        var fraction = value % power(scale)
        guard fraction > 0 else { return }
        text.append(UInt8(ascii: "."))
        var place = scale
        while fraction > 0 {
            place -= 1
            text.append(UInt8(ascii: "0") + UInt8(fraction / power(place)))
            fraction %= power(place)
        }
    }

    /// Writes value / 10^scale with the multiplier that makes it shortest; of
    /// two that are as short, the larger: `200`, `1.5k`, `2M`.
    static func appendShortest(_ value: UInt64, scale: Int, to text: inout [UInt8]) {
        var best: [UInt8] = []
        append(value, scale: scale, to: &best)
        for (places, letter) in [
            (3, UInt8(ascii: "k")), (6, UInt8(ascii: "M")), (9, UInt8(ascii: "B")),
        ]
        where scale + places <= 18 && value >= power(scale + places) {
            var text: [UInt8] = []
            append(value, scale: scale + places, to: &text)
            text.append(letter)
            if text.count <= best.count { best = text }
        }
        text.append(contentsOf: best)
    }
}
