// The POSIX TZ text at the end of a zone file: what holds after its last
// listed transition, for ever.

/// `std offset [dst [offset] , start [/time] , end [/time]]`, as POSIX.1-2017
/// (chapter 8.3) writes it and RFC 8536 (section 3.3.1) extends it: times may be
/// negative and reach 167 hours.
struct ZoneRule: Sendable {
    /// A day of each year, and the local seconds after its midnight.
    struct Moment: Sendable {
        enum Day: Sendable {
            case julian(Int64)  // Jn: 1...365, February 29 is never counted
            case ordinal(Int64)  // n: 0...365, February 29 is counted
            // Mm.w.d: week 5 is the last, day 0 is Sunday
            case weekday(month: Int64, week: Int64, day: Int64)
        }
        var day: Day
        var time: Int64

        /// Local seconds since 1970 at which it comes in `year`.
        func local(in year: Int64) -> Int64 {
            let newYear = CivilDate.days(year: year, month: 1, day: 1)
            let date: Int64
            switch day {
            case .julian(let number):
                date = newYear + number - 1 + (number >= 60 && CivilDate.isLeap(year) ? 1 : 0)
            case .ordinal(let number):
                date = newYear + number
            case .weekday(let month, let week, let day):
                let first = CivilDate.days(year: year, month: month, day: 1)
                let after = month + 1 - month / 12 * 12
                let next = CivilDate.days(year: year + month / 12, month: after, day: 1)
                // 1970-01-01 was a Thursday.
                let weekday = first + 4 - floorDivide(first + 4, 7) * 7
                var found = first + (day - weekday + 7) % 7 + (week - 1) * 7
                if found >= next { found -= 7 }
                date = found
            }
            return date * 86_400 + time
        }
    }

    /// Daylight saving time: its offset, when it starts (in standard time) and
    /// when it ends (in daylight saving time).
    struct Daylight: Sendable {
        var offset: Int64
        var start: Moment
        var end: Moment
    }

    var offset: Int64  // seconds east of UTC
    var daylight: Daylight?

    /// The stretch of one offset around `instant`.
    ///
    /// A moment lies within eight days of its year, so the years two before to
    /// two after hold one on each side. When standard and daylight saving time
    /// begin at one instant, the latter holds: that is how RFC 8536 writes
    /// daylight saving time all year.
    func segment(at instant: Int64) -> Zone.Segment {
        guard let daylight else { return Zone.Segment(start: .min, end: .max, offset: offset) }
        var found = Zone.Segment(start: .min, end: .max, offset: offset)
        let year = CivilDate(daysSince1970: floorDivide(instant + offset, 86_400)).year
        for year in year - 2...year + 2 {
            let ends = daylight.end.local(in: year) - daylight.offset
            let starts = daylight.start.local(in: year) - offset
            if ends <= instant, ends > found.start {
                found.start = ends
                found.offset = offset
            }
            if starts <= instant, starts >= found.start {
                found.start = starts
                found.offset = daylight.offset
            }
            if ends > instant { found.end = min(found.end, ends) }
            if starts > instant { found.end = min(found.end, starts) }
        }
        return found
    }
}

// MARK: - Reading

extension ZoneRule {
    /// Nil when the text is not a TZ text.
    init?(_ text: ArraySlice<UInt8>) {
        var reader = Reader(rest: text)
        guard reader.skipName(), let west = reader.time(hours: 24) else { return nil }
        offset = -west
        if reader.rest.isEmpty { return }
        guard reader.skipName() else { return nil }
        var daylightOffset = offset + 3_600
        if reader.rest.first != UInt8(ascii: ",") {
            guard let west = reader.time(hours: 24) else { return nil }
            daylightOffset = -west
        }
        guard reader.skip(UInt8(ascii: ",")), let start = reader.moment(),
            reader.skip(UInt8(ascii: ",")), let end = reader.moment(), reader.rest.isEmpty
        else { return nil }
        daylight = Daylight(offset: daylightOffset, start: start, end: end)
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>

        mutating func skip(_ byte: UInt8) -> Bool {
            guard rest.first == byte else { return false }
            rest.removeFirst()
            return true
        }

        /// An abbreviation, which is not kept: `CET`, or `<+03>`.
        mutating func skipName() -> Bool {
            if skip(UInt8(ascii: "<")) {
                while let byte = rest.popFirst() {
                    if byte == UInt8(ascii: ">") { return true }
                }
                return false
            }
            let before = rest.count
            while let byte = rest.first, (byte | 32) >= UInt8(ascii: "a"),
                (byte | 32) <= UInt8(ascii: "z")
            {
                rest.removeFirst()
            }
            return before - rest.count >= 3
        }

        mutating func number(_ range: ClosedRange<Int64>) -> Int64? {
            var value: Int64 = 0
            var digits = 0
            while let byte = rest.first, byte >= 48, byte <= 57, digits < 4 {
                value = value * 10 + Int64(byte - 48)
                digits += 1
                rest.removeFirst()
            }
            return digits > 0 && range.contains(value) ? value : nil
        }

        /// `[+-]hh[:mm[:ss]]` in seconds.
        mutating func time(hours: Int64) -> Int64? {
            let isNegative = skip(UInt8(ascii: "-"))
            if !isNegative { _ = skip(UInt8(ascii: "+")) }
            guard let hour = number(0...hours) else { return nil }
            var seconds = hour * 3_600
            if skip(UInt8(ascii: ":")) {
                guard let minute = number(0...59) else { return nil }
                seconds += minute * 60
                if skip(UInt8(ascii: ":")) {
                    guard let second = number(0...59) else { return nil }
                    seconds += second
                }
            }
            return isNegative ? -seconds : seconds
        }

        mutating func moment() -> Moment? {
            let day: Moment.Day
            if skip(UInt8(ascii: "M")) {
                guard let month = number(1...12), skip(UInt8(ascii: ".")), let week = number(1...5),
                    skip(UInt8(ascii: ".")), let weekday = number(0...6)
                else { return nil }
                day = .weekday(month: month, week: week, day: weekday)
            } else if skip(UInt8(ascii: "J")) {
                guard let number = number(1...365) else { return nil }
                day = .julian(number)
            } else {
                guard let number = number(0...365) else { return nil }
                day = .ordinal(number)
            }
            guard skip(UInt8(ascii: "/")) else { return Moment(day: day, time: 7_200) }
            guard let time = time(hours: 167) else { return nil }
            return Moment(day: day, time: time)
        }
    }
}
