// Statuses and refusals as the core names them; the numbers are the header's.

/// What a call answers. Append-only; 0 is good, negative an error.
public enum Status: Int32, Sendable {
    case ok = 0
    case invalid = -1
    case size = -2
    case notFound = -3
    case closed = -4
    case forked = -5
    case buffer = -6
    case memory = -7
    case capacity = -8
    case unsupported = -9
    case refused = -10
    case conflict = -11
    case released = -12
    case expired = -13
    case busy = -14
    case exists = -15
    case inUse = -16
    case limitText = -20
    case moneyText = -21
    case price = -22
    case zone = -23
    case path = -24
    case query = -25
    case loop = -30
    case corrupt = -31
    case home = -40
    case role = -41
}

/// An error with its sentence: what was wrong, where, what was expected, what to do.
public struct Failure: Error {
    public var status: Status
    public var sentence: [UInt8]
    public var line: Int32 = 0
    public var column: Int32 = 0
    public var id: Int64 = 0
    public var values: (Int64, Int64) = (0, 0)

    public init(_ status: Status, _ sentence: Sentence) {
        self.status = status
        self.sentence = sentence.bytes
    }

    public init(_ status: Status, bytes: [UInt8]) {
        self.status = status
        self.sentence = bytes
    }
}

public enum Verdict: Int32, Sendable { case allow, downgrade, throttle, pause, halt }

public enum Reason: Int32, Sendable {
    case none, limit, rate, killed, paused, closed, wall, idle, unattended, undeclared
    case priceUnknown, journalFull, downgrade, holdback
}

public enum Remedy: Int32, Sendable {
    case none, wait, smaller, cheaperModel, ask, stop, price, declare
}
