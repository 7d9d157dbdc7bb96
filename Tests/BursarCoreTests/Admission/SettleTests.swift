// The life of one step: reserve, begin, stream, settle, release, expire, and all
// of them at the wrong time.

import Testing

@testable import BursarCore

@Suite struct SettleTests {
    let t: TestRuntime
    let team: Int64
    let session: Int64

    init() throws {
        t = try TestRuntime()
        team = try t.budget("acme/team", "$10, 100 steps, 4 in_flight")
        session = try t.session("acme/team", "$5")
    }

    @Test func aStepHoldsItsWorstCaseEverywhereAndSettlesAtWhatItUsed() throws {
        let d = t.granted(session, dollar)
        #expect(d.reservedNanos == dollar)
        for id in [session, team] { #expect(try t.committed(id) == dollar) }
        #expect(try t.committed(team, 7) == 1)
        let (status, r) = t.settle(d.reservation, cost: dollar / 4)
        #expect(status == .ok && r.costNanos == dollar / 4 && r.reservedNanos == dollar)
        #expect(r.flags == 0 && r.overrunNanos == 0)
        for id in [session, team] {
            #expect(try t.committed(id) == dollar / 4)
            #expect(try t.spent(id) == dollar / 4)
        }
        #expect(try t.committed(team, 7) == 0)
        #expect(try t.committed(team, 5) == 1)
        try t.expectNothingLeft()
    }

    @Test func settlingAgainAnswersTheFirstResultOrNamesTheConflict() throws {
        let d = t.granted(session, dollar)
        #expect(t.settle(d.reservation, cost: 7).status == .ok)
        for isFolded in [false, true] {
            if isFolded { t.runtime.fold() }
            let (status, r) = t.settle(d.reservation, cost: 7)
            #expect(status == .ok && r.has(Receipt.replay) && r.costNanos == 7)
            #expect(r.reservedNanos == dollar)
            #expect(t.settle(d.reservation, cost: 8).status == .conflict)
            #expect(t.release(d.reservation) == .conflict)
            #expect(t.core.begin(d.reservation) == .expired)
            #expect(t.stream(d.reservation, 1).status == .expired)
        }
        #expect(try t.spent(team) == 7)
        try t.expectNothingLeft()
    }

    /// Usage with something in every class, and each class changed by itself.
    private static var classes: [WritableKeyPath<Usage, Int64>] {
        [
            \.cacheWriteInputTokens, \.cacheWrite1hInputTokens, \.reasoningOutputTokens,
            \.audioInputTokens, \.cacheReadAudioInputTokens, \.audioOutputTokens,
            \.imageInputTokens, \.imageOutputTokens, \.extraNanos, \.cacheReadInputTokens,
        ]
    }

    private static func everything(_ report: inout Report) {
        report.flags = Report.cost
        report.costNanos = 9
        for (k, path) in classes.enumerated() { report.usage[keyPath: path] = Int64(k + 21) }
        report.usage.cacheWriteInputTokens = 100
        report.usage.audioInputTokens = 100
    }

    @Test func everyClassOfUsageIsKeptAndSettlingAgainComparesEach() throws {
        let d = t.granted(session, dollar) {
            $0.attempt = 3
            $0.complexity = 2
            $0.variant = 1
            $0.parent = 77
        }
        #expect(t.settle(d.reservation, input: 1000, output: 1000, Self.everything).status == .ok)
        let record = try #require(t.core.record(of: d.reservation))
        #expect(record.attempt == 3 && record.complexity == 2 && record.variant == 1)
        #expect(record.original == 77 && record.reservedAt.value <= record.settledAt.value)
        #expect(record.reservedAt.value > 0 && record.reasoning.value == 23)
        #expect((0..<8).map { record.detailWord($0).value } == [100, 22, 100, 25, 26, 27, 28, 29])
        #expect(record.hasDetail && record.rare != 0)
        for isFolded in [false, true] {
            if isFolded { t.runtime.fold() }
            let again = t.settle(d.reservation, input: 1000, output: 1000, Self.everything)
            #expect(again.status == .ok && again.r.has(Receipt.replay))
            for path in Self.classes {
                let other = t.settle(d.reservation, input: 1000, output: 1000) {
                    Self.everything(&$0)
                    $0.usage[keyPath: path] -= 1
                }
                #expect(other.status == .conflict, "\(path)")
            }
            #expect(t.settle(d.reservation, input: 1000, output: 1000) {
                $0.flags = Report.cost
                $0.costNanos = 9
                $0.usage.cacheReadInputTokens = 30
                $0.usage.reasoningOutputTokens = 23
            }.status == .conflict)
        }
        // The next step in the same place has none of it.
        let next = t.granted(session, dollar)
        t.settle(next.reservation, cost: 1)
        t.core.eachRecord { _, record in
            if RecordWord.state(record.word.value) == RecordState.settled {
                #expect(record.rare == 0 && record.reasoning.value == 0 && record.attempt == 0)
            }
            return true
        }
        try t.expectNothingLeft()
    }

    @Test func aLateSettleBringsEveryClassAndIsComparedByEach() throws {
        let handle = t.granted(session, dollar) { $0.timeToLive = 1 }.reservation
        t.pass(1_000_000_000)
        _ = t.runtime.scan()
        for isFolded in [false, true] {
            if isFolded { for _ in 0..<3 { t.runtime.fold() } }
            let (status, r) = t.settle(handle, input: 1000, output: 1000, Self.everything)
            #expect(status == .ok && r.has(Receipt.late) && r.costNanos == 9)
            for path in Self.classes where isFolded {
                let other = t.settle(handle, input: 1000, output: 1000) {
                    Self.everything(&$0)
                    $0.usage[keyPath: path] -= 1
                }
                #expect(other.status == .conflict, "\(path)")
            }
        }
        #expect(try t.spent(team) == 9)
        try t.expectNothingLeft()
    }

    @Test func aKeyThatDiffersIsAConflictEvenAtTheSameCost() throws {
        let d = t.granted(session, dollar)
        func settle(key: UInt64) -> Status {
            t.settle(d.reservation, input: 0, output: 0) {
                $0.flags = Report.cost
                $0.costNanos = 5
                $0.key = (key, 0)
            }.status
        }
        #expect(settle(key: 1) == .ok)
        #expect(settle(key: 1) == .ok)
        #expect(settle(key: 2) == .conflict)
        #expect(settle(key: 0) == .ok)
    }

    @Test func releaseGivesEverythingBackOnceAndSettleAfterItIsAnError() throws {
        let d = t.granted(session, dollar)
        #expect(t.release(d.reservation) == .ok)
        #expect(try t.committed(team) == 0)
        #expect(t.release(d.reservation) == .ok)
        #expect(t.settle(d.reservation, cost: 1).status == .released)
        #expect(try t.committed(team) == 0 && t.spent(team) == 0)
        #expect(try t.committed(team, 5) == 0)
        try t.expectNothingLeft()
    }

    @Test func aHandleOfAnEarlierUseNeverTouchesTheNextOne() throws {
        let first = t.granted(session, dollar)
        #expect(t.settle(first.reservation, cost: 1).status == .ok)
        t.runtime.fold()
        // Take every record, so that the first one's is used again.
        let small = try t.session("other")
        var all: [Int64] = []
        while case let d = t.reserve(small, 0).d, d.reservation != 0 { all.append(d.reservation) }
        #expect(t.settle(first.reservation, cost: 1).status == .notFound)
        #expect(t.release(first.reservation) == .notFound)
        #expect(t.core.begin(first.reservation) == .expired)
        for handle in all { #expect(t.release(handle) == .ok) }
        try t.expectNothingLeft()
    }

    @Test(arguments: [Int64]([0, -1, .min, .max, 1, 1 << 44, (1 << 44) | 5, (524_287 << 44) | 1]))
    func aHandleThatNamesNothingIsNotFound(handle: Int64) {
        #expect(t.settle(handle, cost: 1).status == .notFound)
        #expect(t.release(handle) == .notFound)
        #expect([.notFound, .expired].contains(t.core.begin(handle)))
        #expect([.notFound, .expired].contains(t.stream(handle, 1).status))
    }

    @Test func usageThatIsWrongLeavesTheReservationAsItWas() throws {
        let d = t.granted(session, dollar)
        func bad(_ change: (inout Report) -> Void) -> Status {
            t.settle(d.reservation, input: 10, output: 10, change).status
        }
        #expect(bad { $0.usage.inputTokens = -1 } == .invalid)
        #expect(bad { $0.usage.cacheReadInputTokens = 11 } == .invalid)
        #expect(bad { $0.usage.reasoningOutputTokens = 11 } == .invalid)
        #expect(bad { $0.costNanos = -1 } == .invalid)
        #expect(bad { $0.usage.extraNanos = .max } == .invalid)
        #expect(bad { $0.units = .min } == .invalid)
        #expect(bad { $0.flags = 8 } == .invalid)
        #expect(bad { $0.usage.outputTokens = .max } == .invalid)
        #expect(try t.committed(team) == dollar)
        #expect(t.settle(d.reservation, cost: 2).status == .ok)
        try t.expectNothingLeft()
    }

    @Test func anOverrunIsRecordedInFullAndTripsTheNextAdmission() throws {
        try t.listen()
        let d = t.granted(session, 4 * dollar)
        let (status, r) = t.settle(d.reservation, cost: 6 * dollar)
        #expect(status == .ok && r.has(Receipt.overrun) && r.overrunNanos == 2 * dollar)
        #expect(try t.spent(session) == 6 * dollar)
        #expect(t.runtime.health().overrunNanos == 2 * dollar)
        let event = try #require(t.events(.overrun).first)
        #expect(event.amount == 2 * dollar && event.session == session)
        let refusal = t.refused(session, 1)
        #expect(refusal.reason == .limit && refusal.budget == session && refusal.remaining == 0)
        #expect(refusal.committed == 6 * dollar && !refusal.has(Decision.transient))
        try t.expectNothingLeft()
    }

    @Test func aHeldStepMustBeginBeforeItGoesOut() throws {
        let d = t.granted(session, dollar) { $0.flags = Request.hold }
        #expect(t.stream(d.reservation, 1).status == .expired)
        #expect(t.core.begin(d.reservation) == .ok)
        #expect(t.core.begin(d.reservation) == .ok)
        #expect(t.settle(d.reservation, cost: 1).status == .ok)
        try t.expectNothingLeft()
    }

    @Test func aHeldStepThatRunsOutCostsNothingAndMustNotBeSent() throws {
        let d = t.granted(session, dollar) {
            $0.flags = Request.hold
            $0.timeToLive = second
        }
        t.pass(2 * second)
        #expect(t.core.begin(d.reservation) == .expired)
        #expect(try t.spent(team) == 0 && t.committed(team) == 0)
        #expect(try t.committed(team, 5) == 0)
        try t.expectNothingLeft()
    }

    @Test func aStepThatNobodySettlesIsBookedAtItsWorstCaseAndCorrectedOnce() throws {
        try t.listen()
        let d = t.granted(session, dollar) { $0.timeToLive = second }
        t.pass(2 * second)
        #expect(try t.spent(session) == dollar && t.committed(team, 7) == 0)
        #expect(t.runtime.health().estimatedSteps == 1)
        let orphan = try #require(t.events(.orphan).first)
        #expect(orphan.reservation == d.reservation && orphan.amount == dollar)

        let (status, r) = t.settle(d.reservation, cost: dollar / 2)
        #expect(status == .ok && r.has(Receipt.late) && r.costNanos == dollar / 2)
        t.runtime.fold()
        #expect(try t.spent(session) == dollar / 2 && t.committed(session) == dollar / 2)
        #expect(t.runtime.health().lateSettles == 1)
        #expect(t.events(.late).first?.amount == -dollar / 2)

        // Again: the first correction stands.
        let again = t.settle(d.reservation, cost: dollar / 2)
        #expect(again.status == .ok && again.r.has(Receipt.replay) && again.r.costNanos == dollar / 2)
        #expect(t.settle(d.reservation, cost: dollar / 4).status == .conflict)
        #expect(t.release(d.reservation) != .ok)
        t.runtime.fold()
        #expect(try t.spent(session) == dollar / 2 && t.committed(session) == dollar / 2)
        #expect(t.runtime.spendRead(0)?.cost == dollar / 2)
        #expect(t.runtime.spendRead(0)?.estimated == 0)
        try t.expectNothingLeft()
    }

    @Test func aLateSettleThatCostMoreThanTheEstimateRaisesIt() throws {
        let d = t.granted(session, dollar) { $0.timeToLive = second }
        t.pass(2 * second)
        let (status, r) = t.settle(d.reservation, cost: 3 * dollar)
        #expect(status == .ok && r.overrunNanos == 2 * dollar)
        t.runtime.fold()
        #expect(try t.spent(session) == 3 * dollar && t.spent(team) == 3 * dollar)
        try t.expectNothingLeft()
    }

    @Test func aLateSettleOfASessionThatIsGoneCorrectsWhatIsAboveItAndNobodyElse() throws {
        let d = t.granted(session, dollar) { $0.timeToLive = second }
        t.pass(2 * second)
        try t.budget("other/team")
        try t.runtime.sessionClose(session)
        t.runtime.fold()
        // The next session takes the freed place.
        let next = try t.session("other/team", "$5")
        #expect(next & 0xFFFF_FFFF == session & 0xFFFF_FFFF)
        #expect(t.settle(d.reservation, cost: dollar / 4).status == .ok)
        t.runtime.fold()
        #expect(try t.spent(team) == dollar / 4 && t.committed(team) == dollar / 4)
        #expect(try t.spent(next) == 0 && t.committed(next) == 0)
        t.expectIdentity()
    }

    @Test func aLateReportThatKnowsNothingKeepsTheEstimate() throws {
        let model = try t.model("m", input: 1_000_000, output: 2_000_000)
        let rich = try t.session("rich")
        for flags in [Report.incomplete, Report.worst] {
            let before = try t.spent(rich)
            let d = t.granted(rich) {
                $0.model = model
                $0.input = 100
                $0.maxOutput = 1000
                $0.timeToLive = second
            }
            t.pass(2 * second)
            #expect(try t.spent(rich) - before == d.reservedNanos)
            let (status, r) = t.settle(d.reservation, input: 0, output: 0) { $0.flags = flags }
            #expect(status == .ok && r.costNanos == d.reservedNanos)
            t.runtime.fold()
            #expect(try t.spent(rich) - before == d.reservedNanos)
        }
        try t.expectNothingLeft()
    }

    @Test func aStreamIsEstimatedAtWhatItBroughtAndOneMoreChunk() throws {
        let model = try t.model("m", input: 1_000_000, output: 2_000_000)
        let rich = try t.session("rich")
        let d = t.granted(rich) {
            $0.model = model
            $0.input = 100
            $0.maxOutput = 1000
            $0.flags = Request.stream
            $0.timeToLive = second
        }
        #expect(d.reservedNanos == 100_000 + 2_000_000)
        #expect(t.stream(d.reservation, 10).status == .ok)
        #expect(t.stream(d.reservation, 300).status == .ok)
        #expect(t.stream(d.reservation, 20).status == .ok)  // never falls
        #expect(t.stream(d.reservation, -1).status == .invalid)
        t.pass(2 * second)
        #expect(try t.spent(rich) == 100_000 + 2000 * (300 + 64))
        #expect(t.stream(d.reservation, 301).status == .expired)
        try t.expectNothingLeft()
    }

    @Test func aStreamRenewsItsTimeToLive() throws {
        let rich = try t.session("rich")
        let d = t.granted(rich) {
            $0.timeToLive = 10 * second
            $0.maxOutput = 0
            $0.flags = Request.stream
        }
        for _ in 0..<5 {
            t.pass(8 * second)
            #expect(t.stream(d.reservation, 0).status == .ok)
        }
        t.pass(11 * second)
        #expect(t.stream(d.reservation, 0).status == .expired)
    }

    @Test func aStreamIsToldToStopByAKillADeadlineAndUsedUpOutput() throws {
        let model = try t.model("m", input: 0, output: 0)
        let timed = try t.session("acme/team", "10s wall")
        func start(_ id: Int64) -> Int64 {
            t.granted(id) {
                $0.model = model
                $0.maxOutput = 100
                $0.flags = Request.stream
            }.reservation
        }
        let full = start(session)
        #expect(t.stream(full, 100).status == .ok)
        let (status, reason) = t.stream(full, 101)
        #expect(status == .refused && reason == .limit)

        let killed = start(session)
        try t.control(.kill, team)
        #expect(t.stream(killed, 1) == (.refused, .killed))
        try t.control(.revive, team)
        #expect(t.stream(killed, 1).status == .ok)
        try t.control(.pause, 0)
        #expect(t.stream(killed, 1) == (.refused, .paused))
        try t.control(.resume, 0)

        let late = start(timed)
        t.runtime.clock.shiftSteady(by: 11 * second)
        #expect(t.stream(late, 1) == (.refused, .wall))
    }

    @Test func anAnswerCutOffIsSettledAtWhatWasSeenNeverAtZero() throws {
        let model = try t.model("m", input: 1_000_000, output: 2_000_000)
        let rich = try t.session("rich")
        func step(stream: Bool) -> Int64 {
            t.granted(rich) {
                $0.model = model
                $0.input = 100
                $0.maxOutput = 1000
                $0.flags = stream ? Request.stream : 0
            }.reservation
        }
        let streamed = step(stream: true)
        #expect(t.stream(streamed, 200).status == .ok)
        var r = t.settle(streamed, input: 0, output: 0) { $0.flags = Report.incomplete }.r
        #expect(r.costNanos == 100_000 + 2000 * 264 && r.has(Receipt.estimated))
        r = t.settle(step(stream: false), input: 0, output: 0) { $0.flags = Report.incomplete }.r
        #expect(r.costNanos == 100_000 + 2000 * 1000 && r.has(Receipt.estimated))
        r = t.settle(step(stream: false), input: 90, output: 50) { $0.flags = Report.incomplete }.r
        #expect(r.costNanos == 90_000 + 2000 * 50 && !r.has(Receipt.estimated))
        r = t.settle(step(stream: false), input: 0, output: 0) { $0.flags = Report.worst }.r
        #expect(r.costNanos == 2_100_000 && r.has(Receipt.estimated))
        // An explicit zero is zero.
        r = t.settle(step(stream: false), input: 0, output: 0).r
        #expect(r.costNanos == 0 && !r.has(Receipt.estimated))
        try t.expectNothingLeft()
    }
}

extension TestRuntime {
    func release(_ handle: Int64) -> Status { core.release(handle) }
}
