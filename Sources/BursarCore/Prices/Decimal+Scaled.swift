// Decimal text, as JSON writes it, to integers: digit by digit, never through a
// binary fraction.

enum Decimal {
    /// `text` times 10^`scale`, rounded up to a whole number. `text` is digits,
    /// at most one point, and perhaps an exponent. Nil above Int64.
    static func scaled(
        _ text: UnsafeBufferPointer<UInt8>, by scale: Int
    ) -> (value: Int64, isExact: Bool)? {
        var end = text.count
        var wholeDigits = -1
        var digits = 0
        var exponent = 0
        for i in 0..<text.count {
            let byte = text[i]
            if isDigit(byte) {
                digits += 1
            } else if byte == UInt8(ascii: ".") {
                wholeDigits = digits
            } else if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") {
                exponent = self.exponent(UnsafeBufferPointer(rebasing: text[(i + 1)...]))
                end = i
                break
            }
        }
        if wholeDigits < 0 { wholeDigits = digits }

        // Digits before position `whole` make up the value, the rest rounds it up.
        let whole = wholeDigits + scale + exponent
        var value: Int64 = 0
        var position = 0
        var isExact = true
        for i in 0..<end where isDigit(text[i]) {
            let digit = Int64(text[i] &- UInt8(ascii: "0"))
            if position < whole {
                guard let next = append(digit, to: value) else { return nil }
                value = next
            } else if digit != 0 {
                isExact = false
            }
            position += 1
        }
        while position < whole, value != 0 {
            guard let next = append(0, to: value) else { return nil }
            value = next
            position += 1
        }
        if isExact { return (value, true) }
        return value == .max ? nil : (value + 1, false)
    }

    /// Clamped: beyond the clamp every value but 0 overflows or rounds the same.
    private static func exponent(_ text: UnsafeBufferPointer<UInt8>) -> Int {
        var value = 0
        var negative = false
        for byte in text {
            if byte == UInt8(ascii: "-") { negative = true }
            if isDigit(byte) { value = min(value * 10 + Int(byte &- UInt8(ascii: "0")), 1_000_000) }
        }
        return negative ? -value : value
    }

    private static func append(_ digit: Int64, to value: Int64) -> Int64? {
        let (tenfold, high) = value.multipliedReportingOverflow(by: 10)
        let (sum, over) = tenfold.addingReportingOverflow(digit)
        return high || over ? nil : sum
    }

    static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
}
