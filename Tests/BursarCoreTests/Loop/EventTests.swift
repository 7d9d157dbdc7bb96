// Events: told once, told again when there was room, lost ones counted.

import Testing

@testable import BursarCore

@Suite struct EventTests {
    let t: TestRuntime
    init() throws { t = try TestRuntime() }

    @Test func eachShareIsToldOnceAndAgainAfterATopUp() throws {
        try t.listen()
        let team = try t.budget("acme", "$10 alert 50% 80% downgrade 90%")
        let session = try t.session("acme")
        for _ in 0..<49 { t.spend(session, 10 * cent) }
        #expect(t.events(.threshold).isEmpty)
        t.spend(session, 10 * cent)
        let first = t.events(.threshold)
        #expect(first.map(\.percent) == [50] && first[0].id == team)
        #expect(first[0].limit == 10 * dollar && first[0].committed == 5 * dollar)
        // What is held counts, and giving it back does not tell it again.
        for _ in 0..<5 {
            let d = t.granted(session, 3 * dollar)
            t.attend()
            _ = t.release(d.reservation)
        }
        #expect(t.events(.threshold).map(\.percent) == [80])
        t.spend(session, 5 * dollar)
        #expect(t.events(.downgrade).map(\.percent) == [90])
        try t.topUp(team, "$40")
        t.spend(session, 14 * dollar)
        #expect(t.events(.threshold).isEmpty)
        t.spend(session, 21 * dollar)
        #expect(t.events(.threshold).map(\.percent) == [50, 80])
    }

    @Test func aSmallWindowTellsItsSharesAgain() throws {
        try t.listen()
        try t.budget("acme", "$10/day alert 50%")
        let session = try t.session("acme")
        for _ in 0..<3 {
            t.spend(session, 6 * dollar)
            #expect(t.events(.threshold).count == 1)
            t.spend(session, dollar)
            #expect(t.events(.threshold).isEmpty)
            t.moveToMidnight(plus: minute)
        }
    }

    @Test func aHaltIsToldOnceUntilItAdmitsAgain() throws {
        try t.listen()
        let team = try t.budget("acme", "$1")
        let session = try t.session("acme")
        t.spend(session, dollar)
        for _ in 0..<10 { _ = t.refused(session, 1) }
        let halts = t.events(.halt)
        #expect(halts.map(\.id) == [team] && halts[0].session == session)
        #expect(halts[0].limit == dollar && halts[0].committed == dollar)
        try t.topUp(team, "$1")
        t.spend(session, dollar)
        for _ in 0..<10 { _ = t.refused(session, 1) }
        #expect(t.events(.halt).count == 1)
    }

    @Test func whatDoesNotFitIsCountedAndTheGapIsTold() throws {
        let t = try TestRuntime { $0.eventsMax = 8 }
        try t.listen()
        let session = try t.session("acme")
        for _ in 0..<10 {
            try t.control(.pause, session)
            try t.control(.resume, session)
        }
        var events: [Event] = []
        while let event = t.runtime.takeEvent() { events.append(event) }
        #expect(events.count == 9)
        let first = events[0].sequence
        #expect(events.prefix(8).map(\.sequence) == (0..<8).map { first + $0 })
        #expect(events[8].type == .lost && events[8].amount == 12)
        #expect(t.runtime.health().eventsLost == 12)
        try t.control(.pause, session)
        let next = try #require(t.events().first)
        #expect(next.sequence == first + 20)
    }

    @Test func theCallbackSeesEveryEventInOrderAndNoneAfterItIsTakenAway() throws {
        let count = Counters(3)
        t.runtime.setCallback { event in
            if event.sequence != count[0].add(1) { count[1].value = 1 }
        }
        let session = try t.session("acme")
        hammer(threads: 4, iterations: 50) { _, _, _ in
            try? t.control(.pause, session)
            try? t.control(.resume, session)
        }
        let sent = t.runtime.health().events
        while count[0].value < sent { sleepBriefly() }
        t.runtime.setCallback(nil)
        try t.control(.pause, session)
        t.attend()
        #expect(count[0].value == sent && count[1].value == 0)
    }

    @Test func manyNodesThatCrossAtOnceAreAllTold() throws {
        let t = try TestRuntime { $0.eventsMax = 100_000 }
        try t.listen()
        let sessions = try (0..<3000).map { _ in try t.session("acme", "$1 alert 50%") }
        hammer(threads: 4, iterations: 750) { thread, iteration, _ in
            t.spend(sessions[thread * 750 + iteration], 60 * cent)
        }
        #expect(Set(t.events(.threshold).map(\.id)) == Set(sessions))
        try t.expectNothingLeft()
    }

    @Test func theLoopDoesItsDutiesByItself() throws {
        try t.listen()
        let team = try t.budget("acme", "$1 alert 50%")
        let session = try t.session("acme", "1h wall")
        let d = t.granted(session, dollar) { $0.timeToLive = 20_000_000 }
        _ = try t.session("acme", "10m wall")
        // Nothing here but waiting: expiry, folding and the threshold come by themselves.
        while t.core.statistic(Header.estimated).value == 0 { sleepBriefly() }
        #expect(t.settle(d.reservation, cost: dollar / 2).status == .ok)
        while t.runtime.health().reservations > 0 { sleepBriefly() }
        #expect(try t.spent(team) == dollar / 2)
        #expect(t.events(.threshold).count == 1)
    }

    @Test func numbersOfEventsThatThereCannotBeNeitherTrapNorSpin() throws {
        let segment = try Segment.shared()
        let process = try Process(segment)
        let runtime = process.runtime
        _ = try runtime.eventsDescriptor()
        let sent = Word(segment.base + Header.eventsSent)
        var corrupt = 0
        for number in [.max, 0, .max, 7, .min, .max, -1, .max - 3, 300, Int64.min] {
            sent.value = number
            runtime.takeEvents()
            runtime.tellHome("still here")
            var told = 0
            while let event = runtime.takeEvent() {
                if event.type == .home { told += 1 }
                if event.type == .corrupt { corrupt += 1 }
            }
            #expect(told == 1, "\(number)")
        }
        #expect(corrupt > 0)
        // Who opens then is not led astray either.
        sent.value = .min
        let other = try Process(segment, slot: 2)
        other.runtime.takeEvents()
        other.runtime.tellHome("nor here")
        #expect(sent.value == 2, "that it is corrupt, and this")
    }
}
