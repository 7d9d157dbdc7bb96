// Sections Query, Events and Diagnostics of bursar.h.

internal import BursarCore
public import CBursar

/// Copies text into a fixed field, cut and NUL-terminated; the whole length.
/// Copies a text into a fixed field, as many whole characters as fit; the length of
/// the whole text.
private func put<T>(_ text: [UInt8], into field: inout T) -> UInt32 {
    withUnsafeMutableBytes(of: &field) { put(text, in: $0) }
    return UInt32(truncatingIfNeeded: text.count)
}

@inline(never)
private func put(_ text: [UInt8], in field: UnsafeMutableRawBufferPointer) {
    var count = min(text.count, field.count - 1)
    if count < text.count {
        while count > 0, text[count] & 0xC0 == 0x80 { count -= 1 }
    }
    for i in 0..<count { field[i] = text[i] }
    field[count] = 0
}

@c @implementation
public func bursar_read(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ out_view: UnsafeMutablePointer<bursar_view_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_view) { return nullArgument() }
    var view = View()
    let status = answer { () throws(Failure) in view = try open(runtime).read(id) }
    if status != BURSAR_OK { return status }
    return give(shown(view), to: out_view, sizeField(out_view))
}

private func shown(_ view: View) -> bursar_view_t {
    bursar_view_t(
        size: UInt32(MemoryLayout<bursar_view_t>.size),
        kind: view.isSession ? BURSAR_KIND_SESSION : BURSAR_KIND_BUDGET, state: view.state,
        effective_state: view.effectiveState, reason: view.reason.rawValue, flags: view.flags,
        id: view.id, parent: view.parent, spent_nanos: view.spentNanos,
        reserved_nanos: view.reservedNanos, remaining_nanos: view.remainingNanos,
        steps: view.steps, tool_calls: view.toolCalls, input_tokens: view.inputTokens,
        output_tokens: view.outputTokens, refusals: view.refusals,
        opened_unix_ns: view.openedUnixNanos, children: view.children, limits: view.limits)
}

@c @implementation
public func bursar_views(
    _ runtime: OpaquePointer, _ ids: UnsafePointer<bursar_id_t>, _ count: Int,
    _ out_views: UnsafeMutablePointer<bursar_view_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(ids) || isNull(out_views) || count < 0 { return nullArgument() }
    if count == 0 { return BURSAR_OK }
    let size = sizeField(out_views)
    var wrong = BURSAR_OK
    let status = answer { () throws(Failure) in
        try open(runtime).views(UnsafeBufferPointer(start: ids, count: count)) { k, view in
            let place = UnsafeMutableRawPointer(out_views) + k * Int(size)
            var c = view.map(shown) ?? bursar_view_t()
            c.size = UInt32(MemoryLayout<bursar_view_t>.size)
            let status = give(c, to: place.assumingMemoryBound(to: bursar_view_t.self), size)
            if status != BURSAR_OK { wrong = status }
        }
    }
    return status != BURSAR_OK ? status : wrong
}

@c @implementation
public func bursar_meter_read(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ meter: bursar_meter_t,
    _ out_view: UnsafeMutablePointer<bursar_meter_view_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_view) { return nullArgument() }
    var view = MeterView()
    let status = answer { () throws(Failure) in view = try open(runtime).meterRead(id, meter) }
    if status != BURSAR_OK { return status }
    let c = bursar_meter_view_t(
        size: UInt32(MemoryLayout<bursar_meter_view_t>.size), meter: meter, spent: view.spent,
        reserved: view.reserved, committed: view.committed, remaining: view.remaining)
    return give(c, to: out_view, sizeField(out_view))
}

@c @implementation
public func bursar_limit_read(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ position: UInt32,
    _ out_view: UnsafeMutablePointer<bursar_limit_view_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_view) { return nullArgument() }
    var view = LimitView()
    let status = answer { () throws(Failure) in view = try open(runtime).limitRead(id, position) }
    if status != BURSAR_OK { return status }
    var c = bursar_limit_view_t()
    c.meter = view.meter
    c.end = view.end
    c.amount = view.amount
    c.extra = view.extra
    c.spent = view.spent
    c.committed = view.committed
    c.remaining = view.remaining
    c.window_start_unix_ns = view.startUnixNanos
    c.window_end_unix_ns = view.endUnixNanos
    c.text_len = put(view.text, into: &c.text)
    c.earned = view.earned
    return give(c, to: out_view, sizeField(out_view))
}

@c @implementation
public func bursar_text_read(
    _ runtime: OpaquePointer, _ id: Int64, _ which: Int32,
    _ out_text: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ out_len: UnsafeMutablePointer<Int>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_len) { return nullArgument() }
    var text: [UInt8] = []
    let status = answer { () throws(Failure) in
        guard let kind = TextKind(rawValue: which) else {
            throw Failure(.invalid, "no such text; see BURSAR_TEXT_*")
        }
        text = try open(runtime).textRead(id, kind)
    }
    return status == BURSAR_OK ? write(text, out_text, capacity, out_len) : status
}

@c @implementation
public func bursar_children(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ out_ids: UnsafeMutablePointer<bursar_id_t>?,
    _ capacity: Int, _ out_count: UnsafeMutablePointer<Int>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_count) { return nullArgument() }
    out_count.pointee = 0
    return answer { () throws(Failure) in
        var k = 0
        out_count.pointee = try open(runtime).children(id) { child in
            if let out_ids, k < capacity { out_ids[k] = child }
            k += 1
        }
    }
}

@c @implementation
public func bursar_spend_read(
    _ runtime: OpaquePointer, _ position: UInt32,
    _ out_row: UnsafeMutablePointer<bursar_spend_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_row) { return nullArgument() }
    var row = SpendRow()
    let status = answer { () throws(Failure) in
        guard let found = try open(runtime).spendRead(Int(position)) else {
            throw Failure(.notFound, "no more rows")
        }
        row = found
    }
    if status != BURSAR_OK { return status }
    var c = bursar_spend_t()
    c.asked_model = row.asked
    c.model = row.granted
    c.steps = row.steps
    c.tool_calls = row.toolCalls
    c.input_tokens = row.input
    c.cache_read_input_tokens = row.cacheRead
    c.output_tokens = row.output
    c.cost_nanos = row.cost
    c.asked_cost_nanos = row.askedCost
    c.estimated_steps = row.estimated
    c.path_len = put(row.path, into: &c.path)
    c.agent_len = put(row.agent, into: &c.agent)
    return give(c, to: out_row, sizeField(out_row))
}

// MARK: - Events

private func event(_ e: Event) -> bursar_event_t {
    var c = bursar_event_t()
    c.size = UInt32(MemoryLayout<bursar_event_t>.size)
    c.type = e.type.rawValue
    c.id = e.id
    c.session = e.session
    c.reservation = e.reservation
    c.unix_ns = e.unixNanos
    c.sequence = e.sequence
    c.meter = e.meter
    c.percent = e.percent
    c.amount = e.amount
    c.limit = e.limit
    c.committed = e.committed
    c.reason = e.reason.rawValue
    c.path_len = put(e.path, into: &c.path)
    c.text_len = put(e.text, into: &c.text)
    return c
}

@c @implementation
public func bursar_events_callback(
    _ runtime: OpaquePointer, _ callback: bursar_event_fn?,
    _ user_data: UnsafeMutableRawPointer?
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return answer { () throws(Failure) in
        let runtime = try open(runtime)
        guard let callback else { return runtime.setCallback(nil) }
        runtime.setCallback { e in
            var c = event(e)
            callback(user_data, &c)
        }
    }
}

@c @implementation
public func bursar_events_fd(
    _ runtime: OpaquePointer, _ out_fd: UnsafeMutablePointer<Int32>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_fd) { return nullArgument() }
    return answer { () throws(Failure) in out_fd.pointee = try read(runtime).eventsDescriptor() }
}

@c @implementation
public func bursar_events_poll(
    _ runtime: OpaquePointer, _ out_events: UnsafeMutablePointer<bursar_event_t>?,
    _ capacity: Int, _ out_count: UnsafeMutablePointer<Int>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_count) { return nullArgument() }
    out_count.pointee = 0
    return answer { () throws(Failure) in
        let runtime = try read(runtime)
        guard let out_events, capacity > 0 else { return }
        // The first struct's size says how far apart the caller's are.
        let stride = Int(sizeField(out_events))
        guard stride >= 8, stride <= 65_536 else { throw sizeFailure }
        var count = 0
        while count < capacity, let e = runtime.takeEvent() {
            let p = (UnsafeMutableRawPointer(out_events) + count * stride)
                .assumingMemoryBound(to: bursar_event_t.self)
            _ = give(event(e), to: p, UInt32(stride))
            UnsafeMutableRawPointer(p).storeBytes(of: UInt32(stride), as: UInt32.self)
            count += 1
        }
        out_count.pointee = count
    }
}

// MARK: - Diagnostics

@c @implementation
public func bursar_health(
    _ runtime: OpaquePointer, _ out_health: UnsafeMutablePointer<bursar_health_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_health) { return nullArgument() }
    var h = Health()
    let status = answer { () throws(Failure) in h = try open(runtime).health() }
    if status != BURSAR_OK { return status }
    let c = bursar_health_t(
        size: UInt32(MemoryLayout<bursar_health_t>.size), reserved: 0, nodes: h.nodes,
        nodes_max: h.nodesMax, reservations: h.reservations,
        reservations_max: h.reservationsMax, in_flight: h.inFlight, refusals: h.refusals,
        transient_refusals: h.transientRefusals, settled_steps: h.settledSteps,
        estimated_steps: h.estimatedSteps, late_settles: h.lateSettles,
        overrun_nanos: h.overrunNanos, folds: h.folds, fold_lag_ns: h.foldLagNanos,
        events: h.events, events_lost: h.eventsLost, timers: h.timers,
        segment_bytes: h.segmentBytes, prices_as_of_unix: h.pricesAsOfUnix,
        wake_ups: h.wakeUps)
    return give(c, to: out_health, sizeField(out_health))
}

@c @implementation
public func bursar_verify(
    _ runtime: OpaquePointer, _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument(out_error) }
    return answer(out_error) { () throws(Failure) in
        if let failure = try open(runtime).verify() { throw failure }
    }
}
