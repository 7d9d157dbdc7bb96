// What is granted, at what, and what a refusal says.

import Testing

@testable import BursarCore

@Suite struct ReserveTests {
    let t: TestRuntime
    init() throws { t = try TestRuntime() }

    @Test(arguments: 1...8)
    func exactlyTenStepsOfTenCentsFitADollarAtEveryDepth(levels: Int) throws {
        let path = (1...levels).map { "l\($0)" }.joined(separator: "/")
        let root = try t.budget("l1", "$1")
        let session = try t.session(path)
        let granted = Counters(1)
                hammer(threads: 16, iterations: 4) { _, _, _ in
            let (status, d) = t.reserve(session, 10 * cent)
            if status == .ok {
                _ = granted[0].add(1)
                t.settle(d.reservation, cost: 10 * cent)
            }
        }
        #expect(granted[0].value == 10)
        #expect(try t.spent(root) == dollar && t.committed(root) == dollar)
        try t.expectNothingLeft()
    }

    @Test func aRefusalNamesBudgetMeterLimitAndWhatIsLeft() throws {
        let org = try t.budget("acme", "$3")
        try t.budget("acme/team", "$10")
        let session = try t.session("acme/team", "$20")
        t.spend(session, 2 * dollar)
        let d = t.refused(session, 2 * dollar)
        #expect(d.verdict == .halt && d.reason == .limit && d.budget == org && d.meter == 0)
        #expect(d.limit == 3 * dollar && d.committed == 2 * dollar && d.remaining == dollar)
        #expect(d.requested == 2 * dollar && d.retryAfter == 0)
        #expect(d.end == Int32(LimitEnd.halt) && !d.has(Decision.transient))
        let text = String(decoding: t.runtime.explain(d), as: UTF8.self)
        #expect(text.contains("acme has $1 left of $3"), "\(text)")
    }

    @Test func aRefusalThatOutlivesItsSessionDoesNotBlameEverything() throws {
        let session = try t.session("acme", "$1")
        let d = t.refused(session, 2 * dollar)
        try t.runtime.sessionClose(session)
        t.runtime.fold()
        let text = String(decoding: t.runtime.explain(d), as: UTF8.self)
        #expect(text.contains("what is closed by now has $1 left of $1"), "\(text)")
    }

    @Test func whatStepsInFlightHoldIsATransientRefusal() throws {
        try t.budget("acme", "$3")
        let session = try t.session("acme")
        let held = t.granted(session, 2 * dollar)
        let d = t.refused(session, 2 * dollar)
        #expect(d.has(Decision.transient) && d.remedy == .wait && d.retryAfter > 0)
        #expect(t.runtime.health().transientRefusals == 1 && t.runtime.health().refusals == 1)
        t.settle(held.reservation, cost: 0)
        _ = t.granted(session, 2 * dollar)
    }

    @Test func refusalsInARowBackOffToASecondAndAreReported() throws {
        try t.listen()
        try t.budget("acme", "$1")
        let session = try t.session("acme")
        let held = t.granted(session, dollar)
        var last: Int64 = 0
        for _ in 0..<100 {
            let wait = t.refused(session, dollar).retryAfter
            #expect(wait >= last && wait <= second)
            last = wait
        }
        #expect(last == second)
        #expect(t.events(.storm).map(\.amount) == [100])
        t.settle(held.reservation, cost: 0)
        t.settle(t.granted(session, dollar).reservation, cost: 0)
        _ = t.granted(session, dollar)
        #expect(t.refused(session, dollar).retryAfter < second / 100)
    }

    @Test func aStepThatCostsNothingPassesASpentBudget() throws {
        let free = try t.model("free", input: 0, output: 0)
        let dear = try t.model("dear", input: 1_000_000, output: 1_000_000)
        let session = try t.session("acme", "$1")
        t.spend(session, dollar)
        let d = t.granted(session) {
            $0.model = free
            $0.input = 1000
            $0.maxOutput = 1000
        }
        #expect(d.reservedNanos == 0 && d.maxOutput == 1000)
        t.settle(d.reservation, input: 1000, output: 500)
        #expect(
            t.refused(session) {
                $0.model = dear
                $0.input = 1
            }.reason == .limit)
        // And a budget of nothing admits only what costs nothing.
        let zero = try t.session("acme", "$0")
        _ = t.granted(zero) { $0.model = free }
        _ = t.refused(zero, 1)
    }

    @Test func anUnknownModelFollowsThePolicy() throws {
        for policy in [Policy.UnknownModel.refuse, .dearest, .free] {
            let t = try TestRuntime { $0.policy.unknownModel = policy }
            try t.listen()
            let model = try t.model("nobody-knows-me")
            let limited = try t.session("acme", "$100000")
            let unlimited = try t.session("other", "1000 steps")
            let ask: (inout Request) -> Void = {
                $0.model = model
                $0.input = 1000
                $0.maxOutput = 10
            }
            switch policy {
            case .refuse:
                let d = t.refused(limited, 0, ask)
                #expect(d.reason == .priceUnknown && d.remedy == .price && d.budget == limited)
                #expect(d.has(Decision.unpriced))
                let free = t.granted(unlimited, 0, ask)
                #expect(free.has(Decision.unpriced))
                #expect(t.settle(free.reservation, input: 1000, output: 10).r.has(Receipt.unpriced))
            case .dearest:
                let d = t.granted(limited, 0, ask)
                #expect(d.reservedNanos > 1000 && d.has(Decision.unpriced))
            case .free:
                let d = t.granted(limited, 0, ask)
                #expect(d.reservedNanos == 0 && d.has(Decision.unpriced))
            }
            // Tokens without a model are as unknown as a model without a price.
            let d = t.reserve(limited) { $0.input = 5 }.d
            #expect(d.reason == (policy == .refuse ? .priceUnknown : .none))
        }
    }

    @Test func asModelThatGetsAPriceIsAdmittedFromThenOn() throws {
        let model = try t.model("later")
        let session = try t.session("acme", "$1")
        #expect(t.refused(session) { $0.model = model }.reason == .priceUnknown)
        try t.model("later", input: 5, output: 5)
        _ = t.granted(session) { $0.model = model }
    }

    @Test func undeclaredSessionsAreFlaggedOrRefused() throws {
        let d = t.granted(try t.session("nowhere", "$1"))
        #expect(d.has(Decision.undeclared))
        let strict = try TestRuntime { $0.policy.undeclared = .refuse }
        let alone = try strict.session("nowhere", "$1")
        let refusal = strict.refused(alone, cent)
        #expect(refusal.reason == .undeclared && refusal.remedy == .declare)
        #expect(try strict.committed(alone) == 0)
        // A budget without a limit is not enough; one with any is.
        try strict.budget("nowhere")
        #expect(strict.refused(alone, cent).reason == .undeclared)
        try strict.budget("nowhere", "100 steps") { $0.replaces = true }
        #expect(!strict.granted(alone, cent).has(Decision.undeclared))
        strict.expectIdentity()
    }

    @Test func wrongAmountsAreInvalidAndChangeNothing() throws {
        let session = try t.session("acme", "$1")
        let budget = try t.budget("acme")
        let wrong: [(inout Request) -> Void] = [
            { $0.input = -1 }, { $0.maxOutput = -1 }, { $0.extraNanos = -1 }, { $0.units = -1 },
            { $0.extraNanos = .max }, { $0.input = .max }, { $0.choices = -1 },
            { $0.choices = 1025 }, { $0.variant = 4 }, { $0.variant = -1 }, { $0.complexity = 4 },
            { $0.flags = 64 }, { $0.tool = 5 }, { $0.tool = -1 }, { $0.model = -1 },
            { $0.timeToLive = -1 }, { $0.parent = -1 }, { $0.units = 1; $0.meter = 3 },
            { $0.units = 1; $0.meter = 32 }, { $0.attempt = 256 },
        ]
        for (k, change) in wrong.enumerated() {
            #expect(t.reserve(session, 0, change).status == .invalid, "case \(k)")
        }
        #expect(t.reserve(budget, 1).status == .invalid)
        for id in [0, -1, Int64.max, session + 1, session + (1 << 32)] {
            #expect(t.reserve(id, 1).status == .notFound)
        }
        #expect(t.runtime.health().reservations == 0)
        #expect(try t.committed(session) == 0)
    }

    @Test func everyMeterCountsWhatItSays() throws {
        let credits = try t.meter("credits")
        let model = try t.model("m", input: 1_000_000, output: 1_000_000)
        let tool = try t.tool("search", price: 3 * cent)
        let all = "$100, 1M tokens, 1M input_tokens, 1M output_tokens, 1M fresh_tokens, "
            + "1000 steps, 1000 tool_calls, 10 in_flight, 1000 credits, 1000 calls(search)"
        let id = try t.session("acme", all)
        let calls = try t.meter("calls_are_not_this")
        let d = t.granted(id) {
            $0.model = model
            $0.tool = tool
            $0.input = 100
            $0.inputUpper = 150
            $0.maxOutput = 20
            $0.choices = 3
            $0.units = 7
            $0.meter = credits
        }
        func counts() throws -> [Int64] {
            try (0..<8).map { try t.committed(id, $0) } + [t.committed(id, credits)]
        }
        #expect(try counts() == [150_000 + 60_000 + 3 * cent, 210, 150, 60, 210, 1, 1, 1, 7])
        #expect(d.maxOutput == 20)
        t.settle(d.reservation, input: 100, output: 30) {
            $0.usage.cacheReadInputTokens = 40
            $0.units = 5
        }
        #expect(try counts()[1...] == [130, 100, 30, 90, 1, 1, 0, 5])
        // calls(search) is the meter after `credits`.
        #expect(try t.committed(id, credits + 1) == 1)
        #expect(calls > credits + 1)
        try t.expectNothingLeft()
    }

    @Test func moreStepsInFlightThanAllowedAreThrottledAndTransient() throws {
        let session = try t.session("acme", "2 in_flight")
        let first = t.granted(session)
        _ = t.granted(session)
        let d = t.refused(session)
        #expect(d.verdict == .throttle && d.reason == .limit && d.meter == 7)
        #expect(d.has(Decision.transient) && d.limit == 2 && d.committed == 2)
        t.settle(first.reservation, cost: 0)
        _ = t.granted(session)
    }

    @Test func aLimitThatSaysPausePauses() throws {
        let session = try t.session("acme", "$1 then pause")
        t.spend(session, dollar)
        let d = t.refused(session, 1)
        #expect(d.verdict == .pause && d.remedy == .ask)
        try t.topUp(session, "$1")
        t.spend(session, dollar)
    }
}
