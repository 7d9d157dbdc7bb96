// Budgets that earn: what verified outcomes add is what the ledger says, whoever says it
// twice, takes it back, dies or comes at the same time.

import Glibc
import Testing

@testable import BursarCore

extension LedgerHome {
    /// acme/support, with $50 or other limits, earns.
    @discardableResult
    fileprivate func earner(
        _ limits: String = "$50", earn: Int64 = 2 * dollar, most: Int64 = 20 * dollar, of outcome: String = ""
    ) throws -> Int64 {
        try one.budget("acme/support", limits) {
            $0.earn = earn
            $0.earnMost = most
            $0.earnOutcome = Array(outcome.utf8)
        }
    }
}

extension TestRuntime {
    fileprivate func state(_ id: String, on session: Int64, name: String = "paid") throws {
        try outcome(name, 3 * dollar, id: id, by: "agent") { $0.session = session }
    }
    fileprivate func say(
        _ state: OutcomeEntry.State, _ id: String, by: String = "ada", name: String = "paid", value: Int64? = nil
    ) throws {
        try outcome(name, value, id: id, state, by: by)
    }
    fileprivate func earned(_ id: Int64, _ position: UInt32 = 0) throws -> Int64 {
        let limit = try runtime.limitRead(id, position)
        #expect(limit.earned <= limit.extra)
        return limit.earned
    }
}

@Suite(.serialized) struct EarningTests {
    @Test func aVerifiedOutcomeRaisesItsBudgetOnceHoweverOftenItIsSaid() throws {
        let home = try LedgerHome()
        let rt = home.one
        let id = try home.earner("$5")
        let session = try rt.session("acme/support/triage")
        try rt.listen()
        try rt.state("a", on: session)
        #expect(try rt.earned(id) == 0)  // stated only
        for _ in 0..<3 { try rt.say(.verified, "a") }
        try rt.state("a", on: session)
        try rt.say(.verified, "a", by: "bob")  // another revision, the same outcome
        #expect(try rt.earned(id) == 2 * dollar)
        #expect(try rt.runtime.limitRead(id, 0).remaining == 7 * dollar)
        rt.spend(session, 7 * dollar)
        #expect(rt.refused(session, 1).limit == 7 * dollar)
        // Who produced it, or an agent, cannot.
        try rt.state("b", on: session)
        #expect(failure { try rt.say(.verified, "b", by: "agent") }?.status == .role)
        let agent = try home.other { $0.policy.role = .agent }
        #expect(failure { try agent.say(.verified, "b") }?.status == .role)
        #expect(try rt.earned(id) == 2 * dollar)
        try rt.say(.verified, "b")
        #expect(try rt.earned(id) == 4 * dollar)
        let told = rt.events(.topUp)
        #expect(told.map(\.amount) == [2 * dollar, 2 * dollar] && told.last?.limit == 9 * dollar)
        #expect(told.allSatisfy { $0.text == Array("earned".utf8) && $0.id == id })
        #expect(
            try rt.ask("SELECT earn_nanos, earn_most_nanos, earned_nanos FROM v_budgets WHERE path='acme/support'")
                == [["\(2 * dollar)", "\(20 * dollar)", "\(4 * dollar)"]])
        #expect(rt.runtime.verify() == nil)
    }

    @Test func whatIsDisputedCorrectedOrWithdrawnIsTakenBackAtOnce() throws {
        let home = try LedgerHome()
        let rt = home.one
        let id = try home.earner()
        let session = try rt.session("acme/support")
        for name in ["a", "b", "c"] {
            try rt.state(name, on: session)
            try rt.say(.verified, name)
        }
        #expect(try rt.earned(id) == 6 * dollar)
        try rt.say(.disputed, "a", by: "globex")
        #expect(try rt.earned(id) == 4 * dollar)
        try rt.say(.corrected, "b", by: "eve", value: dollar)
        #expect(try rt.earned(id) == 2 * dollar)
        try rt.say(.withdrawn, "c", by: "agent")
        #expect(try rt.earned(id) == 0)
        #expect(try rt.runtime.limitRead(id, 0).extra == 0)
        try rt.say(.verified, "a", by: "bob")
        try rt.say(.verified, "b", by: "bob")
        #expect(try rt.earned(id) == 4 * dollar)
        // Top-ups stand beside it, and it may be below what was spent by then.
        try rt.topUp(id, "$1")
        rt.spend(session, 55 * dollar)
        try rt.say(.disputed, "a")
        #expect(try rt.runtime.limitRead(id, 0).extra == 3 * dollar)
        #expect(try rt.runtime.limitRead(id, 0).remaining == 0)
        #expect(rt.refused(session, 1).reason == .limit)
    }

    @Test func itEndsAtItsTotalAndCountsItsOwnOutcomesOnly() throws {
        let home = try LedgerHome()
        let rt = home.one
        let id = try home.earner("$50", earn: 3 * dollar, most: 10 * dollar, of: "paid")
        let above = try rt.budget("top", "$9") {
            $0.earn = dollar
            $0.earnMost = 100 * dollar
        }
        let session = try rt.session("acme/support/deep")
        let child = try rt.child(of: session)
        let aside = try rt.session("acme")
        let other = try rt.session("top/team")
        for (k, node) in [session, child, aside, other, other].enumerated() {
            for name in ["paid", "sent"] {
                try rt.state("\(k)", on: node, name: name)
                try rt.say(.verified, "\(k)", name: name)
            }
        }
        #expect(try rt.earned(id) == 6 * dollar)
        #expect(try rt.earned(above) == 4 * dollar)
        // A workflow's counts; a label's is nobody's.
        try rt.outcome("paid", 1, id: "w", by: "x") { $0.workflow = Array("acme/support".utf8) }
        try rt.say(.verified, "w")
        try rt.outcome("paid", 1, id: "l", by: "x") { $0.label = Array("k=v".utf8) }
        try rt.say(.verified, "l")
        #expect(try rt.earned(id) == 9 * dollar)
        // A session that was closed goes on earning, and never more than the total.
        try rt.runtime.sessionClose(session)
        rt.runtime.fold()
        for k in 5..<9 {
            try rt.state("\(k)", on: session)
            try rt.say(.verified, "\(k)")
            #expect(try rt.earned(id) == 10 * dollar)
        }
        for wrong in [(1, 0), (0, 1)] as [(Int64, Int64)] {
            #expect(failure { try home.earner(earn: wrong.0, most: wrong.1) }?.status == .invalid)
        }
        // No other settings without `replaces`; with it at once.
        try home.earner("$50", earn: dollar, most: 4 * dollar)
        #expect(try rt.earned(id) == 10 * dollar)
        try rt.budget("acme/support", "$50") {
            $0.replaces = true
            $0.earn = dollar
            $0.earnMost = 4 * dollar
        }
        try rt.runtime.earn()
        #expect(try rt.earned(id) == 4 * dollar)
        try rt.budget("acme/support", "$50") { $0.replaces = true }
        #expect(try rt.earned(id) == 0)
        #expect(try rt.runtime.limitRead(id, 0).extra == 0)
        // One that is declared anew begins anew.
        try rt.runtime.sessionClose(other)
        rt.runtime.fold()
        try rt.runtime.budgetRemove(try rt.runtime.budgetFind(Array("top/team".utf8)))
        rt.runtime.fold()
        try rt.runtime.budgetRemove(above)
        rt.runtime.fold()
        let anew = try rt.budget("top", "$9") {
            $0.earn = dollar
            $0.earnMost = 100 * dollar
        }
        rt.runtime.fold()
        try rt.runtime.earn()
        #expect(try rt.earned(anew) == 0)
        #expect(rt.runtime.verify() == nil)
    }

    @Test func aNewWindowHasEarnedNothing() throws {
        let home = try LedgerHome()
        let rt = home.one
        func pass(_ nanos: Int64) {
            rt.runtime.clock.shiftUnix(by: nanos)
            rt.runtime.clock.shiftSteady(by: nanos)
            rt.runtime.fold()
        }
        let id = try home.earner("$5/day, $50, $9/5h")
        let session = try rt.session("acme/support")
        try rt.state("a", on: session)
        try rt.state("b", on: session)
        try rt.say(.verified, "a")
        #expect(try (0..<3).map { try rt.earned(id, $0) } == [2 * dollar, 2 * dollar, 2 * dollar])
        pass(day - rt.runtime.clock.unix % day + second)
        #expect(try rt.earned(id) == 0)
        try rt.say(.verified, "a", by: "bob")  // it was verified yesterday
        #expect(try rt.earned(id) == 0)
        try rt.say(.verified, "b")
        #expect(try rt.earned(id) == 2 * dollar)
        #expect(try rt.earned(id, 1) == 4 * dollar)
        // A rolling window lets go of them one after the other.
        pass(6 * hour)
        try rt.runtime.earn()
        #expect(try rt.earned(id) == 2 * dollar)
        #expect(try rt.earned(id, 1) == 4 * dollar)
        #expect(try rt.earned(id, 2) == 0)
    }

    @Test func aLimitThatIsNewOrChangedEarnsToo() throws {
        let home = try LedgerHome()
        let rt = home.one
        let id = try home.earner()
        let session = try rt.session("acme/support")
        try rt.state("a", on: session)
        try rt.say(.verified, "a")
        try rt.setLimits(id, "$50, $7/day, 10 steps, $1/session, $3/min")
        try rt.runtime.earn()
        #expect(try (0..<5).map { try rt.earned(id, $0) } == [2 * dollar, 2 * dollar, 0, 0, 0])
        try rt.setLimits(id, "$7/day")
        try rt.runtime.earn()
        #expect(try rt.earned(id) == 2 * dollar)
        #expect(try rt.runtime.limitRead(id, 0).extra == 2 * dollar)
    }

    @Test func manyWhoVerifyAtOnceRaiseItOnceForEach() async throws {
        let home = try LedgerHome()
        let handles = [home.one, try home.other(), try home.other()]
        let id = try home.earner("$50", most: 24 * dollar)
        let session = try home.one.session("acme/support")
        for k in 0..<16 { try home.one.state("\(k)", on: session) }
        await withTaskGroup(of: Void.self) { group in
            for (n, rt) in handles.enumerated() {
                group.addTask {
                    for k in 0..<16 {
                        for _ in 0..<20 {
                            do { try rt.say(.verified, "\((k + n * 5) % 16)", by: "p\(n)") } catch { continue }
                            break
                        }
                        let now = (try? rt.runtime.limitRead(id, 0).earned) ?? 0
                        if now > 24 * dollar || now % (2 * dollar) != 0 { Issue.record("\(now)") }
                    }
                }
            }
        }
        try home.one.runtime.earn()
        #expect(try home.one.earned(id) == 24 * dollar)
        for k in 0..<10 { try handles[k % 3].say(.disputed, "\(k)", by: "eve") }
        try home.one.runtime.earn()
        #expect(try home.one.earned(id) == 12 * dollar)
    }

    /// A revision is in the ledger, and whoever brought it dies before the limit is raised.
    @Test func theKeeperDoesWhatSomebodyWhoDiedDidNot() throws {
        let home = try LedgerHome()
        let rt = home.one
        let id = try home.earner()
        let session = try rt.session("acme/support")
        try rt.state("a", on: session)
        try rt.state("b", on: session)
        // The folder's part only.
        try rt.commit(verified: "a")
        rt.runtime.loop.ring()
        for _ in 0..<500 where try rt.earned(id) == 0 { usleep(10_000) }
        #expect(try rt.earned(id) == 2 * dollar && !rt.runtime.isEarningDue)
        #expect(try rt.ask("SELECT state FROM v_outcomes ORDER BY key") == [["verified"], ["stated"]])
    }
}

extension TestRuntime {
    /// The block with the revision, and nothing after it.
    fileprivate func commit(verified id: String) throws {
        var new = OutcomeEntry()
        new.name = Array("paid".utf8)
        new.key = Array(id.utf8)
        new.state = .verified
        new.who = Array("ada".utf8)
        new.at = runtime.clock.unix
        new.said = new.at
        runtime.folding.lock()
        runtime.pendingOutcomes = [new]
        runtime.foldLocked()
        #expect(runtime.pendingOutcomes.isEmpty)
        runtime.folding.unlock()
    }
}
