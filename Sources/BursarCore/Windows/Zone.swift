// A time zone as a step function: which offset from UTC holds at which instant.

/// A time zone. Immutable; shared by all that use it.
///
/// Instants are unix seconds, offsets seconds east of UTC. The local clock at
/// instant `t` shows `t + segment(at: t).offset`.
public final class Zone: Sendable {
    /// A stretch of one offset: `start <= t < end`. `Int64.min` and `.max` are no bound.
    struct Segment {
        var start: Int64
        var end: Int64
        var offset: Int64
    }

    /// No zone file may be further from UTC than this: RFC 8536 allows -25 to +26 hours.
    static let offsetMax: Int64 = 26 * 3_600

    public let name: [UInt8]

    /// `offsets[i]` holds before `transitions[i]`; the last one after all of
    /// them, unless there is a rule. Transitions ascend strictly.
    private let transitions: [Int64]
    private let offsets: [Int32]
    private let rule: ZoneRule?

    init(name: [UInt8], transitions: [Int64], offsets: [Int32], rule: ZoneRule?) {
        self.name = name
        self.transitions = transitions
        self.offsets = offsets
        self.rule = rule
    }

    /// Coordinated universal time: needs no file.
    public static let utc = Zone(
        name: [UInt8]("UTC"), transitions: [], offsets: [0], rule: nil)

    /// Seconds east of UTC at a unix second.
    public func offset(at instant: Int64) -> Int64 {
        segment(at: CalendarWindow.clamp(instant)).offset
    }

    /// - Complexity: O(log transitions).
    func segment(at instant: Int64) -> Segment {
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle] <= instant { low = middle + 1 } else { high = middle }
        }
        let start = low == 0 ? .min : transitions[low - 1]
        if low == transitions.count, let rule {
            var segment = rule.segment(at: instant)
            segment.start = max(segment.start, start)
            return segment
        }
        let end = low == transitions.count ? .max : transitions[low]
        return Segment(start: start, end: end, offset: Int64(offsets[low]))
    }

    /// The first instant at which the local clock shows `local` or later.
    ///
    /// For a midnight that does not exist that is the end of the gap; for one
    /// that occurs twice, the first. It never decreases as `local` grows.
    func firstInstant(showing local: Int64) -> Int64 {
        var segment = segment(at: local - Zone.offsetMax)
        while true {
            let candidate = max(segment.start, local - segment.offset)
            if candidate < segment.end { return candidate }
            segment = self.segment(at: segment.end)
        }
    }
}
