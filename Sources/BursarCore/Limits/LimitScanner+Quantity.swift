// How much of what: the part of a limit before its window, and of a top-up all of it.

extension LimitScanner {
    /// Reads `$5`, `5 USD`, `200k tokens`, `3 calls(web_search)` or `10m wall`.
    mutating func quantity(meterKnown: ([UInt8]) -> Bool) throws(LimitError) -> Quantity {
        let start = at
        if accept("$") {
            guard !LimitScanner.isBlank(self[at]) else {
                throw error(start..<at, "the number touches the `$`: `$5`")
            }
            let number = try number()
            try refuseThousands(start: number.range.lowerBound)
            try refuseTail(of: number, prefix: "$")
            return Quantity(meter: .cost, amount: try money(number))
        }
        let first = try number()
        if seesSpanUnit {
            let unit = at
            let nanos = try span(from: first)
            return try time(nanos, start: start, first: first, unit: unit)
        }
        try refuseTail(of: first, prefix: "")
        return try count(first, meterKnown: meterKnown)
    }

    // MARK: - Counts

    private mutating func count(
        _ number: Number, meterKnown: ([UInt8]) -> Bool
    ) throws(LimitError) -> Quantity {
        let found = try unit(after: number)
        let word = bytes(found)
        if Vocabulary.times.contains(where: { $0.word == word }) {
            throw spanWanted(number, word)
        }
        at = found.upperBound
        if "USD" == word { return Quantity(meter: .cost, amount: try money(number)) }
        if let unit = Vocabulary.units.first(where: { $0.word == word }) {
            return Quantity(meter: unit.meter, amount: try count(number))
        }
        if Vocabulary.calls.contains(where: { $0 == word }) {
            let name = try tool(after: found)
            return Quantity(
                meter: .unassigned, amount: try count(number), name: name, isCall: true)
        }
        guard LimitParser.isMeterName(word), meterKnown(word) else {
            throw unknownUnit(found, number)
        }
        return Quantity(meter: .unassigned, amount: try count(number), name: word)
    }

    /// The word after a number; `at` stays before it.
    private mutating func unit(after number: Number) throws(LimitError) -> Range<Int> {
        let end = at
        let touches = !skipBlanks()
        try refuseThousands(start: number.range.lowerBound)
        if touches && sees(",") && LimitScanner.isDigit(self[at + 1]) { throw decimalComma(at) }
        if sees("%") {
            throw error(
                number.range.lowerBound..<at + 1,
                "shares stand together after `alert`: `alert 50% 80%`")
        }
        if sees("$") {
            throw error(at..<at + 1, "the `$` goes first: `$5`")
        }
        let found = word(at: at)
        let isWord = LimitScanner.isLetter(self[at])
        let word = bytes(found)
        let isOption = (Vocabulary.options + Vocabulary.joints).contains { $0 == word }
        guard isWord && !isOption else {
            let what = bytes(number.range.lowerBound..<end)
            throw error(
                number.range,
                "\(what) has no unit; " + LimitScanner.shell
                    + ", or write \(what + " tokens")")
        }
        guard !touches else {
            throw error(found, "a blank between number and unit")
        }
        if word.count == 1, LimitScanner.multiplier(word[0]) != nil {
            throw error(found, "the multiplier touches the number: \(bytes(number.range) + word)")
        }
        return found
    }

    /// The name in `calls(name)`.
    private mutating func tool(after word: Range<Int>) throws(LimitError) -> [UInt8] {
        guard accept("(") else {
            throw error(
                word, "calls of which tool? `calls(web_search)` for one, `tool_calls` for all")
        }
        let name = run(from: at) {
            $0 > 0x20 && $0 != UInt8(ascii: "(") && $0 != UInt8(ascii: ")")
                && $0 != UInt8(ascii: ",")
        }
        guard !name.isEmpty else {
            throw error(
                word.lowerBound..<at, "a tool's name goes in the parentheses: `calls(web_search)`")
        }
        guard name.count <= LimitList.nameMax else {
            throw error(
                name, "too long: a tool's name has at most \(number: LimitList.nameMax) bytes here")
        }
        at = name.upperBound
        guard accept(")") else {
            throw error(
                word.lowerBound..<at,
                "`calls(` without its `)`; a tool's name has no blank, comma or parenthesis")
        }
        return bytes(name)
    }

    private func unknownUnit(_ found: Range<Int>, _ number: Number) -> LimitError {
        let word = bytes(found)
        let amount = bytes(number.range)
        if Vocabulary.isCurrency(word) { return dollarsOnly(found) }
        if ["dollar", "dollars", "bucks"].contains(where: { (name: StaticString) in name == word })
        {
            return error(
                found, "dollars are written \([UInt8]("$") + amount) or \(amount + " USD")"
            )
        }
        if let letter = spelledOut(found) {
            return error(
                found,
                "a time is written \(amount + letter), as in \(amount + letter + " wall")")
        }
        // `tool calls`, `in flight`, `input tokens`: two words for one with "_".
        let next = self.word(
            at: run(from: found.upperBound, while: LimitScanner.isBlank).upperBound)
        let joined = word + "_" + bytes(next)
        if let unit = Vocabulary.units.first(where: { $0.word == joined }) {
            return error(found.lowerBound..<next.upperBound, "did you mean \(unit.word)?")
        }
        if let meant = Vocabulary.nearest(to: word, among: Vocabulary.afterNumbers) {
            return error(found, "\(word) is no unit; did you mean \(meant)?")
        }
        return error(
            found,
            "\(word) is no unit and no meter that was named; units are tokens, input_tokens, "
                + "output_tokens, fresh_tokens, steps, tool_calls, in_flight, calls(tool), USD")
    }

    // MARK: - Times

    private mutating func time(
        _ nanos: Int64, start: Int, first: Number, unit: Int
    ) throws(LimitError) -> Quantity {
        let written = start..<at
        let touches = !skipBlanks()
        let found = word(at: at)
        let word = bytes(found)
        if let time = Vocabulary.times.first(where: { $0.word == word }) {
            guard !touches else { throw error(found, "a blank between number and unit") }
            at = found.upperBound
            return Quantity(meter: time.meter, amount: nanos)
        }
        if self[unit] == UInt8(ascii: "m") && written.upperBound == unit + 1
            && LimitScanner.isLetter(self[at])
        {
            if Vocabulary.ofCounts.contains(where: { $0 == word }) {
                throw million(unit, first, prefix: "")
            }
        }
        if LimitScanner.isLetter(self[at]),
            let meant = Vocabulary.nearest(to: word, among: Vocabulary.times.map { $0.word })
        {
            throw error(found, "\(word) is no time; did you mean \(meant)?")
        }
        throw error(
            written,
            "\(bytes(written)) is a time, which goes with `wall`, `idle` or `unattended`")
    }

    /// A count where a span should be: `10M wall`, `10 wall`.
    private func spanWanted(_ number: Number, _ word: [UInt8]) -> LimitError {
        let minutes = bytes(number.digits) + "m"
        guard number.multiplier == 0 else {
            let letter = number.range.upperBound - 1..<number.range.upperBound
            return number.multiplier == 6
                ? error(letter, "`M` is a million, minutes are \(minutes)")
                : error(letter, "\(bytes(letter)) is no unit of time; minutes are \(minutes)")
        }
        return error(number.range, "\(word) takes a time: \(minutes) for minutes, or s, h, d, w")
    }

    // MARK: - What people write instead

    /// `m` where a million was meant.
    private func million(_ letter: Int, _ number: Number, prefix: StaticString) -> LimitError {
        let meant = [UInt8](prefix) + bytes(number.digits) + "M"
        return error(letter..<letter + 1, "`m` is minutes, a million is \(meant)")
    }

    /// Refuses what touches a number and is no multiplier.
    func refuseTail(of number: Number, prefix: StaticString) throws(LimitError) {
        let found = tail()
        guard !found.isEmpty else { return }
        let all = number.range.lowerBound..<found.upperBound
        let digits = [UInt8](prefix) + bytes(number.digits)
        let word = bytes(found)
        if "m" == word { throw million(at, number, prefix: prefix) }
        if "b" == word { throw error(found, "a billion is \(digits + "B")") }
        let isExponent =
            word[0] | 0x20 == UInt8(ascii: "e")
            && word.dropFirst().allSatisfy(LimitScanner.isDigit)
        let isHexadecimal = "0" == bytes(number.digits) && word[0] | 0x20 == UInt8(ascii: "x")
        if isExponent || isHexadecimal {
            throw error(all, "\(bytes(all)): plain digits, such as `1000` or `1k`")
        }
        if Vocabulary.isCurrency(word) { throw dollarsOnly(found) }
        if let letter = spelledOut(found) {
            throw error(all, "\(bytes(all)) is written \(digits + letter)")
        }
        let isMultiplied = LimitScanner.multiplier(word[0]) != nil
        let unit = isMultiplied ? Array(word.dropFirst()) : word
        if Vocabulary.afterNumbers.contains(where: { $0 == unit }) {
            let end = found.upperBound - unit.count
            let apart = bytes(all.lowerBound..<end) + " " + unit
            throw error(all, "a blank between number and unit: \(apart)")
        }
        throw error(
            found,
            "\(word) is no multiplier; they are `k`, `M` and `B`, and a unit comes after a blank")
    }

    /// Refuses `$1,000` and `$1,500 USD`, where the comma was not meant to
    /// separate limits. A group of three digits that stands as a count of its
    /// own, `$1,200 steps`, is two limits.
    private func refuseThousands(start: Int) throws(LimitError) {
        guard self[start - 1] == UInt8(ascii: ","), LimitScanner.isDigit(self[start - 2]) else {
            return
        }
        let group = run(from: start, while: LimitScanner.isDigit)
        let next = word(at: run(from: at, while: LimitScanner.isBlank).upperBound)
        let word = bytes(next)
        let hasUnit =
            LimitScanner.isLetter(self[next.lowerBound])
            && !((Vocabulary.options + Vocabulary.joints + ["USD"]).contains { $0 == word })
        let isGroup = group.count == 3 && self[start] == UInt8(ascii: "0")
        if isGroup || !hasUnit { throw decimalComma(start - 1) }
    }

    private func decimalComma(_ comma: Int) -> LimitError {
        error(
            comma..<comma + 1,
            "a comma separates limits; write `$1000` or `$1_000`, and cents with a point: `$0.50`")
    }
}
