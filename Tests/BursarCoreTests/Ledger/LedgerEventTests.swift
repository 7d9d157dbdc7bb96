// Events as rows of the ledger: each once, whoever folds and whoever dies; what the ring has
// lost is counted.

import Testing

@testable import BursarCore

@Suite(.serialized) struct LedgerEventTests {
    @Test func whatSomebodyDidIsARowWithWhoAndWhy() throws {
        let home = try LedgerHome { $0.name = Array("ops".utf8) }
        let rt = home.one
        let id = try rt.budget("acme/support", "$5/day alert 50% then pause")
        let session = try rt.session("acme/support")
        try rt.control(.kill, id, "runaway")
        try rt.control(.revive, id, "it was a test")
        try rt.runtime.topUp(id, Array("$1".utf8), for: 0, reason: Array("month end".utf8))
        rt.spend(session, 4 * dollar)
        rt.attend()
        _ = rt.refused(session, 3 * dollar)
        try rt.setLimits(session, "$9")
        try rt.outcome("paid", 320, id: "a") { $0.session = session }
        #expect(
            try rt.ask(
                "SELECT type,path,meter,percent,amount,\"limit\",text,actor LIKE 'uid % pid % ops' FROM v_events WHERE type NOT IN ('home','orphan') ORDER BY sequence")
                == [
                    ["kill", "acme/support", "-", "-", "-", "-", "runaway", "1"],
                    ["revive", "acme/support", "-", "-", "-", "-", "it was a test", "1"],
                    ["top_up", "acme/support", "cost", "-", "\(dollar)", "0", "month end", "1"],
                    ["threshold", "acme/support", "cost", "50", "-", "\(6 * dollar)", "-", "-"],
                    ["pause", "acme/support", "cost", "100", "-", "\(6 * dollar)", "-", "-"],
                    ["limits", "acme/support", "-", "-", "-", "-", "$9", "1"],
                    ["outcome", "acme/support", "-", "-", "320", "-", "paid", "1"],
                ])
        // What happened to a session, or through one, says which.
        #expect(
            try rt.ask(
                "SELECT type, code, s.workflow FROM v_events e JOIN v_sessions s USING (session) ORDER BY sequence")
                == [["pause", "4", "acme/support"], ["limits", "16", "acme/support"], ["outcome", "26", "acme/support"]])
    }

    @Test func allThatHandlesSendIsThereOnceWithoutAnyStep() throws {
        let home = try LedgerHome()
        let other = try home.other()
        for k in 0..<40 {
            try (k % 2 == 0 ? home.one : other).control(k % 4 < 2 ? .kill : .revive, 0, "\(k)")
        }
        let ring = try #require(home.one.runtime.attachment.eventRing)
        #expect(
            try other.ask("SELECT count(*), min(sequence), max(sequence), sum(type IN ('kill','revive')) FROM v_events")
                == [["\(ring.sent.value)", "1", "\(ring.sent.value)", "20"]])
        #expect(home.one.runtime.untoldEvents == nil)
    }

    @Test func theKeeperFoldsForAnEventAlone() throws {
        let home = try TestHome()
        let p = try home.process(1)
        try p.control(.kill, try p.budget("acme"))
        p.attend()
        #expect(try blocks(home).flatMap(\.events).map(\.type) == [.kill])
        // It stays awake for a moment, then rests.
        #expect(p.core.signal.value & Signal.resting == 0)
        p.attend()
        #expect(p.core.signal.value & Signal.resting != 0)
        let batch = p.core.batch.value
        p.attend()
        #expect(p.core.batch.value == batch)
    }

    @Test func whatTheRingLostIsOneRowWithItsCount() throws {
        let home = try LedgerHome()
        let rt = home.one
        #expect(rt.runtime.fold())
        let ring = try #require(rt.runtime.attachment.eventRing)
        let before = ring.sent.value
        rt.runtime.folding.lock()
        for k in 0..<300 { rt.runtime.tell(.limits, 0, text: Array("\(k)".utf8)) }
        rt.runtime.folding.unlock()
        #expect(
            try rt.ask("SELECT type, sequence, amount FROM v_events WHERE type='lost'")
                == [["lost", "\(before + 44)", "44"]])
        #expect(
            try rt.ask("SELECT count(*), min(text+0), max(text+0) FROM v_events WHERE type='limits'")
                == [["256", "44", "299"]])
    }

    /// All that the outbox says.
    private func blocks(_ home: TestHome) throws -> [LedgerBlock] {
        let outbox = Outbox([UInt8](home.prefix.utf8), segment: 0x5EED)
        try outbox.seek(after: 0)
        var blocks: [LedgerBlock] = []
        while let block = try outbox.nextBlock(after: Int64(blocks.count)) { blocks.append(block) }
        return blocks
    }

    @Test func whoeverIsKilledWhileFoldingTellsEachOnce() throws {
        let home = try TestHome()
        do {
            let p = try home.process(1)
            let id = try p.budget("acme", "$100")
            let session = try p.session("acme")
            try p.control(.pause, id, "a")
            try p.control(.resume, id)
            p.runtime.fold()
            p.spend(session, 100)
            try p.topUp(id, "$1")
            try p.control(.kill, id, "b")
        }
        let start = home.image
        let stores = home.cut(-1) { [p = try home.process(1)] in p.runtime.fold() }.stores
        guard stores >= 0 else { return }  // not on this machine
        #expect(stores > 10)
        var told: Set<Int> = []
        for cut in 0..<stores {
            home.image = start
            let image = try { () throws in
                let p = try home.process(1)
                return home.cut(cut) { p.runtime.fold() }.image
            }()
            home.image = image
            told.insert(try blocks(home).flatMap(\.events).count)
            let p = try home.process(2)
            try p.control(.revive, try p.runtime.budgetFind([UInt8]("acme".utf8)))
            p.succeed([1])
            #expect(try blocks(home).flatMap(\.events).map(\.sequence) == [1, 2, 3, 4, 5], "cut \(cut)")
        }
        // It was killed before the ledger had them, and after.
        #expect(told == [2, 4])
    }

    @Test func whereTheOutboxTakesNothingTheyFollow() throws {
        let home = try LedgerHome()
        let rt = home.one
        _ = try rt.ask("SELECT 1")
        rt.runtime.ledger.limit(to: 0)
        try rt.control(.kill, 0, "now")
        #expect(rt.runtime.fold())
        #expect(try rt.ask("SELECT count(*) FROM events WHERE type=6", asWritten: true) == [["0"]])
        rt.runtime.ledger.limit(to: .max)
        #expect(
            try rt.ask("SELECT type, text IS NULL FROM v_events WHERE type IN ('kill','ledger') ORDER BY sequence")
                == [["kill", "0"], ["ledger", "0"]])
    }
}
