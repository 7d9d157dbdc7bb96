// Money, rates and top-ups as text: exact both ways.

import BursarCore
import Testing

@Suite struct MoneyTextTests {
    @Test func amountsAreReadExactly() {
        let amounts: [(String, Int64)] = [
            ("$1.25", 1_250_000_000), ("1.25", 1_250_000_000), ("2 USD", 2_000_000_000),
            (" $0.5 ", 500_000_000), ("$0", 0), ("0.000000001", 1), ("$1k", 1_000_000_000_000),
            ("$1_000", 1_000_000_000_000), ("1.5M USD", 1_500_000_000_000_000),
            ("$9223372036.854775807", .max), ("0001.50", 1_500_000_000),
        ]
        for (text, nanos) in amounts {
            #expect(parseMoney(Array(text.utf8)).value == nanos, "\(text)")
        }
    }

    @Test func malformedAmountsAreRefusedWithTheirPlace() {
        let refusals: [(String, Int32, String)] = [
            ("", 1, "empty"), ("$", 1, "number"), ("-$1", 1, "not negative"),
            ("$-1", 2, "not negative"), ("$1,000", 3, "no comma"), ("$.5", 2, "leading zero"),
            ("€5", 1, "dollars only"), ("5 EUR", 3, "dollars only"), ("$5 USD", 4, "`1.25 USD`"),
            ("$0.0000000001", 2, "finer than a nano-dollar"), ("1e3", 1, "plain digits"),
            ("$9223372036.854775808", 2, "above $9,223,372,036.854775807"),
            ("$5/day", 3, "so not"), ("5m", 2, "a million is `5M`"), ("nan", 1, "number"),
            ("5USD", 1, "`5 USD`"), ("$1.25 1", 7, "so not"),
        ]
        for (text, column, words) in refusals {
            let error = parseMoney(Array(text.utf8)).failure
            #expect(error?.column == column, "\(text)")
            #expect(error.map { string($0.sentence).contains(words) } == true, "\(text): \(words)")
        }
    }

    @Test func amountsAreWrittenInFull() {
        let amounts: [(Int64, String)] = [
            (0, "$0"), (1, "$0.000000001"), (1_250_000_000, "$1.25"), (-500_000_000, "-$0.5"),
            (1_234_500_000_000, "$1234.5"), (.max, "$9223372036.854775807"),
            (.min, "-$9223372036.854775808"),
        ]
        for (nanos, text) in amounts { #expect(string(MoneyText.format(nanos)) == text) }
    }

    @Test func readingWhatWasWrittenGivesTheSameAmount() {
        var chance = Chance(state: 99)
        for _ in 0..<20_000 {
            let nanos = chance.amount()
            let text = MoneyText.format(nanos)
            #expect(parseMoney(text).value == nanos, "\(string(text))")
        }
    }

    @Test func ratesAreReadExactlyPerToken() {
        let rates: [(String, Int64)] = [
            ("$0.28/M", 280_000), ("$0.028/M", 28_000), ("0.28/M", 280_000),
            ("$0.28 / M", 280_000), ("$0.28/1M", 280_000), ("$0.28/1M tokens", 280_000),
            ("$0.28/M tokens", 280_000), ("$0.28 per M", 280_000), ("0.28 USD/M", 280_000),
            ("0.28 USD per 1_000_000 tokens", 280_000), ("$0.28/k", 280_000_000),
            ("$0.28/K", 280_000_000), ("$0.28/1000 tokens", 280_000_000),
            ("$0.00000028/token", 280_000), ("$0.00000028 per token", 280_000),
            ("$15/M", 15_000_000), ("$0/M", 0), ("$0.000001/M", 1), ("$1/B", 1_000),
            ("$9223372.036854775807/token", .max), ("$0.000000000001/token", 1),
        ]
        for (text, picos) in rates {
            #expect(parseRate(Array(text.utf8)).value == picos, "\(text)")
        }
    }

    @Test func malformedRatesAreRefusedWithTheirPlace() {
        let refusals: [(String, Int32, String)] = [
            ("", 1, "empty"), ("$0.28", 1, "per token, per k or per M"), ("$0.28/", 6, "per token"),
            ("$0.28/m", 7, "a million is `/M`"), ("$0.28/500 tokens", 7, "per token"),
            ("$0.28/0", 7, "per token"), ("$0.28/M x", 9, "per token"),
            ("$0.0000001/M", 2, "finer than a pico-dollar"), ("$0.28/day", 7, "per token"),
            ("$9223373/token", 2, "above $9,223,372"), ("-$1/M", 1, "not negative"),
            ("€1/M", 1, "dollars only"), ("$0.28 EUR/M", 7, "per token"),
        ]
        for (text, column, words) in refusals {
            let error = parseRate(Array(text.utf8)).failure
            #expect(error?.column == column, "\(text)")
            #expect(error.map { string($0.sentence).contains(words) } == true, "\(text): \(words)")
        }
    }

    @Test func topUpsAreAmountsOfAMeter() {
        let topUps: [(String, Meter, String, Bool, Int64)] = [
            ("$5", .cost, "", false, 5_000_000_000), ("5 USD", .cost, "", false, 5_000_000_000),
            ("200k tokens", .tokens, "", false, 200_000), ("1 step", .steps, "", false, 1),
            ("10m wall", .wall, "", false, 600_000_000_000),
            ("3 calls(web_search)", .unassigned, "web_search", true, 3),
            ("7 credits", .unassigned, "credits", false, 7),
            (" 2 in_flight ", .inFlight, "", false, 2),
        ]
        for (text, meter, name, isCall, amount) in topUps {
            let topUp = parseTopUp(Array(text.utf8)).value
            #expect(topUp?.meter == meter, "\(text)")
            #expect(topUp.map { string($0.name) } == name, "\(text)")
            #expect(topUp?.isCall == isCall, "\(text)")
            #expect(topUp?.amount == amount, "\(text)")
        }
        let refusals: [(String, Int32, String)] = [
            ("", 1, "empty"), ("$0", 1, "adds nothing"), ("$5/day", 3, "one amount"),
            ("$5, $6", 3, "one amount"), ("5", 1, "no unit"), ("unlimited", 1, "number"),
            ("5 tokns", 3, "did you mean `tokens`?"), ("5 bananas", 3, "no unit"),
        ]
        for (text, column, words) in refusals {
            let error = parseTopUp(Array(text.utf8)).failure
            #expect(error?.column == column, "\(text)")
            #expect(error.map { string($0.sentence).contains(words) } == true, "\(text): \(words)")
        }
    }
}
