// The arithmetic: what usage costs, what a request may cost, and that the first
// never passes the second.

import Testing

@testable import BursarCore

/// Sets made by tests, kept as long as the process as a book would keep them.
private enum Kept {
    static let lock = Lock()
    nonisolated(unsafe) static var blocks: [UnsafeMutablePointer<PriceRow>] = []  // guarded by lock
}

private func rows(_ fill: (inout PriceDraft) -> Void) -> PriceRows {
    var draft = PriceDraft()
    fill(&draft)
    let rows = draft.finished()
    let block = UnsafeMutablePointer<PriceRow>.allocate(capacity: rows.count)
    block.initialize(from: rows, count: rows.count)
    Kept.lock.lock()
    Kept.blocks.append(block)
    Kept.lock.unlock()
    return PriceRows(block)
}

private func randomRows(_ dice: inout Dice) -> PriceRows {
    let large = dice.happens(5)
    return rows { draft in
        for variant in [Variant.standard, .batch, .flex, .priority]
        where variant == .standard || dice.happens(50) {
            for above in [Int64(0), 1000, 200_000]
            where above == 0 || dice.happens(40) {
                RateClass.each { c in
                    let isNeeded =
                        variant == .standard && above == 0
                        && (c == .input || c == .output)
                    if isNeeded || dice.happens(40) {
                        draft[variant, above, c] = dice.upTo(large ? Rate.max : 50_000_000)
                    }
                }
            }
        }
    }
}

@Suite struct PricingTests {
    @Test func roundsTiesToEvenOncePerStep() {
        let prices = rows {
            $0[.standard, 0, .input] = 500
            $0[.standard, 0, .output] = 250
        }
        func cost(_ input: Int64, _ output: Int64, extra: Int64 = 0) -> Int64? {
            var u = Usage()
            u.inputTokens = input
            u.outputTokens = output
            u.extraNanos = extra
            return prices.cost(u, variant: .standard)
        }
        #expect(cost(1, 0) == 0)  // 0.5
        #expect(cost(3, 0) == 2)  // 1.5
        #expect(cost(5, 0) == 2)  // 2.5
        #expect(cost(1, 1) == 1)  // 0.75
        #expect(cost(0, 2) == 0)  // 0.5: the two halves are not rounded apart
        #expect(cost(1, 2) == 1)  // 0.5 + 0.5
        #expect(cost(1, 0, extra: 1) == 2)  // 1.5
    }

    @Test func partsArePricedAsPartsOfTheirWhole() {
        let prices = rows {
            $0[.standard, 0, .input] = 1_000_000
            $0[.standard, 0, .output] = 10_000_000
            $0[.standard, 0, .cacheRead] = 100_000
            $0[.standard, 0, .cacheWrite] = 1_250_000
            $0[.standard, 0, .cacheWrite1h] = 2_000_000
            $0[.standard, 0, .reasoning] = 20_000_000
            $0[.standard, 0, .request] = 7
        }
        var u = Usage()
        u.inputTokens = 100
        u.cacheReadInputTokens = 40
        u.cacheWriteInputTokens = 30
        u.cacheWrite1hInputTokens = 10
        u.outputTokens = 10
        u.reasoningOutputTokens = 4
        // 30 fresh, 40 read, 20 and 10 written, 6 and 4 of output, 7 for the request.
        #expect(prices.cost(u, variant: .standard) == 219_007)
        // No price of its own for audio: as input, and cached as cached.
        u.audioInputTokens = 20
        u.cacheReadAudioInputTokens = 20
        #expect(prices.cost(u, variant: .standard) == 219_007)
    }

    @Test func theWholeRequestIsPricedByItsTier() {
        let prices = rows {
            $0[.standard, 0, .input] = 1000
            $0[.standard, 0, .output] = 5000
            $0[.standard, 200_000, .input] = 2000
            $0[.standard, 200_000, .output] = 7000
            $0[.batch, 0, .input] = 500
            $0[.batch, 0, .output] = 2500
        }
        func cost(_ input: Int64, _ variant: Variant) -> Int64? {
            var u = Usage()
            u.inputTokens = input
            u.outputTokens = 10
            return prices.cost(u, variant: variant)
        }
        #expect(cost(200_000, .standard) == 200_050)
        #expect(cost(200_001, .standard) == 400_072)
        #expect(cost(200_000, .batch) == 100_025)
        #expect(cost(200_001, .batch) == 400_072)  // batch names no such tier: standard's
        #expect(cost(200_001, .flex) == 400_072)  // no flex price: as standard
    }

    @Test func aPriceAboveInt64IsNilNotATrap() {
        let prices = rows {
            $0[.standard, 0, .input] = Rate.max
            $0[.standard, 0, .output] = Rate.max
        }
        var u = Usage()
        u.inputTokens = 9_223_372
        #expect(prices.cost(u, variant: .standard) == 9_223_372_000_000_000_000)
        u.outputTokens = 1
        #expect(prices.cost(u, variant: .standard) == nil)
        u.inputTokens = .max
        u.outputTokens = .max
        u.extraNanos = .max
        #expect(prices.cost(u, variant: .standard) == nil)
        var e = StepEstimate()
        e.inputTokens = .max
        e.extraNanos = .max
        #expect(prices.worstCase(e)?.nanos(outputTokens: .max) == nil)
        #expect(prices.worstCase(e)?.outputTokens(fitting: .max) == -1)
        e.choices = .max
        #expect(prices.worstCase(e) == nil)
    }

    @Test func usageWithAPartAboveItsWholeIsNotValid() {
        var u = Usage()
        u.inputTokens = 10
        u.outputTokens = 10
        #expect(u.isValid)
        let parts: [WritableKeyPath<Usage, Int64>] = [
            \.cacheReadInputTokens, \.cacheWriteInputTokens, \.reasoningOutputTokens,
            \.audioInputTokens, \.audioOutputTokens, \.imageInputTokens, \.imageOutputTokens,
        ]
        for part in parts {
            for wrong in [11, Int64.max, -1, .min] {
                var v = u
                v[keyPath: part] = wrong
                #expect(!v.isValid)
            }
            var v = u
            v[keyPath: part] = 10
            #expect(v.isValid)
        }
        u.cacheReadInputTokens = 6
        u.cacheWriteInputTokens = 5
        #expect(!u.isValid)
        u.cacheWriteInputTokens = 4
        u.cacheWrite1hInputTokens = 5
        #expect(!u.isValid)
    }

    @Test func usageWithinTheEstimateNeverCostsMoreThanWasHeld() throws {
        var dice = Dice(state: 1)
        for _ in 0..<300 {
            let prices = randomRows(&dice)
            for _ in 0..<100 {
                var e = StepEstimate()
                e.inputTokens = dice.upTo(dice.happens(50) ? 3000 : 500_000)
                if dice.happens(60) { e.inputTokensUpper = e.inputTokens + dice.upTo(200_000) }
                e.choices = Int32(1 + dice.upTo(3))
                e.variant = Variant(rawValue: Int32(dice.upTo(3)))!
                e.cacheWrite = CacheWrite(rawValue: Int32(dice.upTo(2)))!
                e.extraNanos = dice.happens(10) ? dice.upTo(1_000_000) : 0
                let granted = dice.upTo(5000)
                let held = try #require(prices.worstCase(e)?.nanos(outputTokens: granted))

                var u = Usage()
                let upper = max(e.inputTokens, e.inputTokensUpper)
                u.inputTokens = dice.happens(30) ? upper : dice.upTo(upper)
                u.cacheReadInputTokens = dice.happens(50) ? dice.upTo(u.inputTokens) : 0
                if e.cacheWrite != .none {
                    u.cacheWriteInputTokens = dice.upTo(u.inputTokens - u.cacheReadInputTokens)
                    if e.cacheWrite == .oneHour {
                        u.cacheWrite1hInputTokens = dice.upTo(u.cacheWriteInputTokens)
                    }
                }
                let most = granted * Int64(e.choices)
                u.outputTokens = dice.happens(30) ? most : dice.upTo(most)
                u.reasoningOutputTokens = dice.happens(50) ? dice.upTo(u.outputTokens) : 0
                u.extraNanos = dice.upTo(e.extraNanos)
                let cost = try #require(prices.cost(u, variant: e.variant))
                guard cost <= held else {
                    Issue.record("\(u) of \(e) costs \(cost), held \(held)")
                    return
                }
            }
        }
    }

    @Test func theMostOutputThatFitsFitsAndOneMoreDoesNot() throws {
        var dice = Dice(state: 2)
        for _ in 0..<20_000 {
            let worst = WorstCase(
                fixed: Int128(dice.upTo(dice.happens(90) ? 1 << 40 : .max)) * 3,
                perToken: dice.upTo(dice.happens(90) ? 1 << 30 : .max))
            let nanos = dice.upTo(dice.happens(80) ? 1 << 40 : .max)
            let output = worst.outputTokens(fitting: nanos)
            if output < 0 {
                #expect(worst.nanos(outputTokens: 0).map { $0 > nanos } ?? true)
            } else if output == .max {
                #expect(worst.nanos(outputTokens: 1 << 32).map { $0 <= nanos } ?? true)
            } else {
                #expect(try #require(worst.nanos(outputTokens: output)) <= nanos)
                #expect(worst.nanos(outputTokens: output + 1).map { $0 > nanos } ?? true)
            }
        }
    }
}
