// What a limit is: a meter, an amount, a window, shares to act at, and what
// happens at the end. LimitParser reads them from text, Limit+Print writes them.

/// What is counted. The numbers are the header's `BURSAR_METER_*`.
public struct Meter: Equatable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let cost = Meter(rawValue: 0)  // nano-dollars
    public static let tokens = Meter(rawValue: 1)
    public static let inputTokens = Meter(rawValue: 2)
    public static let outputTokens = Meter(rawValue: 3)
    public static let freshTokens = Meter(rawValue: 4)
    public static let steps = Meter(rawValue: 5)
    public static let toolCalls = Meter(rawValue: 6)
    public static let inFlight = Meter(rawValue: 7)
    public static let named: ClosedRange<UInt8> = 8...31  // what a runtime names
    public static let wall = Meter(rawValue: 32)  // nanoseconds, as the next two
    public static let idle = Meter(rawValue: 33)
    public static let unattended = Meter(rawValue: 34)

    /// A named meter or a tool's calls before a runtime gave it its number.
    public static let unassigned = Meter(rawValue: 255)

    public var isTime: Bool { rawValue >= 32 && rawValue <= 34 }
}

/// What happens when a limit is reached. The numbers are the header's `BURSAR_END_*`.
public enum End: UInt8, Sendable { case halt, pause, throttle, observe }

/// How a window moves; `none` is for `in_flight` and times, which have none.
public enum WindowKind: UInt8, Sendable { case total, session, calendar, rolling, rate, none }

public enum CalendarUnit: UInt8, Sendable { case hour, day, week, month, quarter, year }

/// The stretch of time that an amount holds for.
public struct Window: Equatable, Sendable {
    public var kind: WindowKind
    /// Of a calendar window.
    public var unit: CalendarUnit
    /// Of a calendar window: an IANA name; empty is UTC.
    public var zone: [UInt8]
    /// Of a calendar window: a week's first day, 0 = Monday to 6; the first day
    /// of a month, quarter or year, 1 to 28; otherwise 0.
    public var from: Int
    /// Of a rolling window its length; of a rate one second or one minute.
    public var spanNanos: Int64

    public init(
        _ kind: WindowKind, unit: CalendarUnit = .hour, zone: [UInt8] = [], from: Int = 0,
        spanNanos: Int64 = 0
    ) {
        self.kind = kind
        self.unit = unit
        self.zone = zone
        self.from = from
        self.spanNanos = spanNanos
    }

    /// A calendar window that begins where the unit does.
    public static func calendar(_ unit: CalendarUnit, zone: [UInt8] = []) -> Window {
        Window(.calendar, unit: unit, zone: zone, from: unit.firstDay)
    }
}

extension CalendarUnit {
    /// What `from` means when it is left out.
    public var firstDay: Int { self >= .month ? 1 : 0 }

    static func >= (one: CalendarUnit, other: CalendarUnit) -> Bool {
        one.rawValue >= other.rawValue
    }
}

/// One limit. Parsing makes only those that print and parse back the same:
/// alerts ascend, a burst of the amount itself is 0, `from` lies in its range.
public struct Limit: Equatable, Sendable {
    public var meter: Meter
    /// Of a named meter, or of the tool whose calls are counted; else empty.
    public var name: [UInt8]
    /// True for `calls(tool)`.
    public var isCall: Bool
    /// Nano-dollars, a count, or nanoseconds, as the meter says.
    public var amount: Int64
    public var window: Window
    /// Percents of the amount to report at: at most four, ascending.
    public var alerts: [UInt8]
    /// The percent of the amount at which sessions walk down the ladder; 0 = none.
    public var downgrade: UInt8
    /// How much a rate lets through at once, in the meter's unit; 0 = the amount.
    public var burst: Int64
    public var end: End

    public init(
        _ meter: Meter, _ amount: Int64, _ window: Window = Window(.total), name: [UInt8] = [],
        isCall: Bool = false, alerts: [UInt8] = [], downgrade: UInt8 = 0, burst: Int64 = 0,
        end: End? = nil
    ) {
        self.meter = meter
        self.name = name
        self.isCall = isCall
        self.amount = amount
        self.window = window
        self.alerts = alerts
        self.downgrade = downgrade
        self.burst = burst
        self.end = end ?? Limit.defaultEnd(meter, window.kind)
    }

    /// What happens at the end of a limit that does not say it.
    public static func defaultEnd(_ meter: Meter, _ window: WindowKind) -> End {
        if meter == .unattended { return .pause }
        return window == .rate || meter == .inFlight ? .throttle : .halt
    }

    /// True when both count the same thing over the same window, so that only
    /// the smaller could ever matter.
    public func overlaps(_ other: Limit) -> Bool {
        meter == other.meter && isCall == other.isCall && name == other.name
            && window == other.window
    }
}

/// All limits of one budget or session, in the order in which they were written.
public struct LimitList: Equatable, Sendable {
    public var limits: [Limit]
    /// Written `unlimited`: none here, whatever was there before.
    public var unlimited: Bool

    public init(_ limits: [Limit], unlimited: Bool = false) {
        self.limits = limits
        self.unlimited = unlimited
    }

    public static let unlimited = LimitList([], unlimited: true)

    /// Lists are bounded so that a hostile text costs little to refuse.
    public static let bytesMax = 4096
    public static let limitsMax = 16
    public static let alertsMax = 4
    public static let nameMax = 64
}

/// What a top-up adds, and to which meter.
public struct TopUp: Equatable, Sendable {
    public var meter: Meter
    public var name: [UInt8]
    public var isCall: Bool
    /// Nano-dollars, a count, or nanoseconds, as the meter says. Above 0.
    public var amount: Int64
}
