// Section Budgets of bursar.h.

internal import BursarCore
public import CBursar

@c @implementation
public func bursar_limits_parse(
    _ runtime: OpaquePointer?, _ flags: UInt32, _ text: UnsafePointer<CChar>?, _ text_len: Int,
    _ out_text: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ out_len: UnsafeMutablePointer<Int>, _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(out_len) { return nullArgument(out_error) }
    var canonical: [UInt8] = []
    let status = answer(out_error) { () throws(Failure) in
        if flags & ~BURSAR_LIMITS_SESSION != 0 { throw Failure(.invalid, "unknown flags") }
        let text = try bytes(text, text_len)
        let opened: Runtime? = if let runtime { try open(runtime) } else { nil }
        canonical = try Runtime.canonicalLimits(
            text, onSession: flags & BURSAR_LIMITS_SESSION != 0, of: opened)
    }
    if status != BURSAR_OK { return status }
    return write(canonical, out_text, capacity, out_len)
}

@c @implementation
public func bursar_budget_declare(
    _ runtime: OpaquePointer, _ path: UnsafePointer<CChar>, _ path_len: Int,
    _ options: UnsafePointer<bursar_budget_options_t>?,
    _ out_budget: UnsafeMutablePointer<bursar_id_t>?,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(path) { return nullArgument(out_error) }
    return answer(out_error) { () throws(Failure) in
        let runtime = try open(runtime)
        var o = BudgetOptions()
        if let options {
            guard let given = take(options, options.pointee.size) else { throw sizeFailure }
            if given.flags & ~(BURSAR_BUDGET_REPLACE | BURSAR_BUDGET_OBSERVE) != 0 {
                throw Failure(.invalid, "unknown budget flags")
            }
            o.replaces = given.flags & BURSAR_BUDGET_REPLACE != 0
            if o.replaces, let refusal = runtime.refusesAgent("replace a budget") { throw refusal }
            o.isObserved = given.flags & BURSAR_BUDGET_OBSERVE != 0
            if o.isObserved, let refusal = runtime.refusesAgent("declare an observed budget") {
                throw refusal
            }
            o.limits = try bytes(given.limits)
            o.owner = try bytes(given.owner)
            o.costCenter = try bytes(given.cost_center)
            o.purpose = try bytes(given.purpose)
            o.topRungs = given.top_rung
            o.complexity = given.complexity
            if given.earn.len > 0 { o.earn = try money(given.earn) }
            if given.earn_most.len > 0 { o.earnMost = try money(given.earn_most) }
            o.earnOutcome = try bytes(given.earn_outcome)
        }
        let id = try runtime.budgetDeclare(try bytes(path, path_len), o)
        out_budget?.pointee = id
    }
}

@c @implementation
public func bursar_budget_find(
    _ runtime: OpaquePointer, _ path: UnsafePointer<CChar>, _ path_len: Int,
    _ out_budget: UnsafeMutablePointer<bursar_id_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(path) || isNull(out_budget) { return nullArgument() }
    out_budget.pointee = 0
    return answer { () throws(Failure) in
        out_budget.pointee = try open(runtime).budgetFind(try bytes(path, path_len))
    }
}

@c @implementation
public func bursar_budget_remove(
    _ runtime: OpaquePointer, _ budget: bursar_id_t,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument(out_error) }
    return answer(out_error) { () throws(Failure) in 
        try administer(runtime, "remove a budget").budgetRemove(budget)
    }
}

@c @implementation
public func bursar_limits_set(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ text: UnsafePointer<CChar>, _ text_len: Int,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(text) { return nullArgument(out_error) }
    return answer(out_error) { () throws(Failure) in
        try administer(runtime, "set limits").limitsSet(id, try bytes(text, text_len))
    }
}

@c @implementation
public func bursar_top_up(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ amount: UnsafePointer<CChar>,
    _ amount_len: Int, _ for_ns: Int64, _ reason: UnsafePointer<CChar>?, _ reason_len: Int,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(amount) { return nullArgument(out_error) }
    return answer(out_error) { () throws(Failure) in
        try administer(runtime, "top up").topUp(
            id, try bytes(amount, amount_len), for: for_ns, reason: try bytes(reason, reason_len))
    }
}

@c @implementation
public func bursar_observe(
    _ runtime: OpaquePointer, _ id: bursar_id_t, _ on: Int32
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return answer { () throws(Failure) in
        try administer(runtime, "switch observing").observe(id, on != 0)
    }
}

@c @implementation
public func bursar_meter_define(
    _ runtime: OpaquePointer, _ name: UnsafePointer<CChar>, _ name_len: Int,
    _ out_meter: UnsafeMutablePointer<bursar_meter_t>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(name) || isNull(out_meter) { return nullArgument(out_error) }
    return answer(out_error) { () throws(Failure) in
        out_meter.pointee = try open(runtime).meterDefine(try bytes(name, name_len))
    }
}
