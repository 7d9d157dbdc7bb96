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

/// An error with its sentence: what was wrong, where, what was expected, what to do. One
/// word, so that a call that may fail hands it on in a register.
public struct Failure: Error {
    /// Changed only by a failure that alone has it.
    private final class Said: @unchecked Sendable {
        var status: Status
        var sentence: [UInt8]
        var line: Int32 = 0
        var column: Int32 = 0
        var id: Int64 = 0
        var values: (Int64, Int64) = (0, 0)

        init(_ status: Status, _ sentence: [UInt8]) {
            self.status = status
            self.sentence = sentence
        }
    }
    private var said: Said

    @inline(never)
    public init(_ status: Status, _ sentence: Sentence) {
        said = Said(status, sentence.bytes)
    }

    public init(_ status: Status, bytes: [UInt8]) {
        self.init(status, Sentence(bytes: bytes))
    }

    public var status: Status {
        get { said.status }
        set { own().status = newValue }
    }
    public var sentence: [UInt8] { said.sentence }
    public var line: Int32 {
        get { said.line }
        set { own().line = newValue }
    }
    public var column: Int32 {
        get { said.column }
        set { own().column = newValue }
    }
    public var id: Int64 {
        get { said.id }
        set { own().id = newValue }
    }
    public var values: (Int64, Int64) {
        get { said.values }
        set { own().values = newValue }
    }

    @inline(never)
    private mutating func own() -> Said {
        if !isKnownUniquelyReferenced(&said) {
            let former = said
            said = Said(former.status, former.sentence)
            said.line = former.line
            said.column = former.column
            said.id = former.id
            said.values = former.values
        }
        return said
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
