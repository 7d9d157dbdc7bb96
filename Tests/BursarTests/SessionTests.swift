// Sessions and budgets through the module: opened, limited, stopped, read.

import Bursar
import Testing

@Suite struct SessionTests {
    @Test func aSessionIsReadAsItWasOpened() throws {
        let runtime = try Runtime()
        try runtime.declare(
            "acme/support", "2M tokens/day", owner: "support-platform", costCenter: "4711",
            purpose: "tickets")
        let session = try runtime.openSession(
            "acme/support", limits: "$2", "200 steps", agent: "extractor",
            ladder: ["claude-opus-4-5", "claude-haiku-4-5"], labels: ["feature": "invoices=1"])
        let view = try session.view()
        #expect(view.isSession && view.state == .open && !view.isUndeclared)
        #expect(view.path == "acme/support" && view.agent == "extractor")
        #expect(view.owner == "support-platform" && view.costCenter == "4711")
        #expect(view.labels == ["feature": "invoices=1"])
        #expect(view.ladder == ["claude-opus-4-5", "claude-haiku-4-5"])
        #expect(view.limits.map(\.description) == ["$2", "200 steps"])
        #expect(view.remaining == .dollars(2) && view.limits[1].meter == .steps)
        let budget = try runtime.budget("acme/support")
        #expect(try budget.view().children == [session.id] && view.parent == budget.id)
        #expect(try budget.view().purpose == "tickets" && budget.path == "acme/support")
    }

    @Test func childrenTogetherNeverExceedTheirParent() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$1")
        let children = try (0..<4).map { _ in try session.openChild(limits: "$0.50") }
        let steps = children.compactMap { try? $0.reserve(Request(nil, extra: .cents(40))) }
        #expect(steps.count == 2)
        #expect(try session.view().reserved == .cents(80))
        #expect(children[0].parent === session)
    }

    @Test func aSessionClosesWhenNobodyHasIt() throws {
        let runtime = try Runtime()
        try runtime.declare("acme", "$1")
        let before = try runtime.health().nodes
        var session: Session? = try runtime.openSession("acme", limits: "$1")
        // A child and a step keep it open.
        var child: Session? = try session?.openChild()
        var step: Step? = try child?.reserve(Request(nil, extra: .cents(1)))
        session = nil
        child = nil
        #expect(try step?.session.view().state == .open)
        #expect(try runtime.health().nodes == before + 2)
        try step?.settle(Usage())
        step = nil
        _ = try runtime.everything.view()  // folds; what is closed and folded goes
        #expect(try runtime.budget("acme").view().children.count <= 1)
        #expect(try runtime.health().inFlight == 0)
    }

    @Test func aClosedSessionAdmitsNothingButSettles() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$1")
        let child = try session.openChild()
        let step = try child.reserve(Request(nil, extra: .cents(1)))
        session.close()
        session.close()
        let refused = Request(nil, extra: .cents(1))
        #expect(refusal { () throws(BursarError) in try child.reserve(refused) }?.reason == .closed)
        var usage = Usage()
        usage.extra = .cents(1)
        #expect(try step.settle(usage).cost == .cents(1))
    }

    @Test func killingStopsASubtreeAndRevivingUndoesIt() throws {
        let runtime = try Runtime()
        try runtime.declare("acme/support", "$5")
        let session = try runtime.openSession("acme/support/triage")
        let other = try runtime.openSession("acme/sales")
        let request = Request(nil, extra: .cents(1))
        try runtime.kill("acme/support", reason: "runaway")
        let decision = refusal { () throws(BursarError) in try session.reserve(request) }
        #expect(decision?.reason == .killed && decision?.verdict == .halt)
        #expect("\(try #require(decision))".contains("acme/support was killed (runaway)"))
        #expect(try session.view().effectiveState == .killed && session.view().state == .open)
        #expect(try runtime.budget("acme/support").view().why == "runaway")
        try other.reserve(request).release()
        try runtime.revive("acme/support")
        try session.reserve(request).release()
        try runtime.everything.pause(reason: "lunch")
        let paused = refusal { () throws(BursarError) in try other.reserve(request) }
        #expect(paused?.verdict == .pause && paused?.reason == .paused)
        try runtime.everything.resume()
        try other.reserve(request).release()
    }

    @Test func limitsChangeWhileStepsRun() throws {
        let runtime = try Runtime()
        let budget = try runtime.declare("acme", "$1")
        let session = try runtime.openSession("acme/triage")
        let half = Request(nil, extra: .cents(50))
        let step = try session.reserve(half)
        try budget.setLimits("$0.40")
        #expect(try budget.view().remaining == .zero)
        let refused = refusal { () throws(BursarError) in try session.reserve(half) }
        #expect(refused?.isTransient == false)
        try budget.topUp("$0.60", reason: "asked for")
        try session.reserve(half).release()
        #expect(try budget.view().limits[0].extra == Money.cents(60).nanos)
        try budget.setLimits("unlimited")
        try session.reserve(Request(nil, extra: .dollars(100))).release()
        try step.release()
    }

    @Test func declaringAgainNeverUndoesACut() throws {
        let runtime = try Runtime()
        let budget = try runtime.declare("acme", "$100")
        try budget.setLimits("$1")
        #expect(try runtime.declare("acme", "$100") == budget)
        #expect(try budget.view().limits.map(\.description) == ["$1"])
        try runtime.declare("acme", "$100", replaces: true)
        #expect(try budget.view().limits.map(\.description) == ["$100"])
    }

    @Test func anObservedBudgetCountsAndStopsNobody() throws {
        let runtime = try Runtime()
        let budget = try runtime.declare("acme", "$0.01", isObserved: true)
        let session = try runtime.openSession("acme/triage")
        let step = try session.reserve(Request(nil, extra: .dollars(1)))
        #expect(step.decision.isObserved && step.decision.verdict == .allow)
        #expect(step.decision.path == "acme" && step.decision.limit == Money.cents(1).nanos)
        try step.release()
        try budget.observe(false)
        let request = Request(nil, extra: .dollars(1))
        #expect(refusal { () throws(BursarError) in try session.reserve(request) } != nil)
    }

    @Test func aBudgetInUseIsNotRemoved() throws {
        let runtime = try Runtime()
        let budget = try runtime.declare("acme/support", "$1")
        let parent = try runtime.budget("acme")
        #expect(code { () throws(BursarError) in try parent.remove() } == .inUse)
        try budget.remove()
        #expect(code { () throws(BursarError) in try runtime.budget("acme/support") } == .notFound)
    }

    @Test func attendingGoesOnWhatWasUnattended() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "30m unattended then pause")
        let limit = try session.view().limits[0]
        #expect(limit.meter == .unattended && limit.end == .pause)
        try session.attend(by: "ada")
        #expect(try session.view().limits[0].spent < limit.amount)
    }

    @Test func toolsAndNamedMetersAreCounted() throws {
        let runtime = try Runtime()
        let search = try runtime.tool("web_search", price: .cents(1))
        let credits = try runtime.meter("credits")
        let session = try runtime.openSession(
            "acme", limits: "$1", "3 calls(web_search)", "10 credits")
        let step = try session.reserve(Request(search))
        #expect(step.model.isEmpty && step.decision.reserved == .cents(1))
        #expect(try step.settle(Usage()).cost == .cents(1))
        try session.charge(tool: search)
        try session.charge(.cents(2), tool: search, meter: credits, units: 4)
        #expect(try session.meter(credits).remaining == 6)
        let fourth = refusal { () throws(BursarError) in try session.charge(tool: search) }
        #expect(fourth?.reason == .limit && fourth?.limit == 3)
        try session.charge(tool: search, isForced: true)
        #expect(try session.view().spent == .cents(5) && session.view().toolCalls == 4)
        let key = Key("invoice 17")
        let first = try session.charge(.cents(7), key: key)
        #expect(try session.charge(.cents(7), key: key).isReplay && !first.isReplay)
        let other = code { () throws(BursarError) in try session.charge(.cents(8), key: key) }
        #expect(other == .conflict)
        #expect(try session.view().spent == .cents(12))
    }

    @Test func onlyAFinalStepSpendsWhatIsHeldBack() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$1", holdback: .cents(20))
        var request = Request(nil, extra: .cents(90))
        let refused = refusal { () throws(BursarError) in try session.reserve(request) }
        #expect(refused?.reason == .holdback)
        request.isFinal = true
        try session.reserve(request).release()
    }

    @Test func mistakesAreErrorsWithTheirPlace() throws {
        let runtime = try Runtime()
        do throws(BursarError) {
            try runtime.declare("acme", "2m tokens/day")
            Issue.record("2m tokens is minutes of tokens")
        } catch .failed(let failure) {
            #expect(failure.code == .limitText && failure.column == 2)
            #expect(failure.message.contains("2M"))
        } catch {
            Issue.record("\(error)")
        }
        #expect(code { () throws(BursarError) in try runtime.declare("a//b") } == .path)
        #expect(code { () throws(BursarError) in try runtime.openSession("") } == .path)
        #expect(code { () throws(BursarError) in try runtime.meter("Big Words") } == .path)
        let labels = Dictionary(uniqueKeysWithValues: (0..<17).map { ("k\($0)", "v") })
        #expect(
            code { () throws(BursarError) in try runtime.openSession("a", labels: labels) }
                == .invalid)
    }
}
