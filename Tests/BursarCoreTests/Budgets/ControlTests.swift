// Kill, pause and their undoing, on a session, a subtree, everything.

import Testing

@testable import BursarCore

@Suite struct ControlTests {
    let t: TestRuntime
    let org: Int64, team: Int64, a: Int64, b: Int64, child: Int64, other: Int64

    init() throws {
        t = try TestRuntime()
        org = try t.budget("acme", "$100")
        team = try t.budget("acme/team", "$50")
        a = try t.session("acme/team")
        b = try t.session("acme/team")
        child = try t.child(of: a)
        other = try t.session("beta")
    }

    private func stopped() -> [Bool] {
        [a, child, b, other].map { id in
            let (status, d) = t.reserve(id, 1)
            if status == .ok { _ = t.release(d.reservation) }
            return status != .ok
        }
    }

    @Test func aKillStopsWhatIsBelowAndNothingElse() throws {
        for (id, expected) in [
            (child, [false, true, false, false]), (a, [true, true, false, false]),
            (team, [true, true, true, false]), (org, [true, true, true, false]),
            (0, [true, true, true, true]),
        ] {
            for _ in 0..<2 { try t.control(.kill, id, "because") }
            #expect(stopped() == expected)
            let d = t.refused(child)
            #expect(d.verdict == .halt && d.reason == .killed && d.budget == id)
            #expect(String(decoding: t.runtime.explain(d), as: UTF8.self).contains("(because)"))
            for _ in 0..<2 { try t.control(.revive, id) }
            #expect(stopped() == [false, false, false, false])
        }
        try t.expectNothingLeft()
    }

    @Test func aPauseIsResumedAndSaysPause() throws {
        for id in [child, a, team, org, 0] {
            try t.control(.pause, id)
            let d = t.refused(child)
            #expect(d.verdict == .pause && d.reason == .paused && d.remedy == .ask)
            try t.control(.resume, id)
            #expect(stopped() == [false, false, false, false])
        }
        try t.control(.pause, team)
        try t.control(.kill, team)
        try t.control(.resume, team)
        #expect(t.refused(a).reason == .killed)
        try t.control(.revive, team)
        _ = t.granted(a)
    }

    @Test func stepsInFlightOfAKilledSubtreeStillSettle() throws {
        let d = t.granted(child, dollar)
        try t.control(.kill, 0)
        #expect(t.settle(d.reservation, cost: dollar).status == .ok)
        #expect(try t.spent(org) == dollar)
        #expect(try t.runtime.read(child).effectiveState == 3)
        #expect(try t.runtime.read(child).state == 0)
        try t.control(.revive, 0)
        try t.expectNothingLeft()
    }

    @Test func aNewSessionUnderAKilledBudgetIsStopped() throws {
        try t.control(.kill, team)
        #expect(t.refused(try t.session("acme/team")).reason == .killed)
    }

    @Test func aKillLosesNoRaceAgainstReserves() throws {
        for _ in 0..<20 * effort {
            let killed = Counters(1), after = Counters(1)
            hammer(threads: 3, iterations: 300) { thread, iteration, _ in
                if thread == 0 {
                    if iteration == 100 {
                        try? t.control(.kill, team)
                        killed[0].storeSequential(1)
                    }
                    return
                }
                let isKilled = killed[0].loadSequential() == 1
                let (status, d) = t.reserve(thread == 1 ? a : b, 1)
                if status == .ok {
                    if isKilled { _ = after[0].add(1) }
                    _ = t.release(d.reservation)
                }
            }
            #expect(after[0].value == 0)
            try t.control(.revive, team)
        }
        try t.expectNothingLeft()
    }

    @Test func eventsTellWhoWasStoppedAndWhy() throws {
        try t.listen()
        try t.control(.kill, team, "runaway")
        try t.control(.kill, team, "again")
        try t.control(.revive, team)
        try t.control(.pause, a, "look")
        try t.control(.resume, a)
        let events = t.events()
        #expect(events.map(\.type) == [.kill, .revive, .pause, .resume])
        #expect(events[0].text == [UInt8]("runaway".utf8) && events[0].id == team)
        #expect(events[0].path == [UInt8]("acme/team".utf8))
        #expect(events.map(\.sequence) == [1, 2, 3, 4].map { $0 + events[0].sequence - 1 })
    }

    @Test func idsThatNameNothingAreNotFound() throws {
        try t.runtime.sessionClose(b)
        t.runtime.fold()
        for id in [-1, b, Int64.max, team + (1 << 32)] {
            for what in [Runtime.Control.kill, .revive, .pause, .resume] {
                #expect(throws: Failure.self) { try t.control(what, id) }
            }
        }
    }
}
