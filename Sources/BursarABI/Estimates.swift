// Section Estimates of bursar.h.

internal import BursarCore
public import CBursar

@c @implementation
public func bursar_estimate(
    _ runtime: OpaquePointer, _ estimate: UnsafeMutablePointer<bursar_estimate_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(estimate) { return nullArgument() }
    let size = sizeField(estimate)
    guard var c = take(estimate, size) else { return BURSAR_E_SIZE }
    let status = answer { () throws(Failure) in
        var asked = asked(c)
        try read(runtime).estimator.estimate(&asked)
        c.basis = asked.basis
        c.tokens = asked.tokens
        c.tokens_max = asked.tokensMax
        c.span = asked.span
    }
    return status == BURSAR_OK ? give(c, to: estimate, size) : status
}

@c @implementation
public func bursar_learn(
    _ runtime: OpaquePointer, _ estimate: UnsafePointer<bursar_estimate_t>, _ input_tokens: Int64,
    _ output_tokens: Int64
) -> bursar_status_t {
    if isNull(runtime) || isNull(estimate) { return nullArgument() }
    guard let c = take(estimate, estimate.pointee.size) else { return BURSAR_E_SIZE }
    return answer { () throws(Failure) in
        var asked = asked(c)
        asked.tokens = c.tokens
        asked.tokensMax = c.tokens_max
        asked.span = c.span
        asked.basis = c.basis
        try read(runtime).estimator.learn(asked, input: input_tokens, output: output_tokens)
    }
}

private func asked(_ c: bursar_estimate_t) -> Estimate {
    var asked = Estimate()
    asked.model = c.model
    asked.session = c.session
    asked.conversation = c.conversation
    asked.bytes = c.bytes
    asked.fixedTokens = c.fixed_tokens
    asked.kind = c.kind
    return asked
}

@c @implementation
public func bursar_estimate_error(
    _ runtime: OpaquePointer, _ model: bursar_model_t, _ kind: Int32,
    _ out_error: UnsafeMutablePointer<bursar_estimate_error_t>
) -> bursar_status_t {
    if isNull(runtime) || isNull(out_error) { return nullArgument() }
    var told = EstimateError()
    let status = answer { () throws(Failure) in
        told = try read(runtime).estimator.error(model: model, kind: kind)
    }
    if status != BURSAR_OK { return status }
    let c = bursar_estimate_error_t(
        size: UInt32(MemoryLayout<bursar_estimate_error_t>.size), pairs: told.pairs,
        steps: told.steps, below: told.below, median_ppm: told.medianPpm, p99_ppm: told.p99Ppm,
        input_tokens: told.inputTokens, reserved_tokens: told.reservedTokens)
    return give(c, to: out_error, sizeField(out_error))
}
