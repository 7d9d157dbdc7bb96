// Steps through the module: granted, refused, settled, forgotten, by a hundred at once.

import Bursar
import Testing

@Suite struct StepTests {
    @Test func aSettledStepCostsWhatItUsed() throws {
        let runtime = try Runtime()
        try runtime.declare("acme/support", "$500/month alert 50% 80%", owner: "support-platform")
        let session = try runtime.openSession("acme/support/triage", limits: "$2", "200 steps")
        _ = try runtime.plainModel()
        let step = try session.reserve("plain", input: 1_200, maxOutput: 1_024)
        #expect(step.model == "plain" && step.maxOutput == 1_024)
        #expect(step.decision.verdict == .allow && step.decision.isGranted)
        #expect(step.decision.reserved == Money(nanos: 2_224_000))
        let receipt = try step.settle(Usage(input: 1_200, output: 300))
        #expect(receipt.cost == Money(nanos: 1_500_000) && !receipt.isEstimated)
        #expect(try runtime.budget("acme").view().spent == receipt.cost)
        #expect(try session.meter(.steps).spent == 1)
        try runtime.verify()
    }

    @Test func cachedInputIsPricedAtItsOwnRate() throws {
        let runtime = try Runtime()
        try runtime.setPrice(
            of: "cached", Rates(input: Rate("$2/M"), output: Rate("$4/M"), cacheRead: Rate("$1/M")))
        let session = try runtime.openSession("acme", limits: "$2")
        let step = try session.reserve("cached", input: 1_200, maxOutput: 300)
        let receipt = try step.settle(Usage(input: 1_200, output: 300, cacheRead: 800))
        #expect(receipt.cost == Money(nanos: (400 * 2 + 800 + 300 * 4) * 1_000))
    }

    @Test func aRefusalSaysWhichLimitAndHowMuchIsLeft() throws {
        let runtime = try Runtime()
        try runtime.declare("acme", "$0.01")
        let session = try runtime.openSession("acme/triage", limits: "$2")
        let model = try runtime.plainModel()
        let request = Request(model, input: 20_000, maxOutput: 100)
        let decision = try #require(
            refusal { () throws(BursarError) in try session.reserve(request) })
        #expect(decision.verdict == .halt && decision.reason == .limit && !decision.isGranted)
        #expect(decision.path == "acme" && decision.meter == .cost && decision.end == .halt)
        #expect(decision.limit == 10_000_000 && decision.remaining == 10_000_000)
        #expect(decision.committed == 0 && decision.requested > decision.remaining)
        #expect(!decision.isTransient && decision.retryAfter == nil)
        #expect("\(decision)".contains("acme has $0.01 left of $0.01"))
        #expect("\(BursarError.refused(decision))" == "\(decision)")
    }

    @Test func aStepIsClampedAndMovedDownTheLadder() throws {
        let runtime = try Runtime()
        try runtime.setPrice(of: "best", Rates(input: Rate("$10/M"), output: Rate("$10/M")))
        _ = try runtime.plainModel()
        let session = try runtime.openSession("acme", limits: "$0.003", ladder: ["best", "plain"])
        #expect(try session.view().ladder == ["best", "plain"])
        let lower = try session.reserve(input: 1_000, maxOutput: 1_000)
        #expect(lower.model == "plain" && lower.decision.verdict == .downgrade)
        #expect(lower.decision.isLowerRung && lower.maxOutput == 1_000)
        let receipt = try lower.settle(Usage(input: 1_000, output: 1_000))
        #expect(receipt.cost == Money(nanos: 2_000_000))
        #expect(receipt.askedCost == Money(nanos: 20_000_000))
        let clamped = try session.reserve(input: 500, maxOutput: 1_000, minOutput: 100)
        #expect(clamped.model == "plain" && clamped.maxOutput == 500 && clamped.decision.isClamped)
    }

    @Test func aForgottenStepIsSettledAtItsWorstCase() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$2")
        let model = try runtime.plainModel()
        func forget(_ request: Request) throws -> Int64 {
            let step = try session.reserve(request)
            return step.reservation
        }
        let number = try forget(Request(model, input: 1_000, maxOutput: 500))
        #expect(try session.view().spent == Money(nanos: 1_500_000))
        #expect(try session.view().reserved == .zero)
        #expect(try runtime.spend().map(\.estimatedSteps) == [1])
        // The truth comes late, and corrects it.
        let receipt = try runtime.settle(number, Usage(input: 1_000, output: 100))
        #expect(receipt.isLate)
        #expect(try session.view().spent == Money(nanos: 1_100_000))
        try runtime.verify()
    }

    @Test func aForgottenHoldIsGivenBack() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$2")
        var request = Request(try runtime.plainModel(), input: 1_000, maxOutput: 500)
        request.isHeld = true
        do {
            let step = try session.reserve(request)
            #expect(try session.view().reserved == step.decision.reserved)
        }
        #expect(try session.view().spent == .zero && session.view().reserved == .zero)
        let sent = try session.reserve(request)
        try sent.begin()
        try sent.settle(Usage(input: 1_000))
        #expect(try session.view().spent == Money(nanos: 1_000_000))
        #expect(code { () throws(BursarError) in try sent.begin() } == .expired)
    }

    @Test func aStreamThatIsLeftIsSettledAtWhatWasSeen() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$2")
        var request = Request(try runtime.plainModel(), input: 1_000, maxOutput: 5_000)
        request.isStreamed = true
        do {
            let step = try session.reserve(request)
            #expect(try step.stream(output: 100) == nil)
            try session.kill(reason: "enough")
            #expect(try step.stream(output: 200) == .killed)
        }
        let spent = try session.view().spent
        #expect(spent >= Money(nanos: 1_200_000) && spent < Money(nanos: 6_000_000))
        #expect(try runtime.spend().map(\.estimatedSteps) == [1])
    }

    @Test func settlingTwiceCountsOnce() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$2")
        _ = try runtime.plainModel()
        let step = try session.reserve("plain", input: 10, maxOutput: 10)
        let first = try step.settle(Usage(input: 10, output: 10))
        let again = try step.settle(Usage(input: 10, output: 10))
        #expect(again.isReplay && again.cost == first.cost)
        #expect(code { () throws(BursarError) in try step.settle(Usage(input: 9)) } == .conflict)
        #expect(code { () throws(BursarError) in try step.release() } == .conflict)
        #expect(try session.view().spent == first.cost)
    }

    @Test func aReleasedStepCostsNothing() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$2")
        _ = try runtime.plainModel()
        let step = try session.reserve("plain", input: 10, maxOutput: 10)
        try step.release()
        try step.release()
        #expect(code { () throws(BursarError) in try step.settle(Usage(input: 9)) } == .released)
        #expect(try session.view().spent == .zero && session.view().reserved == .zero)
    }

    @Test func anOverrunIsRecordedInFull() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$0.001")
        _ = try runtime.plainModel()
        let step = try session.reserve("plain", input: 500, maxOutput: 500)
        let receipt = try step.settle(Usage(input: 500, output: 700))
        #expect(receipt.isOverrun && receipt.overrun == Money(nanos: 200_000))
        #expect(try session.view().spent == Money(nanos: 1_200_000))
        let decision = refusal { () throws(BursarError) in
            try session.reserve("plain", input: 1, maxOutput: 1)
        }
        #expect(decision?.reason == .limit)
    }

    @Test func whatTheProviderBilledIsTakenAsItIs() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$2")
        _ = try runtime.plainModel()
        var usage = Usage(input: 10, output: 10)
        usage.cost = .cents(3)
        let step = try session.reserve("plain", input: 10, maxOutput: 10)
        #expect(try step.settle(usage).cost == .cents(3))
    }

    @Test func badAmountsAreErrorsAndChangeNothing() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$2")
        let model = try runtime.plainModel()
        for (input, output) in [(-1, 1), (1, -1), (.max, 1), (1, .max), (.min, .min)] {
            let request = Request(model, input: input, maxOutput: output)
            #expect(code { () throws(BursarError) in try session.reserve(request) } == .invalid)
        }
        var request = Request(model, input: 1, maxOutput: 1)
        request.choices = .max
        #expect(code { () throws(BursarError) in try session.reserve(request) } == .invalid)
        let step = try session.reserve("plain", input: 100, maxOutput: 100)
        for usage in [Usage(input: -1), Usage(input: .max), Usage(input: 1, cacheRead: 2)] {
            #expect(code { () throws(BursarError) in try step.settle(usage) } == .invalid)
        }
        try step.settle(Usage(input: 100))
        #expect(try session.view().spent == Money(nanos: 100_000))
    }

    // MARK: - At once

    @Test(arguments: 1...8)
    func ofAHundredThreadsExactlyTenAreAdmitted(levels: Int) throws {
        let runtime = try Runtime()
        let path = (1...levels).map { "level\($0)" }.joined(separator: "/")
        try runtime.declare("level1", "$1")
        let steps = Shared<Step>()
        let refusals = Shared<Decision>()
        let tenCents = Request(nil, extra: .cents(10))
        together(threads: 100) { _ in
            do throws(BursarError) {
                steps.append(try runtime.openSession(path).reserve(tenCents))
            } catch {
                if case .refused(let decision) = error { refusals.append(decision) }
            }
        }
        let (admitted, refused) = (steps.takeAll(), refusals.takeAll())
        #expect(admitted.count == 10 && refused.count == 90)
        #expect(refused.allSatisfy { $0.reason == .limit && $0.remaining == 0 })
        var usage = Usage()
        usage.extra = .cents(10)
        for step in admitted { try step.settle(usage) }
        #expect(try runtime.budget("level1").view().spent == .dollars(1))
        try runtime.verify()
    }

    @Test func ofAHundredTasksExactlyTenAreAdmitted() async throws {
        let runtime = try Runtime()
        try runtime.declare("acme", "$1")
        let session = try runtime.openSession("acme/team/triage")
        let steps = await withTaskGroup(of: Step?.self) { group -> [Step] in
            for _ in 0..<100 {
                group.addTask { try? session.reserve(Request(nil, extra: .cents(10))) }
            }
            return await group.reduce(into: []) { steps, step in
                if let step { steps.append(step) }
            }
        }
        #expect(steps.count == 10)
        #expect(try runtime.budget("acme").view().reserved == .dollars(1))
        await withTaskGroup(of: Void.self) { group in
            for step in steps {
                group.addTask {
                    var usage = Usage()
                    usage.extra = .cents(10)
                    _ = try? step.settle(usage)
                }
            }
        }
        #expect(try runtime.budget("acme").view().spent == .dollars(1))
        #expect(try runtime.budget("acme").view().remaining == .zero)
        try runtime.verify()
    }
}

@Suite struct EstimateTests {
    @Test func aSessionsInputsAreLearnt() throws {
        let runtime = try Runtime()
        let model = try runtime.plainModel()
        let session = try runtime.openSession("acme", limits: "$9")
        var estimate = try session.estimate(model, bytes: 4_000)
        #expect(estimate.tokensMax == 2_048)
        for n in 1...300 {
            estimate = try session.estimate(model, bytes: 4_000 + n * 1_000)
            #expect(estimate.tokens <= estimate.tokensMax)
            try runtime.learn(estimate, input: 1_000 + n * 250, output: 40)
        }
        estimate = try session.estimate(model, bytes: 305_000, fixedTokens: 900, conversation: 7)
        #expect(estimate.tokens > 70_000)  // another conversation: by the model's rate
        estimate = try session.estimate(model, bytes: 305_000)
        #expect(abs(estimate.tokens - 76_250) < 20)
        let seen = try runtime.estimateError(of: model)
        #expect(seen.steps == 300)
        #expect(seen.below == 0)
        #expect(seen.median < 0.001)
        #expect(seen.reserved > seen.input)
        #expect(try runtime.estimateError(content: .json).steps == 0)
        let other = try runtime.model("another")
        try runtime.learn(estimate, input: 80_000, granted: other)
        #expect(try runtime.estimateError(of: other).steps == 1)
        #expect(throws: BursarError.self) { try session.estimate(model, bytes: -1) }
        #expect(throws: BursarError.self) { try session.estimate(model, bytes: 1, content: Content(rawValue: 256)) }
    }
}
