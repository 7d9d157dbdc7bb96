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

/// Whether a struct has this version's size.
@inline(__always)
private func isOurs<T>(_ p: UnsafePointer<T>) -> Bool {
    sizeField(p) == UInt32(MemoryLayout<T>.size)
}

/// Calls `body`, the same function once more, with a struct of this version's size, made
/// from an older or newer one.
@inline(never)
private func withOurs<T>(
    _ p: UnsafePointer<T>, _ body: (UnsafePointer<T>) -> bursar_status_t
) -> bursar_status_t {
    guard var copy = take(p, sizeField(p)) else { return BURSAR_E_SIZE }
    return withUnsafeMutablePointer(to: &copy) {
        setSize($0)
        return body($0)
    }
}

/// The same for a struct that is filled.
@inline(never)
private func fillingOurs<T>(
    _ p: UnsafeMutablePointer<T>, _ body: (UnsafeMutablePointer<T>) -> bursar_status_t
) -> bursar_status_t {
    let size = sizeField(p)
    if size < 8 || size > 65_536 { return BURSAR_E_SIZE }
    return withUnsafeTemporaryAllocation(of: T.self, capacity: 1) { fresh in
        guard let own = fresh.baseAddress else { return BURSAR_E_SIZE }
        setSize(own)
        let status = body(own)
        _ = give(own.pointee, to: p, size)
        return status
    }
}

private func setSize<T>(_ p: UnsafeMutablePointer<T>) {
    UnsafeMutableRawPointer(p).storeBytes(of: UInt32(MemoryLayout<T>.size), as: UInt32.self)
}

/// Fills the caller's struct, of whatever size, from the core's twin of it.
@inline(__always)
private func put<T, U>(_ value: U, in p: UnsafeMutablePointer<T>) {
    _ = withUnsafePointer(to: value) { give(twin($0, as: T.self).pointee, to: p, sizeField(p)) }
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
    if !isOurs(request_) {
        return withOurs(request_) { bursar_reserve(runtime, session, $0, out_decision) }
    }
    if !isOurs(out_decision) {
        return fillingOurs(out_decision) { bursar_reserve(runtime, session, request_, $0) }
    }
    let decision = twin(out_decision, as: Decision.self)
    decision.pointee = Decision()
    return core(runtime).reserve(session, twin(request_, as: Request.self), &decision.pointee)
        .rawValue
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
    if !isOurs(usage_) {
        return withOurs(usage_) { bursar_settle(runtime, reservation, $0, out_receipt) }
    }
    let report = twin(usage_, as: Report.self)
    guard let out_receipt else {
        var receipt = Receipt()
        return core(runtime).settle(reservation, report, &receipt).rawValue
    }
    if !isOurs(out_receipt) {
        return fillingOurs(out_receipt) { bursar_settle(runtime, reservation, usage_, $0) }
    }
    let receipt = twin(out_receipt, as: Receipt.self)
    receipt.pointee = Receipt()
    return core(runtime).settle(reservation, report, &receipt.pointee).rawValue
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
    if !isOurs(charge_) {
        return withOurs(charge_) { bursar_charge(runtime, session, $0, out_decision, out_receipt) }
    }
    var d = Decision()
    var r = Receipt()
    if let out_decision, !isSizeGood(out_decision) { return BURSAR_E_SIZE }
    if let out_receipt, !isSizeGood(out_receipt) { return BURSAR_E_SIZE }
    let charge = twin(charge_, as: DirectCharge.self).pointee
    let status = core(runtime).charge(session, charge, &d, &r)
    if let out_decision { put(d, in: out_decision) }
    if let out_receipt { put(r, in: out_receipt) }
    return status.rawValue
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
        put(Decision(), in: out_decision)
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
