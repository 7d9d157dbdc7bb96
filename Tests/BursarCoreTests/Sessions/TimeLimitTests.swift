// Wall, idle and unattended, with pauses, attention and top-ups.

import Testing

@testable import BursarCore

@Suite struct TimeLimitTests {
    let t: TestRuntime
    init() throws { t = try TestRuntime() }

    @Test func theDeadlineEndsASessionWhoeverNoticesIt() throws {
        for isLoop in [false, true] {
            try t.listen()
            let session = try t.session("acme", "10m wall")
            t.runtime.clock.shiftSteady(by: 10 * minute - second)
            _ = t.granted(session)
            t.runtime.clock.shiftSteady(by: 2 * second)
            if isLoop { t.attend() }
            let d = t.refused(session)
            #expect(d.reason == .wall && d.verdict == .halt && d.budget == session)
            #expect(d.limit == 10 * minute && d.committed >= 10 * minute)
            #expect(t.events(.deadline).map(\.id) == [session])
            #expect(try t.runtime.read(session).state == 2)
        }
    }

    @Test func pausedTimeDoesNotCount() throws {
        let team = try t.budget("acme")
        let session = try t.session("acme", "10m wall")
        t.pass(5 * minute)
        try t.control(.pause, team)
        t.pass(hour)
        try t.control(.resume, team)
        t.pass(4 * minute)
        _ = t.granted(session)
        try t.control(.pause, session)
        t.pass(hour)
        try t.control(.resume, session)
        _ = t.granted(session)
        t.pass(2 * minute)
        #expect(t.refused(session).reason == .wall)
    }

    @Test func aTopUpOrMoreLimitRevivesAndResumeStartsAgain() throws {
        let session = try t.session("acme", "10m wall then pause")
        t.pass(11 * minute)
        #expect(t.refused(session).verdict == .pause)
        try t.topUp(session, "10m wall")
        t.pass(5 * minute)
        _ = t.granted(session)
        t.pass(10 * minute)
        _ = t.refused(session)
        try t.setLimits(session, "2h wall then pause")
        _ = t.granted(session)
        t.pass(2 * hour)
        _ = t.refused(session)
        try t.control(.resume, session)
        t.pass(hour)
        _ = t.granted(session)
        t.pass(2 * hour)
        _ = t.refused(session)
        try t.setLimits(session, "$5")
        _ = t.granted(session)
    }

    @Test func idleIsTimeWithoutAStep() throws {
        try t.listen()
        let session = try t.session("acme", "1m idle")
        for _ in 0..<10 {
            t.pass(50 * second)
            t.spend(session, 0)
        }
        t.pass(30 * second)
        let d = t.granted(session)
        t.pass(50 * second)
        t.settle(d.reservation, cost: 0)
        t.pass(50 * second)
        t.spend(session, 0)
        try t.control(.pause, session)
        t.pass(hour)
        try t.control(.resume, session)
        t.spend(session, 0)
        t.pass(61 * second)
        #expect(t.refused(session).reason == .idle)
        #expect(t.events(.idle).count == 1)
    }

    @Test func somebodyWhoAttendsStartsUnattendedAgain() throws {
        try t.listen()
        let team = try t.budget("acme", "1h unattended")
        let session = try t.session("acme", "30m unattended then pause")
        t.pass(20 * minute)
        try t.runtime.attend(session, who: [])
        t.pass(20 * minute)
        _ = t.granted(session)
        t.pass(11 * minute)
        let d = t.refused(session)
        #expect(d.reason == .unattended && d.verdict == .pause)
        try t.runtime.attend(session, who: [])
        _ = t.granted(session)
        t.pass(50 * minute)
        try t.runtime.attend(team, who: [])
        _ = t.granted(session)
        #expect(t.events(.unattended).count >= 2)
        #expect(t.events(.resume).isEmpty)
    }

    @Test func aTimeLimitOnABudgetEndsAllBelow() throws {
        let team = try t.budget("acme", "1h wall")
        let session = try t.session("acme")
        let child = try t.child(of: session)
        t.pass(hour + second)
        #expect(t.refused(child).budget == team)
        try t.topUp(team, "1h wall")
        _ = t.granted(child)
    }
}
