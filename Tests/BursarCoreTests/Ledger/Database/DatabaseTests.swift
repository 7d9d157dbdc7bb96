// The ledger's database: what it refuses to open, and that each block counts once.

import Glibc
import Testing

@testable import BursarCore

@Suite struct LedgerDatabaseTests {
    let folder: LedgerFolder
    init() throws { folder = try LedgerFolder() }

    private func failure(_ body: () throws -> Void) -> Failure? {
        do {
            try body()
            return nil
        } catch {
            return error as? Failure
        }
    }
    private func open() throws(Failure) -> Database { try Database(folder.ledger) }
    private func open(
        _ latest: Int64, _ upgrade: (Connection, Int64) throws(Failure) -> Void
    ) throws(Failure) -> Database {
        try Database(folder.ledger, latest: latest, upgrade: upgrade)
    }
    private func int(_ database: Database, _ text: StaticString) throws -> Int64 {
        try int(database.connection, text)
    }
    private func int(_ connection: Connection, _ text: StaticString) throws -> Int64 {
        if case .integer(let value) = try connection.pragma(text) { return value }
        return .min
    }
    private func says(_ failure: Failure?, _ text: String) -> Bool {
        failure.map { String(decoding: $0.sentence, as: UTF8.self).contains(text) } ?? false
    }

    // MARK: - Opening

    @Test func aNewLedgerHasTheHomesModeAndSaysWhatItIs() throws {
        umask(0o077)
        for mode: mode_t in [0o600, 0o660] {
            let folder = try LedgerFolder()
            let database = try Database(folder.ledger, mode: Int32(mode))
            var load = LedgerLoad(seed: 1)
            try database.apply(load.blocks(2))
            for end in ["", "-wal", "-shm"] {
                var s = stat()
                #expect(stat(folder.ledgerName + end, &s) == 0 && s.st_mode & 0o777 == mode)
            }
            #expect(try int(database, "PRAGMA application_id") == Database.application)
            #expect(try int(database, "PRAGMA user_version") == 1)
        }
    }

    @Test func whatIsNoLedgerIsRefusedAndStaysAsItWas() throws {
        // Not a database.
        let text = Array("once upon a time there was a file of more than a hundred bytes, ".utf8)
        folder.write(text + text + text)
        #expect(failure { _ = try open() }?.status == .corrupt)
        #expect(says(failure { _ = try open() }, "ledger.db"))
        #expect(failure { _ = try Reader(folder.ledger) }?.status == .corrupt)
        unlink(folder.ledgerName)

        // Somebody else's database.
        do {
            let other = try Connection(folder.ledger, .create)
            try other.execute("PRAGMA application_id=42; CREATE TABLE t(a); INSERT INTO t VALUES(1)")
        }
        let foreign = failure { _ = try open() }
        #expect(foreign?.status == .home && foreign?.values.0 == 42)
        #expect(foreign?.values.1 == Database.application && says(foreign, "application_id is 42"))
        do {
            let other = try Connection(folder.ledger, .write)
            #expect(try int(other, "SELECT count(*) FROM sqlite_schema") == 1)
            if case .text(let mode) = try other.pragma("PRAGMA journal_mode") { #expect(mode == Array("delete".utf8)) }
            // With no number at all, it is still not ours.
            try other.execute("PRAGMA application_id=0")
        }
        #expect(failure { _ = try open() }?.status == .home)
    }

    @Test func aLedgerOfALaterVersionIsRefusedWithBothVersions() throws {
        do { try open().connection.execute("PRAGMA user_version=9") }
        let later = failure { _ = try open() }
        #expect(later?.status == .home && later?.values.0 == 9 && later?.values.1 == 1)
        #expect(says(later, "user_version is 9, this one writes 1"))
        #expect(failure { _ = try Reader(folder.ledger) }?.values.0 == 9)
    }

    @Test func aLinkAFolderAndAnAbsentFolderAreRefused() throws {
        symlink(folder.ledgerName, "\(folder.path)/link")
        #expect(failure { _ = try Database(Array("\(folder.path)/link".utf8)) }?.status == .home)
        #expect(failure { _ = try Database(Array(folder.path.utf8)) }?.status == .home)
        #expect(failure { _ = try Database(Array("\(folder.path)/no/ledger.db".utf8)) }?.status == .home)
        #expect(failure { _ = try Reader(folder.ledger) }?.status == .home)
    }

    @Test func aBrokenPageIsFoundAndNothingTraps() throws {
        var load = LedgerLoad(seed: 3)
        do {
            let database = try open()
            try database.apply(load.blocks(20))
            try database.connection.execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
        }
        var refused = 0
        for page in 1..<60 { folder.write([UInt8](repeating: 0xA5, count: 2000), at: page * 4096 + page % 3 * 1000) }
        for _ in 0..<3 {
            if let failure = failure({
                let database = try open()
                let differences = try database.connection.verify()
                if !differences.isEmpty { refused += 1 }
                try database.apply([load.block()])
            }) {
                #expect(failure.status == .corrupt, "\(failure)")
                refused += 1
            }
        }
        #expect(refused > 0)
    }

    @Test func aLedgerIsUpgradedStepByStepAndKeepsWhatItHas() throws {
        // Version 0 of a ledger that never was: one table, which version 1 takes over.
        do {
            let old = try Connection(folder.ledger, .create)
            try old.execute("CREATE TABLE old(cost INTEGER); INSERT INTO old VALUES(41); PRAGMA application_id=1114993267")
        }
        func upgrade(_ connection: Connection, from version: Int64) throws(Failure) {
            try connection.execute(
                version == 0
                    ? "CREATE TABLE kept(cost_nanos INTEGER) STRICT; INSERT INTO kept SELECT cost FROM old; DROP TABLE old; PRAGMA user_version=1"
                    : "ALTER TABLE kept ADD COLUMN more INTEGER; UPDATE kept SET more=1; PRAGMA user_version=2")
        }
        func broken(_ connection: Connection, from version: Int64) throws(Failure) {
            try connection.execute("UPDATE kept SET cost_nanos=0; PRAGMA user_version=2")
            try connection.execute("nonsense")
        }
        do {
            let database = try open(1, upgrade)
            #expect(try int(database, "SELECT cost_nanos FROM kept") == 41)
        }
        // A step that fails changes nothing.
        #expect(failure { _ = try open(2, broken) } != nil)
        let database = try open(2, upgrade)
        #expect(try int(database, "SELECT cost_nanos+more FROM kept") == 42)
        #expect(try int(database, "PRAGMA user_version") == 2)
        #expect(failure { _ = try open(1, upgrade) }?.values.1 == 1)
    }

    @Test func aLockedLedgerIsBusyAndTakesTheBlocksLater() throws {
        var load = LedgerLoad(seed: 4)
        let blocks = load.blocks(3)
        let database = try open()
        database.connection.setBusyTimeout(1)
        let other = try Connection(folder.ledger, .write)
        try other.execute("BEGIN IMMEDIATE")
        #expect(failure { try database.apply(blocks) }?.status == .busy)
        try other.execute("COMMIT")
        #expect(try database.apply(blocks) == 3)
        #expect(try database.connection.verify().isEmpty)
    }

    // MARK: - Exactly once

    @Test func blocksThatAreThereAlreadyAreNotCountedAgain() throws {
        var load = LedgerLoad(seed: 5)
        let blocks = load.blocks(10)
        let database = try open()
        #expect(try database.apply(Array(blocks[..<4])) == 4)
        #expect(try database.apply(Array(blocks[..<4])) == 4)
        #expect(try database.apply(Array(blocks[2..<7])) == 7)
        // Another process takes over, and does not know how far the first came.
        let other = try open()
        #expect(try other.apply(blocks) == 10)
        #expect(try database.apply(blocks) == 10)
        let reader = try Reader(folder.ledger)
        #expect(try reader.int("SELECT sum(count) FROM v_steps") == 2000)
        #expect(try reader.int("SELECT sum(cost_nanos) FROM v_steps") == load.steps.values.map(\.cost).reduce(0, +))
        #expect(try database.connection.verify().isEmpty)
    }

    @Test func aGapIsRefusedAndNothingOfItIsWritten() throws {
        var load = LedgerLoad(seed: 6)
        let blocks = load.blocks(6)
        let database = try open()
        #expect(try database.apply([blocks[0]]) == 1)
        let gap = failure { try database.apply([blocks[1], blocks[2], blocks[4]]) }
        #expect(gap?.status == .corrupt && gap?.values.0 == 5 && gap?.values.1 == 4)
        #expect(try database.last(of: load.segment) == 1)
        #expect(try Reader(folder.ledger).int("SELECT sum(count) FROM v_steps") == 200)
        #expect(try database.apply(blocks) == 6)
        #expect(try database.connection.verify().isEmpty)
        // A segment whose beginning is lost goes on where somebody said.
        var late = blocks[3]
        late.segment += 1
        #expect(failure { try database.apply([late]) }?.values.1 == 1)
        try database.begin(segment: late.segment, after: 3)
        #expect(try database.apply([late]) == 4)
    }

    @Test func aSegmentThatFollowsAnotherGoesOnWithItsBudgets() throws {
        var one = LedgerLoad(seed: 7)
        var two = LedgerLoad(seed: 8, segment: one.segment + 1_000_000_000_000)
        let database = try open()
        try database.apply(one.blocks(3) + two.blocks(3))
        let reader = try Reader(folder.ledger)
        #expect(try reader.int("SELECT count(*) FROM budgets") == Int64(LedgerLoad.paths.count))
        #expect(try database.connection.verify().isEmpty)
        let cost = (Array(one.steps.values) + Array(two.steps.values)).map(\.cost).reduce(0, +)
        #expect(try reader.int("SELECT cost_nanos FROM v_budgets WHERE path=''") == cost)
    }

    @Test func aBudgetThatIsRemovedAndDeclaredAgainIsAnother() throws {
        let database = try open()
        func budget(_ id: Int64, closed: Int64 = 0) -> NodeEntry {
            var node = NodeEntry()
            node.id = id
            node.path = Array("acme".utf8)
            node.opened = 10
            node.closed = closed
            return node
        }
        func block(_ batch: Int64, _ nodes: [NodeEntry]) -> LedgerBlock {
            var block = LedgerBlock(segment: 1, batch: batch)
            block.nodes = nodes
            block.spent = nodes.map { SpentEntry(budget: $0.id, meter: 0, change: batch) }
            return block
        }
        try database.apply([block(1, [budget(5)]), block(2, [budget(5, closed: 20)]), block(3, [budget(6)])])
        // Its removal was never told.
        try database.apply([block(4, [budget(7)])])
        let rows = try Reader(folder.ledger).rows("SELECT path,state,cost_nanos FROM v_budgets ORDER BY budget")
        #expect(rows == [["acme", "removed", "3"], ["acme", "removed", "3"], ["acme", "open", "4"]])
    }

    // MARK: - Corrections

    @Test func aCorrectionRevisesItsStepOnceAndKeepsTheEstimate() throws {
        let database = try open()
        var step = StepEntry(handle: 9, session: 3, settled: 1_000_000)
        step.cost = 100
        step.input = 7
        step.flags = StepFlag.estimated
        var block = LedgerBlock(segment: 1, batch: 1)
        block.steps = [step]
        step.flags = 0
        step.settled = 5_000_000
        step.cost = 60
        block.corrections = [CorrectionEntry(step: step)]
        step.cost = 10
        block.corrections.append(CorrectionEntry(step: step))
        step.handle = 10  // names no step
        block.corrections.append(CorrectionEntry(step: step))
        try database.apply([block])
        let reader = try Reader(folder.ledger)
        #expect(try reader.rows("SELECT cost_nanos,estimated,corrected,settled_at FROM v_steps") == [["60", "0", "1", "1000000"]])
        #expect(
            try reader.rows("SELECT settled_at,corrected_at,estimated_cost_nanos,cost_nanos,change_nanos FROM v_corrections")
                == [["1000000", "5000000", "100", "60", "-40"]])
        #expect(try reader.rows("SELECT direct_cost_nanos,estimated FROM v_sessions") == [["60", "0"]])
        #expect(try database.connection.verify().isEmpty)
    }

    // MARK: - Verify

    @Test func verifyNamesEveryTotalThatIsNotTheSumOfItsRows() throws {
        var load = LedgerLoad(seed: 9)
        let database = try open()
        try database.apply(load.blocks(5))
        #expect(try database.connection.verify().isEmpty)
        try database.connection.execute("UPDATE spent SET amount=amount+3 WHERE meter=0 AND budget=(SELECT id FROM budgets WHERE path='acme')")
        var found = try database.connection.verify()
        #expect(found.count == 1 && found[0].name == Array("acme".utf8) && found[0].meter == Array("cost".utf8))
        #expect(found[0].stored - found[0].computed == 3)
        // A lost row shows at every budget above it, and at its session.
        let path = try Reader(folder.ledger).rows("SELECT workflow FROM v_steps ORDER BY settled_at LIMIT 1")[0][0]
        try database.connection.execute("DELETE FROM steps WHERE id=(SELECT min(id) FROM steps)")
        found = try database.connection.verify()
        let names = Set(found.map { String(decoding: $0.name, as: UTF8.self) })
        let above = LedgerLoad.above(LedgerLoad.paths.firstIndex(of: path)!).map { LedgerLoad.paths[$0] }
        #expect(names.isSuperset(of: above) && names.contains { $0.hasPrefix("session") })
    }
}
