// Windows open: what was settled before is the base, what is held counts in the
// new one, and no clock opens one twice.

import Testing

@testable import BursarCore

@Suite struct WindowLimitTests {
    let t: TestRuntime
    init() throws { t = try TestRuntime() }

    @Test func aNewDayPaysOutOnceAndWhatIsInFlightCountsInIt() throws {
        try t.listen()
        let team = try t.budget("acme", "$10/day")
        let session = try t.session("acme")
        t.spend(session, 3 * dollar)
        let d = t.granted(session, 7 * dollar)
        let refusal = t.refused(session, dollar)
        #expect(refusal.has(Decision.transient))
        t.moveToMidnight(plus: second)
        #expect(t.events(.window).map(\.id) == [team])
        // 7 are held, so 3 are left, and the rest when they are given back.
        #expect(try t.remaining(team) == 3 * dollar)
        _ = t.refused(session, 4 * dollar)
        t.settle(d.reservation, cost: dollar)
        #expect(try t.remaining(team) == 9 * dollar)
        let view = try t.runtime.limitRead(team, 0)
        #expect(view.spent == dollar && view.committed == dollar)
        #expect(view.endUnixNanos - view.startUnixNanos == day)
        t.spend(session, 9 * dollar)
        let last = t.refused(session, 1)
        #expect(last.retryAfter > day - minute && last.retryAfter <= day)
        #expect(try t.spent(team) == 13 * dollar)
        try t.expectNothingLeft()
    }

    @Test func steppingTheClockBackNeverOpensAWindowAgain() throws {
        let team = try t.budget("acme", "$10/day")
        let session = try t.session("acme")
        t.spend(session, 10 * dollar)
        t.moveToMidnight(plus: second)
        t.spend(session, 10 * dollar)
        for _ in 0..<3 {
            t.runtime.clock.shiftUnix(by: -2 * day)
            t.attend()
            _ = t.refused(session, 1)
            t.runtime.clock.shiftUnix(by: 2 * day)
            t.attend()
            _ = t.refused(session, 1)
        }
        #expect(try t.spent(team) == 20 * dollar)
        t.moveToMidnight(plus: second)
        t.spend(session, 10 * dollar)
        _ = t.refused(session, 1)
    }

    @Test func aRefusedStepOpensADueWindowItself() throws {
        try t.budget("acme", "$10/day")
        let session = try t.session("acme")
        t.spend(session, 10 * dollar)
        let now = t.runtime.clock.unix
        t.runtime.clock.shiftUnix(by: (now / day + 1) * day - now + second)
        t.runtime.clock.shiftSteady(by: (now / day + 1) * day - now + second)
        t.spend(session, 10 * dollar)
        _ = t.refused(session, 1)
    }

    @Test func whatSettlesAfterMidnightCountsInTheNewDayThoughTheLoopComesLate() throws {
        let team = try t.budget("acme", "$10/day")
        let session = try t.session("acme")
        let d = t.granted(session, 6 * dollar)
        let now = t.runtime.clock.unix
        let ahead = (now / day + 1) * day - now + hour
        t.runtime.clock.shiftUnix(by: ahead)
        t.runtime.clock.shiftSteady(by: ahead)
        t.settle(d.reservation, cost: 6 * dollar)
        t.attend()
        #expect(try t.remaining(team) == 4 * dollar)
    }

    @Test func aFoldThatBeganBeforeMidnightLeavesTheNewDaysSettlesAlone() throws {
        let team = try t.budget("acme", "$10/day")
        let session = try t.session("acme")
        let d = t.granted(session, 6 * dollar) { $0.timeToLive = 48 * hour }
        let now = t.runtime.clock.unix
        let ahead = (now / day + 1) * day - now + hour
        // The settle is of tomorrow, the fold of today.
        t.runtime.folding.lock()
        t.runtime.clock.shiftSteady(by: ahead)
        t.settle(d.reservation, cost: 6 * dollar)
        t.runtime.clock.shiftSteady(by: -ahead)
        t.runtime.folding.unlock()
        t.runtime.fold()
        t.runtime.clock.shiftUnix(by: ahead)
        t.runtime.clock.shiftSteady(by: ahead)
        #expect(try t.remaining(team) == 4 * dollar)
    }

    @Test func severalWindowsOfOneMeterHoldTogether() throws {
        let team = try t.budget("acme", "$10/day, $15/year, $100")
        let session = try t.session("acme")
        t.spend(session, 10 * dollar)
        #expect(t.refused(session, 1).limit == 10 * dollar)
        t.moveToMidnight(plus: second)
        // Unless a year began as well, 5 are left of it.
        let year = try t.runtime.limitRead(team, 1)
        let left = min(10 * dollar, 15 * dollar - year.committed)
        t.spend(session, left)
        _ = t.refused(session, 1)
        try t.expectNothingLeft()
    }

    @Test func aRollingWindowGivesBackWhatIsOlderThanItsSpan() throws {
        let team = try t.budget("acme", "$10/1h")
        let session = try t.session("acme")
        // The loop comes at each bucket.
        func pass(minutes: Int) { for _ in 0..<minutes { t.passEverywhere(minute) } }
        t.spend(session, 4 * dollar)
        pass(minutes: 30)
        t.spend(session, 6 * dollar)
        let refusal = t.refused(session, 1)
        #expect(refusal.retryAfter > 0 && refusal.retryAfter <= minute)
        pass(minutes: 29)
        _ = t.refused(session, 1)
        pass(minutes: 3)  // one more: a slow machine may skip a bucket
        #expect(try t.remaining(team) == 4 * dollar)
        t.spend(session, 4 * dollar)
        _ = t.refused(session, 1)
        pass(minutes: 62)
        #expect(try t.remaining(team) == 10 * dollar)
        try t.expectNothingLeft()
    }

    @Test func noHourOfARollingWindowSpendsMoreThanItsLimit() throws {
        let team = try t.budget("acme", "$10/1h")
        let session = try t.session("acme")
        var random = Random(seed: runSeed)
        var history: [(at: Int64, cost: Int64)] = []
        var now: Int64 = 0
        for _ in 0..<2000 {
            let cost = random.amount(1...3 * dollar)
            let (status, d) = t.reserve(session, cost)
            if status == .ok {
                t.settle(d.reservation, cost: cost)
                history.append((now, cost))
                let sum = history.filter { now - $0.at < hour }.reduce(0) { $0 + $1.cost }
                #expect(sum <= 10 * dollar, "seed \(runSeed), at \(now / second) s")
            }
            let step = random.amount(1...8) * minute / 2
            now += step
            t.runtime.clock.shiftUnix(by: step)
            t.runtime.clock.shiftSteady(by: step)
            if random.chance(3) { t.attend() }
        }
        #expect(try t.spent(team) == history.reduce(0) { $0 + $1.cost })
        #expect(history.count > 100)
        try t.expectNothingLeft()
    }

    @Test func aStepThatTurnsOutCheaperAfterMidnightGivesNothingToTheNewDay() throws {
        let team = try t.budget("acme", "$10/day")
        let session = try t.session("acme")
        let d = t.granted(session, 8 * dollar) { $0.timeToLive = second }
        t.passEverywhere(2 * second)
        #expect(try t.spent(team) == 8 * dollar)
        t.moveToMidnight(plus: minute)
        #expect(try t.remaining(team) == 10 * dollar)
        t.settle(d.reservation, cost: 3 * dollar)
        t.attend()
        #expect(try t.remaining(team) == 10 * dollar && t.spent(team) == 3 * dollar)
        t.spend(session, 10 * dollar)
        _ = t.refused(session, 1)
        try t.expectNothingLeft()
    }

    @Test func settingTheSameLimitsAgainAndAgainKeepsWindowsAndTimersFew() throws {
        let team = try t.budget("acme", "$10/day, $5/1h")
        let session = try t.session("acme", "10h wall, 1h unattended")
        t.spend(session, 5 * dollar)
        for k in 0..<5000 {
            try t.setLimits(team, k % 2 == 0 ? "$11/day, $5/1h" : "$10/day, $5/1h")
            try t.runtime.attend(session, who: [])
        }
        #expect(try t.runtime.limitRead(team, 0).spent == 5 * dollar)
        _ = t.refused(session, 1)
        #expect(t.runtime.health().timers < 100)
        for _ in 0..<2000 { try t.runtime.sessionClose(try t.session("acme", "$1/day, 1h wall")) }
        #expect(t.runtime.health().timers < 4500)
    }
}

@Suite struct RateTests {
    let t: TestRuntime
    init() throws { t = try TestRuntime() }

    @Test func aRateAdmitsItsBurstAndThenItsRhythm() throws {
        let team = try t.budget("acme", "60 steps/min burst 10")
        let session = try t.session("acme")
        for _ in 0..<10 { t.spend(session, 0) }
        let d = t.refused(session)
        #expect(d.verdict == .throttle && d.reason == .rate && d.budget == team && d.meter == 5)
        #expect(d.retryAfter > 0 && d.retryAfter <= second && d.remedy == .wait)
        t.pass(d.retryAfter)
        t.spend(session, 0)
        _ = t.refused(session)
        t.pass(5 * second)
        for _ in 0..<5 { t.spend(session, 0) }
        _ = t.refused(session)
        t.pass(hour)
        for _ in 0..<10 { t.spend(session, 0) }
        _ = t.refused(session)
        t.expectIdentity()
    }

    @Test func aRateTellsItsRefusalOnceUntilItAdmitsAgain() throws {
        try t.listen()
        try t.budget("acme", "60 steps/min burst 1")
        let session = try t.session("acme")
        for _ in 0..<2 {
            t.spend(session, 0)
            for _ in 0..<3 { _ = t.refused(session, 0) }
            #expect(t.events(.throttle).count == 1)
            t.pass(second)
        }
        try t.expectNothingLeft()
    }

    @Test func whatAStepDidNotUseIsGivenBackToTheRate() throws {
        try t.budget("acme", "$60/min")
        let session = try t.session("acme")
        let d = t.granted(session, 60 * dollar)
        _ = t.refused(session, dollar)
        t.settle(d.reservation, cost: 20 * dollar)
        let second = t.granted(session, 40 * dollar)
        #expect(t.release(second.reservation) == .ok)
        _ = t.granted(session, 40 * dollar)
        _ = t.refused(session, dollar)
    }

    @Test func aRefusalElsewhereGivesTheRateBack() throws {
        try t.budget("acme", "$1")
        try t.budget("acme/team", "10 steps/min, 100 tokens/min")
        let session = try t.session("acme/team")
        t.spend(session, dollar)
        for _ in 0..<50 { _ = t.refused(session, 1) }
        for _ in 0..<9 { t.spend(session, 0) }
        #expect(t.refused(session).reason == .rate)
    }

    @Test func moreThanTheBurstNeverFits() throws {
        try t.budget("acme", "100 tokens/min burst 50")
        let model = try t.model("m", input: 0, output: 0)
        let session = try t.session("acme")
        let d = t.refused(session) {
            $0.model = model
            $0.input = 51
        }
        #expect(d.retryAfter == 0 && d.remedy == .smaller && d.limit == 50)
    }

    @Test func anObservedRateGivesBackOnlyWhatItCharged() throws {
        let team = try t.budget("acme", "10 steps/min") { $0.isObserved = true }
        let session = try t.session("acme")
        var held: [Int64] = []
        for _ in 0..<30 { held.append(t.granted(session).reservation) }
        for handle in held[10...] { #expect(t.release(handle) == .ok) }
        try t.runtime.observe(team, false)
        // The first ten were truly taken.
        #expect(t.refused(session).reason == .rate)
    }

    @Test func aRateHoldsFromManyThreads() throws {
        try t.budget("acme", "1000 steps/min burst 300")
        let session = try t.session("acme")
        let done = Counters(1)
        hammer(threads: 8, iterations: 500) { _, _, _ in
            let (status, d) = t.reserve(session)
            if status == .ok {
                _ = done[0].add(1)
                t.settle(d.reservation, cost: 0)
            }
        }
        // As long as the test took, a few more have come.
        #expect(done[0].value >= 300 && done[0].value < 500)
    }
}
