// The price book as a runtime offers it.

internal import CPrices

extension Runtime {
    func findModel(_ name: [UInt8]) throws(Failure) -> Int32 {
        try name.withUnsafeBufferPointer { (bytes) throws(Failure) in try book.find(bytes) }
    }

    /// Where a name may be new and others share its number: under the config lock.
    private func naming<T>(_ body: () throws(Failure) -> T) throws(Failure) -> T {
        attachment.isShared ? try configuring(body) : try body()
    }

    /// The header's bursar_model_find().
    public func modelFind(_ name: UnsafeBufferPointer<UInt8>) throws(Failure) -> Int32 {
        if attachment.isShared, book.isKnown(name) { return try book.find(name) }
        return try naming { () throws(Failure) in try book.find(name) }
    }

    public func modelName(_ model: Int32) -> [UInt8]? {
        if let name = book.name(model) { return name }
        guard attachment.isShared else { return nil }
        guard config.lock(for: SharedLock.most) else { return nil }
        defer { config.unlock() }
        book.learn()
        return book.name(model)
    }

    /// The header's bursar_price_set().
    public func priceSet(_ name: UnsafeBufferPointer<UInt8>, _ rates: Rates) throws(Failure) {
        _ = try naming { () throws(Failure) in try book.set(name, rates: rates) }
    }

    public func priceGet(_ model: Int32) -> Rates? { book.rates(model) }

    /// The header's bursar_price_quote().
    public func priceQuote(_ model: Int32, _ variant: Int32, _ usage: Usage) throws(Failure) -> Int64 {
        guard let variant = Variant(rawValue: variant) else {
            throw Failure(.invalid, "the variant is 0 to 3")
        }
        return try book.quote(model, variant: variant, usage: usage)
    }

    /// The header's bursar_prices_load().
    public func pricesLoad(_ json: UnsafeBufferPointer<UInt8>) throws(Failure) -> (report: [UInt8], models: Int) {
        let loaded = try naming { () throws(Failure) in
            try book.load(json, unixNow: clock.unix / 1_000_000_000)
        }
        loop.ring()
        return loaded
    }

    /// For bursar_estimate() and those beside it.
    public var estimator: Estimator { book.estimator }
}
