// The table of records when it is full, and what verify() is good for.

import Testing

@testable import BursarCore

@Suite struct JournalTests {
    @Test func aFullJournalIsThrottledNamesItselfAndRecovers() throws {
        let t = try TestRuntime { $0.reservationsMax = 64 }
        let session = try t.session("acme", "$1000")
        var held: [Int64] = []
        while case let (status, d) = t.reserve(session, 1), status == .ok {
            held.append(d.reservation)
        }
        #expect(held.count == 56)
        let d = t.refused(session, 1)
        #expect(d.reason == .journalFull && d.verdict == .throttle && d.has(Decision.transient))
        #expect(t.charge(session, 1).d.reason == .journalFull)
        // What has happened is recorded all the same.
        #expect(t.charge(session, 5) { $0.flags = DirectCharge.force }.status == .ok)
        #expect(t.settle(held[0], cost: 1).status == .ok)
        _ = t.granted(session, 1)
        for handle in held[1...] { #expect(t.release(handle) == .ok) }
        #expect(try t.spent(session) == 6)
    }

    @Test func aSmallJournalFoldsInline() throws {
        let t = try TestRuntime { $0.reservationsMax = 64 }
        let team = try t.budget("acme", "$1000, 1M steps")
        let session = try t.session("acme")
        hammer(threads: 4, iterations: 5000) { _, _, _ in
            // Others may take what a fold made free: then it is refused, for a moment.
            var d = t.reserve(session, 100).d
            while d.reason == .journalFull { d = t.reserve(session, 100).d }
            #expect(t.settle(d.reservation, cost: 70).status == .ok)
        }
        t.runtime.fold()
        #expect(try t.spent(team) == 4 * 5000 * 70 && t.spent(team, 5) == 20_000)
        #expect(t.runtime.health().settledSteps == 20_000)
        try t.expectNothingLeft()
    }

    @Test func manyLateSettlesAtOnceAreAllTakenOrToldToComeAgain() throws {
        let t = try TestRuntime { $0.reservationsMax = 64 }
        let session = try t.session("acme", "$1000")
        var handles: [Int64] = []
        for _ in 0..<10 {
            t.runtime.fold()
            for _ in 0..<50 {
                handles.append(t.granted(session, 10) { $0.timeToLive = second }.reservation)
            }
            t.pass(2 * second)
        }
        #expect(try t.spent(session) == 5000)
        let all = handles
        hammer(threads: 4, iterations: 500) { thread, iteration, _ in
            let handle = all[(iteration + thread * 125) % 500]
            var status = Status.busy
            while status == .busy { status = t.settle(handle, cost: 3).status }
            #expect(status == .ok)
        }
        t.runtime.fold()
        #expect(try t.spent(session) == 1500 && t.committed(session) == 1500)
        try t.expectNothingLeft()
    }

    @Test func verifyFindsACounterThatIsWrong() throws {
        let t = try TestRuntime()
        let team = try t.budget("acme", "$10, 5 steps, 100 tokens")
        let session = try t.session("acme")
        t.settle(t.granted(session, dollar).reservation, cost: 5)
        _ = t.granted(session, dollar)
        t.expectIdentity()
        for meter in [0, 1, 5] {
            for error in [Int64(1), -1, dollar] {
                let cell = try #require(t.core.cell(of: meter, at: Int(team & 0xFFFF_FFFF)))
                let right = cell.committed.add(error) - error
                let failure = try #require(t.runtime.verify())
                #expect(failure.status == .corrupt && failure.id == team)
                #expect(failure.values == (right + error, right))
                cell.committed.subtract(error)
            }
        }
        let cell = try #require(t.core.cell(of: 0, at: Int(session & 0xFFFF_FFFF)))
        cell.spent(cell.slot(at: t.core.batch.value)).value += 1
        #expect(t.runtime.verify()?.id == session)
    }

    @Test func oneOfManyThreadsSettlesReleasesOrExpiresAStep() throws {
        let t = try TestRuntime()
        let team = try t.budget("acme", "$1000000")
        let session = try t.session("acme")
        for _ in 0..<300 * effort {
            let handle = t.granted(session, 100) { $0.timeToLive = second }.reservation
            let done = Counters(4)
            let before = try t.spent(team)
            hammer(threads: 4, iterations: 1) { thread, _, _ in
                switch thread {
                case 0, 1:
                    let (status, r) = t.settle(handle, cost: thread == 0 ? 40 : 60)
                    if status == .ok, !r.has(Receipt.late) { _ = done[thread].add(1) }
                    if status == .ok, r.has(Receipt.late), !r.has(Receipt.replay) { _ = done[3].add(1) }
                case 2: if t.release(handle) == .ok { _ = done[2].add(1) }
                default:
                    t.pass(2 * second)
                    t.runtime.fold()
                }
            }
            let outcome = (0..<3).map { done[$0].value }
            #expect(outcome.reduce(0, +) <= 1, "\(outcome)")
            t.runtime.fold()
            let cost = try t.spent(team) - before
            if outcome == [1, 0, 0] { #expect(cost == 40) }
            if outcome == [0, 1, 0] { #expect(cost == 60) }
            if outcome == [0, 0, 1] { #expect(cost == 0) }
            if outcome == [0, 0, 0] { #expect([40, 60, 100].contains(cost)) }
        }
        try t.expectNothingLeft()
    }
}
