// Sections Version, Status and Lifecycle of bursar.h.

internal import BursarCore
public import CBursar

@c @implementation
public func bursar_version_number() -> Int32 { BURSAR_VERSION_NUMBER }

@c @implementation
public func bursar_abi_version() -> Int32 { BURSAR_ABI_VERSION }

@c @implementation
public func bursar_status_string(_ status: bursar_status_t) -> UnsafePointer<CChar> {
    let text: StaticString =
        switch status {
        case BURSAR_OK: "good"
        case BURSAR_E_INVALID: "an argument is wrong; nothing changed"
        case BURSAR_E_SIZE: "a struct's size field is wrong; use its INIT macro"
        case BURSAR_E_NOT_FOUND: "an id or a path that names nothing (any more)"
        case BURSAR_E_CLOSED: "the runtime or the session was closed"
        case BURSAR_E_HOME: "the home cannot be used, or is gone"
        case BURSAR_E_ROLE: "not for a runtime opened as an agent, or for who produced the outcome"
        case BURSAR_E_FORKED: "the handle belongs to the parent process; open a new one"
        case BURSAR_E_BUFFER: "the buffer is too small; the length needed was reported"
        case BURSAR_E_MEMORY: "the system gave no memory"
        case BURSAR_E_CAPACITY: "a table is full; raise the option that the error names"
        case BURSAR_E_UNSUPPORTED: "not in this version"
        case BURSAR_E_REFUSED: "refused; the decision says why"
        case BURSAR_E_CONFLICT: "settled or charged before, with other amounts"
        case BURSAR_E_RELEASED: "the reservation was released"
        case BURSAR_E_EXPIRED: "the hold ran out; do not send"
        case BURSAR_E_BUSY: "another thread or process is at what this needs; try again"
        case BURSAR_E_EXISTS: "the name is taken"
        case BURSAR_E_IN_USE: "it still has children or live sessions"
        case BURSAR_E_LIMIT_TEXT: "malformed limit text"
        case BURSAR_E_MONEY_TEXT: "malformed amount or rate"
        case BURSAR_E_PRICE: "malformed price book, or no such price"
        case BURSAR_E_ZONE: "unknown time zone"
        case BURSAR_E_PATH: "malformed path, name or label"
        case BURSAR_E_QUERY: "the query's SQL is wrong, or it ran too long"
        case BURSAR_E_LOOP: "libuv refused"
        case BURSAR_E_CORRUPT: "the segment contradicts itself: a bug"
        default: "unknown status"
        }
    return UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

@c @implementation
public func bursar_open(
    _ options: UnsafePointer<bursar_open_options_t>?,
    _ out_runtime: UnsafeMutablePointer<OpaquePointer?>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(out_runtime) { return nullArgument(out_error) }
    out_runtime.pointee = nil
    return answer(out_error) { () throws(Failure) in
        var o = OpenOptions()
        if let options {
            guard let given = take(options, options.pointee.size) else { throw sizeFailure }
            let known = BURSAR_OPEN_OBSERVE | BURSAR_OPEN_PLAIN_CHARGE | BURSAR_OPEN_GROUP
                | BURSAR_OPEN_EXISTING
            if given.flags & ~known != 0 { throw Failure(.invalid, "unknown open flags") }
            o.isObserved = given.flags & BURSAR_OPEN_OBSERVE != 0
            o.policy.plainCharge = given.flags & BURSAR_OPEN_PLAIN_CHARGE != 0
            o.isGroup = given.flags & BURSAR_OPEN_GROUP != 0
            o.mustExist = given.flags & BURSAR_OPEN_EXISTING != 0
            o.home = try bytes(given.home)
            o.shmDirectory = try bytes(given.shm_dir)
            o.name = try bytes(given.name)
            o.loop = given.loop
            o.sessionsMax = given.sessions_max
            o.reservationsMax = given.reservations_max
            o.textBytesMax = given.text_bytes_max
            o.eventsMax = given.events_max
            o.timeToLive = given.reservation_ttl_ns
            if given.unknown_model != 0 {
                guard let policy = Policy.UnknownModel(rawValue: given.unknown_model) else {
                    throw Failure(.invalid, "unknown_model is 0 to 3")
                }
                o.policy.unknownModel = policy
            }
            if given.undeclared != 0 {
                guard let policy = Policy.Undeclared(rawValue: given.undeclared) else {
                    throw Failure(.invalid, "undeclared is 0 to 2")
                }
                o.policy.undeclared = policy
            }
            if given.on_unavailable != 0 {
                guard let way = OpenOptions.Unavailable(rawValue: given.on_unavailable) else {
                    throw Failure(.invalid, "on_unavailable is 0 to 3")
                }
                o.onUnavailable = way
            }
            if given.role != 0 {
                guard let role = Policy.Role(rawValue: given.role) else {
                    throw Failure(.invalid, "role is 0 to 2")
                }
                o.policy.role = role
            }
        }
        out_runtime.pointee = OpaquePointer(try Runtime.open(o))
    }
}

let sizeFailure = Failure(
    .size, "a struct's size field is 0, too small, or its unknown tail is set; use its INIT macro")

@c @implementation
public func bursar_close(_ runtime: OpaquePointer?) -> bursar_status_t {
    guard let runtime else { return BURSAR_OK }
    return Runtime.close(UnsafeMutableRawPointer(runtime)).rawValue
}

@c @implementation
public func bursar_home_info(
    _ runtime: OpaquePointer, _ out_info: UnsafeMutablePointer<bursar_home_info_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_info) { return nullArgument() }
    var status = BURSAR_OK
    let answered = answer { () throws(Failure) in
        let home = try read(runtime).home
        var out = bursar_home_info_t()
        out.flags = (home.isShared ? BURSAR_HOME_SHARED : 0) | (home.isGroup ? BURSAR_HOME_GROUP : 0)
        out.slot = home.slot
        out.processes = UInt32(home.processes.count)
        out.segment_id = home.segmentID
        out.segment_bytes = Int64(home.segmentBytes)
        out.path_len = UInt32(home.path.count)
        out.segment_path_len = UInt32(home.segmentPath.count)
        copy(home.id, &out.id)
        copy(home.path, &out.path)
        copy(home.segmentPath, &out.segment_path)
        status = give(out, to: out_info, sizeField(out_info))
    }
    return answered == BURSAR_OK ? status : answered
}

@c @implementation
public func bursar_home_process(
    _ runtime: OpaquePointer, _ position: UInt32,
    _ out_process: UnsafeMutablePointer<bursar_process_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_process) { return nullArgument() }
    var status = BURSAR_E_NOT_FOUND
    let answered = answer { () throws(Failure) in
        let processes = try read(runtime).home.processes
        guard position < processes.count else { return }
        let process = processes[Int(position)]
        var out = bursar_process_t()
        out.slot = process.slot
        out.pid = process.pid
        out.role = process.role
        out.since_unix_ns = process.since
        out.forked_from = process.parent
        copy(process.name, &out.name)
        status = give(out, to: out_process, sizeField(out_process))
    }
    return answered == BURSAR_OK ? status : answered
}

/// As much of a text as its field takes, and a NUL.
private func copy<T>(_ text: [UInt8], _ field: inout T) {
    withUnsafeMutableBytes(of: &field) { copy(text, to: $0) }
}

@inline(never)
private func copy(_ text: [UInt8], to field: UnsafeMutableRawBufferPointer) {
    for i in 0..<min(text.count, field.count - 1) { field[i] = text[i] }
}
