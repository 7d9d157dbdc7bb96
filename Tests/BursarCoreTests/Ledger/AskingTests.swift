// Asking a home's ledger: what a query sees, whoever writes; what is wrong with one, and
// where; and a verification that finds what was changed.

import Glibc
import Testing

@testable import BursarCore

/// A runtime on a home of its own, gone with it.
final class LedgerHome {
    let folder: String
    let one: TestRuntime

    init(_ configure: @escaping (inout OpenOptions) -> Void = { _ in }) throws {
        var name = Array("/dev/shm/bursar-ledger-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw Failure(.home, "no folder in /dev/shm") }
        let folder = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        self.folder = folder
        one = try TestRuntime {
            $0.home = Array("\(folder)/home".utf8)
            $0.shmDirectory = Array(folder.utf8)
            configure(&$0)
        }
        try one.budget("acme", "$100") { $0.owner = Array("ada".utf8) }
    }

    /// Another handle on the home.
    func other(_ configure: @escaping (inout OpenOptions) -> Void = { _ in }) throws -> TestRuntime {
        try TestRuntime {
            $0.home = Array("\(self.folder)/home".utf8)
            configure(&$0)
        }
    }

    deinit {
        _ = Runtime.close(one.page)
        _ = system("rm -rf \(folder)")
    }
}

extension TestRuntime {
    /// All rows, as text; NULL is "-".
    func ask(_ sql: String, _ values: DBValue..., asWritten: Bool = false) throws -> [[String]] {
        let cursor = try runtime.query(Array(sql.utf8), values, asWritten: asWritten, patience: 0)
        var rows: [[String]] = []
        while try cursor.next() {
            rows.append(
                (0..<cursor.columns).map {
                    switch cursor.value($0) {
                    case .null: "-"
                    case .integer(let value): "\(value)"
                    case .real(let value): "\(value)"
                    case .text(let bytes), .blob(let bytes): String(decoding: bytes, as: UTF8.self)
                    }
                })
        }
        return rows
    }
}

/// What a call fails with.
func failure(_ body: () throws -> Void) -> Failure? {
    do {
        try body()
        return nil
    } catch {
        return error as? Failure
    }
}

@Suite struct AskingTests {
    @Test func aQuerySeesEverythingThatWasSettledBeforeIt() throws {
        let home = try LedgerHome()
        let other = try home.other()
        let session = try home.one.session("acme/support")
        for k in 1...40 {
            (k % 2 == 0 ? home.one : other).spend(session, Int64(k))
            let asking = k % 3 == 0 ? other : home.one
            #expect(
                try asking.ask("SELECT count(*), sum(cost_nanos), min(owner) FROM v_steps")
                    == [["\(k)", "\(k * (k + 1) / 2)", "ada"]])
        }
        #expect(home.one.runtime.verify() == nil)
    }

    @Test func whoeverWritesABlockCountsOnce() throws {
        let home = try LedgerHome()
        let session = try home.one.session("acme/support")
        let attachment = home.one.runtime.attachment
        let movers = (0..<3).map { _ in
            LedgerMover(
                attachment.place!, outbox: attachment.ledgerPath!,
                segment: home.one.core.statistic(Header.segmentID).value)
        }
        var dice = LedgerDice(state: 4)
        for k in 1...60 {
            // New names each time, which the others did not see come.
            let model = try home.one.model("model-\(k)", input: 1_000_000, output: 0)
            let step = home.one.granted(session) {
                $0.model = model
                $0.input = 1000
            }
            home.one.settle(step.reservation, input: 1000, output: 0)
            home.one.runtime.fold()
            for mover in movers where dice.once(in: 2) { while try mover.move(removes: false) {} }
        }
        for mover in movers { mover.close() }
        #expect(
            try home.one.ask("SELECT count(*), count(DISTINCT model), sum(model LIKE '#%'), sum(cost_nanos) FROM v_steps")
                == [["60", "60", "0", "\(60 * 1_000_000)"]])
        #expect(home.one.runtime.verify() == nil)
    }

    @Test func aWriterThatAnotherHasOvertakenGoesOn() throws {
        let home = try LedgerHome()
        let session = try home.one.session("acme/support")
        let attachment = home.one.runtime.attachment
        let movers = (0..<2).map { _ in
            LedgerMover(
                attachment.place!, outbox: attachment.ledgerPath!,
                segment: home.one.core.statistic(Header.segmentID).value)
        }
        // The second finds that of what it reads at once, and more, all is there.
        for _ in 1...100 {
            home.one.spend(session, 1)
            home.one.runtime.fold()
        }
        while try movers[0].move(removes: false) {}
        while try movers[1].move(removes: false) {}
        home.one.spend(session, 1)
        home.one.runtime.fold()
        while try movers[1].move(removes: false) {}
        for mover in movers { mover.close() }
        #expect(try home.one.ask("SELECT sum(cost_nanos) FROM v_steps", asWritten: true) == [["101"]])
    }

    @Test func aDatabaseThatIsGoneIsNotBegunAnewAndOneThatIsPutThereIsGoneOnWith() throws {
        let home = try LedgerHome()
        let session = try home.one.session("acme/support")
        home.one.spend(session, 1)
        #expect(try home.one.ask("SELECT count(*) FROM v_steps") == [["1"]])
        // What the database has is not in the outbox any more.
        home.one.runtime.ledger.limit(to: .max, file: 1)
        for _ in 1...3 {
            home.one.spend(session, 1)
            home.one.runtime.fold()
        }
        #expect(try home.one.ask("SELECT count(*) FROM v_steps") == [["4"]])
        try home.one.runtime.ledger.remove(through: home.one.core.batch.value)
        // Beside the database there may be others, or not any more.
        #expect(
            system(
                "cd \(home.folder)/home && mkdir aside && { mv ledger.db* aside 2>/dev/null; test -f aside/ledger.db; }")
                == 0)
        home.one.spend(session, 1)
        let gone = failure { _ = try home.one.ask("SELECT 1") }
        #expect(gone?.status == .home)
        #expect(gone.map { String(decoding: $0.sentence, as: UTF8.self).contains("is gone; put it back") } == true)
        #expect(access("\(home.folder)/home/ledger.db", F_OK) != 0)
        #expect(system("cd \(home.folder)/home && mv aside/ledger.db* .") == 0)
        #expect(try home.one.ask("SELECT count(*) FROM v_steps") == [["5"]])
        #expect(home.one.runtime.verify() == nil)
    }

    @Test func whatIsWrongWithAQueryIsSaidWithItsPlace() throws {
        let home = try LedgerHome()
        let wrong = failure { _ = try home.one.ask("SELECT workflow,\n  nope FROM v_steps") }
        #expect(wrong?.status == .query && wrong?.line == 2 && wrong?.column == 3)
        #expect(wrong.map { String(decoding: $0.sentence, as: UTF8.self).contains("no such column: nope") } == true)
        for sql in [
            "", "SELECT 1; SELECT 2", "DELETE FROM steps", "PRAGMA journal_mode=DELETE", "ATTACH '/tmp/x' AS x",
            "SELECT ?", "BEGIN", "SELECT load_extension('x')", "SELECT '\u{0}'", "CREATE TEMP TABLE t(a)",
        ] {
            #expect(failure { _ = try home.one.ask(sql) }?.status == .query, "\(sql)")
        }
        #expect(failure { _ = try home.one.ask("SELECT 1", 1 as DBValue) }?.status == .query)
        #expect(
            try home.one.ask("SELECT ?,?,?,?,typeof(?)", .integer(.min), .real(0.5), .text([]), .null, .blob([0, 1]))
                == [["\(Int64.min)", "0.5", "", "-", "blob"]])
    }

    @Test func aPrivateRuntimeHasNoLedger() throws {
        let rt = try TestRuntime()
        #expect(failure { _ = try rt.ask("SELECT 1") }?.status == .unsupported)
    }

    @Test func aQueryDoesNotHideThatTheLedgerCannotBeWritten() throws {
        let home = try LedgerHome()
        let session = try home.one.session("acme/support")
        home.one.spend(session, 5)
        #expect(try home.one.ask("SELECT sum(cost_nanos) FROM v_steps") == [["5"]])
        home.one.runtime.ledger.limit(to: 0)
        home.one.spend(session, 6)
        #expect(failure { _ = try home.one.ask("SELECT 1") }?.status == .home)
        #expect(try home.one.ask("SELECT sum(cost_nanos) FROM v_steps", asWritten: true) == [["5"]])
        home.one.runtime.ledger.limit(to: .max)
        #expect(try home.one.ask("SELECT sum(cost_nanos) FROM v_steps") == [["11"]])
    }

    @Test func anOutboxThatCannotBeReadIsTheHomesFault() throws {
        let home = try LedgerHome()
        let session = try home.one.session("acme/support")
        home.one.spend(session, 1)
        #expect(try home.one.ask("SELECT count(*) FROM v_steps") == [["1"]])
        #expect(mkdir("\(home.folder)/outbox.1.log", 0o700) == 0)
        let mover = LedgerMover(
            home.one.runtime.attachment.place!, outbox: Array("\(home.folder)/outbox".utf8),
            segment: home.one.core.statistic(Header.segmentID).value)
        let fault = failure { _ = try mover.move(removes: false) }
        mover.close()
        #expect(fault?.status == .home && fault?.values.0 == Int64(-EISDIR))
    }

    @Test func verifyingNamesTheFirstTotalThatIsNotTheSumOfItsSteps() throws {
        let home = try LedgerHome()
        let session = try home.one.session("acme/support")
        for _ in 0..<5 { home.one.spend(session, 100) }
        #expect(home.one.runtime.verify() == nil)
        func change(_ sql: StaticString) throws {
            let connection = try Connection(
                Database.path(in: home.one.runtime.attachment.place!.folder.path), .write)
            connection.setBusyTimeout(1000)
            try connection.execute(sql)
        }
        try change("UPDATE spent SET amount=amount+1 WHERE meter=0 AND budget=(SELECT id FROM budgets WHERE path='acme')")
        let found = home.one.runtime.verify()
        #expect(found?.status == .corrupt && found?.values.0 == 501 && found?.values.1 == 500)
        #expect(found.map { String(decoding: $0.sentence, as: UTF8.self).contains("`acme` on the meter `cost`") } == true)
        // Consistent in itself, and yet not what the segment counted.
        try change("UPDATE spent SET amount=amount-2 WHERE meter=0 AND budget=(SELECT id FROM budgets WHERE path='acme')")
        try change("UPDATE spent SET amount=amount-1 WHERE meter=0 AND budget<>(SELECT id FROM budgets WHERE path='acme')")
        try change("UPDATE sessions SET cost_nanos=cost_nanos-1")
        try change("UPDATE steps SET cost_nanos=cost_nanos-1 WHERE id=(SELECT min(id) FROM steps)")
        let other = home.one.runtime.verify()
        #expect(other?.values.0 == 499 && other?.values.1 == 500 && (other?.id ?? 0) > 0)
    }
}

extension DBValue: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Int64) { self = .integer(value) }
}
