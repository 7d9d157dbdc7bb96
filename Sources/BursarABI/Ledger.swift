// Section Ledger of bursar.h.

internal import BursarCore
public import CBursar

@c @implementation
public func bursar_outcome(
    _ runtime: OpaquePointer, _ outcome: UnsafePointer<bursar_outcome_t>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    var result: Int32 = 0
    let status = bursar_outcomes(runtime, outcome, 1, &result, out_error)
    return min(status, result, BURSAR_OK)
}

@c @implementation
public func bursar_outcomes(
    _ runtime: OpaquePointer, _ outcomes: UnsafePointer<bursar_outcome_t>, _ count: Int,
    _ out_results: UnsafeMutablePointer<Int32>?, _ out_errors: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(outcomes) { return nullArgument(out_errors) }
    if count <= 0 { return count == 0 ? BURSAR_OK : BURSAR_E_INVALID }
    let stride = Int(sizeField(outcomes))
    let errorStride = out_errors.map { Int(sizeField($0)) } ?? 0
    func tell(_ k: Int, _ result: Int32, _ failure: Failure?) {
        out_results?[k] = result
        if let failure, let out_errors, isStride(errorStride) {
            _ = fill(at(out_errors, k * errorStride), with: failure)
        }
    }
    var failure: Failure
    do throws(Failure) {
        let runtime = try open(runtime)
        do throws(Failure) {
            try runtime.outcomes(
                count, { (k) throws(Failure) in try outcome(at(outcomes, k * stride), stride) }, tell)
            return BURSAR_OK
        } catch {
            return error.status.rawValue
        }
    } catch {
        failure = error
    }
    for k in 0..<count { tell(k, failure.status.rawValue, failure) }
    return failure.status.rawValue
}

/// Whether the structs of an array can be as long: else the second is anywhere.
private func isStride(_ bytes: Int) -> Bool { bytes % 8 == 0 && bytes <= 65_536 }

private func at<T>(_ p: UnsafePointer<T>, _ bytes: Int) -> UnsafePointer<T> {
    (UnsafeRawPointer(p) + bytes).assumingMemoryBound(to: T.self)
}

private func at<T>(_ p: UnsafeMutablePointer<T>, _ bytes: Int) -> UnsafeMutablePointer<T> {
    (UnsafeMutableRawPointer(p) + bytes).assumingMemoryBound(to: T.self)
}

private func outcome(
    _ p: UnsafePointer<bursar_outcome_t>, _ stride: Int
) throws(Failure) -> Outcome {
    guard isStride(stride), p.pointee.size == stride, let given = take(p, p.pointee.size) else {
        throw sizeFailure
    }
    var o = Outcome()
    o.state = given.state
    o.name = try bytes(given.name)
    o.id = try bytes(given.id)
    o.session = given.session
    o.workflow = try bytes(given.workflow)
    o.label = try bytes(given.label)
    if given.value.len > 0 { o.value = try money(given.value) }
    o.reworkNanos = given.rework_nanos
    o.reworkTime = given.rework_ns
    o.by = try bytes(given.by)
    o.reason = try bytes(given.reason)
    o.at = given.at
    return o
}

/// What is behind a bursar_query_t: the cursor, and the row that the caller looks at.
private final class Query {
    let cursor: Cursor
    let row: UnsafeMutableBufferPointer<bursar_value_t>

    init(_ cursor: Cursor) {
        self.cursor = cursor
        row = .allocate(capacity: max(cursor.columns, 1))
        row.initialize(repeating: bursar_value_t())
    }

    deinit { row.deallocate() }

    static func of(_ query: OpaquePointer) -> Query {
        Unmanaged<Query>.fromOpaque(UnsafeRawPointer(query)).takeUnretainedValue()
    }

    func fill() {
        for column in 0..<cursor.columns {
            var value = bursar_value_t()
            value.type = cursor.type(column)
            switch value.type {
            case BURSAR_VALUE_INTEGER: value.integer = cursor.integer(column)
            case BURSAR_VALUE_REAL: value.real = cursor.real(column)
            case BURSAR_VALUE_TEXT, BURSAR_VALUE_BLOB:
                let bytes = cursor.borrowed(column)
                value.text.data = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
                value.text.len = bytes.count
            default: break
            }
            row[column] = value
        }
    }
}

private func value(_ given: bursar_value_t) throws(Failure) -> DBValue {
    switch given.type {
    case BURSAR_VALUE_NULL: return .null
    case BURSAR_VALUE_INTEGER: return .integer(given.integer)
    case BURSAR_VALUE_REAL: return .real(given.real)
    case BURSAR_VALUE_TEXT: return .text(try bytes(given.text))
    case BURSAR_VALUE_BLOB: return .blob(try bytes(given.text))
    default: throw Failure(.invalid, "a parameter's type is one of BURSAR_VALUE_*")
    }
}

@c @implementation
public func bursar_query(
    _ runtime: OpaquePointer, _ flags: UInt32, _ sql: UnsafePointer<CChar>, _ sql_len: Int,
    _ parameters: UnsafePointer<bursar_value_t>?, _ parameter_count: Int, _ timeout_ns: Int64,
    _ out_query: UnsafeMutablePointer<OpaquePointer?>, _ out_columns: UnsafeMutablePointer<Int>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(sql) || isNull(out_query) || isNull(out_columns) {
        return nullArgument(out_error)
    }
    out_query.pointee = nil
    out_columns.pointee = 0
    return answer(out_error) { () throws(Failure) in
        let runtime = try open(runtime)
        if flags & ~BURSAR_QUERY_AS_WRITTEN != 0 { throw Failure(.invalid, "unknown flags of a query") }
        if parameter_count < 0 || parameter_count > 256 || (parameter_count > 0 && parameters == nil) {
            throw Failure(.invalid, "a query's parameters are NULL, or more than 256")
        }
        var values: [DBValue] = []
        for k in 0..<parameter_count {
            if let parameters { values.append(try value(parameters[k])) }
        }
        let cursor = try runtime.query(
            try bytes(sql, sql_len), values, asWritten: flags & BURSAR_QUERY_AS_WRITTEN != 0,
            patience: timeout_ns)
        out_columns.pointee = cursor.columns
        out_query.pointee = OpaquePointer(Unmanaged.passRetained(Query(cursor)).toOpaque())
    }
}

@c @implementation
public func bursar_query_column(
    _ query: OpaquePointer, _ column: Int, _ out_text: UnsafeMutablePointer<CChar>?,
    _ capacity: Int, _ out_len: UnsafeMutablePointer<Int>
) -> bursar_status_t {
    if isNull(query) || isNull(out_len) { return nullArgument() }
    out_len.pointee = 0
    let cursor = Query.of(query).cursor
    if cursor.isInherited { return BURSAR_E_FORKED }
    if column < 0 || column >= cursor.columns { return BURSAR_E_NOT_FOUND }
    return write(cursor.name(column), out_text, capacity, out_len)
}

@c @implementation
public func bursar_query_next(
    _ query: OpaquePointer, _ out_row: UnsafeMutablePointer<UnsafePointer<bursar_value_t>?>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(query) || isNull(out_row) { return nullArgument(out_error) }
    out_row.pointee = nil
    return answer(out_error) { () throws(Failure) in
        let query = Query.of(query)
        if try query.cursor.next() {
            query.fill()
            out_row.pointee = UnsafePointer(query.row.baseAddress)
        }
    }
}

@c @implementation
public func bursar_query_close(_ query: OpaquePointer?) -> bursar_status_t {
    guard let query else { return BURSAR_OK }
    let held = Unmanaged<Query>.fromOpaque(UnsafeRawPointer(query))
    if held.takeUnretainedValue().cursor.isInherited { return BURSAR_E_FORKED }
    held.release()
    return BURSAR_OK
}
