// Numbers, spans and money as limit text writes them, read exactly.

/// A decimal as written; `multiplier` is the power of ten of its letter.
struct Number {
    var digits: Range<Int>
    var multiplier = 0
    /// With the multiplier's letter.
    var range: Range<Int>
}

enum Scaled {
    case exact(Int64)
    case tooFine, tooLarge
}

extension LimitScanner {
    /// Reads digits with "_" between them and at most one point, then a
    /// multiplier if nothing else touches. Whatever else touches stays to be read.
    mutating func number() throws(LimitError) -> Number {
        let start = at
        try refuseBadStart()
        var points = 0
        while LimitScanner.isDigit(self[at]) || sees("_") || sees(".") {
            let isBetween = LimitScanner.isDigit(self[at - 1]) && LimitScanner.isDigit(self[at + 1])
            if sees("_") && !(at > start && isBetween) {
                throw error(at..<at + 1, "`_` stands between digits: `1_000`")
            }
            if sees(".") {
                points += 1
                guard points == 1 else {
                    throw error(at..<at + 1, "a second decimal point; thousands are `1_000`")
                }
                guard LimitScanner.isDigit(self[at + 1]) else {
                    throw error(at..<at + 1, "a digit on both sides of the point: `1.0`")
                }
            }
            at += 1
        }
        var number = Number(digits: start..<at, range: start..<at)
        if tail().count == 1, let power = LimitScanner.multiplier(self[at]) {
            at += 1
            number.multiplier = power
            number.range = start..<at
        }
        return number
    }

    static func multiplier(_ letter: UInt8) -> Int? {
        switch letter {
        case UInt8(ascii: "k"), UInt8(ascii: "K"): return 3
        case UInt8(ascii: "M"): return 6
        case UInt8(ascii: "B"): return 9
        default: return nil
        }
    }

    /// What touches a number: letters, digits, "_".
    func tail() -> Range<Int> {
        run(from: at) {
            LimitScanner.isLetter($0) || LimitScanner.isDigit($0) || $0 == UInt8(ascii: "_")
        }
    }

    private func refuseBadStart() throws(LimitError) {
        let first = self[at]
        if LimitScanner.isDigit(first) { return }
        let found = run(from: at) { !LimitScanner.isBlank($0) && $0 != UInt8(ascii: ",") }
        if first == UInt8(ascii: "-") {
            throw error(found, "\(bytes(found)): amounts are not negative")
        }
        if first == UInt8(ascii: "+") {
            throw error(found, "\(bytes(found)): amounts have no sign")
        }
        if first == UInt8(ascii: ".") {
            throw error(found, "\(bytes(found)): a number has a leading zero, as in `0.5`")
        }
        guard !found.isEmpty else {
            throw error(at - 1..<at, "after \(bytes(max(0, at - 1)..<at)) comes a number")
        }
        throw error(found, "a number goes here, such as `5`, not \(bytes(found))")
    }

    /// number * 10^scale.
    func scaled(_ number: Number, by scale: Int) -> Scaled {
        var value: Int64 = 0
        var places = scale + number.multiplier
        var isFraction = false
        var isTooFine = false
        var isTooLarge = false
        func push(_ digit: UInt8) {
            let (product, one) = value.multipliedReportingOverflow(by: 10)
            let (sum, two) = product.addingReportingOverflow(Int64(digit))
            isTooLarge = isTooLarge || one || two
            value = sum
        }
        for place in number.digits {
            let byte = self[place]
            if byte == UInt8(ascii: ".") {
                isFraction = true
            } else if LimitScanner.isDigit(byte) {
                let digit = byte - UInt8(ascii: "0")
                if isFraction && places == 0 {
                    isTooFine = isTooFine || digit > 0
                    continue
                }
                if isFraction { places -= 1 }
                push(digit)
            }
        }
        for _ in 0..<max(0, places) { push(0) }
        return isTooLarge ? .tooLarge : isTooFine ? .tooFine : .exact(value)
    }

    /// Nano-dollars.
    func money(_ number: Number) throws(LimitError) -> Int64 {
        switch scaled(number, by: 9) {
        case .exact(let nanos): return nanos
        case .tooFine:
            throw error(
                number.range,
                "\(bytes(number.range)) is finer than a nano-dollar, `$0.000000001`")
        case .tooLarge:
            throw error(
                number.range,
                "\(bytes(number.range)) is above $9,223,372,036.854775807, the most there is")
        }
    }

    func count(_ number: Number) throws(LimitError) -> Int64 {
        switch scaled(number, by: 0) {
        case .exact(let count): return count
        case .tooFine:
            throw error(number.range, "\(bytes(number.range)): counts are whole numbers")
        case .tooLarge:
            throw error(
                number.range,
                "\(bytes(number.range)) is above 9,223,372,036,854,775,807, the most there is")
        }
    }

    // MARK: - Spans

    /// True when the number just read is the first of a span: `10m`, `1h30m`.
    var seesSpanUnit: Bool {
        let isFollowed = LimitScanner.isLetter(self[at + 1]) || self[at + 1] == UInt8(ascii: "_")
        return LimitScanner.spanUnit(self[at]) != nil && !isFollowed
    }

    static func spanUnit(_ letter: UInt8) -> Int64? {
        switch letter {
        case UInt8(ascii: "s"): return Span.second
        case UInt8(ascii: "m"): return Span.minute
        case UInt8(ascii: "h"): return Span.hour
        case UInt8(ascii: "d"): return Span.day
        case UInt8(ascii: "w"): return Span.week
        default: return nil
        }
    }

    /// Nanoseconds of the span whose first number was just read.
    mutating func span(from first: Number) throws(LimitError) -> Int64 {
        let start = first.range.lowerBound
        var total: Int64 = 0
        var next = first
        var last = Int64.max
        while true {
            guard seesSpanUnit, let unit = LimitScanner.spanUnit(self[at]) else {
                throw unitMissing(next)
            }
            guard unit < last else {
                throw error(at..<at + 1, "units of a span go from large to small: `1h30m`")
            }
            last = unit
            at += 1
            let range = start..<at
            guard let nanos = times(next, unit) else {
                throw error(
                    next.range.lowerBound..<at,
                    "\(bytes(next.range.lowerBound..<at)) is finer than a nanosecond")
            }
            guard nanos >= 0, case (let sum, let overflow) = total.addingReportingOverflow(nanos),
                !overflow
            else {
                throw error(range, "\(bytes(range)) is above 292 years, the longest span there is")
            }
            total = sum
            guard LimitScanner.isDigit(self[at]) else { return total }
            next = try number()
        }
    }

    /// number * unit; nil when that is no whole number, -1 when it is too large.
    private func times(_ number: Number, _ unit: Int64) -> Int64? {
        let point = number.digits.first { self[$0] == UInt8(ascii: ".") }
        let whole = number.digits.lowerBound..<(point ?? number.digits.upperBound)
        // From the last digit on: as soon as one step leaves a remainder, so does the sum.
        var fraction: Int64 = 0
        for place in (point ?? whole.upperBound)..<number.digits.upperBound {
            let byte = self[number.digits.upperBound - 1 - (place - (point ?? whole.upperBound))]
            guard LimitScanner.isDigit(byte) else { continue }
            let sum = fraction + Int64(byte - UInt8(ascii: "0")) * unit
            guard sum % 10 == 0 else { return nil }
            fraction = sum / 10
        }
        guard case .exact(let count) = scaled(Number(digits: whole, range: whole), by: 0),
            case (let product, let one) = count.multipliedReportingOverflow(by: unit), !one,
            case (let sum, let two) = product.addingReportingOverflow(fraction), !two
        else { return -1 }
        return sum
    }

    private func unitMissing(_ number: Number) -> LimitError {
        let range = number.digits.lowerBound..<max(number.range.upperBound, tail().upperBound)
        if number.multiplier == 6 {
            let letter = number.range.upperBound - 1..<number.range.upperBound
            return error(
                letter,
                "`M` is a million, minutes are \(bytes(number.digits) + "m")")
        }
        let found = tail()
        if let letter = spelledOut(found) {
            return error(
                range, "\(bytes(range)) is written \(bytes(number.digits) + letter)")
        }
        return error(range, "\(bytes(range)) has no unit of time: s, m, h, d or w, as in `1h30m`")
    }

    /// The letter for a time that is spelled out, such as `min`.
    func spelledOut(_ range: Range<Int>) -> [UInt8]? {
        Vocabulary.spelled(bytes(range)).map { [$0] }
    }

    /// A span, at a number that may have no unit of time at all.
    mutating func spanAlone() throws(LimitError) -> Int64 {
        let first = try number()
        guard seesSpanUnit else { throw unitMissing(first) }
        return try span(from: first)
    }
}
