// Windows and options: the part of a limit after its amount.

extension LimitScanner {
    /// Reads `/day@Europe/Berlin from mon`, ` per session`, `/5h`, `/min`, or nothing: the total.
    mutating func window(
        of meter: Meter, onSession: Bool, zone: ([UInt8]) -> ZoneAnswer
    ) throws(LimitError) -> Window {
        let takesNone = meter.isTime || meter == .inFlight
        let total = Window(takesNone ? .none : .total)
        let before = at
        let isApart = skipBlanks()
        let mark = at
        let found = word(at: at)
        if sees("/") {
            at += 1
        } else if isApart && "per" == bytes(found) {
            at = found.upperBound
            guard LimitScanner.isBlank(self[at]) else {
                throw error(found, "after `per` come a blank and a window: `per day`")
            }
        } else {
            at = before
            return total
        }
        let joint = mark..<at
        skipBlanks()
        guard !takesNone else {
            let window = run(from: at, while: LimitScanner.isWord)
            let end = window.isEmpty ? joint.upperBound : window.upperBound
            throw error(
                mark..<end, "\(Vocabulary.unit(of: meter, isOne: false) ?? "time") takes no window")
        }
        guard !atEnd && !sees(",") else {
            throw error(
                joint, "a window goes after \(bytes(joint)): `/day`, `/5h`, `/min` or `/session`")
        }
        if LimitScanner.isDigit(self[at]) || sees(".") || sees("-") { return try rolling() }
        return try named(onSession: onSession, zone: zone, total: total)
    }

    private mutating func rolling() throws(LimitError) -> Window {
        let start = at
        let nanos = try spanAlone()
        guard nanos >= Span.second else {
            throw error(
                start..<at, "\(bytes(start..<at)) is too short: a rolling window has at least `1s`")
        }
        let touching = tail()
        guard touching.isEmpty else {
            throw error(
                start..<touching.upperBound,
                "\(bytes(start..<touching.upperBound)) is no span; one is written `1h30m`")
        }
        return Window(.rolling, spanNanos: nanos)
    }

    private mutating func named(
        onSession: Bool, zone: ([UInt8]) -> ZoneAnswer, total: Window
    ) throws(LimitError) -> Window {
        let found = word(at: at)
        let word = bytes(found)
        if "total" == word || "session" == word {
            at = found.upperBound
            return "session" == word && !onSession ? Window(.session) : total
        }
        if let rate = Vocabulary.rates.first(where: { $0.word == word }) {
            at = found.upperBound
            return Window(.rate, spanNanos: rate.nanos)
        }
        guard let index = Vocabulary.calendar.firstIndex(where: { $0 == word }),
            let unit = CalendarUnit(rawValue: UInt8(index))
        else { throw unknownWindow(found) }
        at = found.upperBound
        let name = try self.zone(zone)
        return Window(.calendar, unit: unit, zone: name, from: try from(unit), spanNanos: 0)
    }

    private func unknownWindow(_ found: Range<Int>) -> LimitError {
        let word = bytes(found)
        if word.count == 1 {
            switch word[0] {
            case UInt8(ascii: "m"), UInt8(ascii: "M"):
                return error(found, "\([UInt8]("/") + word): `/min` or `/month`?")
            case UInt8(ascii: "h"), UInt8(ascii: "H"):
                return error(found, "`/hour` is the calendar's hour, `/1h` any sixty minutes")
            case UInt8(ascii: "d"), UInt8(ascii: "D"):
                return error(found, "`/day` is the calendar's day, `/24h` any 24 hours")
            case UInt8(ascii: "w"), UInt8(ascii: "W"):
                return error(found, "`/week` is the calendar's week, `/7d` any seven days")
            case UInt8(ascii: "q"), UInt8(ascii: "y"):
                return error(found, "`/quarter` or `/year`?")
            default: break
            }
        }
        let words = Vocabulary.calendar + Vocabulary.rates.map { $0.word } + Vocabulary.windows
        if let meant = Vocabulary.nearest(to: word, among: words) {
            return error(found, "\(word) is no window; did you mean \(meant)?")
        }
        return error(
            found,
            "\(word) is no window; they are hour, day, week, month, quarter, year, session, total, "
                + "s, min, or a span such as `5h`")
    }

    /// Reads `@Area/City`, or nothing: UTC, which is empty.
    private mutating func zone(_ answer: ([UInt8]) -> ZoneAnswer) throws(LimitError) -> [UInt8] {
        guard accept("@") else { return [] }
        let found = run(from: at) {
            LimitScanner.isWord($0) || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "+")
        }
        let name = bytes(found)
        guard !name.isEmpty else {
            throw error(at - 1..<at, "a time zone touches the `@`: `@Europe/Berlin`")
        }
        at = found.upperBound
        if "UTC" == name || "Etc/UTC" == name { return [] }
        guard name.count <= LimitList.nameMax else {
            throw error(found, "too long for an IANA name, such as `Europe/Berlin`")
        }
        guard case .unknown(let suggestion) = answer(name) else { return name }
        guard let suggestion else {
            throw error(found, "\(name) is not an IANA name, such as `Europe/Berlin`")
        }
        // UTC+2, GMT-3, +05:30: a fixed zone may fit, but is seldom what was meant.
        let isOffset = name.contains { LimitScanner.isDigit($0) || $0 == UInt8(ascii: "+") }
        throw error(
            found,
            isOffset
                ? "\(name) is not an IANA name; write one such as `Europe/Berlin`, "
                    + "or \(suggestion) for one offset all year"
                : "\(name) is not an IANA name; did you mean \(suggestion)?")
    }

    /// Reads ` from 15` or ` from wed`, or nothing: where the unit begins.
    private mutating func from(_ unit: CalendarUnit) throws(LimitError) -> Int {
        let before = at
        guard skipBlanks(), case let keyword = word(at: at), "from" == bytes(keyword) else {
            at = before
            return unit.firstDay
        }
        guard unit >= .week else {
            throw error(
                keyword, "`from` goes with a week, month, quarter or year, not with \(unit.word)")
        }
        at = keyword.upperBound
        skipBlanks()
        let found = word(at: at)
        let value = bytes(found)
        guard !atEnd && !sees(",") else {
            throw error(keyword, "from when? `/week from sun`, `/month from 15`")
        }
        at = found.upperBound
        if unit == .week {
            if let day = Vocabulary.weekdays.firstIndex(where: { $0 == value }) { return day }
            let three = Array(value.prefix(3))
            if let meant = Vocabulary.nearest(to: three, among: Vocabulary.weekdays),
                !LimitScanner.isDigit(value[0])
            {
                throw error(found, "a week begins on a weekday; did you mean \(meant)?")
            }
            throw error(found, "a week begins on a weekday, mon to sun, not \(value)")
        }
        var day = 0
        for byte in value.prefix(3) {
            guard LimitScanner.isDigit(byte) else {
                day = 0
                break
            }
            day = day * 10 + Int(byte - UInt8(ascii: "0"))
        }
        guard value.count <= 2 && day >= 1 && day <= 28 else {
            throw error(
                found,
                "a \(unit.word) begins on a day from 1 to 28, which every month has, not \(value)")
        }
        return day
    }

    // MARK: - Options

    /// Reads the options, in any order; each once, but shares of `alert` may come in parts.
    mutating func options(of limit: inout Limit) throws(LimitError) {
        var hasEnd = false
        while true {
            let before = at
            guard skipBlanks(), case let found = word(at: at),
                case let word = bytes(found), Vocabulary.options.contains(where: { $0 == word })
            else {
                at = before
                return
            }
            at = found.upperBound
            let isTwice =
                "downgrade" == word && limit.downgrade > 0 || "burst" == word && limit.burst > 0
                || "then" == word && hasEnd
            guard !isTwice else { throw error(found, "\(word) is there twice") }
            let isApart = skipBlanks()
            guard isApart && !atEnd && !sees(",") else { throw optionAlone(found) }
            if "alert" == word { try alerts(of: &limit) }
            if "downgrade" == word { limit.downgrade = try share() }
            if "burst" == word { try burst(of: &limit, option: found) }
            if "then" == word {
                limit.end = try end()
                hasEnd = true
            }
        }
    }

    private func optionAlone(_ option: Range<Int>) -> LimitError {
        let word = bytes(option)
        if "then" == word { return error(option, "`then` what? halt, pause, throttle or observe") }
        if "burst" == word { return error(option, "`burst` of how much? `burst 10`") }
        return error(option, "\(word) at which share? \(word + " 80%")")
    }

    private mutating func alerts(of limit: inout Limit) throws(LimitError) {
        repeat {
            let start = at
            let share = try share()
            guard !limit.alerts.contains(share) else {
                throw error(start..<at, "\(bytes(start..<at)) is there twice")
            }
            guard limit.alerts.count < LimitList.alertsMax else {
                throw error(start..<at, "at most four shares for `alert`")
            }
            limit.alerts.append(share)
            // At most four.
            for k in 0..<limit.alerts.count {
                var at = k
                while at > 0, limit.alerts[at] < limit.alerts[at - 1] {
                    limit.alerts.swapAt(at, at - 1)
                    at -= 1
                }
            }
        } while skipToShare()
    }

    /// Goes to the next share, if one follows.
    private mutating func skipToShare() -> Bool {
        let blanks = run(from: at, while: LimitScanner.isBlank)
        let digits = run(from: blanks.upperBound, while: LimitScanner.isDigit)
        guard !blanks.isEmpty && !digits.isEmpty && self[digits.upperBound] == UInt8(ascii: "%")
        else {
            return false
        }
        at = blanks.upperBound
        return true
    }

    /// Reads `80%`: whole, from 1 to 100.
    private mutating func share() throws(LimitError) -> UInt8 {
        let digits = run(from: at, while: LimitScanner.isDigit)
        guard !digits.isEmpty && self[digits.upperBound] == UInt8(ascii: "%") else {
            let found = word(at: at)
            throw error(found, "a share is a whole percent, such as `80%`, not \(bytes(found))")
        }
        var value = 0
        for place in digits where value <= 100 {
            value = value * 10 + Int(self[place] - UInt8(ascii: "0"))
        }
        let range = at..<digits.upperBound + 1
        guard value >= 1 && value <= 100 else {
            throw error(range, "\(bytes(range)): a share is from 1% to 100%")
        }
        at = range.upperBound
        return UInt8(value)
    }

    private mutating func burst(of limit: inout Limit, option: Range<Int>) throws(LimitError) {
        guard limit.window.kind == .rate else {
            throw error(option, "`burst` goes with a rate, `/s` or `/min`")
        }
        guard !sees("$") else {
            throw error(at..<at + 1, "`burst` is a number in the limit's own unit, without `$`")
        }
        let number = try number()
        try refuseTail(of: number, prefix: "")
        let amount = limit.meter == .cost ? try money(number) : try count(number)
        guard amount > 0 else {
            throw error(number.range, "a burst of zero lets nothing through")
        }
        limit.burst = amount == limit.amount ? 0 : amount
    }

    private mutating func end() throws(LimitError) -> End {
        let found = word(at: at)
        let word = bytes(found)
        at = found.upperBound
        if let index = Vocabulary.ends.firstIndex(where: { $0 == word }),
            let end = End(rawValue: UInt8(index))
        {
            return end
        }
        if let meant = Vocabulary.nearest(to: word, among: Vocabulary.ends) {
            throw error(found, "\(word) is no end; did you mean \(meant)?")
        }
        throw error(found, "\(word) is no end; they are halt, pause, throttle and observe")
    }
}
