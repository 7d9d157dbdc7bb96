// Limit text: the table that all bindings share, round trips, and hostile text.

import BursarCore
import Testing

@Suite struct LimitTextTests {
    @Test func everyRowOfTheTableIsAnsweredAsItSays() throws {
        let rows = try LimitRow.all()
        #expect(rows.count >= 220)
        for row in rows {
            let answer = parseLimits(row.text, onSession: row.onSession)
            let place = Comment(rawValue: "limits.tsv:\(row.number): \(string(row.text))")
            if row.isOk {
                #expect(answer.failure.map { string($0.sentence) } == nil, place)
                #expect(answer.value.map { string($0.print()) } == string(row.expected), place)
            } else {
                let error = try #require(answer.failure, place)
                #expect(string(error.sentence).contains(string(row.expected)), place)
                #expect(error.column == row.column, place)
            }
        }
    }

    @Test func canonicalTextOfTheTableParsesToItself() throws {
        for row in try LimitRow.all() where row.isOk {
            let again = parseLimits(row.expected, onSession: row.onSession)
            #expect(again.value?.print() == row.expected, "limits.tsv:\(row.number)")
            #expect(again.value == parseLimits(row.text, onSession: row.onSession).value)
        }
    }

    @Test func theReferenceShowsWhatIsReadAndWhatIsRefused() throws {
        let examples = try LimitRow.codeInReference(under: "## Examples")
        #expect(examples.count >= 16)
        for text in examples {
            let answer = parseLimits(Array(text.utf8))
            #expect(answer.failure.map { string($0.sentence) } == nil, "\(text)")
        }
        let refusals = try LimitRow.codeInReference(under: "## Refusals")
        #expect(refusals.count >= 20)
        for text in refusals {
            #expect(parseLimits(Array(text.utf8)).failure != nil, "\(text)")
        }
    }

    @Test func parsingWhatWasPrintedGivesTheSameLimits() {
        var chance = Chance(state: 20_260_101)
        for round in 0..<10_000 {
            let onSession = chance.oneIn(2)
            let list = randomList(&chance, onSession: onSession)
            let text = list.print()
            let again = parseLimits(text, onSession: onSession)
            #expect(again.value == list, "round \(round): \(string(text))")
            #expect(again.value?.print() == text, "round \(round): \(string(text))")
        }
    }

    @Test func mutatedTextNeverCrashesAndErrorsPointIntoIt() throws {
        let texts = try LimitRow.all().map(\.text)
        var chance = Chance(state: 7)
        for round in 0..<100_000 {
            let text = mutated(texts, &chance)
            let onSession = chance.oneIn(2)
            let answer = parseLimits(text, onSession: onSession)
            var errors: [LimitError] = []
            switch answer {
            case .failure(let error): errors.append(error)
            case .success(let list):
                let again = parseLimits(list.print(), onSession: onSession).value
                #expect(again == list, "round \(round): \(text)")
            }
            if round % 4 == 0 {
                let others = [
                    parseTopUp(text).failure, parseMoney(text).failure, parseRate(text).failure,
                ]
                errors += others.compactMap { $0 }
            }
            for error in errors where !isSound(error, in: text) {
                Issue.record("round \(round): \(text): \(error.column) \(string(error.sentence))")
            }
        }
    }

    @Test func everyBytePairIsAnswered() {
        for first in UInt8.min...UInt8.max {
            for second in UInt8.min...UInt8.max {
                let text = [first, second]
                if let error = parseLimits(text).failure, !isSound(error, in: text) {
                    Issue.record("\(text): \(error.column) \(string(error.sentence))")
                }
            }
        }
    }

    @Test func everyPrefixOfALongListIsAnswered() {
        let text = Array(
            ("$500/month@Europe/Berlin from 15 alert 50% 80% downgrade 90% then pause, "
                + "60 steps/min burst 10, 1h30m wall, 3 calls(web_search) per week from sun, 5 USD")
                .utf8)
        for end in 0...text.count {
            let prefix = Array(text[..<end])
            if let error = parseLimits(prefix).failure, !isSound(error, in: prefix) {
                Issue.record("\(string(prefix)): \(error.column) \(string(error.sentence))")
            }
        }
    }

    @Test func boundsHoldExactly() {
        let padding = [UInt8](repeating: UInt8(ascii: " "), count: LimitList.bytesMax - 2)
        #expect(parseLimits(Array("$5".utf8) + padding).value != nil)
        let tooLong = parseLimits(Array("$5".utf8) + padding + [UInt8(ascii: " ")])
        #expect(tooLong.failure?.column == Int32(LimitList.bytesMax + 1))

        let name = [UInt8](repeating: UInt8(ascii: "x"), count: LimitList.nameMax)
        let (open, close) = (Array("1 call(".utf8), [UInt8(ascii: ")")])
        #expect(parseLimits(open + name + close).value != nil)
        #expect(parseLimits(open + name + name.prefix(1) + close).failure != nil)
    }

    @Test func sentencesStayShortWhateverTheyQuote() {
        let long = [UInt8](repeating: UInt8(ascii: "q"), count: 4000)
        let texts = [
            long, Array("5 ".utf8) + long, Array("$5/".utf8) + long, Array("$5 ".utf8) + long,
        ]
        for text in texts {
            let error = parseLimits(text).failure
            #expect(error.map { isSound($0, in: text) } == true)
            #expect(error?.length == 4000)
        }
    }

    @Test func aZoneIsAskedForOnceAndUTCNever() {
        var asked: [[UInt8]] = []
        let texts = ["$5/day@UTC", "$5/day@Etc/UTC", "$5/day@Asia/Tokyo"]
        for text in texts {
            Array(text.utf8).withUnsafeBufferPointer { bytes in
                _ = try? LimitParser.parse(
                    bytes, onSession: false, meterKnown: { _ in false },
                    zone: { name in
                        asked.append(name)
                        return .known
                    })
            }
        }
        #expect(asked == [Array("Asia/Tokyo".utf8)])
    }

    @Test func whatThenLeavesOutDependsOnWhatIsLimited() {
        let ends: [(String, End)] = [
            ("$5", .halt), ("5 tokens/day", .halt), ("5 steps", .halt), ("5 calls(x)", .halt),
            ("5 credits", .halt), ("5 steps/min", .throttle), ("$5/s", .throttle),
            ("5 in_flight", .throttle), ("5m wall", .halt), ("5m idle", .halt),
            ("5m unattended", .pause),
        ]
        for (text, end) in ends {
            #expect(parseLimits(Array(text.utf8)).value?.limits.first?.end == end, "\(text)")
        }
    }

    @Test func wordsOfLimitTextAreNoNamesForMeters() {
        for name in ["credits", "gpu_seconds", "a", "k2", "x-ray.hours"] {
            #expect(LimitParser.isMeterName(Array(name.utf8)), "\(name)")
        }
        let long = String(repeating: "x", count: LimitList.nameMax + 1)
        for name in [
            "", "2k", "_a", "a b", "a/b", "tokens", "step", "wall", "calls", "alert", "per",
            "USD", "EUR", "unlimited", "day", "min", "mon", "halt", "é", long,
        ] {
            #expect(!LimitParser.isMeterName(Array(name.utf8)), "\(name)")
        }
    }
}

/// True when the error lies in the text and its sentence can be shown.
private func isSound(_ error: LimitError, in text: [UInt8]) -> Bool {
    var start = 0
    var line = 1
    while line < error.line, let end = text[start...].firstIndex(of: 10) {
        start = end + 1
        line += 1
    }
    let offset = start + Int(error.column) - 1
    let isInside =
        error.column >= 1 && error.length >= 0 && offset + Int(error.length) <= text.count
    let isEmpty = text.isEmpty && error.column == 1
    let sentence = string(error.sentence)
    return line == error.line && isInside && (offset < text.count || isEmpty)
        && Array(sentence.utf8) == error.sentence
        && error.sentence.count <= LimitError.sentenceMax
        && error.sentence.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
        && (sentence.hasPrefix("column ") || sentence.hasPrefix("line "))
}

private func mutated(_ texts: [[UInt8]], _ chance: inout Chance) -> [UInt8] {
    let alphabet =
        Array(" \t\n,/@$%().-+_'0123456789kKMBsmhdwe;xUSD\u{e9}\u{20ac}".utf8) + [0, 0xFF]
    var text = texts[chance.below(texts.count)]
    for _ in 0...chance.below(4) {
        let place = chance.below(text.count + 1)
        switch chance.below(6) {
        case 0: text.insert(alphabet[chance.below(alphabet.count)], at: place)
        case 1 where place < text.count: text.remove(at: place)
        case 2 where place < text.count: text[place] = alphabet[chance.below(alphabet.count)]
        case 3 where place < text.count: text[place] ^= 1 << UInt8(chance.below(8))
        case 4: text = Array(text[..<place])
        default:
            let other = texts[chance.below(texts.count)]
            let start = chance.below(other.count + 1)
            let end = start + chance.below(other.count - start + 1)
            text.insert(contentsOf: other[start..<end], at: place)
        }
    }
    return text
}

/// Up to sixteen limits as parsing makes them.
private func randomList(_ chance: inout Chance, onSession: Bool) -> LimitList {
    if chance.oneIn(50) { return .unlimited }
    var limits: [Limit] = []
    for _ in 0...chance.below(chance.oneIn(10) ? 16 : 3) {
        let limit = randomLimit(&chance, onSession: onSession)
        if !limits.contains(where: { $0.overlaps(limit) }) { limits.append(limit) }
    }
    return LimitList(limits)
}

private func randomLimit(_ chance: inout Chance, onSession: Bool) -> Limit {
    var limit: Limit
    switch chance.below(5) {
    case 0:
        let times = [Meter.wall, .idle, .unattended]
        limit = Limit(times[chance.below(3)], max(1, chance.amount()), Window(.none))
    case 1:
        let name = Array(knownMeters[chance.below(2)].utf8)
        limit = Limit(.unassigned, chance.amount(), name: name)
    case 2:
        var name = Array("tool".utf8)
        for _ in 0..<chance.below(20) {
            let letter = UInt8(0x21 + chance.below(0x5E))
            if !"(),".utf8.contains(letter) { name.append(letter) }
        }
        limit = Limit(.unassigned, chance.amount(), name: name, isCall: true)
    default:
        limit = Limit(Meter(rawValue: UInt8(chance.below(8))), chance.amount())
    }
    if limit.meter == .inFlight { limit.window = Window(.none) }
    if limit.window.kind != .none { limit.window = randomWindow(&chance, onSession: onSession) }
    if limit.window.kind == .rate {
        limit.amount = max(1, limit.amount)
        if chance.oneIn(2) { limit.burst = max(1, chance.amount()) }
        if limit.burst == limit.amount { limit.burst = 0 }
    }
    if chance.oneIn(3) {
        let shares = Set((0...chance.below(4)).map { _ in UInt8(1 + chance.below(100)) })
        limit.alerts = shares.sorted()
    }
    if chance.oneIn(3) { limit.downgrade = UInt8(1 + chance.below(100)) }
    limit.end = Limit.defaultEnd(limit.meter, limit.window.kind)
    if chance.oneIn(2), let end = End(rawValue: UInt8(chance.below(4))) { limit.end = end }
    return limit
}

private func randomWindow(_ chance: inout Chance, onSession: Bool) -> Window {
    switch chance.below(5) {
    case 0: return Window(.total)
    case 1: return Window(onSession ? .total : .session)
    case 2: return Window(.rolling, spanNanos: max(1_000_000_000, chance.amount()))
    case 3: return Window(.rate, spanNanos: chance.oneIn(2) ? 1_000_000_000 : 60_000_000_000)
    default:
        let units: [CalendarUnit] = [.hour, .day, .week, .month, .quarter, .year]
        var window = Window.calendar(units[chance.below(units.count)])
        if chance.oneIn(2) { window.zone = Array(knownZones[chance.below(knownZones.count)].utf8) }
        if chance.oneIn(2) {
            switch window.unit {
            case .hour, .day: break
            case .week: window.from = chance.below(7)
            default: window.from = 1 + chance.below(28)
            }
        }
        return window
    }
}
