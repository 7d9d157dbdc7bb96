// Lower rungs, fewer tokens, and what is kept for the final answer.

import Testing

@testable import BursarCore

@Suite struct LadderTests {
    let t: TestRuntime
    let best: Int32, middle: Int32, cheap: Int32
    let ladder = "best,middle,cheap"

    init() throws {
        t = try TestRuntime()
        // $100, $10 and $1 for a million output tokens; input is free.
        best = try t.model("best", input: 0, output: 100_000_000)
        middle = try t.model("middle", input: 0, output: 10_000_000)
        cheap = try t.model("cheap", input: 0, output: 1_000_000)
    }

    private func ask(_ model: Int32, _ output: Int64, least: Int64 = 0, flags: UInt32 = 0)
        -> (inout Request) -> Void
    {
        {
            $0.model = model
            $0.maxOutput = output
            $0.minOutput = least
            $0.flags = flags
        }
    }

    @Test func theFullRequestGoesToTheFirstRungThatPaysForIt() throws {
        let session = try t.session("acme", "$1", ladder: ladder)
        // 100,000 tokens are $10, $1 and 10 cents.
        let d = t.granted(session, 0, ask(best, 100_000, least: 100_000))
        #expect(d.model == middle && d.maxOutput == 100_000 && d.verdict == .downgrade)
        #expect(d.reason == .downgrade && d.has(Decision.lowerRung) && !d.has(Decision.clamped))
        t.settle(d.reservation, cost: 90 * cent)
        let last = t.granted(session, 0, ask(0, 100_000))
        #expect(last.model == cheap)
        let r = t.settle(last.reservation, input: 0, output: 100_000).r
        #expect(r.costNanos == 10 * cent && r.askedCostNanos == 10 * dollar && r.model == cheap)
        let refusal = t.refused(session, 0, ask(best, 100_000))
        #expect(refusal.model == best && refusal.requested == 10 * dollar)
        try t.expectNothingLeft()
    }

    @Test func whenNoRungFitsWholeTheHighestThatFitsClampedIsTaken() throws {
        let session = try t.session("acme", "$0.05", ladder: ladder)
        // 5 cents: 500, 5,000 and 50,000 tokens.
        let d = t.granted(session, 0, ask(best, 100_000, least: 400))
        #expect(d.model == best && d.maxOutput == 500 && d.has(Decision.clamped))
        #expect(d.verdict == .downgrade && d.reservedNanos == 5 * cent)
        #expect(t.release(d.reservation) == .ok)
        let second = t.granted(session, 0, ask(best, 100_000, least: 600))
        #expect(second.model == middle && second.maxOutput == 5000)
        #expect(t.release(second.reservation) == .ok)
        _ = t.refused(session, 0, ask(best, 100_000, least: 50_001))
        // The least useful is 256 when nothing is said.
        t.spend(session, 5 * cent - 255 * 1000)
        _ = t.refused(session, 0, ask(cheap, 100_000))
        #expect(t.granted(session, 0, ask(cheap, 100)).maxOutput == 100)
        t.expectIdentity()
    }

    @Test func aModelBesideTheLadderIsOnlyEverClamped() throws {
        let other = try t.model("other", input: 0, output: 50_000_000)
        let session = try t.session("acme", "$1", ladder: ladder)
        let d = t.granted(session, 0, ask(other, 100_000))
        #expect(d.model == other && d.maxOutput == 20_000 && d.has(Decision.clamped))
        #expect(!d.has(Decision.lowerRung))
    }

    @Test func asAskedIsThisModelOrNothing() throws {
        let session = try t.session("acme", "$1", ladder: ladder)
        let flags = Request.asAsked
        _ = t.refused(session, 0, ask(best, 100_000, least: 100_000, flags: flags))
        #expect(t.granted(session, 0, ask(best, 10_000, flags: flags)).model == best)
    }

    @Test func clampingHoldsEveryMeterWithChoicesAndInput() throws {
        let session = try t.session("acme", "1000 tokens, $100")
        let d = t.granted(session) {
            $0.model = cheap
            $0.input = 400
            $0.maxOutput = 1000
            $0.choices = 3
            $0.minOutput = 10
        }
        #expect(d.maxOutput == 200)
        #expect(try t.committed(session, 1) == 1000)
        let output = try t.session("acme", "100 output_tokens")
        #expect(t.granted(output, 0, ask(cheap, 1000, least: 100)).maxOutput == 100)
        _ = t.refused(output, 0, ask(cheap, 1000, least: 1))
    }

    @Test func aDowngradeShareMovesEvenlyDownTheLadder() throws {
        let session = try t.session("acme", "$10 downgrade 50%", ladder: ladder)
        func next() -> Decision {
            let d = t.granted(session, 0, ask(best, 10))
            _ = t.release(d.reservation)
            return d
        }
        #expect(next().model == best && !next().has(Decision.downgrading))
        t.spend(session, 5 * dollar)
        #expect(next().model == middle && next().has(Decision.downgrading))
        #expect(next().verdict == .downgrade)
        t.spend(session, 2 * dollar)
        #expect(next().model == middle)
        t.spend(session, dollar)  // 80 %: 30 of 50 points, of two steps
        #expect(next().model == cheap)
        try t.topUp(session, "$100")
        #expect(next().model == best)
    }

    @Test func aBudgetCapsTheRungByComplexity() throws {
        try t.budget("acme", "$1000") {
            $0.topRungs = (0, 3, 2, 0)
            $0.complexity = 1
        }
        let session = try t.session("acme", ladder: ladder)
        func model(_ complexity: Int32, _ flags: UInt32 = 0) -> Int32 {
            t.reserve(session) {
                $0.maxOutput = 1
                $0.complexity = complexity
                $0.flags = flags
            }.d.model
        }
        #expect(model(1) == cheap && model(2) == middle && model(3) == best)
        #expect(model(0) == cheap)
        let complex = try t.session("acme", ladder: ladder) { $0.complexity = 3 }
        #expect(t.granted(complex, 0, ask(0, 1)).model == best)
        let d = t.refused(session) {
            $0.model = best
            $0.complexity = 1
            $0.flags = Request.asAsked
        }
        #expect(d.reason == .downgrade && d.remedy == .cheaperModel)
    }

    @Test func theHoldbackIsForTheFinalStepOnly() throws {
        let session = try t.session("acme", "$1", holdback: 30 * cent)
        t.spend(session, 60 * cent)
        let d = t.refused(session, 20 * cent)
        #expect(d.reason == .holdback && d.remaining == 10 * cent && d.budget == session)
        t.spend(session, 10 * cent)
        #expect(t.refused(session, 1).reason == .holdback)
        let final = t.granted(session, 30 * cent) { $0.flags = Request.final }
        t.settle(final.reservation, cost: 30 * cent)
        #expect(t.refused(session, 1) { $0.flags = Request.final }.reason == .limit)
        #expect(try t.spent(session) == dollar)
        try t.expectNothingLeft()
    }

    @Test func aFinalStepIsClampedToWhatTheHoldbackPaysFor() throws {
        let session = try t.session("acme", "$1", holdback: 50 * cent)
        #expect(t.granted(session, 0, ask(best, 100_000)).maxOutput == 5000)
        let final = t.granted(session, 0, ask(best, 100_000, flags: Request.final))
        #expect(final.maxOutput == 5000)
    }

    @Test func aChildGetsNoPartOfItsParentsHoldback() throws {
        let parent = try t.session("acme", "$1", holdback: 50 * cent)
        let child = try t.child(of: parent)
        _ = t.granted(child, 50 * cent)
        #expect(t.refused(child, 1) { $0.flags = Request.final }.reason == .holdback)
        _ = t.granted(parent, 50 * cent) { $0.flags = Request.final }
    }
}
