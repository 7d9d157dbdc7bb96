// Amounts of money and rates per token, alone: "$1.25", "$0.28/M".

public enum MoneyText {
    /// Reads `$1.25`, `1.25` or `2 USD`, exactly.
    ///
    /// - Returns: nano-dollars, not negative.
    public static func parse(
        _ text: UnsafeBufferPointer<UInt8>
    ) throws(LimitError) -> Int64 {
        var scanner = try LimitScanner(text)
        let number = try scanner.dollars()
        scanner.skipBlanks()
        guard scanner.atEnd else {
            let found = scanner.word(at: scanner.at)
            throw scanner.error(
                found, "an amount is `$1.25`, `1.25` or `1.25 USD`, so not \(scanner.bytes(found))")
        }
        return try scanner.money(number)
    }

    /// Reads `$0.28/M`, `$0.28/1M tokens`, `$0.28 per k` or `$0.00000028/token`, exactly.
    ///
    /// - Returns: pico-dollars per token, not negative.
    public static func parseRate(
        _ text: UnsafeBufferPointer<UInt8>
    ) throws(LimitError) -> Int64 {
        var scanner = try LimitScanner(text)
        let number = try scanner.dollars()
        let scale = 12 - (try scanner.perTokens())
        switch scanner.scaled(number, by: scale) {
        case .exact(let picos): return picos
        case .tooFine:
            throw scanner.error(
                number.range, "\(scanner.bytes(number.range)) is finer than a pico-dollar per token"
            )
        case .tooLarge:
            throw scanner.error(
                number.range,
                "\(scanner.bytes(number.range)) is above $9,223,372 per token, the most there is")
        }
    }

    /// Writes nano-dollars in full: `$1.25`, `$1234.5`, `-$0.000000001`.
    public static func format(_ nanos: Int64) -> [UInt8] {
        var text: [UInt8] = []
        if nanos < 0 { text.append("-") }
        text.append("$")
        Digits.append(nanos.magnitude, scale: 9, to: &text)
        return text
    }
}

extension LimitScanner {
    /// The number of an amount of dollars, with or without its sign or `USD`.
    fileprivate mutating func dollars() throws(LimitError) -> Number {
        skipBlanks()
        guard !atEnd else { throw error(0..<0, "empty: an amount is wanted, such as `$1.25`") }
        let hasSign = accept("$")
        let number = try number()
        try refuseTail(of: number, prefix: hasSign ? "$" : "")
        if sees(",") {
            throw error(at..<at + 1, "no comma in an amount; write `$1000.50` or `$1_000.50`")
        }
        let before = at
        if skipBlanks(), !hasSign, case let found = word(at: at), LimitScanner.isLetter(self[at]),
            !("per" == bytes(found))
        {
            guard "USD" == bytes(found) else { throw dollarsOnly(found) }
            at = found.upperBound
        } else {
            at = before
        }
        return number
    }

    /// How many tokens a rate is for, as a power of ten.
    fileprivate mutating func perTokens() throws(LimitError) -> Int {
        skipBlanks()
        let joint = word(at: at)
        guard accept("/") || "per" == bytes(joint) else {
            throw error(
                atEnd ? 0..<text.count : joint,
                "a rate is per token, per k or per M: `$0.28/M`, `$0.00000028/token`")
        }
        at = max(at, joint.upperBound)
        skipBlanks()
        let start = at
        var power = 0
        if LimitScanner.isDigit(self[at]) {
            let number = try number()
            try refuseTail(of: number, prefix: "")
            guard let tens = powerOfTen(number) else { throw notPer(number.range) }
            power = tens
        } else if word(at: at).count == 1, let tens = LimitScanner.multiplier(self[at]) {
            power = tens
            at += 1
        }
        let end = at
        skipBlanks()
        let found = word(at: at)
        if "token" == bytes(found) || "tokens" == bytes(found) {
            at = found.upperBound
        } else if atEnd && end > start {
            at = end
        } else {
            throw "m" == bytes(found)
                ? error(found, "`m` is minutes, a million is `/M`") : notPer(found)
        }
        skipBlanks()
        guard atEnd else { throw notPer(word(at: at)) }
        return power
    }

    private func powerOfTen(_ number: Number) -> Int? {
        guard case .exact(var value) = scaled(number, by: 0), value > 0 else { return nil }
        var power = 0
        while value % 10 == 0 {
            value /= 10
            power += 1
        }
        return value == 1 && power <= 12 ? power : nil
    }

    private func notPer(_ found: Range<Int>) -> LimitError {
        error(found, "\(bytes(found)): a rate is per token, per k or per M: `$0.28/M`")
    }
}
