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
        case BURSAR_E_FORKED: "the handle belongs to the parent process; open a new one"
        case BURSAR_E_BUFFER: "the buffer is too small; the length needed was reported"
        case BURSAR_E_MEMORY: "the system gave no memory"
        case BURSAR_E_CAPACITY: "a table is full; raise the option that the error names"
        case BURSAR_E_UNSUPPORTED: "not in this version"
        case BURSAR_E_REFUSED: "refused; the decision says why"
        case BURSAR_E_CONFLICT: "settled or charged before, with other amounts"
        case BURSAR_E_RELEASED: "the reservation was released"
        case BURSAR_E_EXPIRED: "the hold ran out; do not send"
        case BURSAR_E_BUSY: "another thread is at the same reservation; try again"
        case BURSAR_E_EXISTS: "the name is taken"
        case BURSAR_E_IN_USE: "it still has children or live sessions"
        case BURSAR_E_LIMIT_TEXT: "malformed limit text"
        case BURSAR_E_MONEY_TEXT: "malformed amount or rate"
        case BURSAR_E_PRICE: "malformed price book, or no such price"
        case BURSAR_E_ZONE: "unknown time zone"
        case BURSAR_E_PATH: "malformed path, name or label"
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
            if given.home.len > 0 {
                throw Failure(
                    .unsupported, "homes are not in this version; leave home empty for a private runtime")
            }
            let known = BURSAR_OPEN_OBSERVE | BURSAR_OPEN_PLAIN_CHARGE
            if given.flags & ~known != 0 { throw Failure(.invalid, "unknown open flags") }
            o.isObserved = given.flags & BURSAR_OPEN_OBSERVE != 0
            o.policy.plainCharge = given.flags & BURSAR_OPEN_PLAIN_CHARGE != 0
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
