// Folding, spend by workflow, agent and models, and reading while steps run.

import Testing

@testable import BursarCore

@Suite struct LedgerTests {
    let t: TestRuntime
    init() throws { t = try TestRuntime() }

    private func rows() -> [SpendRow] {
        var rows: [SpendRow] = []
        while let row = t.runtime.spendRead(rows.count) { rows.append(row) }
        return rows
    }

    @Test func spendIsKeptByWorkflowAgentAndModels() throws {
        let dear = try t.model("dear", input: 0, output: 10_000_000)
        let cheap = try t.model("cheap", input: 0, output: 1_000_000)
        let a = try t.session("acme/x", "$1", ladder: "dear,cheap") { $0.agent = [65] }
        let b = try t.session("acme/y") { $0.agent = [66] }
        let child = try t.child(of: a)
        for _ in 0..<2 {
            let d = t.granted(a) {
                $0.model = dear
                $0.maxOutput = 90_000
                $0.minOutput = 90_000
            }
            t.settle(d.reservation, input: 0, output: 50_000)
        }
        _ = t.charge(child, 7)
        t.settle(t.granted(b, 5).reservation, cost: 5)
        let found = rows()
        #expect(found.count == 4)
        let down = try #require(found.first { $0.granted == cheap })
        #expect(down.asked == dear && down.path == [UInt8]("acme/x".utf8) && down.agent == [65])
        #expect(down.cost == 50_000_000 && down.askedCost == 500_000_000 && down.steps == 1)
        #expect(found.first { $0.granted == dear }?.cost == 500_000_000)
        #expect(found.map(\.cost).reduce(0, +) == 550_000_012)
        #expect(found.map(\.steps).reduce(0, +) == 3)
        let total = try t.runtime.read(0)
        #expect(total.spentNanos == 550_000_012 && total.reservedNanos == 0)
    }

    @Test func sumsOverManyRandomStepsEqualWhatWasSettled() throws {
        let model = try t.model("m", input: 3_000, output: 15_000)
        let orgs = try (0..<3).map { try t.budget("org\($0)", "$100000, 100M tokens, 1M steps") }
        let sessions = try (0..<9).map { try t.session("org\($0 % 3)/w\($0)") }
        let (cost, tokens) = (Counters(3), Counters(3))
        hammer(threads: 4, iterations: 5000) { _, _, random in
            let k = random.below(9)
            let d = t.granted(sessions[k]) {
                $0.model = model
                $0.input = 1000
                $0.maxOutput = 1000
            }
            let (input, output) = (random.amount(0...1000), random.amount(0...1000))
            let (status, r) = t.settle(d.reservation, input: input, output: output)
            #expect(status == .ok && r.overrunNanos == 0)
            _ = cost[k % 3].add(r.costNanos)
            _ = tokens[k % 3].add(input + output)
        }
        for k in 0..<3 {
            #expect(try t.spent(orgs[k]) == cost[k].value)
            #expect(try t.spent(orgs[k], 1) == tokens[k].value)
        }
        #expect(rows().map(\.cost).reduce(0, +) == (0..<3).map { cost[$0].value }.reduce(0, +))
        try t.expectNothingLeft()
    }

    @Test func spentNeverFallsAndNeverPassesWhatIsCommittedWhileStepsRun() throws {
        let team = try t.budget("acme", "$1000")
        let session = try t.session("acme")
        let wrong = Counters(1)
        hammer(threads: 4, iterations: 3000) { thread, iteration, random in
            if thread > 0 {
                let d = t.reserve(session, 1000).d
                if d.reservation != 0 { t.settle(d.reservation, cost: random.amount(0...1000)) }
            } else if iteration % 10 == 0 {
                guard let a = try? t.runtime.meterRead(team, 0), let b = try? t.runtime.meterRead(team, 0)
                else { return }
                if b.spent < a.spent || a.spent > a.committed || a.committed > 1000 * dollar {
                    wrong[0].value = 1
                }
            }
        }
        #expect(wrong[0].value == 0)
        try t.expectNothingLeft()
    }

    @Test func rowsThatAreTooManyAreOneThatNamesNothing() throws {
        t.runtime.ledger.rowsMax = 2
        for (k, name) in ["a", "b", "c", "d"].enumerated() {
            let session = try t.session("acme/" + name)
            t.spend(session, Int64(k) + 1)
            t.runtime.fold()
        }
        #expect(rows().map(\.cost) == [1, 2, 7])
        #expect(rows().last?.path == [])
    }

    @Test func aRemovedBudgetKeepsItsRow() throws {
        let team = try t.budget("acme/team")
        let session = try t.session("acme/team")
        t.spend(session, 5)
        try t.runtime.sessionClose(session)
        try t.runtime.budgetRemove(team)
        t.runtime.fold()
        let again = try t.session("acme/team")
        t.spend(again, 6)
        #expect(rows().map(\.cost) == [5, 6])
        #expect(rows().allSatisfy { $0.path == [UInt8]("acme/team".utf8) })
    }

    /// A step of four dollars whose time runs out, so that it is settled at an estimate.
    private func estimated(_ session: Int64) -> Int64 {
        let handle = t.granted(session, 4 * dollar) { $0.timeToLive = second }.reservation
        t.runtime.clock.shiftSteady(by: 2 * second)
        t.runtime.clock.shiftUnix(by: 2 * second)
        _ = t.runtime.scan()
        return handle
    }

    @Test func aCorrectionBelongsToTheDayOfItsStepThoughTheMachineSleptOrItsClockStepped() throws {
        let id = try t.budget("acme", "$10 per day")
        let session = try t.session("acme")
        t.moveToMidnight(plus: 23 * hour)
        let handle = estimated(session)
        t.runtime.fold()
        // Two hours of which the steady clock knows nothing.
        t.runtime.clock.shiftUnix(by: 2 * hour)
        t.attend()
        #expect(try t.remaining(id) == 10 * dollar)
        t.settle(handle, cost: dollar)
        t.runtime.fold()
        #expect(try t.spent(id) == dollar)
        #expect(try t.remaining(id) == 10 * dollar, "nothing of yesterday's is paid out today")
        t.expectIdentity()
    }

    @Test func aStepThatSettledAtAnImpossibleTimeIsCorrectedLikeAnother() throws {
        let id = try t.budget("acme", "$1000 per day, $1000/1h")
        let session = try t.session("acme")
        for time in [Int64.min, -(.max), -1, 0] as [Int64] {
            let handle = estimated(session)
            t.core.record(Handle.index(handle)).settledAt.value = time
            t.runtime.fold()
            t.settle(handle, cost: dollar)
            t.runtime.fold()
        }
        #expect(try t.spent(id) == 4 * dollar)
    }

    @Test func aRootThatSaysItIsASessionStopsNoFold() throws {
        let id = try t.budget("acme")
        let session = try t.session("acme")
        t.spend(session, 5)
        for node in [0, Int(id & 0xFFFF_FFFF)] {
            t.core.node(node).flags.update(setting: NodeFlag.session)
        }
        t.runtime.fold()
        #expect(rows().map(\.cost) == [5])
        // Nor do two that are above each other.
        t.core.node(Int(id & 0xFFFF_FFFF)).parent.value = UInt32(session & 0xFFFF_FFFF)
        var none: BatchRows?
        t.runtime.account([0], &none)
    }

    @Test func sumsOfABatchLeaveNothingToTheNext() {
        var work = BatchWork()
        work.begin(meters: 2)
        // Two nodes of one place in the table, the second beside it.
        for node in [1053, 0] as [UInt32] { _ = work.entry(node, depth: 0) }
        for node in 0..<UInt32(8192) {
            work.begin(meters: 2)
            let entry = work.entry(node, depth: 0)
            work.add(entry, 1, Int64(node))
            #expect(work.node(entry) == node && work.sum(entry: entry, 1) == Int64(node))
        }
    }
}
