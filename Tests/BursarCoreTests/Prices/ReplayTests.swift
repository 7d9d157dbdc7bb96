// Real agent steps: Bursar's price of each is what was charged for it.

import Glibc
import Testing

@testable import BursarCore

@Suite struct ReplayTests {
    /// `AGENT_STEPS` names another file of the same form.
    @Test func everyStepOfRealSessionsCostsWhatWasCharged() throws {
        let book = try PriceBook()
        var rates = Rates(280_000, 420_000)
        rates.cacheReadPicos = 28_000
        let text = String(
            decoding: getenv("AGENT_STEPS").map { file(String(cString: $0)) }
                ?? testFile("data/agent-steps-sample.csv"), as: UTF8.self)
        let lines = text.split(separator: "\n")
        let header = lines.first?.split(separator: ",").map(String.init) ?? []
        func column(_ name: String) throws -> Int { try #require(header.firstIndex(of: name)) }
        let model = try column("model")
        let input = try column("input_tokens")
        let cached = try column("cached_input_tokens")
        let output = try column("output_tokens")
        let reasoning = try column("reasoning_tokens")
        let cost = try column("cost_usd")

        var steps = 0
        var total: Int64 = 0
        var charged: Int64 = 0
        for line in lines.dropFirst() {
            let fields = line.split(separator: ",", omittingEmptySubsequences: false).map(
                String.init)
            let id = try book.override(fields[model], rates)
            var usage = Usage()
            usage.inputTokens = try #require(Int64(fields[input]))
            usage.cacheReadInputTokens = try #require(Int64(fields[cached]))
            usage.outputTokens = try #require(Int64(fields[output]))
            usage.reasoningOutputTokens = try #require(Int64(fields[reasoning]))
            let nanos = try book.quote(id, variant: .standard, usage: usage)
            let bill = try fields[cost].withBytes { bytes throws(LimitError) in
                try MoneyText.parse(bytes)
            }
            if nanos != bill { Issue.record("\(line): \(nanos)") }
            steps += 1
            total += nanos
            charged += bill
        }
        #expect(steps >= 400)
        #expect(total == charged)
        print("\(steps) steps, \(String(decoding: MoneyText.format(total), as: UTF8.self))")
    }
}
