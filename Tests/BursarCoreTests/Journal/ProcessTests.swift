// Several processes on one segment: handles that are handed on, settles that come
// late from anywhere, processes that are stopped in the middle, ledgers that do not
// belong, and records that say what cannot be.

import Testing

@testable import BursarCore

@Suite struct ProcessTests {
    let home: TestHome
    let one: TestRuntime
    let two: TestRuntime
    let session: Int64

    init() throws {
        home = try TestHome()
        one = try home.process(1)
        two = try home.process(2)
        try one.budget("acme", "$100, 100 steps, 10 in_flight")
        session = try one.session("acme", "$20")
    }

    private func record(_ handle: Int64) -> Record { one.core.record(Handle.index(handle)) }
    private func state(_ handle: Int64) -> Int64 { RecordWord.state(record(handle).word.value) }
    private func actor(_ handle: Int64) -> Int64 { RecordWord.actor(record(handle).word.value) }

    @Test func theWordSaysWhoActs() throws {
        let held = one.granted(session, 100) { $0.flags = Request.hold }.reservation
        #expect(state(held) == RecordState.held && actor(held) == 1)
        #expect(two.core.begin(held) == .ok)
        #expect(state(held) == RecordState.inFlight && actor(held) == 2)
        // Process 1 dies: what was handed on is not its own any more.
        #expect(two.runtime.recover(slot: 1) == 0)
        #expect(one.settle(held, cost: 60).status == .ok)
        #expect(state(held) == RecordState.settled && actor(held) == 0)
        #expect(two.settle(held, cost: 60).r.has(Receipt.replay))
        #expect(two.settle(held, cost: 61).status == .conflict)
        #expect(try two.spent(session) == 60)
    }

    @Test func theDeadsHoldsAreGivenBackAndWhatWasSentIsSettledAtItsWorst() throws {
        let model = try one.model("m", input: 1_000_000, output: 2_000_000)
        _ = one.granted(session, 100) { $0.flags = Request.hold }
        let sent = one.granted(session) {
            $0.model = model
            $0.input = 100
            $0.maxOutput = 1000
        }
        let stream = one.granted(session) {
            $0.model = model
            $0.input = 100
            $0.maxOutput = 1000
            $0.flags = Request.stream
        }
        _ = one.stream(stream.reservation, 300)
        // The other's book has another price for the model: the estimate is its own,
        // and never above what was held.
        try two.model("m", input: 500_000, output: 1_000_000)
        #expect(two.runtime.recover(slot: 1) == 3)
        let streamed: Int64 = 50_000 + 1000 * (300 + 64)
        #expect(try two.spent(session) == sent.reservedNanos + streamed)
        two.succeed([])
        #expect(try two.expectSettled("recovered") == sent.reservedNanos + streamed)
        #expect(two.core.statistic(Header.recovered).value == 3)
        // Its late settle comes from a third process that has seen nothing of it.
        let three = try home.process(3)
        #expect(three.settle(sent.reservation, cost: 7).r.has(Receipt.late))
        #expect(three.settle(sent.reservation, cost: 7).r.has(Receipt.replay))
        #expect(try two.spent(session) == 7 + streamed)
        #expect(one.settle(sent.reservation, cost: 7).r.has(Receipt.replay))
        #expect(one.settle(sent.reservation, cost: 8).status == .conflict)
        #expect(try two.expectSettled("corrected") == 7 + streamed)
    }

    @Test func aSettleDoesNotWaitForAnotherThatIsStopped() throws {
        let handle = one.granted(session, 100).reservation
        // Process 2 was stopped when it had taken the record to settle it.
        let gen = Handle.gen(handle)
        record(handle).word.value = RecordWord.make(RecordState.settling, actor: 2, gen: gen)
        let (status, r) = one.settle(handle, cost: 40)
        #expect(status == .ok && r.has(Receipt.late))
        #expect(try one.committed(session) == 140)
        // It dies: the estimate is settled, then corrected.
        one.succeed([2])
        #expect(try one.expectSettled("after") == 40)
    }

    @Test func ofTwoCorrectionsOneCounts() throws {
        let handle = one.granted(session, 100) { $0.timeToLive = 1 }.reservation
        _ = two.runtime.scan()
        #expect(one.settle(handle, cost: 30).status == .ok)
        // A second one, as of a process that could not see the first.
        let first = one.core.record(Int(one.core.engine.pointee.forcedFrom))
        #expect(first.isCorrection)
        let (i, gen) = try #require(two.core.claimForced())
        let other = two.core.record(i)
        for offset in stride(from: 8, to: Record.size, by: 8) {
            Word(other.p + offset).value = Word(first.p + offset).value
        }
        other.usedCost.value = 70
        two.core.chargeForced(other.used, other, leaf: Int(session & 0xFFFF_FFFF))
        other.word.storeReleasing(RecordWord.make(RecordState.settled, actor: 0, gen: gen))
        one.succeed([])
        #expect([30, 70].contains(try one.expectSettled("two")))
    }

    @Test func aFullDiskStopsFoldingAndNothingElse() throws {
        one.spend(session, 50)
        one.runtime.fold()
        let size = home.contents.count
        one.runtime.ledger.limit(to: Int64(size) + 60)
        try one.listen()
        for _ in 0..<3 {
            one.spend(session, 10)
            one.runtime.fold()
        }
        #expect(one.events(.ledger).count == 1)
        #expect(try one.spent(session) == 80 && home.contents.count == size)
        #expect(one.runtime.health().reservations == 3)
        _ = one.refused(session, 20 * dollar)
        // There is room again: for another first.
        two.runtime.fold()
        one.runtime.ledger.limit(to: .max)
        one.runtime.fold()
        #expect(try one.expectSettled("again") == 80)
    }

    @Test func aTornBlockIsCutOffByTheNextWriter() throws {
        one.spend(session, 50)
        one.runtime.fold()
        let whole = home.contents
        one.spend(session, 20)
        one.runtime.fold()
        let both = home.contents
        let start = home.image
        for cut in [1, 40, 48, 49, both.count - whole.count - 1] {
            home.image = start
            // The batch as it was before its commit.
            let p = try home.process(3)
            p.spend(session, 5)
            home.contents = both + Array(both[whole.count..<(whole.count + cut)])
            p.runtime.fold()
            #expect(try p.expectSettled("cut \(cut)") == 75)
            #expect(try home.process(4).expectSettled("cut \(cut), read") == 75)
        }
    }

    @Test func aLedgerThatDoesNotBelongIsRefused() throws {
        one.spend(session, 50)
        one.runtime.fold()
        one.spend(session, 20)
        one.runtime.fold()
        let good = home.contents
        let last = one.runtime.health().folds
        func complaint() throws -> String {
            let p = try home.process(5)
            try p.listen()
            p.spend(session, 1)
            // Told once until it can be written again: as if it had been.
            Word(home.segment.base + Header.ledgerFails).value = 0
            Word(home.segment.base + Header.ledgerFailedAt).value = 0
            p.runtime.fold()
            #expect(p.runtime.health().folds == last)
            let text = p.events(.ledger).first?.text ?? []
            return String(decoding: text, as: UTF8.self)
        }
        home.contents = []
        #expect(try complaint().contains("last batch is 0 and the segment's is \(last)"))
        var other = good
        other[16] ^= 1
        home.contents = other
        #expect(try complaint().contains("is damaged at byte 0, after batch 0"))
        home.contents = good + good
        #expect(try complaint().contains("has batch 1 where batch \(last + 1) belongs"))
        home.contents = good
        Word(home.segment.base + Header.segmentID).value = 77
        #expect(try complaint().contains("and this is segment 77"))
        Word(home.segment.base + Header.segmentID).value = 0x5EED
        one.runtime.fold()
        #expect(try one.expectSettled("good again") == 74)
    }

    @Test func aStoppedProcessHidesOnlyItsOwnFromARecount() throws {
        // Process 1 is stopped as it charged, process 2 died when it had.
        let cell = try #require(one.core.cell(of: 0, at: Int(session & 0xFFFF_FFFF)))
        let handles = [1, 2].map { slot -> Int64 in
            let handle = one.granted(session, 100).reservation
            record(handle).word.value = RecordWord.make(
                RecordState.claimed, actor: Int64(slot), gen: Handle.gen(handle))
            return handle
        }
        let three = try home.process(3)
        #expect(three.runtime.recover(slot: 2) == 1)
        #expect(cell.committed.value == 200)
        #expect(three.runtime.recount() > 0)
        #expect(cell.committed.value == 100)
        // It goes on.
        let gen = Handle.gen(handles[0])
        one.core.uncharge(record(handles[0]).held, record(handles[0]), leaf: Int(session & 0xFFFF_FFFF))
        one.core.free(Handle.index(handles[0]), gen: gen)
        #expect(three.runtime.recount() == 0)
        #expect(try three.expectSettled("after") == 0)
    }

    @Test func recordsThatCannotBeAreToldAndLeftAlone() throws {
        var random = Random(seed: runSeed)
        try one.listen()
        let start = home.image
        for _ in 0..<200 * effort {
            home.image = start
            let p = try home.process(3)
            for k in 0..<12 {
                let q = p.core.record(k).p
                for offset in stride(from: 0, to: Record.size, by: 8) where random.chance(2) {
                    Word(q + offset).value = Int64(bitPattern: random.next())
                }
                if random.chance(2) { Word(q + 8).value = session }
            }
            if random.chance(4) { p.core.highWater.value = UInt32(truncatingIfNeeded: random.next()) }
            p.core.highWater.value = max(p.core.highWater.value, 12)
            for slot: UInt32 in 1...4 { p.runtime.recover(slot: slot) }
            _ = p.runtime.scan()
            p.runtime.fold()
            p.runtime.recount()
            _ = p.runtime.verify()
            _ = try? p.runtime.read(session)
            var handle = Handle.make(index: random.below(12), gen: random.amount(1...3))
            if random.chance(2) { handle = Int64(bitPattern: random.next()) }
            _ = p.settle(handle, cost: 5)
            _ = p.release(handle)
            _ = p.core.begin(handle)
        }
    }
}
