// The words of limit text, and the one that somebody may have meant.

enum Vocabulary {
    /// Every unit of a count; plurals first, since suggestions take the first best.
    static let units: [(word: StaticString, meter: Meter)] = [
        ("tokens", .tokens), ("steps", .steps), ("tool_calls", .toolCalls),
        ("in_flight", .inFlight), ("input_tokens", .inputTokens),
        ("output_tokens", .outputTokens), ("fresh_tokens", .freshTokens),
        ("token", .tokens), ("step", .steps), ("tool_call", .toolCalls),
        ("input_token", .inputTokens), ("output_token", .outputTokens),
        ("fresh_token", .freshTokens),
    ]
    static let times: [(word: StaticString, meter: Meter)] = [
        ("wall", .wall), ("idle", .idle), ("unattended", .unattended),
    ]
    static let calls: [StaticString] = ["calls", "call"]
    static let ofCounts = units.map { $0.word } + calls + ["USD"]
    static let afterNumbers = ofCounts + times.map { $0.word }
    static let calendar: [StaticString] = ["hour", "day", "week", "month", "quarter", "year"]
    static let rates: [(word: StaticString, nanos: Int64)] = [
        ("min", Span.minute), ("minute", Span.minute),
        ("s", Span.second), ("sec", Span.second), ("second", Span.second),
    ]
    static let weekdays: [StaticString] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    static let ends: [StaticString] = ["halt", "pause", "throttle", "observe"]
    static let options: [StaticString] = ["alert", "downgrade", "burst", "then"]
    static let joints: [StaticString] = ["per", "from"]
    static let windows: [StaticString] = ["session", "total"]
    /// What people put between limits instead of a comma.
    static let separators: [StaticString] = [";", "&", "+", "|", "and", "or", "plus"]

    /// Money that is not dollars, and other ways to say dollars.
    static func isCurrency(_ word: [UInt8]) -> Bool {
        isOne(word, of: words(
            """
            EUR GBP JPY CNY CHF INR KRW CAD AUD BRL SEK NOK DKK PLN SGD HKD TWD MXN ZAR TRY ILS \
            AED NZD CZK RUB euro euros pound pounds yen cent cents eur gbp jpy
            """))
    }

    /// Times spelled out: how people write what limits write `10m`. The first letter is
    /// the one that limits write; nil for other words.
    static func spelled(_ word: [UInt8]) -> UInt8? {
        let known = words(
            """
            sec secs second seconds min mins minute minutes hr hrs hour hours day days week \
            weeks s m h d w
            """)
        return isOne(word, of: known) ? word[0] : nil
    }

    private static func isOne(_ word: [UInt8], of known: [ArraySlice<UInt8>]) -> Bool {
        known.contains { $0 == word[...] }
    }

    /// The unit to print; nil for money, which has none.
    static func unit(of meter: Meter, isOne: Bool) -> StaticString? {
        if let time = times.first(where: { $0.meter == meter }) { return time.word }
        return isOne
            ? units.last(where: { $0.meter == meter })?.word
            : units.first(where: { $0.meter == meter })?.word
    }

    static func weekday(_ day: Int) -> StaticString? {
        weekdays.indices.contains(day) ? weekdays[day] : nil
    }

    /// True for words that limit text uses itself, so that no meter may have them.
    static func isReserved(_ word: [UInt8]) -> Bool {
        units.contains { $0.word == word } || times.contains { $0.word == word }
            || rates.contains { $0.word == word } || spelled(word) != nil
            || isCurrency(word)
            || [calls, calendar, weekdays, ends, options, joints, windows].contains { words in
                words.contains { $0 == word }
            } || "unlimited" == word || "USD" == word
    }

    /// The candidate nearest to `word`, when one is near enough to be meant.
    /// Case does not count. At equal distance the first wins.
    static func nearest(to word: [UInt8], among candidates: [StaticString]) -> StaticString? {
        guard word.count <= 24 else { return nil }
        var best = word.count <= 3 ? 1 : word.count <= 8 ? 2 : 3
        var found: StaticString?
        for candidate in candidates {
            let distance = candidate.withUTF8Buffer { edits(word, $0) }
            // A word of which nothing stays was not meant.
            if distance < max(word.count, candidate.utf8CodeUnitCount),
                distance < best || (distance == best && found == nil)
            {
                best = distance
                found = candidate
            }
        }
        return found
    }

    /// Edits that turn one into the other: insert, delete, replace, swap two
    /// neighbours (the optimal string alignment distance).
    private static func edits(_ one: [UInt8], _ other: UnsafeBufferPointer<UInt8>) -> Int {
        var before: [Int] = []
        var above = [Int](0...other.count)
        for i in 0..<one.count {
            var row = [i + 1]
            for j in 0..<other.count {
                let cost = lower(one[i]) == lower(other[j]) ? 0 : 1
                var least = min(min(above[j + 1], row[j]) + 1, above[j] + cost)
                if i > 0 && j > 0 && lower(one[i]) == lower(other[j - 1])
                    && lower(one[i - 1]) == lower(other[j])
                {
                    least = min(least, before[j - 1] + 1)
                }
                row.append(least)
            }
            before = above
            above = row
        }
        return above[other.count]
    }

    private static func lower(_ byte: UInt8) -> UInt8 {
        byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
    }
}

/// True when the bytes are exactly the word's.
func == (word: StaticString, bytes: [UInt8]) -> Bool {
    word.withUTF8Buffer { $0.elementsEqual(bytes) }
}

extension CalendarUnit {
    var word: StaticString { Vocabulary.calendar[Int(rawValue)] }
}

extension End {
    var word: StaticString { Vocabulary.ends[Int(rawValue)] }
}
