// Calendar windows: which hour, day, week, month, quarter or year an instant
// lies in, by the local clock of a zone, across every change of that clock.

/// A calendar window of a zone.
///
/// Windows tile time: each starts where the one before ends. A day, week, month,
/// quarter or year starts at the first instant at which the local clock shows its
/// first midnight or later. So a midnight that does not exist starts it at the
/// end of the gap, one that occurs twice at the first; a clock that goes back
/// across midnight does not reopen the day before, and a date that a zone skips
/// has no window.
///
/// An hour starts at each full hour of the local clock, and whenever the clock
/// goes back: an hour that occurs twice is two windows.
public struct CalendarWindow: Sendable {
    public let zone: Zone
    public let unit: CalendarUnit
    private let from: Int64

    /// - Parameters:
    ///   - from: a week's first day, 0 = Monday to 6; the first day of a month, a
    ///     quarter (from January on) or a year (of January), 1 to 28. Otherwise
    ///     ignored. A value outside is taken as the nearest inside.
    public init(_ unit: CalendarUnit, zone: Zone, from: Int) {
        self.unit = unit
        self.zone = zone
        switch unit {
        case .hour, .day: self.from = 0
        case .week: self.from = Int64(min(max(from, 0), 6))
        case .month, .quarter, .year: self.from = Int64(min(max(from, 1), 28))
        }
    }

    /// The window around a unix second: `start <= instant < end`, unix seconds.
    ///
    /// Instants more than 2^40 seconds (34,000 years) from 1970 are taken as that.
    public func containing(_ instant: Int64) -> (start: Int64, end: Int64) {
        let instant = CalendarWindow.clamp(instant)
        if unit == .hour { return hour(around: instant) }
        let local = instant + zone.segment(at: instant).offset
        var index = index(ofDay: floorDivide(local, 86_400))
        var start = zone.firstInstant(showing: midnight(of: index))
        while true {
            let end = zone.firstInstant(showing: midnight(of: index + 1))
            if instant < end { return (start, end) }
            // The clock went back across this midnight, or skipped the date.
            index += 1
            start = end
        }
    }

    /// The window that a clock showing `instant` opens, when the last one opened
    /// started at `current`: nil while it is that one, or an earlier one because
    /// the clock was set back. So no window is opened twice.
    public func opened(at instant: Int64, after current: Int64) -> (start: Int64, end: Int64)? {
        let window = containing(instant)
        return window.start > current ? window : nil
    }

    static func clamp(_ instant: Int64) -> Int64 { min(max(instant, -(1 << 40)), 1 << 40) }

    // MARK: - Days and longer

    /// The number of the window that a date belongs to, counted from some epoch.
    private func index(ofDay day: Int64) -> Int64 {
        if unit == .day { return day }
        if unit == .week { return floorDivide(day + 3 - from, 7) }  // 1970-01-01 was a Thursday.
        let date = CivilDate(daysSince1970: day)
        let month = date.year * 12 + date.month - 1 - (date.day < from ? 1 : 0)
        return floorDivide(month, months)
    }

    /// The local clock, in seconds since 1970, at the first midnight of a window.
    private func midnight(of index: Int64) -> Int64 {
        if unit == .day { return index * 86_400 }
        if unit == .week { return (index * 7 - 3 + from) * 86_400 }
        let month = index * months
        let year = floorDivide(month, 12)
        return CivilDate.days(year: year, month: month - year * 12 + 1, day: from) * 86_400
    }

    private var months: Int64 { unit == .month ? 1 : unit == .quarter ? 3 : 12 }

    // MARK: - Hours

    private func hour(around instant: Int64) -> (start: Int64, end: Int64) {
        let here = zone.segment(at: instant)
        let hour = floorDivide(instant + here.offset, 3_600) * 3_600

        var first = here
        while hour - first.offset < first.start {
            let before = zone.segment(at: first.start - 1)
            guard CalendarWindow.runsOn(from: before, to: first, in: hour) else { break }
            first = before
        }
        var last = here
        while last.end < hour + 3_600 - last.offset {
            let after = zone.segment(at: last.end)
            guard CalendarWindow.runsOn(from: last, to: after, in: hour) else { break }
            last = after
        }
        return (
            max(first.start, hour - first.offset), min(last.end, hour + 3_600 - last.offset)
        )
    }

    /// Whether one run of the local hour that starts at `hour` goes on across a
    /// change of offset: the clock stays in it and does not go back.
    private static func runsOn(
        from before: Zone.Segment, to after: Zone.Segment, in hour: Int64
    ) -> Bool {
        before.offset <= after.offset && before.end - 1 + before.offset >= hour
            && after.start + after.offset < hour + 3_600
    }
}
