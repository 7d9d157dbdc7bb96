// Guesses what somebody meant who wrote an abbreviation, an offset or a typing
// error where an IANA zone name is expected. Only for error messages.

enum ZoneHint {
    /// Abbreviations that name no zone, each before the most populous zone that
    /// uses it.
    private static var abbreviations: [ArraySlice<UInt8>] {
        words(
            """
            ACST Australia/Adelaide ACDT Australia/Adelaide AEST Australia/Sydney \
            AEDT Australia/Sydney AKST America/Anchorage AKDT America/Anchorage \
            ART America/Argentina/Buenos_Aires AST America/Halifax ADT America/Halifax \
            AWST Australia/Perth BRT America/Sao_Paulo BST Europe/London CAT Africa/Maputo \
            CEST Europe/Berlin CST America/Chicago CDT America/Chicago EAT Africa/Nairobi \
            EDT America/New_York EEST Europe/Athens GST Asia/Dubai HKT Asia/Hong_Kong \
            ICT Asia/Bangkok IST Asia/Kolkata JST Asia/Tokyo KST Asia/Seoul MDT America/Denver \
            MSK Europe/Moscow NST America/St_Johns NZST Pacific/Auckland NZDT Pacific/Auckland \
            PHT Asia/Manila PKT Asia/Karachi PST America/Los_Angeles PDT America/Los_Angeles \
            SAST Africa/Johannesburg SGT Asia/Singapore TRT Europe/Istanbul WAT Africa/Lagos \
            WEST Europe/Lisbon WIB Asia/Jakarta Z UTC
            """)
    }

    /// The zone that may be meant, or nothing when none is near.
    ///
    /// An abbreviation's zone, or else the fewest edits (at most a third of the
    /// letters, letter case aside) to a name or to its last part: `berlin`.
    static func nearest(to name: [UInt8], among installed: [[UInt8]]) -> [UInt8] {
        let wanted = folded(name[...])
        let known = abbreviations
        for k in stride(from: 0, to: known.count, by: 2) where wanted == folded(known[k]) {
            let zone = [UInt8](known[k + 1])
            if installed.contains(zone) { return zone }
        }
        var best: [UInt8] = []
        // Twice the edits, and one more for a last part: `UTC` rather than `Etc/UTC`.
        var least = 2 * (max(1, wanted.count / 3) + 1)
        for candidate in installed {
            let whole = folded(candidate[...])
            let last = whole[(whole.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...]
            let bound = (least + 1) / 2
            let score = min(
                2 * distance(wanted[...], whole[...], below: bound),
                2 * distance(wanted[...], last, below: bound) + 1)
            if score < least {
                least = score
                best = candidate
            }
        }
        return best
    }

    /// For UTC+2, GMT-03:00 or +05:30 the fixed zone with that offset, or nothing
    /// where there is none; nil for what is no offset.
    static func offset(_ name: [UInt8]) -> [UInt8]? {
        var rest = name[...]
        let prefix = folded(name.prefix(3))
        if prefix == bytes("utc") || prefix == bytes("gmt") { rest = rest.dropFirst(3) }
        guard let sign = rest.popFirst(), sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-")
        else { return nil }
        if rest.count == 1, rest.first == UInt8(ascii: "0"), name.first == UInt8(ascii: "G") {
            return nil  // GMT+0 and GMT-0 are names of zones.
        }
        guard rest.count <= 5, let first = rest.first, isDigit(first) else { return nil }
        var digits: [Int] = []
        for byte in rest where byte != UInt8(ascii: ":") {
            guard isDigit(byte) else { return nil }
            digits.append(Int(byte) - 48)
        }
        // h, hh, hmm or hhmm
        guard digits.count <= 4 else { return [] }
        let hours = digits.count == 1 || digits.count == 3 ? digits[0] : digits[0] * 10 + digits[1]
        let isWhole = digits.count <= 2 || digits.suffix(2).allSatisfy { $0 == 0 }
        if isWhole, hours == 0 { return bytes("UTC") }
        let isEast = sign == UInt8(ascii: "+")
        guard isWhole, hours <= (isEast ? 14 : 12) else { return [] }
        var zone = bytes(isEast ? "Etc/GMT-" : "Etc/GMT+")
        if hours >= 10 { zone.append(49) }
        zone.append(48 + UInt8(hours % 10))
        return zone
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }

    /// Small letters.
    private static func folded(_ text: ArraySlice<UInt8>) -> [UInt8] {
        text.map { $0 >= 65 && $0 <= 90 ? $0 + 32 : $0 }
    }

    /// Levenshtein's distance, or some number not below `limit`.
    private static func distance(
        _ one: ArraySlice<UInt8>, _ other: ArraySlice<UInt8>, below limit: Int
    ) -> Int {
        if abs(one.count - other.count) >= limit { return limit }
        var row = [Int](0...other.count)
        for (i, a) in one.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in other.enumerated() {
                let substituted = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, diagonal + 1, row[j] + 1)
            }
        }
        return row[other.count]
    }
}
