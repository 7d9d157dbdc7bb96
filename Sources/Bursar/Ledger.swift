// The ledger of a home: asking it with SQL, and business results.

internal import BursarCore

/// A column of a row, or a parameter of a query.
public enum Value: Sendable, Hashable, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral,
    ExpressibleByNilLiteral
{
    /// Unknown.
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])

    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(stringLiteral value: String) { self = .text(value) }
    public init(nilLiteral: ()) { self = .null }

    public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
    public var text: String? { if case .text(let value) = self { value } else { nil } }
    /// Of a column in nano-dollars.
    public var money: Money? { integer.map { Money(nanos: $0) } }

    init(_ value: DBValue) {
        switch value {
        case .null: self = .null
        case .integer(let value): self = .integer(value)
        case .real(let value): self = .real(value)
        case .text(let bytes): self = .text(String(decoding: bytes, as: UTF8.self))
        case .blob(let bytes): self = .blob(bytes)
        }
    }

    var forCore: DBValue {
        switch self {
        case .null: .null
        case .integer(let value): .integer(value)
        case .real(let value): .real(value)
        case .text(let text): .text([UInt8](text.utf8))
        case .blob(let bytes): .blob(bytes)
        }
    }
}

/// What is said of a business result.
public struct Outcome: Sendable {
    public enum State: Int32, Sendable, CaseIterable {
        /// By who produced it.
        case stated = 1
        /// By somebody else.
        case verified
        case disputed
        /// Another value, or rework.
        case corrected
        case withdrawn
    }

    /// What it is: `"invoice_processed"`.
    public var name: String
    /// Your own; empty: it is never revised.
    public var id: String
    public var state = State.stated
    /// nil = unknown, or as it was.
    public var value: Money?
    /// A budget's path that it is credited to, or else a label, `"key=value"`; one stated by a
    /// session is credited to that.
    public var workflow = ""
    public var label = ""
    /// What putting it right cost, and somebody's time for that.
    public var rework = Money.zero
    public var reworkTime = Duration.zero
    /// Who says so; empty = the runtime's name, or else its user.
    public var by = ""
    public var reason = ""
    /// When it came about; 0 = now.
    public var unixNanos: Int64 = 0

    public init(_ name: String, id: String = "", value: Money? = nil) {
        self.name = name
        self.id = id
        self.value = value
    }
}

extension Runtime {
    /// The rows of one SELECT over the ledger's views, by column name; `?` stand for the
    /// parameters. It sees all that was settled before. docs/ledger.md has the views.
    ///
    /// - Throws: ``Failure/Code/query`` with line and column;
    ///   ``Failure/Code/unsupported`` in a private runtime.
    public func query(
        _ sql: String, _ parameters: Value..., timeout: Duration = .zero
    ) throws(BursarError) -> [[String: Value]] {
        try call { (runtime) throws(BursarCore.Failure) in
            let cursor = try runtime.query(
                [UInt8](sql.utf8), parameters.map(\.forCore), asWritten: false,
                patience: timeout.nanoseconds)
            let names = (0..<cursor.columns).map { String(bytes: cursor.name($0)) }
            if Set(names).count < names.count {
                throw BursarCore.Failure(.query, "two columns have one name: rename one with AS")
            }
            var rows: [[String: Value]] = []
            while try cursor.next() {
                var row: [String: Value] = [:]
                for (k, name) in names.enumerated() { row[name] = Value(cursor.value(k)) }
                rows.append(row)
            }
            return rows
        }
    }

    /// States a business result, or revises one by its name and id. Stating it again changes
    /// nothing.
    ///
    /// - Throws: ``Failure/Code/conflict``: it is there with another value;
    ///   ``Failure/Code/role``: verified by who stated it.
    public func record(_ outcome: Outcome) throws(BursarError) { try record(outcome, session: 0) }

    fileprivate func record(_ outcome: Outcome, session: Int64) throws(BursarError) {
        try call { (runtime) throws(BursarCore.Failure) in
            var given = BursarCore.Outcome()
            given.state = outcome.state.rawValue
            given.name = outcome.name.bytes
            given.id = outcome.id.bytes
            given.session = session
            given.workflow = outcome.workflow.bytes
            given.label = outcome.label.bytes
            given.value = outcome.value?.nanos
            given.reworkNanos = outcome.rework.nanos
            given.reworkTime = outcome.reworkTime.nanoseconds
            given.by = outcome.by.bytes
            given.reason = outcome.reason.bytes
            given.at = outcome.unixNanos
            var failure: BursarCore.Failure?
            try runtime.outcomes(1, { _ in given }, { failure = $2 })
            if let failure { throw failure }
        }
    }
}

extension Session {
    /// States a business result of this session.
    public func record(_ outcome: Outcome) throws(BursarError) {
        try runtime.record(outcome, session: id)
    }
}
