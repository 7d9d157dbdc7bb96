// Section Steps of bursar.h: the hot calls.

internal import BursarCore
public import CBursar

@inline(__always)
private func request(_ r: bursar_request_t) -> Request {
    var q = Request()
    q.flags = r.flags
    q.model = r.model
    q.tool = r.tool
    q.input = r.input_tokens
    q.inputUpper = r.input_tokens_upper
    q.maxOutput = r.max_output_tokens
    q.minOutput = r.min_output_tokens
    q.extraNanos = r.extra_nanos
    q.units = r.units
    q.meter = r.meter
    q.choices = r.choices
    q.variant = r.variant
    q.complexity = r.complexity
    q.attempt = r.attempt
    q.parent = r.parent
    q.timeToLive = r.ttl_ns
    return q
}

@inline(__always)
private func decision(_ d: Decision) -> bursar_decision_t {
    bursar_decision_t(
        size: UInt32(MemoryLayout<bursar_decision_t>.size), verdict: d.verdict.rawValue,
        reason: d.reason.rawValue, remedy: d.remedy.rawValue, reservation: d.reservation,
        max_output_tokens: d.maxOutput, reserved_nanos: d.reservedNanos, model: d.model,
        flags: d.flags, budget: d.budget, meter: d.meter, end: d.end, limit: d.limit,
        committed: d.committed, remaining: d.remaining, requested: d.requested,
        retry_after_ns: d.retryAfter, unused: (0, 0, 0))
}

@inline(__always)
func usage(_ u: bursar_usage_t) -> Usage {
    var usage = Usage()
    usage.inputTokens = u.input_tokens
    usage.cacheReadInputTokens = u.cache_read_input_tokens
    usage.cacheWriteInputTokens = u.cache_write_input_tokens
    usage.cacheWrite1hInputTokens = u.cache_write_1h_input_tokens
    usage.outputTokens = u.output_tokens
    usage.reasoningOutputTokens = u.reasoning_output_tokens
    usage.audioInputTokens = u.audio_input_tokens
    usage.cacheReadAudioInputTokens = u.cache_read_audio_input_tokens
    usage.audioOutputTokens = u.audio_output_tokens
    usage.imageInputTokens = u.image_input_tokens
    usage.imageOutputTokens = u.image_output_tokens
    usage.extraNanos = u.extra_nanos
    return usage
}

/// Two words of a key into one that is not 0, or 0 for none.
@inline(__always)
private func mix(_ key: (UInt64, UInt64)) -> UInt64 {
    if key.0 | key.1 == 0 { return 0 }
    let mixed = (key.0 ^ (key.1 &* 0x9E37_79B9_7F4A_7C15)) &* 0xBF58_476D_1CE4_E5B9
    return (mixed ^ (mixed >> 31)) | 1
}

@inline(__always)
private func report(_ u: bursar_usage_t) -> Report {
    var report = Report()
    report.flags = u.flags
    report.usage = usage(u)
    report.costNanos = u.cost_nanos
    report.units = u.units
    report.key = mix(u.key)
    return report
}

@inline(__always)
private func receipt(_ r: Receipt) -> bursar_receipt_t {
    bursar_receipt_t(
        size: UInt32(MemoryLayout<bursar_receipt_t>.size), flags: r.flags,
        cost_nanos: r.costNanos, reserved_nanos: r.reservedNanos, overrun_nanos: r.overrunNanos,
        asked_cost_nanos: r.askedCostNanos, model: r.model, reserved: 0)
}

@inline(__always)
private func isSizeGood<T>(_ p: UnsafeMutablePointer<T>) -> Bool {
    let size = sizeField(p)
    return size >= 8 && size <= 65_536
}

@c @implementation
public func bursar_reserve(
    _ runtime: OpaquePointer, _ session: bursar_id_t,
    _ request_: UnsafePointer<bursar_request_t>,
    _ out_decision: UnsafeMutablePointer<bursar_decision_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(request_) || isNull(out_decision) { return nullArgument() }
    let size = sizeField(out_decision)
    guard let r = take(request_, request_.pointee.size), isSizeGood(out_decision) else {
        return BURSAR_E_SIZE
    }
    var d = Decision()
    let status = core(runtime).reserve(session, request(r), &d)
    if status != .ok, status != .refused { d = Decision() }
    _ = give(decision(d), to: out_decision, size)
    return status.rawValue
}

@c @implementation
public func bursar_begin(
    _ runtime: OpaquePointer, _ reservation: bursar_reservation_t
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return core(runtime).begin(reservation).rawValue
}

@c @implementation
public func bursar_settle(
    _ runtime: OpaquePointer, _ reservation: bursar_reservation_t,
    _ usage_: UnsafePointer<bursar_usage_t>,
    _ out_receipt: UnsafeMutablePointer<bursar_receipt_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(usage_) { return nullArgument() }
    guard let u = take(usage_, usage_.pointee.size) else { return BURSAR_E_SIZE }
    if let out_receipt, !isSizeGood(out_receipt) { return BURSAR_E_SIZE }
    var r = Receipt()
    let status = core(runtime).settle(reservation, report(u), &r)
    if let out_receipt { _ = give(receipt(r), to: out_receipt, sizeField(out_receipt)) }
    return status.rawValue
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
    guard let given = take(charge_, charge_.pointee.size) else { return BURSAR_E_SIZE }
    if let out_decision, !isSizeGood(out_decision) { return BURSAR_E_SIZE }
    if let out_receipt, !isSizeGood(out_receipt) { return BURSAR_E_SIZE }
    var c = DirectCharge()
    c.flags = given.flags
    c.nanos = given.nanos
    c.tool = given.tool
    c.meter = given.meter
    c.units = given.units
    c.key = mix(given.key)
    var d = Decision()
    var r = Receipt()
    let status = core(runtime).charge(session, c, &d, &r)
    if let out_decision { _ = give(decision(d), to: out_decision, sizeField(out_decision)) }
    if let out_receipt { _ = give(receipt(r), to: out_receipt, sizeField(out_receipt)) }
    return status.rawValue
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
        _ = give(decision(Decision()), to: out_decision, sizeField(out_decision))
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
    var d = Decision()
    guard let verdict = Verdict(rawValue: c.verdict), let reason = Reason(rawValue: c.reason),
        let remedy = Remedy(rawValue: c.remedy)
    else { return BURSAR_E_INVALID }
    d.verdict = verdict
    d.reason = reason
    d.remedy = remedy
    d.reservation = c.reservation
    d.maxOutput = c.max_output_tokens
    d.reservedNanos = c.reserved_nanos
    d.model = c.model
    d.flags = c.flags
    d.budget = c.budget
    d.meter = c.meter
    d.end = c.end
    d.limit = c.limit
    d.committed = c.committed
    d.remaining = c.remaining
    d.requested = c.requested
    d.retryAfter = c.retry_after_ns
    var text: [UInt8] = []
    let status = answer { () throws(Failure) in text = try open(runtime).explain(d) }
    return status == BURSAR_OK ? write(text, out_text, capacity, out_len) : status
}
