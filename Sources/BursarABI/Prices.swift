// Section Prices of bursar.h.

internal import BursarCore
public import CBursar

@c @implementation
public func bursar_model_find(
    _ runtime: OpaquePointer, _ name: UnsafePointer<CChar>, _ name_len: Int,
    _ out_model: UnsafeMutablePointer<bursar_model_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(name) || isNull(out_model) { return nullArgument() }
    out_model.pointee = 0
    return answer { () throws(Failure) in
        out_model.pointee = try open(runtime).modelFind(buffer(name, name_len))
    }
}

@c @implementation
public func bursar_model_name(
    _ runtime: OpaquePointer, _ model: bursar_model_t, _ out_text: UnsafeMutablePointer<CChar>?,
    _ capacity: Int, _ out_len: UnsafeMutablePointer<Int>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_len) { return nullArgument() }
    var text: [UInt8] = []
    let status = answer { () throws(Failure) in
        guard let name = try open(runtime).modelName(model) else {
            throw Failure(.notFound, "no such model; bursar_model_find() gives its number")
        }
        text = name
    }
    return status == BURSAR_OK ? write(text, out_text, capacity, out_len) : status
}

@c @implementation
public func bursar_price_set(
    _ runtime: OpaquePointer, _ name: UnsafePointer<CChar>, _ name_len: Int,
    _ rates: UnsafePointer<bursar_rates_t>, _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(name) || isNull(rates) { return nullArgument(out_error) }
    return answer(out_error) { () throws(Failure) in
        let runtime = try open(runtime)
        guard let c = take(rates, rates.pointee.size) else { throw sizeFailure }
        var r = Rates()
        r.inputPicos = c.input_picos
        r.outputPicos = c.output_picos
        r.cacheReadPicos = c.cache_read_picos
        r.cacheWritePicos = c.cache_write_picos
        r.cacheWrite1hPicos = c.cache_write_1h_picos
        r.reasoningPicos = c.reasoning_picos
        r.requestNanos = c.request_nanos
        try runtime.priceSet(buffer(name, name_len), r)
    }
}

@c @implementation
public func bursar_price_get(
    _ runtime: OpaquePointer, _ model: bursar_model_t,
    _ out_rates: UnsafeMutablePointer<bursar_rates_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_rates) { return nullArgument() }
    var rates = Rates()
    let status = answer { () throws(Failure) in
        guard let found = try open(runtime).priceGet(model) else {
            throw Failure(.price, "no price is known for this model")
        }
        rates = found
    }
    if status != BURSAR_OK { return status }
    let c = bursar_rates_t(
        size: UInt32(MemoryLayout<bursar_rates_t>.size), reserved: 0,
        input_picos: rates.inputPicos, output_picos: rates.outputPicos,
        cache_read_picos: rates.cacheReadPicos, cache_write_picos: rates.cacheWritePicos,
        cache_write_1h_picos: rates.cacheWrite1hPicos, reasoning_picos: rates.reasoningPicos,
        request_nanos: rates.requestNanos)
    return give(c, to: out_rates, sizeField(out_rates))
}

@c @implementation
public func bursar_price_quote(
    _ runtime: OpaquePointer, _ model: bursar_model_t, _ variant: Int32,
    _ usage_: UnsafePointer<bursar_usage_t>, _ out_nanos: UnsafeMutablePointer<Int64>
) -> bursar_status_t {
    if isNull(runtime) || isNull(usage_) || isNull(out_nanos) { return nullArgument() }
    guard let u = take(usage_, usage_.pointee.size) else { return BURSAR_E_SIZE }
    return answer { () throws(Failure) in
        out_nanos.pointee = try open(runtime).priceQuote(model, variant, usage(u))
    }
}

@c @implementation
public func bursar_prices_load(
    _ runtime: OpaquePointer, _ json: UnsafePointer<CChar>, _ json_len: Int,
    _ out_report: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ out_len: UnsafeMutablePointer<Int>?, _ out_models: UnsafeMutablePointer<Int32>?,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(json) { return nullArgument(out_error) }
    var text: [UInt8] = []
    let status = answer(out_error) { () throws(Failure) in
        let loaded = try open(runtime).pricesLoad(buffer(json, json_len))
        text = loaded.report
        out_models?.pointee = Int32(truncatingIfNeeded: loaded.models)
    }
    if status != BURSAR_OK { return status }
    if out_report == nil {
        out_len?.pointee = text.count
        return BURSAR_OK
    }
    return write(text, out_report, capacity, out_len)
}

@c @implementation
public func bursar_tool_find(
    _ runtime: OpaquePointer, _ name: UnsafePointer<CChar>, _ name_len: Int,
    _ out_tool: UnsafeMutablePointer<bursar_tool_t>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(runtime) || isNull(name) || isNull(out_tool) { return nullArgument(out_error) }
    out_tool.pointee = 0
    return answer(out_error) { () throws(Failure) in
        out_tool.pointee = try open(runtime).toolFind(try bytes(name, name_len))
    }
}

@c @implementation
public func bursar_tool_price_set(
    _ runtime: OpaquePointer, _ tool: bursar_tool_t, _ nanos: Int64
) -> bursar_status_t {
    if isNull(runtime) { return nullArgument() }
    return answer { () throws(Failure) in try open(runtime).toolPriceSet(tool, nanos: nanos) }
}

private func parse(
    _ out: UnsafeMutablePointer<Int64>, _ error: UnsafeMutablePointer<bursar_error_t>?,
    _ body: () throws(LimitError) -> Int64
) -> bursar_status_t {
    do throws(LimitError) {
        out.pointee = try body()
        return BURSAR_OK
    } catch let problem {
        return fill(error, with: moneyFailure(problem))
    }
}

/// An amount of a struct's text.
@inline(never)
func money(_ text: bursar_text_t) throws(Failure) -> Int64 {
    try bytes(text).withUnsafeBufferPointer { (text) throws(Failure) in
        do throws(LimitError) {
            return try MoneyText.parse(text)
        } catch let problem {
            throw moneyFailure(problem)
        }
    }
}

/// What is wrong with an amount.
func moneyFailure(_ problem: LimitError) -> Failure {
    var failure = Failure(.moneyText, bytes: problem.sentence)
    failure.line = problem.line
    failure.column = problem.column
    return failure
}

@c @implementation
public func bursar_money_parse(
    _ text: UnsafePointer<CChar>, _ text_len: Int, _ out_nanos: UnsafeMutablePointer<Int64>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(text) || isNull(out_nanos) { return nullArgument(out_error) }
    return parse(out_nanos, out_error) { () throws(LimitError) in
        try MoneyText.parse(buffer(text, text_len))
    }
}

@c @implementation
public func bursar_rate_parse(
    _ text: UnsafePointer<CChar>, _ text_len: Int, _ out_picos: UnsafeMutablePointer<Int64>,
    _ out_error: UnsafeMutablePointer<bursar_error_t>?
) -> bursar_status_t {
    if isNull(text) || isNull(out_picos) { return nullArgument(out_error) }
    return parse(out_picos, out_error) { () throws(LimitError) in
        try MoneyText.parseRate(buffer(text, text_len))
    }
}

@c @implementation
public func bursar_money_format(
    _ nanos: Int64, _ out_text: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ out_len: UnsafeMutablePointer<Int>
) -> bursar_status_t {
    if isNull(out_len) { return nullArgument() }
    return write(MoneyText.format(nanos), out_text, capacity, out_len)
}
