// Arithmetic of money that loses nothing: what is divided adds up again.

/// a * b / c, half to even, for c > 0.
func scaled(_ a: Int64, _ b: Int64, _ c: Int64) -> Int64 {
    divided(Int128(a) * Int128(b), by: Int128(c))
}

/// a / b, half to even, for b > 0; what does not fit is the nearest that does.
func divided(_ a: Int128, by b: Int128) -> Int64 {
    let (quotient, remainder) = a.magnitude.quotientAndRemainder(dividingBy: b.magnitude)
    let twice = remainder * 2
    let isUp = twice > b.magnitude || (twice == b.magnitude && quotient & 1 == 1)
    let whole = Int128(clamping: quotient + (isUp ? 1 : 0))
    return Int64(clamping: a < 0 ? -whole : whole)
}

/// Splits `total` by `weights`, none of them below 0, so that the parts add up to it: each gets
/// its share rounded down, and what remains goes, one each, to those that lost most by
/// that (the method of the largest remainder; the first among equals).
///
/// - Returns: nothing when all weights are 0.
func apportion(_ total: Int64, by weights: [Int128]) -> [Int64]? {
    var sum: Int128 = 0
    for weight in weights {
        let (next, isOver) = sum.addingReportingOverflow(weight)
        sum = isOver ? .max : next
    }
    guard sum > 0 else { return nil }
    // Products of 64 and 63 bits fit.
    let shift = max(0, 64 - sum.leadingZeroBitCount)
    let small = weights.map { UInt128($0 >> Int128(shift)) }
    let whole = small.reduce(0, +)
    guard whole > 0 else { return nil }
    var parts: [Int64] = []
    var lost: [(remainder: UInt128, index: Int)] = []
    var rest = total.magnitude
    for (k, weight) in small.enumerated() {
        let (quotient, remainder) = (UInt128(total.magnitude) * weight).quotientAndRemainder(
            dividingBy: whole)
        let part = UInt64(quotient)
        rest -= part
        parts.append(total < 0 ? 0 &- Int64(bitPattern: part) : Int64(bitPattern: part))
        lost.append((remainder, k))
    }
    lost.sort { ($1.remainder, $0.index) < ($0.remainder, $1.index) }
    for k in 0..<Int(rest) { parts[lost[k].index] += total < 0 ? -1 : 1 }
    return parts
}

/// "0.000123456": a whole number of 10^-digits, as a decimal.
func decimal(_ number: Int128, _ digits: Int) -> String {
    var text = String(number.magnitude)
    if digits == 0 { return (number < 0 ? "-" : "") + text }
    if text.count <= digits { text = String(repeating: "0", count: digits + 1 - text.count) + text }
    let split = text.index(text.endIndex, offsetBy: -digits)
    var fraction = text[split...]
    while fraction.last == "0" { fraction.removeLast() }
    return (number < 0 ? "-" : "") + text[..<split] + (fraction.isEmpty ? "" : "." + fraction)
}

/// Adds, and says so where the sum does not fit.
func sum(_ a: Int64, _ b: Int64) throws -> Int64 {
    let (sum, isOver) = a.addingReportingOverflow(b)
    if isOver { throw Failure("an amount is above \(money(.max - 1))", Code.text) }
    return sum
}
