// Limits that change while steps run: raise, cut, top up, remove, add; declaring.

import Testing

@testable import BursarCore

@Suite struct LimitChangeTests {
    let t: TestRuntime
    init() throws { t = try TestRuntime() }

    @Test func aRaiseHoldsFromTheNextStepOn() throws {
        let team = try t.budget("acme", "$1")
        let session = try t.session("acme")
        t.spend(session, dollar)
        _ = t.refused(session, 1)
        try t.setLimits(team, "$2")
        t.spend(session, dollar)
        _ = t.refused(session, 1)
        try t.expectNothingLeft()
    }

    @Test func aCutBelowWhatIsCommittedRefusesUntilThereIsRoom() throws {
        let team = try t.budget("acme", "$10")
        let session = try t.session("acme")
        let d = t.granted(session, 5 * dollar)
        try t.setLimits(team, "$2")
        let refusal = t.refused(session, 1)
        #expect(refusal.limit == 2 * dollar && refusal.committed == 5 * dollar)
        #expect(refusal.remaining == 0 && refusal.has(Decision.transient))
        // What runs goes on, and what it gives back counts.
        t.settle(d.reservation, cost: dollar)
        t.spend(session, dollar)
        _ = t.refused(session, 1)
        try t.expectNothingLeft()
    }

    @Test func removingALimitLeavesTheOthersAndAncestorsHold() throws {
        try t.budget("acme", "$5")
        let team = try t.budget("acme/team", "$1, 2 steps")
        let session = try t.session("acme/team")
        t.spend(session, dollar)
        try t.setLimits(team, "2 steps")
        t.spend(session, dollar)
        #expect(t.refused(session, 1).meter == 5)
        try t.setLimits(team, "unlimited")
        t.spend(session, 3 * dollar)
        #expect(t.refused(session, 1).limit == 5 * dollar)
        // Back again, it counts what was spent meanwhile.
        try t.setLimits(team, "3 steps")
        #expect(t.refused(session, 0).committed == 3)
        try t.expectNothingLeft()
    }

    @Test func aMeterAddedWhileStepsAreInFlightCountsWhatWasSettledAndLaterOnes() throws {
        let team = try t.budget("acme", "$100")
        let session = try t.session("acme")
        var old: [Int64] = []
        for flags in [0, Request.hold, Request.stream, 0] {
            old.append(t.granted(session, dollar) { $0.flags = flags; $0.timeToLive = hour }.reservation)
        }
        let settled = t.granted(session, dollar)
        t.settle(settled.reservation, cost: dollar)
        try t.setLimits(team, "$100, 3 steps, 10 in_flight, 1M tokens")
        try t.setLimits(session, "$50, 2 steps")
        // The step that was settled counts; the four in flight never will.
        #expect(try t.committed(team, 5) == 1)
        t.expectIdentity()
        let new = t.granted(session, dollar)
        #expect(try t.committed(team, 5) == 2 && t.committed(session, 5) == 2)
        t.expectIdentity()
        t.settle(old[0], cost: 2 * dollar)
        #expect(t.release(old[1]) == .ok)
        t.settle(new.reservation, cost: 1)
        t.pass(2 * hour)
        t.settle(old[3], cost: 0)
        #expect(try t.committed(team, 5) == 2 && t.committed(team, 7) == 0)
        t.settle(old[2], cost: 5)
        try t.expectNothingLeft()
    }

    @Test func limitsOfAClosedSessionCannotBeSet() throws {
        let session = try t.session("acme")
        let d = t.granted(session, dollar)
        try t.runtime.sessionClose(session)
        #expect(throws: Failure.self) { try t.setLimits(session, "5 steps") }
        t.settle(d.reservation, cost: 1)
        try t.expectNothingLeft()
    }

    @Test func aTopUpAddsAndOneThatExpiresGoesAgain() throws {
        let team = try t.budget("acme", "$1")
        let session = try t.session("acme")
        t.spend(session, dollar)
        try t.topUp(team, "$2")
        t.spend(session, dollar)
        try t.topUp(team, "$5", for: minute)
        #expect(try t.remaining(team) == 6 * dollar)
        t.pass(minute + second)
        #expect(try t.remaining(team) == dollar)
        #expect(try t.runtime.limitRead(team, 0).extra == 2 * dollar)
        #expect(throws: Failure.self) { try t.topUp(team, "200 tokens") }
        #expect(throws: Failure.self) { try t.topUp(team, "$-1") }
        #expect(throws: Failure.self) { try t.topUp(team, "$1", for: -1) }
        #expect(throws: Failure.self) { try t.topUp(0, "$1") }
        try t.expectNothingLeft()
    }

    @Test func aTopUpOfAWindowEndsWithTheWindow() throws {
        let team = try t.budget("acme", "$1/day")
        let session = try t.session("acme")
        try t.topUp(team, "$1")
        t.spend(session, 2 * dollar)
        t.moveToMidnight(plus: second)
        #expect(try t.remaining(team) == dollar)
        try t.topUp(team, "$5", for: 2 * day)
        t.moveToMidnight(plus: second)
        #expect(try t.remaining(team) == dollar)
        t.passEverywhere(3 * day)
        #expect(try t.remaining(team) == dollar)
    }

    @Test func declaringIsSafeForAWorkerThatRestarts() throws {
        try t.listen()
        let team = try t.budget("acme/team", "$10, 5 steps") { $0.owner = [UInt8]("ann".utf8) }
        #expect(try t.budget("acme/team", "$10, 5 steps") == team)
        try t.setLimits(team, "$2")
        _ = t.events()
        #expect(try t.budget("acme/team", "$10, 5 steps") == team)
        #expect(try t.remaining(team) == 2 * dollar)
        #expect(t.events(.declared).map(\.id) == [team])
        #expect(try t.budget("acme/team", "$7") { $0.replaces = true } == team)
        #expect(try t.remaining(team) == 7 * dollar)
        #expect(t.events(.limits).count == 1)
        // A budget that a path implied is declared for the first time.
        let org = try t.runtime.budgetFind([UInt8]("acme".utf8))
        #expect(try t.budget("acme", "$3") == org)
        #expect(try t.remaining(org) == 3 * dollar)
    }

    @Test func aBudgetIsRemovedOnlyWithoutChildrenAndItsSpendStaysAbove() throws {
        let org = try t.budget("acme", "$10")
        let team = try t.budget("acme/team", "$5")
        let session = try t.session("acme/team")
        let d = t.granted(session, dollar)
        #expect(throws: Failure.self) { try t.runtime.budgetRemove(team) }
        try t.runtime.sessionClose(session)
        #expect(throws: Failure.self) { try t.runtime.budgetRemove(team) }
        t.settle(d.reservation, cost: dollar)
        try t.runtime.budgetRemove(team)
        #expect(throws: Failure.self) { try t.runtime.read(team) }
        #expect(try t.spent(org) == dollar)
        // The name is free, and starts from nothing.
        let again = try t.budget("acme/team", "$5")
        #expect(again != team)
        #expect(try t.spent(again) == 0 && t.remaining(again) == 5 * dollar)
        try t.expectNothingLeft()
    }

    @Test func defaultLimitsForSessionsComeFromTheNearestBudget() throws {
        let org = try t.budget("acme", "$2/session, 7 steps/session, $100")
        try t.budget("acme/team", "$1/session")
        let plain = try t.session("acme/team")
        #expect(try t.remaining(plain) == dollar)
        #expect(try t.runtime.textRead(plain, .limits) == [UInt8]("$1, 7 steps".utf8))
        let own = try t.session("acme/team", "$3")
        #expect(try t.runtime.textRead(own, .limits) == [UInt8]("$3, 7 steps".utf8))
        let free = try t.session("acme/team", "unlimited")
        #expect(try t.remaining(free) == .max)
        // The budget itself is not limited by them.
        for _ in 0..<7 { t.spend(try t.session("acme"), dollar) }
        #expect(try t.remaining(org) == 93 * dollar)
        // A child shares its parent's and has none of its own.
        let child = try t.child(of: plain)
        t.spend(child, dollar)
        #expect(t.refused(child, 1).budget == plain)
        try t.expectNothingLeft()
    }

    @Test func observingCountsAndReportsAndStopsNobody() throws {
        try t.listen()
        // One limit.
        let one = try t.budget("one", "$1 then observe, 3 steps")
        let a = try t.session("one")
        #expect(!t.granted(a, dollar).has(Decision.observed))
        let d = t.granted(a, dollar)
        #expect(d.has(Decision.observed) && d.budget == one && d.limit == dollar)
        #expect(d.requested == dollar && d.committed == dollar)
        _ = t.granted(a, dollar)
        #expect(t.refused(a).meter == 5)
        #expect(t.events(.observed).map(\.id) == [one])
        // One budget.
        let two = try t.budget("two", "$1") { $0.isObserved = true }
        let b = try t.session("two", "10 steps")
        for _ in 0..<9 { _ = t.granted(b, dollar) }
        #expect(t.granted(b, dollar).has(Decision.observed))
        #expect(t.refused(b).budget == b)
        try t.runtime.observe(two, false)
        // Everything.
        let c = try t.session("three", "$1, 1 in_flight, 5s wall")
        try t.runtime.observe(0, true)
        t.pass(10 * second)
        for _ in 0..<3 { _ = t.granted(c, dollar) }
        try t.runtime.observe(0, false)
        #expect(t.refused(c, 1).reason != .none)
        t.expectIdentity()
        let all = try TestRuntime { $0.isObserved = true }
        let e = try all.session("x", "$0")
        #expect(all.granted(e, 5).has(Decision.observed))
    }

    @Test func aHugeLimitIsNoOverflow() throws {
        let session = try t.session("acme", "$9223372036.854775807")
        for _ in 0..<3 { t.settle(t.granted(session, 1).reservation, cost: (1 << 53) - 1) }
        try t.topUp(session, "$9223372036.854775807")
        try t.topUp(session, "$9223372036.854775807")
        _ = t.granted(session, 1)
    }
}
