// Section Steps of bursar.h: the hot calls.

internal import BursarCore
public import CBursar

/// The caller's struct as the core's twin of it: the same fields in the same
/// places (a test compares them), so nothing is copied.
@inline(__always)
private func twin<T, U>(_ p: UnsafePointer<T>, as _: U.Type) -> UnsafePointer<U> {
    UnsafeRawPointer(p).assumingMemoryBound(to: U.self)
}

@inline(__always)
private func twin<T, U>(_ p: UnsafeMutablePointer<T>, as _: U.Type) -> UnsafeMutablePointer<U> {
    UnsafeMutableRawPointer(p).assumingMemoryBound(to: U.self)
}

/// Calls `body` with a struct of this version's size, made from an older or newer
/// one where the caller has that.
@inline(__always)
private func with<T, U>(
    _ p: UnsafePointer<T>, as type: U.Type, _ body: (UnsafePointer<U>) -> Status
) -> Status {
    if sizeField(p) == UInt32(MemoryLayout<U>.size) { return body(twin(p, as: type)) }
    return withOther(p, as: type, body)
}

@inline(never)
private func withOther<T, U>(
    _ p: UnsafePointer<T>, as type: U.Type, _ body: (UnsafePointer<U>) -> Status
) -> Status {
    guard let copy = take(p, sizeField(p)) else { return .size }
    return withUnsafePointer(to: copy) { body(twin($0, as: type)) }
}

/// The same for a struct that is filled: `body` gets a fresh one of this version.
@inline(__always)
private func filling<T, U>(
    _ p: UnsafeMutablePointer<T>, with fresh: U, _ body: (inout U) -> Status
) -> Status {
    let size = sizeField(p)
    if size == UInt32(MemoryLayout<U>.size) {
        let out = twin(p, as: U.self)
        out.pointee = fresh
        return body(&out.pointee)
    }
    return fillingOther(p, with: fresh, body)
}

@inline(never)
private func fillingOther<T, U>(
    _ p: UnsafeMutablePointer<T>, with fresh: U, _ body: (inout U) -> Status
) -> Status {
    let size = sizeField(p)
    if size < 8 || size > 65_536 { return .size }
    var value = fresh
    let status = body(&value)
    _ = give(value, to: twin(p, as: U.self), size)
    return status
}

@inline(__always)
func usage(_ u: bursar_usage_t) -> Usage {
    withUnsafePointer(to: u) { twin($0, as: Report.self).pointee.usage }
}

@c @implementation @_optimize(speed)
public func bursar_reserve(
    _ runtime: OpaquePointer, _ session: bursar_id_t,
    _ request_: UnsafePointer<bursar_request_t>,
    _ out_decision: UnsafeMutablePointer<bursar_decision_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(request_) || isNull(out_decision) { return nullArgument() }
    return with(request_, as: Request.self) { request in
        filling(out_decision, with: Decision()) { decision in
            core(runtime).reserve(session, request, &decision)
        }
    }.rawValue
}

@c @implementation
public func bursar_begin(
    _ runtime: OpaquePointer, _ reservation: bursar_reservation_t
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return core(runtime).begin(reservation).rawValue
}

@c @implementation @_optimize(speed)
public func bursar_settle(
    _ runtime: OpaquePointer, _ reservation: bursar_reservation_t,
    _ usage_: UnsafePointer<bursar_usage_t>,
    _ out_receipt: UnsafeMutablePointer<bursar_receipt_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(usage_) { return nullArgument() }
    return with(usage_, as: Report.self) { report in
        guard let out_receipt else {
            var receipt = Receipt()
            return core(runtime).settle(reservation, report, &receipt)
        }
        return filling(out_receipt, with: Receipt()) { receipt in
            core(runtime).settle(reservation, report, &receipt)
        }
    }.rawValue
}

@c @implementation
public func bursar_release(
    _ runtime: OpaquePointer, _ reservation: bursar_reservation_t
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return core(runtime).release(reservation).rawValue
}

@c @implementation
public func bursar_stream(
    _ runtime: OpaquePointer, _ reservation: bursar_reservation_t, _ output_tokens: Int64,
    _ out_reason: UnsafeMutablePointer<Int32>?
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    var reason = Reason.none
    let status = core(runtime).stream(reservation, output_tokens, &reason)
    out_reason?.pointee = reason.rawValue
    return status.rawValue
}

@c @implementation
public func bursar_charge(
    _ runtime: OpaquePointer, _ session: bursar_id_t,
    _ charge_: UnsafePointer<bursar_charge_t>,
    _ out_decision: UnsafeMutablePointer<bursar_decision_t>?,
    _ out_receipt: UnsafeMutablePointer<bursar_receipt_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(charge_) { return nullArgument() }
    return with(charge_, as: DirectCharge.self) { charge in
        var d = Decision()
        var r = Receipt()
        if let out_decision, !isSizeGood(out_decision) { return .size }
        if let out_receipt, !isSizeGood(out_receipt) { return .size }
        let status = core(runtime).charge(session, charge.pointee, &d, &r)
        if let out_decision { _ = filling(out_decision, with: d) { _ in .ok } }
        if let out_receipt { _ = filling(out_receipt, with: r) { _ in .ok } }
        return status
    }.rawValue
}

@inline(__always)
private func isSizeGood<T>(_ p: UnsafeMutablePointer<T>) -> Bool {
    let size = sizeField(p)
    return size >= 8 && size <= 65_536
}

@c @implementation
public func bursar_settle_and_reserve(
    _ runtime: OpaquePointer, _ reservation: bursar_reservation_t,
    _ usage_: UnsafePointer<bursar_usage_t>,
    _ out_receipt: UnsafeMutablePointer<bursar_receipt_t>?,
    _ out_settled: UnsafeMutablePointer<bursar_status_t>?,
    _ session: bursar_id_t, _ request_: UnsafePointer<bursar_request_t>,
    _ out_decision: UnsafeMutablePointer<bursar_decision_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(usage_)
        || isNull(request_)
        || isNull(out_decision)
    {
        return nullArgument()
    }
    guard take(request_, request_.pointee.size) != nil, isSizeGood(out_decision) else {
        out_settled?.pointee = BURSAR_E_SIZE
        return BURSAR_E_SIZE
    }
    let settled = bursar_settle(runtime, reservation, usage_, out_receipt)
    out_settled?.pointee = settled
    if settled != BURSAR_OK {
        _ = filling(out_decision, with: Decision()) { _ in .ok }
        return settled
    }
    return bursar_reserve(runtime, session, request_, out_decision)
}

@c @implementation
public func bursar_decision_explain(
    _ runtime: OpaquePointer, _ decision_: UnsafePointer<bursar_decision_t>,
    _ out_text: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ out_len: UnsafeMutablePointer<Int>
) -> bursar_status_t {
    if isNull(runtime) || isNull(decision_) || isNull(out_len) { return nullArgument() }
    guard let c = take(decision_, decision_.pointee.size) else { return BURSAR_E_SIZE }
    let d = withUnsafePointer(to: c) { twin($0, as: Decision.self).pointee }
    guard d.isKnown else { return BURSAR_E_INVALID }
    var text: [UInt8] = []
    let status = answer { () throws(Failure) in text = try open(runtime).explain(d) }
    return status == BURSAR_OK ? write(text, out_text, capacity, out_len) : status
}
