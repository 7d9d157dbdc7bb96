// The grammar of limit text. Everything that reads limits comes through here:
// the C functions, the bindings, policy files and what Bursar prints back.
//
//     list   = limit { "," limit }
//     limit  = money [win] opts | count unit [win] opts | span time opts | "unlimited"
//     money  = "$" num | num " USD"
//     num    = digits [ "." digits ] [ "k" | "K" | "M" | "B" ]
//     win    = ( "/" | " per " ) ( "session" | "total"
//              | cal [ "@" zone ] [ " from " ( weekday | 1 ... 28 ) ] | span | rate )
//     opts   = { " alert " pct { " " pct } | " downgrade " pct | " burst " num | " then " end }

/// Reads limit text. Pure: what is known elsewhere (which meters a runtime has
/// named, which time zones there are) comes in as functions.
public enum LimitParser {
    /// Reads a list of limits.
    ///
    /// - Parameters:
    ///   - onSession: the text belongs to a session, whose whole life is its
    ///     total; on a budget `/session` is a default for the sessions below it.
    ///   - meterKnown: whether a runtime has named such a meter.
    ///   - zone: whether there is such a time zone. Not asked for UTC.
    /// - Throws: the first refusal, with its place and a sentence.
    public static func parse(
        _ text: UnsafeBufferPointer<UInt8>, onSession: Bool, meterKnown: ([UInt8]) -> Bool,
        zone: ([UInt8]) -> ZoneAnswer
    ) throws(LimitError) -> LimitList {
        var scanner = try LimitScanner(text)
        scanner.skipBlanks()
        guard !scanner.atEnd else {
            throw scanner.error(0..<0, "empty: no amount and no unit; " + LimitScanner.shell)
        }
        if let list = try scanner.unlimited() { return list }
        var limits: [Limit] = []
        while true {
            scanner.skipBlanks()
            let start = scanner.at
            guard limits.count < LimitList.limitsMax else {
                throw scanner.error(
                    scanner.word(at: start),
                    "too many: a list has at most \(number: LimitList.limitsMax) limits")
            }
            let limit = try scanner.limit(onSession: onSession, meterKnown: meterKnown, zone: zone)
            if let other = limits.first(where: { $0.overlaps(limit) }) {
                throw scanner.error(
                    start..<scanner.at,
                    "\(other.printHead()) and \(limit.printHead()) limit the same meter "
                        + "over the same window; keep one")
            }
            limits.append(limit)
            scanner.skipBlanks()
            if scanner.atEnd { return LimitList(limits) }
            guard scanner.accept(",") else { throw scanner.leftover() }
        }
    }

    /// Reads what a top-up adds: `$5`, `200k tokens`, `10m wall`, `3 calls(web_search)`.
    public static func parseTopUp(
        _ text: UnsafeBufferPointer<UInt8>, meterKnown: ([UInt8]) -> Bool
    ) throws(LimitError) -> TopUp {
        var scanner = try LimitScanner(text)
        scanner.skipBlanks()
        let start = scanner.at
        guard !scanner.atEnd else {
            throw scanner.error(0..<0, "empty: a top-up is an amount, such as `$5`")
        }
        let quantity = try scanner.quantity(meterKnown: meterKnown)
        let end = scanner.at
        scanner.skipBlanks()
        guard scanner.atEnd else {
            let found = scanner.word(at: scanner.at)
            throw scanner.error(
                found,
                "a top-up is one amount, such as `$5`, so not \(scanner.bytes(found))"
            )
        }
        guard quantity.amount > 0 else {
            throw scanner.error(
                start..<end, "\(scanner.bytes(start..<end)) adds nothing; a top-up is above zero")
        }
        return TopUp(
            meter: quantity.meter, name: quantity.name, isCall: quantity.isCall,
            amount: quantity.amount)
    }

    /// Whether a meter may be called that: a letter, then letters, digits, "_",
    /// "-" and ".", up to 64 bytes, and no word of limit text.
    public static func isMeterName(_ name: [UInt8]) -> Bool {
        guard let first = name.first, LimitScanner.isLetter(first),
            name.count <= LimitList.nameMax, name.allSatisfy(LimitScanner.isWord)
        else { return false }
        return !Vocabulary.isReserved(name)
    }
}

/// The first part of a limit: how much of what.
struct Quantity {
    var meter: Meter
    var amount: Int64
    var name: [UInt8] = []
    var isCall = false
}

extension LimitScanner {
    /// The list that is only the word `unlimited`.
    fileprivate mutating func unlimited() throws(LimitError) -> LimitList? {
        let found = word(at: at)
        guard "unlimited" == bytes(found) else { return nil }
        at = found.upperBound
        skipBlanks()
        guard atEnd else { throw aloneOnly(found) }
        return .unlimited
    }

    private func aloneOnly(_ range: Range<Int>) -> LimitError {
        error(range, "`unlimited` stands alone: no other limit, window or option goes with it")
    }

    fileprivate mutating func limit(
        onSession: Bool, meterKnown: ([UInt8]) -> Bool, zone: ([UInt8]) -> ZoneAnswer
    ) throws(LimitError) -> Limit {
        try refuseNoAmount()
        let start = at
        let quantity = try quantity(meterKnown: meterKnown)
        let head = start..<at
        let window = try window(of: quantity.meter, onSession: onSession, zone: zone)
        if window.kind == .rate && quantity.amount == 0 {
            throw error(head, "a rate of zero lets nothing through; that is \(bytes(head)) alone")
        }
        if quantity.meter.isTime && quantity.amount == 0 {
            throw error(head, "\(bytes(head)) would be over at once; a time is above zero")
        }
        var limit = Limit(
            quantity.meter, quantity.amount, window, name: quantity.name, isCall: quantity.isCall)
        try options(of: &limit)
        return limit
    }

    /// What a limit cannot begin with.
    private func refuseNoAmount() throws(LimitError) {
        let found = word(at: at)
        let first = self[at]
        if atEnd || first == UInt8(ascii: ",") {
            let comma = (0..<min(at + 1, text.count)).last { self[$0] == UInt8(ascii: ",") } ?? 0
            throw error(comma..<comma + 1, "a limit is missing beside this comma")
        }
        if first == UInt8(ascii: "/") {
            throw error(
                found,
                "no amount and no unit; " + LimitScanner.shell)
        }
        if first == UInt8(ascii: "'") || first == UInt8(ascii: "\"") {
            throw error(found, "a quote; quotes are for the shell, not part of a limit")
        }
        guard LimitScanner.isLetter(first) else { return }
        let word = bytes(found)
        if "unlimited" == word { throw aloneOnly(found) }
        if "USD" == word { throw error(found, "the amount goes first: `20 USD`") }
        if Vocabulary.isCurrency(word) { throw dollarsOnly(found) }
        if let meant = Vocabulary.nearest(to: word, among: ["unlimited"]) {
            throw error(found, "\(word) is no limit; did you mean \(meant)?")
        }
        throw error(
            found,
            "a limit begins with an amount, such as `$5`, `200 steps` or `10m wall`, not \(word)")
    }

    /// What stands where a comma or the end should.
    fileprivate func leftover() -> LimitError {
        let found = word(at: at)
        let word = bytes(found)
        let first = self[at]
        if LimitScanner.isDigit(first) || first == UInt8(ascii: "$") {
            return error(found, "a comma separates limits; one is missing before \(word)")
        }
        if Vocabulary.separators.contains(where: { $0 == word }) {
            return error(found, "a comma separates limits, not \(word)")
        }
        if first == UInt8(ascii: "/") || "per" == word {
            return error(found, "one window for a limit; write two: `$5/day, $20/month`")
        }
        if first == UInt8(ascii: "@") {
            return error(found, "a time zone touches its calendar window: `/day@Europe/Berlin`")
        }
        if "from" == word {
            return error(found, "`from` goes with a week, month, quarter or year: `/month from 15`")
        }
        if Vocabulary.ends.contains(where: { $0 == word }) {
            return error(found, "did you mean \([UInt8]("then ") + word)?")
        }
        if let meant = Vocabulary.nearest(to: word, among: Vocabulary.options + Vocabulary.joints) {
            return error(found, "\(word) is no option; did you mean \(meant)?")
        }
        if let meant = Vocabulary.nearest(to: word, among: Vocabulary.calendar + Vocabulary.windows)
        {
            return error(found, "did you mean \([UInt8]("/") + [UInt8](meant))?")
        }
        return error(
            found,
            "\(word) does not belong here; after the window come "
                + "`alert`, `downgrade`, `burst`, `then` or a comma")
    }

    func dollarsOnly(_ range: Range<Int>) -> LimitError {
        error(range, "\(bytes(range)): dollars only; write `$5` or `5 USD`")
    }
}
