// Section Sessions of bursar.h.

internal import BursarCore
public import CBursar

@c @implementation
public func bursar_session_open(
    _ runtime: OpaquePointer, _ options: UnsafePointer<bursar_session_options_t>,
    _ out_session: UnsafeMutablePointer<bursar_id_t>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(options) || isNull(out_session) { return nullArgument(out_error) }
    out_session.pointee = 0
    return answer(out_error) { () throws(Failure) in
        let runtime = try open(runtime)
        guard let given = take(options, options.pointee.size) else { throw sizeFailure }
        if given.flags != 0 { throw Failure(.invalid, "unknown session flags") }
        var o = SessionOptions()
        o.path = given.parent == 0 ? try bytes(given.path) : []
        o.parent = given.parent
        o.agent = try bytes(given.agent)
        o.limits = try bytes(given.limits)
        o.ladder = try bytes(given.ladder)
        o.complexity = given.complexity
        o.holdbackNanos = given.holdback_nanos
        if given.label_count > 16 {
            throw Failure(.invalid, "\(given.label_count) labels; at most 16 are possible")
        }
        if given.label_count > 0 {
            guard let labels = given.labels else {
                throw Failure(.invalid, "labels is NULL and label_count is not 0")
            }
            for k in 0..<Int(given.label_count) {
                o.labels.append((try bytes(labels[k].key), try bytes(labels[k].value)))
            }
        }
        out_session.pointee = try runtime.sessionOpen(o)
    }
}

@c @implementation
public func bursar_session_close(
    _ runtime: OpaquePointer, _ session: bursar_id_t
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return answer { () throws(Failure) in try open(runtime).sessionClose(session) }
}

@c @implementation
public func bursar_attend(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ who: UnsafePointer<CChar>?, _ who_len: Int
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return answer { () throws(Failure) in
        try open(runtime).attend(id, who: try bytes(who, who_len))
    }
}

@c @implementation
public func bursar_session_environ(
    _ runtime: OpaquePointer, _ session: bursar_id_t, _ out_text: UnsafeMutablePointer<CChar>?,
    _ capacity: Int, _ out_len: UnsafeMutablePointer<Int>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_len) { return nullArgument() }
    out_len.pointee = 0
    do throws(Failure) {
        return write(try open(runtime).sessionEnviron(session), out_text, capacity, out_len)
    } catch {
        return error.status.rawValue
    }
}

@c @implementation
public func bursar_session_attach(
    _ runtime: OpaquePointer, _ text: UnsafePointer<CChar>, _ text_len: Int,
    _ out_session: UnsafeMutablePointer<bursar_id_t>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(text) || isNull(out_session) { return nullArgument(out_error) }
    out_session.pointee = 0
    return answer(out_error) { () throws(Failure) in
        out_session.pointee = try open(runtime).sessionAttach(try bytes(text, text_len))
    }
}
