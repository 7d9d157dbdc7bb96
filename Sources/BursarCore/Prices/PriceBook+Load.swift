// Loading a price file into the book: all of it, or nothing.

extension PriceBook {
    /// Loads LiteLLM's price file or one in Bursar's own format (docs/prices.md).
    /// What it says replaces what the book has for the same names; other names
    /// stay. Nothing changes when it fails. `unixNow` in seconds.
    ///
    /// - Returns: how many models and aliases it priced, and a report: a line for
    ///   each price in the file that a step's price cannot express.
    /// - Throws: `.price` with line and column, `.capacity`.
    public func load(
        _ json: UnsafeBufferPointer<UInt8>, unixNow: Int64
    ) throws(Failure) -> (report: [UInt8], models: Int) {
        var scanner = JSONScanner(json)
        try scanner.enterObject()
        let first = try scanner.nextMember()
        if let first, first.raw.equals("format"), try scanner.kind() == .string {
            var file = BursarPrices(scanner)
            try file.read()
            try take(file.entries, unixNow: unixNow)
            return ([], file.entries.count)
        }
        var file = LiteLLMPrices(scanner)
        if first != nil { try file.read(first: first) } else { try scanner.end() }
        try take(file.entries, unixNow: unixNow)
        return (file.report, file.entries.count)
    }
}
