// The canonical text of limits: what people see, and what parses back the same.

extension LimitList {
    /// Canonical text: `$500/month alert 50% 80% then pause, 200 steps`.
    public func print() -> [UInt8] {
        guard !unlimited else { return [UInt8]("unlimited") }
        var text: [UInt8] = []
        for (position, limit) in limits.enumerated() {
            if position > 0 { text.append(", ") }
            limit.append(to: &text)
        }
        return text
    }
}

extension Limit {
    /// Canonical text: amount, unit, window, then what differs from the defaults.
    public func print() -> [UInt8] {
        var text: [UInt8] = []
        append(to: &text)
        return text
    }

    /// Only what is limited, without options: `$5/day`.
    func printHead() -> [UInt8] {
        var text: [UInt8] = []
        appendHead(to: &text)
        return text
    }

    fileprivate func append(to text: inout [UInt8]) {
        appendHead(to: &text)
        if !alerts.isEmpty { text.append(" alert") }
        for share in alerts { text.append(" ", share, "%") }
        if downgrade > 0 { text.append(" downgrade ", downgrade, "%") }
        if burst > 0 {
            text.append(" burst ")
            Digits.appendShortest(burst.magnitude, scale: meter == .cost ? 9 : 0, to: &text)
        }
        if end != Limit.defaultEnd(meter, window.kind) {
            text.append(" then ")
            text.append(end.word)
        }
    }

    private func appendHead(to text: inout [UInt8]) {
        if meter == .cost {
            text.append("$")
            Digits.appendShortest(amount.magnitude, scale: 9, to: &text)
        } else if meter.isTime {
            Span.append(amount, to: &text)
        } else {
            Digits.appendShortest(amount.magnitude, scale: 0, to: &text)
        }
        if isCall {
            text.append(amount == 1 ? " call(" : " calls(")
            text.append(contentsOf: name)
            text.append(")")
        } else if !name.isEmpty {
            text.append(" ")
            text.append(contentsOf: name)
        } else if let unit = Vocabulary.unit(of: meter, isOne: amount == 1) {
            text.append(" ")
            text.append(unit)
        }
        window.append(to: &text)
    }
}

extension Window {
    fileprivate func append(to text: inout [UInt8]) {
        switch kind {
        case .total, .none: break
        case .session: text.append("/session")
        case .rate: text.append(spanNanos == Span.second ? "/s" : "/min")
        case .rolling:
            text.append("/")
            Span.append(spanNanos, to: &text)
        case .calendar:
            text.append("/")
            text.append(unit.word)
            if !zone.isEmpty {
                text.append("@")
                text.append(contentsOf: zone)
            }
            if from != unit.firstDay {
                text.append(" from ")
                if unit == .week, let day = Vocabulary.weekday(from) {
                    text.append(day)
                } else {
                    Digits.append(UInt64(from.magnitude), to: &text)
                }
            }
        }
    }
}

/// Lengths of time as limits write them.
enum Span {
    static let second: Int64 = 1_000_000_000
    static let minute = 60 * second
    static let hour = 60 * minute
    static let day = 24 * hour
    static let week = 7 * day

    /// Writes nanoseconds from the largest unit down: `10m`, `1h30m`, `1.5s`.
    /// Days begin at two, and weeks are used only when whole, from two on: `24h`, `7d`,
    /// `2w`, `30d`.
    static func append(_ nanos: Int64, to text: inout [UInt8]) {
        var rest = nanos
        let start = text.count
        func take(_ unit: Int64, _ letter: StaticString) {
            guard rest >= unit else { return }
            Digits.append((rest / unit).magnitude, to: &text)
            text.append(letter)
            rest %= unit
        }
        if rest >= 2 * week && rest % week == 0 { take(week, "w") }
        if rest >= 2 * day { take(day, "d") }
        take(hour, "h")
        take(minute, "m")
        if rest > 0 || text.count == start {
            Digits.append(rest.magnitude, scale: 9, to: &text)
            text.append("s")
        }
    }
}

/// Not the library's own, which is copied to wherever two texts are joined.
@inline(never)
func + (text: [UInt8], more: [UInt8]) -> [UInt8] {
    var text = text
    text += more
    return text
}

extension [UInt8] {
    fileprivate mutating func append(
        _ before: StaticString, _ percent: UInt8, _ after: StaticString
    ) {
        append(before)
        Digits.append(UInt64(percent), to: &self)
        append(after)
    }
}
