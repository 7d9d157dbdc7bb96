// The words that decisions, views and events are told in, with the header's numbers.

/// What is counted.
public struct Meter: RawRepresentable, Sendable, Hashable {
    public let rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// In nano-dollars.
    public static let cost = Meter(rawValue: 0)
    public static let tokens = Meter(rawValue: 1)
    public static let inputTokens = Meter(rawValue: 2)
    public static let outputTokens = Meter(rawValue: 3)
    /// Uncached input and output.
    public static let freshTokens = Meter(rawValue: 4)
    public static let steps = Meter(rawValue: 5)
    public static let toolCalls = Meter(rawValue: 6)
    public static let inFlight = Meter(rawValue: 7)
    /// In nanoseconds since it opened, paused time excluded.
    public static let wall = Meter(rawValue: 32)
    /// In nanoseconds without a step.
    public static let idle = Meter(rawValue: 33)
    /// In nanoseconds since somebody last attended.
    public static let unattended = Meter(rawValue: 34)
}

/// The answer to a request.
public enum Verdict: Int32, Sendable, CaseIterable {
    case allow
    /// Granted: a lower rung or fewer output tokens than wanted.
    case downgrade
    /// Refused: wait and try again.
    case throttle
    /// Refused until topped up, resumed or attended.
    case pause
    case halt
}

/// Why.
public enum Reason: Int32, Sendable, CaseIterable {
    case none
    /// An amount would pass its limit.
    case limit
    /// Faster than a rate allows.
    case rate
    case killed
    /// By somebody, or by a limit that says `then pause`.
    case paused
    case closed
    /// The deadline has passed.
    case wall
    case idle, unattended
    /// No budget with a limit stands above the session.
    case undeclared
    case priceUnknown
    /// More steps are in flight than there are places.
    case journalFull
    /// A downgrade share, a rung cap or a small remainder moved it down.
    case downgrade
    /// Only what is held back for the final answer is left.
    case holdback
}

/// What the caller may do.
public enum Remedy: Int32, Sendable, CaseIterable {
    case none
    /// Try again after ``Decision/retryAfter``, or when steps in flight settle.
    case wait
    case smaller, cheaperModel
    /// Ask the owner for more.
    case ask
    case stop
    /// Set a price for the model.
    case price
    /// Declare a budget with a limit.
    case declare
}

/// What happens when a limit is reached.
public enum End: Int32, Sendable, CaseIterable { case halt, pause, throttle, observe }

/// What a budget or session is doing.
public enum State: Int32, Sendable, CaseIterable, Comparable {
    case open, paused
    /// A time limit has ended it; a top-up or `resume` revives it.
    case halted
    case killed, closed

    public static func < (left: State, right: State) -> Bool { left.rawValue < right.rawValue }
}

/// How hard a step is: a budget may keep routine work off the best models.
public enum Complexity: Int32, Sendable, CaseIterable {
    /// As the budget or session says.
    case unspecified
    case routine, standard, complex
}

/// How the provider is asked to run a step.
public enum Variant: Int32, Sendable, CaseIterable { case standard, batch, flex, priority }

/// A model's name, resolved once by ``Runtime/model(_:)``.
public struct Model: Sendable, Hashable, CustomStringConvertible {
    public let name: String
    let number: Int32

    public var description: String { name }
}

/// A tool's name, resolved once by ``Runtime/tool(_:price:)``.
public struct Tool: Sendable, Hashable, CustomStringConvertible {
    public let name: String
    let number: Int32

    public var description: String { name }
}

/// Makes a settle or a charge count once, however often it is repeated.
public struct Key: Sendable, Hashable {
    let low, high: UInt64

    /// The two halves of a number that is not 0, a UUID for example.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// 128 bits of FNV-1a of a text (Fowler, Noll, Vo 1991).
    public init(_ text: String) {
        var hash: UInt128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D
        for byte in text.utf8 {
            hash = (hash ^ UInt128(byte)) &* 0x0000_0000_0100_0000_0000_0000_0000_013B
        }
        low = UInt64(truncatingIfNeeded: hash)
        high = UInt64(truncatingIfNeeded: hash >> 64)
    }
}
