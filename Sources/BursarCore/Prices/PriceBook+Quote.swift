// What the book says without its lock: the rates of a model, and the price of a step.

internal import CPrices

extension PriceBook {
    /// The rates in force of the standard variant's lowest tier; nil when unknown.
    public func rates(_ model: Int32) -> Rates? {
        guard let row = index.rows(set: index.currentSet(model: model))?.first.pointee else {
            return nil
        }
        var rates = Rates()
        rates.inputPicos = row.input
        rates.outputPicos = row.output
        rates.cacheReadPicos = row.cache_read
        rates.cacheWritePicos = row.cache_write
        rates.cacheWrite1hPicos = row.cache_write_1h
        rates.reasoningPicos = row.reasoning
        rates.requestNanos = row.request_nanos
        return rates
    }

    /// What `usage` costs on `model` now, in nano-dollars, half to even.
    public func quote(
        _ model: Int32, variant: Variant, usage: Usage
    ) throws(Failure) -> Int64 {
        guard usage.isValid else {
            throw Failure(.invalid, "usage is negative, or a part of it above its whole")
        }
        guard let rows = index.rows(set: index.currentSet(model: model)) else {
            throw Failure(.price, "no price is known for this model")
        }
        guard let nanos = rows.cost(usage, variant: variant) else {
            throw Failure(.invalid, "the price is above $9,223,372,036.854775807")
        }
        return nanos
    }
}
