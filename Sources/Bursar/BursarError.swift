// What calls throw: a refusal with its decision, or a failure with its sentence.

internal import BursarCore

/// What every call throws. Only reserving and charging refuse.
///
///     do {
///         let step = try session.reserve("gpt-5", input: 1_200, maxOutput: 1_024)
///     } catch .refused(let decision) {
///         print(decision)  // which budget, which limit, how much was left, what to do
///     }
public enum BursarError: Error, Sendable, CustomStringConvertible {
    /// A budget says no. It is an answer, not a mistake.
    case refused(Decision)
    case failed(Failure)

    public var description: String {
        switch self {
        case .refused(let decision): decision.description
        case .failed(let failure): failure.description
        }
    }
}

/// What went wrong.
public struct Failure: Sendable, Hashable, CustomStringConvertible {
    public var code: Code
    /// What was wrong, where, what was expected, what to do.
    public var message: String
    /// Of a price book or a query, from 1; nil = none.
    public var line: Int?
    /// The first byte of the offending word, from 1; nil = none.
    public var column: Int?
    /// The budget, session or reservation concerned, or 0.
    public var id: Int64

    public var description: String { message }

    /// The header's BURSAR_E_*.
    public enum Code: Int32, Sendable, Hashable, CaseIterable {
        case invalid = -1, size = -2
        /// An id or a path that names nothing, or nothing any more.
        case notFound = -3
        /// The runtime or the session was closed.
        case closed = -4
        /// The runtime belongs to the parent process; open one in the child.
        case forked = -5
        case buffer = -6, memory = -7
        /// A table is full; the message names the option that raises it.
        case capacity = -8
        case unsupported = -9, refused = -10
        /// Settled or charged before, with other amounts.
        case conflict = -11
        /// Settled after it was released.
        case released = -12
        /// The hold ran out: do not send the step.
        case expired = -13
        /// Another thread is at the same step, or a process that is stopped has held the
        /// home's configuration for 10 seconds; try again.
        case busy = -14
        case exists = -15
        /// It still has children or live sessions.
        case inUse = -16
        case limitText = -20, moneyText = -21
        /// A malformed price book, or no such price.
        case price = -22
        case zone = -23, path = -24
        /// The SQL is wrong, at `line` and `column`; or does not only read, or ran too long.
        case query = -25
        case loop = -30
        /// The runtime contradicts itself: a bug.
        case corrupt = -31
        /// The home cannot be used, or is gone.
        case home = -40
        /// Not for a runtime opened as an agent; not for who produced the outcome.
        case role = -41
    }

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
        id = 0
    }

    init(_ failure: BursarCore.Failure) {
        code = Code(failure.status)
        message = String(decoding: failure.sentence, as: UTF8.self)
        line = failure.line > 0 ? Int(failure.line) : nil
        column = failure.column > 0 ? Int(failure.column) : nil
        id = failure.id
    }
}

extension Failure.Code {
    init(_ status: Status) { self = Failure.Code(rawValue: status.rawValue) ?? .corrupt }
}

extension BursarError {
    /// What a hot call answers, in words.
    init(_ status: Status, of core: Core) {
        if status == .home {  // the core knows what became of it
            self = .failed(Failure(core.failure(status)))
            return
        }
        let message =
            switch status {
            case .invalid: "an amount is negative, too large, or a part is above its whole"
            case .notFound: "it names nothing, or nothing any more"
            case .closed: "the runtime was closed"
            case .forked: "this runtime belongs to the parent process; open one in the child"
            case .conflict: "it was settled or charged before, with other amounts"
            case .released: "the step was released"
            case .expired: "the hold ran out, or the step has ended; do not send it"
            case .busy: "another thread or process is at what this needs; try again"
            default: "status \(status.rawValue)"
            }
        self = .failed(Failure(Failure.Code(status), message))
    }
}
