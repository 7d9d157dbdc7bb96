// Asking the home's ledger: a SELECT over the views of docs/ledger.md, a row at a time.

import CBursar
import Glibc

/// A column of a row, or a parameter.
enum Value: Hashable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])

    var cell: Cell {
        switch self {
        case .null: .none
        case .integer(let number): .id(number)
        case .real(let number): .real(number)
        case .text(let text): .text(text)
        case .blob(let bytes):
            .text("x'" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "'")
        }
    }
}

/// A row while it is looked at.
struct Row {
    fileprivate let values: UnsafePointer<bursar_value_t>
    let count: Int

    subscript(column: Int) -> Value {
        let value = values[column]
        switch value.type {
        case BURSAR_VALUE_INTEGER: return .integer(value.integer)
        case BURSAR_VALUE_REAL: return .real(value.real)
        case BURSAR_VALUE_TEXT: return .text(text(column) ?? "")
        case BURSAR_VALUE_BLOB:
            return .blob(
                Array(UnsafeRawBufferPointer(start: value.text.data, count: value.text.len)))
        default: return .null
        }
    }

    /// An integer; NULL is 0.
    func int(_ column: Int) -> Int64 {
        values[column].type == BURSAR_VALUE_INTEGER ? values[column].integer : 0
    }

    func maybeInt(_ column: Int) -> Int64? {
        values[column].type == BURSAR_VALUE_INTEGER ? values[column].integer : nil
    }

    func text(_ column: Int) -> String? {
        let value = values[column]
        guard value.type == BURSAR_VALUE_TEXT else { return nil }
        return String(
            decoding: UnsafeRawBufferPointer(start: value.text.data, count: value.text.len),
            as: UTF8.self)
    }

    /// The first `count` columns.
    func key(_ count: Int) -> [Value] { (0..<count).map { self[$0] } }
}

extension Home {
    /// Calls `body` with every row, and returns the columns' names.
    @discardableResult
    func ask(
        _ sql: String, _ parameters: [Value] = [], asWritten: Bool = false, timeout: Int64 = 0,
        _ body: (Row) throws -> Void
    ) throws -> [String] {
        var query: OpaquePointer?
        var count = 0
        let owned = parameters.map(Owned.init)
        defer { owned.forEach { $0.free() } }
        let flags = asWritten ? UInt32(BURSAR_QUERY_AS_WRITTEN) : 0
        try sql.withText { sql in
            let values = owned.map(\.value)
            try expect { error in
                let status = bursar_query(
                    runtime, flags, sql.data ?? emptyText, sql.len, values, values.count, timeout,
                    &query, &count, &error)
                if status == BURSAR_E_QUERY, error.line > 0 {
                    throw Failure(
                        "line \(error.line), column \(error.column): \(Failure(error).description)",
                        Code.text)
                }
                return status
            }
        }
        guard let query else { throw Failure("the ledger gave no answer", Code.bug) }
        defer { bursar_query_close(query) }
        let names = (0..<count).map { column in
            text { bursar_query_column(query, column, $0, $1, $2) } ?? ""
        }
        while true {
            var row: UnsafePointer<bursar_value_t>?
            try expect { bursar_query_next(query, &row, &$0) }
            guard let row else { return names }
            try body(Row(values: row, count: count))
        }
    }
}

/// A parameter with its bytes.
private struct Owned {
    let value: bursar_value_t

    init(_ given: Value) {
        var value = bursar_value_t()
        switch given {
        case .null: value.type = BURSAR_VALUE_NULL
        case .integer(let number): (value.type, value.integer) = (BURSAR_VALUE_INTEGER, number)
        case .real(let number): (value.type, value.real) = (BURSAR_VALUE_REAL, number)
        case .text(let text):
            (value.type, value.text) = (BURSAR_VALUE_TEXT, Owned.copy(Array(text.utf8)))
        case .blob(let bytes): (value.type, value.text) = (BURSAR_VALUE_BLOB, Owned.copy(bytes))
        }
        self.value = value
    }

    private static func copy(_ bytes: [UInt8]) -> bursar_text_t {
        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: max(1, bytes.count))
        for (k, byte) in bytes.enumerated() { copy[k] = CChar(bitPattern: byte) }
        return bursar_text_t(data: UnsafePointer(copy), len: bytes.count)
    }

    func free() { value.text.data?.deallocate() }
}
