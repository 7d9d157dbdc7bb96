// Section Control of bursar.h.

internal import BursarCore
public import CBursar

private func control(
    _ what: Runtime.Control, _ runtime: OpaquePointer, _ id: bursar_id_t,
    _ reason: UnsafePointer<CChar>?, _ reason_len: Int
) -> bursar_status_t {
    answer { () throws(Failure) in
        let opened = what == .revive || what == .resume
            ? try administer(runtime, "revive or resume") : try open(runtime)
        try opened.control(what, id, reason: try bytes(
            reason, reason_len < 0 ? 4096 : min(reason_len, 4096)))
    }
}

@c @implementation
public func bursar_kill(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ reason: UnsafePointer<CChar>?, _ reason_len: Int
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return control(.kill, runtime, id, reason, reason_len)
}

@c @implementation
public func bursar_revive(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ reason: UnsafePointer<CChar>?, _ reason_len: Int
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return control(.revive, runtime, id, reason, reason_len)
}

@c @implementation
public func bursar_pause(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ reason: UnsafePointer<CChar>?, _ reason_len: Int
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return control(.pause, runtime, id, reason, reason_len)
}

@c @implementation
public func bursar_resume(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ reason: UnsafePointer<CChar>?, _ reason_len: Int
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return control(.resume, runtime, id, reason, reason_len)
}
