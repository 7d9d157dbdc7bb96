// What readers see: every view held against sums made in Swift, before and after
// compaction; queries that would do more than read; texts that mean harm.

import Glibc
import Testing

@testable import BursarCore

@Suite struct LedgerViewTests {
    let folder: LedgerFolder
    init() throws { folder = try LedgerFolder() }

    private func status(_ body: () throws -> Void) -> Status? {
        do {
            try body()
            return nil
        } catch {
            return (error as? Failure)?.status
        }
    }

    /// Every view's rows that are to be the same after compaction.
    private func reports(_ reader: Reader) throws -> [String: [[String]]] {
        var reports: [String: [[String]]] = [:]
        for view in ["v_sessions", "v_budgets", "v_meters", "v_savings", "v_unowned", "v_retries", "v_outcomes",
            "v_workflow_value", "v_corrections", "v_events"]
        {
            reports[view] = try reader.rows("SELECT * FROM \(view)")
        }
        for one in LedgerLoad.dimensions.indices {
            reports[LedgerLoad.dimensions[one]] = try LedgerLoad.crossed(one, (one + 3) % LedgerLoad.dimensions.count, in: reader)
        }
        reports["by session"] = try reader.rows(
            "SELECT session, hour, sum(count), sum(cost_nanos), sum(took_ns), sum(reserved_nanos), sum(extra_nanos) FROM v_steps GROUP BY 1,2")
        reports["burn"] = try reader.rows("SELECT substr(minute,1,13), sum(steps), sum(tokens), sum(cost_nanos) FROM v_burn GROUP BY 1")
        return reports
    }

    @Test func anyTwoDimensionsCanBeCrossedAndAgreeWithSumsMadeElsewhere() throws {
        var load = LedgerLoad(seed: 21, pace: 20_000_000_000)
        let database = try Database(folder.ledger)
        try database.apply(load.blocks(8, steps: 150))
        let reader = try Reader(folder.ledger)
        for one in LedgerLoad.dimensions.indices {
            for other in one..<LedgerLoad.dimensions.count {
                let isSame = try LedgerLoad.crossed(one, other, in: reader) == load.crossed(one, other)
                #expect(isSame, "\(LedgerLoad.dimensions[one]) by \(LedgerLoad.dimensions[other])")
            }
        }
    }

    @Test func directAndChildrenMakeInclusive() throws {
        var load = LedgerLoad(seed: 22)
        let database = try Database(folder.ledger)
        try database.apply(load.blocks(12, steps: 50))
        let reader = try Reader(folder.ledger)
        var direct: [Int64: Int64] = [:]
        for step in load.steps.values { direct[step.session, default: 0] += step.cost }
        var inclusive = direct
        for (id, node) in load.sessions where load.sessions[node.parent] != nil {
            var above = node.parent
            while let next = load.sessions[above] {
                inclusive[above, default: 0] += direct[id] ?? 0
                above = next.parent
            }
        }
        let rows = try reader.rows(
            "SELECT s.node, v.direct_cost_nanos, v.children_cost_nanos, v.inclusive_cost_nanos FROM v_sessions v JOIN sessions s ON s.id=v.session")
        #expect(rows.count == load.sessions.count)
        #expect(rows.contains { $0[2] != "0" })
        for row in rows {
            let id = Int64(row[0])!
            #expect(row[1] == "\(direct[id] ?? 0)" && row[3] == "\(inclusive[id] ?? 0)")
            #expect(Int64(row[1])! + Int64(row[2])! == Int64(row[3])!)
        }
        let all = try reader.int("SELECT sum(inclusive_cost_nanos) FROM v_sessions WHERE parent_session IS NULL")
        #expect(all == direct.values.reduce(0, +))
    }

    @Test func retriesCountOnceAndSavingsAndUnownedSpendAddUp() throws {
        var load = LedgerLoad(seed: 23)
        let database = try Database(folder.ledger)
        try database.apply(load.blocks(6))
        let reader = try Reader(folder.ledger)
        let steps = Array(load.steps.values)
        func tries(_ isCounted: (StepEntry) -> Bool) -> Int64 {
            steps.filter(isCounted).map { $0.steps + $0.toolCalls }.reduce(0, +)
        }
        #expect(
            try reader.rows("SELECT sum(requests),sum(tries),sum(retries),sum(retries_cost_nanos) FROM v_retries")
                == [[
                    "\(tries { $0.attempt == 0 })", "\(tries { _ in true })", "\(tries { $0.attempt > 0 })",
                    "\(steps.filter { $0.attempt > 0 }.map(\.cost).reduce(0, +))",
                ]])
        let unowned = steps.filter { load.sessions[$0.session]!.owner.isEmpty }.map(\.cost).reduce(0, +)
        #expect(unowned > 0)
        #expect(try reader.int("SELECT sum(cost_nanos) FROM v_unowned") == unowned)
        #expect(try reader.int("SELECT sum(cost_nanos) FROM v_steps WHERE owner='(unowned)'") == unowned)
        let saved = steps.filter { $0.asked != 0 }.map { $0.askedCost - $0.cost }.reduce(0, +)
        #expect(try reader.int("SELECT sum(saved_nanos) FROM v_savings") == saved)
        // The counters, the sessions and the steps agree.
        let cost = "\(steps.map(\.cost).reduce(0, +))"
        #expect(
            try reader.rows(
                """
                SELECT (SELECT sum(cost_nanos) FROM v_steps), (SELECT sum(direct_cost_nanos) FROM v_sessions),
                (SELECT cost_nanos FROM v_budgets WHERE path=''), (SELECT sum(direct_cost_nanos) FROM v_budgets),
                (SELECT spent FROM v_meters WHERE path='' AND meter='cost'), (SELECT sum(cost_nanos) FROM v_burn)
                """) == [[cost, cost, cost, cost, cost, cost]])
    }

    @Test func theLatestRevisionOfAnOutcomeHoldsAndItsCostIsWhatItIsCreditedTo() throws {
        var load = LedgerLoad(seed: 24)
        let database = try Database(folder.ledger)
        var block = load.block()
        let session = load.sessions.keys.min()!
        func outcome(_ key: String, _ state: OutcomeEntry.State, _ value: Int64?, at: Int64) -> OutcomeEntry {
            var outcome = OutcomeEntry()
            outcome.key = Array(key.utf8)
            outcome.name = Array("invoice_processed".utf8)
            outcome.state = state
            outcome.session = session
            outcome.hasValue = value != nil
            outcome.value = value ?? 0
            outcome.at = at
            outcome.who = Array("worker".utf8)
            return outcome
        }
        block.outcomes = [
            outcome("a", .stated, 3_200_000_000, at: 1), outcome("b", .stated, 1_000_000_000, at: 2),
            outcome("a", .verified, 3_100_000_000, at: 3), outcome("c", .stated, nil, at: 4),
            outcome("b", .withdrawn, 1_000_000_000, at: 5), outcome("", .stated, 5, at: 6),
            outcome("", .stated, 6, at: 7),
        ]
        var labelled = OutcomeEntry()
        labelled.key = Array("d".utf8)
        labelled.join = Array("customer=c1".utf8)
        block.outcomes.append(labelled)
        try database.apply([block])
        let reader = try Reader(folder.ledger)
        #expect(
            try reader.rows("SELECT coalesce(key,'none'),state,revision,value_nanos FROM v_outcomes WHERE session IS NOT NULL ORDER BY at")
                == [["a", "verified", "2", "3100000000"], ["c", "stated", "1", "-"], ["b", "withdrawn", "2", "1000000000"],
                    ["none", "stated", "1", "5"], ["none", "stated", "1", "6"]])
        let ofLabel = load.steps.values.filter { step in
            load.sessions[step.session]!.labels.contains { $0.key == Array("customer".utf8) && $0.value == Array("c1".utf8) }
        }.map(\.cost).reduce(0, +)
        #expect(try reader.int("SELECT coalesce(cost_nanos,0) FROM v_outcomes WHERE label_key='customer'") == ofLabel)
        let path = String(decoding: load.sessions[session]!.path, as: UTF8.self)
        let cost = load.steps.values.filter {
            "\(String(decoding: load.sessions[$0.session]!.path, as: UTF8.self))/".hasPrefix("\(path)/")
        }.map(\.cost).reduce(0, +)
        let row = try reader.rows(
            "SELECT outcomes-(SELECT count(*) FROM v_outcomes WHERE label_key IS NOT NULL AND workflow||'/' LIKE '\(path)/%'),verified,cost_nanos,value_nanos,net_value_nanos,cost_per_verified_nanos FROM v_workflow_value WHERE workflow='\(path)'")
        #expect(row == [["4", "1", "\(cost)", "3100000011", "\(3_100_000_011 - cost)", "\(cost)"]])
    }

    @Test(arguments: [31, 32, 33] as [UInt64])
    func compactionChangesNoTotalOfAnyView(seed: UInt64) throws {
        // A year, in steps that are hours apart.
        var load = LedgerLoad(seed: seed, pace: 2_000_000_000_000)
        let database = try Database(folder.ledger)
        for _ in 0..<40 {
            var block = load.block(steps: 200)
            var event = Event(type: .threshold)
            event.unixNanos = load.now
            event.sequence = load.batch
            event.text = Array("x".utf8)
            block.events = [event]
            try database.apply([block])
        }
        // As busy as it gets within one hour, too.
        load.pace = 5_000_000
        try database.apply(load.blocks(4, steps: 500))
        let reader = try Reader(folder.ledger)
        let before = try reports(reader)
        let rows = try reader.int("SELECT count(*) FROM steps")
        let middle = load.segment + (load.now - load.segment) / 3
        while try database.compactSome(before: middle) {}
        let less = rows - (try reader.int("SELECT count(*) FROM steps"))
        let isSame = try reports(reader) == before
        #expect(isSame)
        #expect(try database.connection.verify().isEmpty)
        // Hours that take several transactions, and are gone through again.
        database.slice = 100
        while try database.compactSome(before: load.now + 2 * Database.hour) {}
        let after = try reports(reader)
        for (name, rows) in before {
            let isSame = after[name] == rows
            #expect(isSame, "\(name)")
        }
        let last = rows - (try reader.int("SELECT count(*) FROM steps"))
        #expect(less > 0 && last > less)
        #expect(try database.connection.verify().isEmpty)
        try database.apply(load.blocks(3))
        #expect(try database.connection.verify().isEmpty)
        #expect(try reader.int("SELECT sum(cost_nanos) FROM v_steps") == load.steps.values.map(\.cost).reduce(0, +))
        #expect(try reader.int("SELECT sum(count) FROM v_steps") == Int64(load.steps.count))
        // What may yet be corrected stayed.
        #expect(try reader.int("SELECT count(*) FROM steps WHERE flags&1") == 3)
    }

    // MARK: - Reading

    @Test func aReaderReadsAndDoesNothingElse() throws {
        var load = LedgerLoad(seed: 41)
        let database = try Database(folder.ledger)
        try database.apply([load.block()])
        let reader = try Reader(folder.ledger)
        for sql in [
            "DELETE FROM steps", "INSERT INTO segments VALUES(1,1)", "UPDATE steps SET cost_nanos=0", "DROP TABLE steps",
            "ATTACH '\(folder.path)/x.db' AS x", "VACUUM INTO '\(folder.path)/x.db'", "PRAGMA query_only=0",
            "PRAGMA journal_mode=DELETE", "PRAGMA writable_schema=1", "BEGIN IMMEDIATE", "SAVEPOINT a",
            "CREATE TEMP TABLE t(a)", "CREATE TABLE t(a)", "SELECT load_extension('x')", "SELECT 1; DELETE FROM steps",
            "REINDEX", "ANALYZE", "", "  -- nothing", "SELECT", "SELEC 1", "SELECT 1\0", "SELECT nothing FROM steps",
            "WITH RECURSIVE n(i) AS (SELECT 1) INSERT INTO segments SELECT i,i FROM n",
        ] {
            let answer = status {
                let cursor = try reader.query(Array(sql.utf8))
                while try cursor.next() {}
            }
            #expect(answer == .query, "\(sql)")
        }
        #expect(try database.connection.verify().isEmpty)
        #expect(try reader.rows("SELECT 1 ; -- one ;") == [["1"]])
        let cursor = try reader.query(Array("SELECT 1 a, 'x' b, NULL c, 1.5 d, x'00ff' e".utf8))
        #expect(cursor.columns == 5 && cursor.name(1) == Array("b".utf8))
        #expect(try cursor.next())
        if case .blob(let bytes) = cursor.value(4) { #expect(bytes == [0, 255]) } else { Issue.record("no blob") }
        if case .null = cursor.value(9) {} else { Issue.record("a column that is not there") }
        for _ in 0..<2 { #expect(try cursor.next() == false) }
    }

    @Test func aQueryThatNeverEndsIsEnded() throws {
        _ = try Database(folder.ledger)
        let reader = try Reader(folder.ledger)
        let endless = Array("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT sum(i) FROM n".utf8)
        #expect(status { _ = try reader.query(endless, patience: 20_000_000).next() } == .query)
        #expect(try reader.rows("SELECT 1") == [["1"]])
        #expect(status { while try reader.query(Array("SELECT zeroblob(1000000000)".utf8)).next() {} } == .query)
    }

    @Test func aReaderSeesOneMomentWhileTheWriterGoesOn() throws {
        var load = LedgerLoad(seed: 42)
        let database = try Database(folder.ledger)
        try database.apply([load.block()])
        let reader = try Reader(folder.ledger)
        let cursor = try reader.query(Array("SELECT id FROM steps".utf8))
        #expect(try cursor.next())
        try database.apply(load.blocks(3))
        var rows = 1
        while try cursor.next() { rows += 1 }
        #expect(rows == 200)
        #expect(try reader.int("SELECT count(*) FROM steps") == 800)
    }

    @Test func hostileTextsStayTexts() throws {
        let texts: [[UInt8]] = [
            Array("'); DROP TABLE steps; --".utf8), Array("a\"b'c`d/\\%_".utf8), [0xFF, 0xFE, 0x80], [0xED, 0xA0, 0x80],
            [0x41, 0x00, 0x42], Array("=cmd|' /C calc'!A0".utf8), Array("\u{202E}\u{0007}é€😀".utf8),
            [UInt8](repeating: 0x78, count: 100_000), [0xC2], [0xF4, 0x90, 0x80, 0x80], [0xE0, 0x80, 0x80], Array(" ".utf8),
        ]
        let database = try Database(folder.ledger)
        var block = LedgerBlock(segment: 1, batch: 1)
        for (k, text) in texts.enumerated() {
            block.names.append(NameEntry(kind: .model, number: Int64(k + 1), name: text))
            var budget = NodeEntry()
            budget.id = Int64(1000 + k)
            budget.path = text
            budget.owner = text
            budget.purpose = text
            var node = NodeEntry()
            node.kind = .session
            node.id = Int64(k + 1)
            node.parent = budget.id
            node.agent = text
            node.labels = [(text, text), (Array("customer".utf8), text)]
            block.nodes += [budget, node]
            var step = StepEntry(handle: Int64(k), session: node.id, settled: 4_000_000)
            step.granted = UInt32(k + 1)
            step.cost = 1
            block.steps.append(step)
            block.spent.append(SpentEntry(budget: budget.id, meter: 0, change: 1))
            block.spent.append(SpentEntry(budget: budget.id, meter: 5, change: 1))
            var state = BudgetStateEntry()
            state.id = budget.id
            state.limitText = text
            state.who = text
            block.states.append(state)
            var event = Event(type: .threshold)
            event.id = budget.id
            event.sequence = 1
            (event.path, event.text, event.actor) = (text, text, text)
            block.events.append(event)
            var outcome = OutcomeEntry()
            outcome.key = text
            outcome.name = text
            outcome.join = text
            block.outcomes.append(outcome)
        }
        try database.apply([block])
        #expect(try database.connection.verify().isEmpty)
        let reader = try Reader(folder.ledger)
        #expect(try reader.int("SELECT sum(cost_nanos) FROM v_steps") == Int64(texts.count))
        for row in try reader.rows("SELECT model,workflow,agent,customer FROM v_steps") {
            #expect(Set(row).count == 1 && !row[0].contains("\0") && !row[0].contains("\u{FFFD}"))
        }
        #expect(try reader.rows("SELECT model FROM v_steps WHERE handle=0") == [["'); DROP TABLE steps; --"]])
        #expect(try reader.rows("SELECT model FROM v_steps WHERE handle=2") == [["???"]])
        #expect(try reader.rows("SELECT model FROM v_steps WHERE handle=6") == [["\u{202E}\u{0007}é€😀"]])
    }

    @Test func amountsBeyondAllBoundsAreHeldAtTheLargest() throws {
        let database = try Database(folder.ledger)
        var block = LedgerBlock(segment: 1, batch: 1)
        var budget = NodeEntry()
        budget.id = 1
        block.nodes = [budget]
        for k in 0..<4 {
            var step = StepEntry(handle: Int64(k), session: 5, settled: .max - Int64(k))
            step.cost = .max / 2
            step.started = .min + 1
            block.steps.append(step)
            block.spent.append(SpentEntry(budget: 1, meter: 0, change: .max / 2))
        }
        block.steps.append(StepEntry(handle: 9, session: 5, settled: .min))
        try database.apply([block])
        let reader = try Reader(folder.ledger)
        #expect(try reader.int("SELECT spent FROM v_meters") == .max)
        #expect(try reader.int("SELECT direct_cost_nanos FROM v_sessions") == .max)
        #expect(try reader.int("SELECT count(*) FROM v_steps") == 5)
    }

    // MARK: - After a reboot

    @Test func budgetsComeBackWithTheirStatesAndWhatTheySpent() throws {
        var load = LedgerLoad(seed: 51)
        let database = try Database(folder.ledger)
        var block = load.block()
        let acme = block.nodes.first { $0.path == Array("acme".utf8) }!
        let spent = block.spent.first { $0.budget == acme.id && $0.meter == 4 }!.change
        var state = BudgetStateEntry()
        state.id = acme.id
        state.limitText = Array("$5/day, 100k fresh_tokens/5h".utf8)
        state.state = StateBit.killed
        state.stateReason = 3
        state.who = Array("uid 7".utf8)
        state.why = Array("runaway".utf8)
        state.when = 99
        state.flags = 2
        state.topRungs = 0x0302
        // The cell of the second limit is younger than the budget: it has counted 10.
        state.limits = [
            .init(text: Array("$5/day".utf8), meter: 0, windowStart: 77, base: 1, extra: 5, fired: 3),
            .init(text: Array("100k fresh_tokens/5h".utf8), meter: 4, windowStart: 12, spent: 10, base: 4, ring: [1, 2, -3]),
        ]
        state.limits[0].spent = block.spent.first { $0.budget == acme.id && $0.meter == 0 }!.change
        state.topUps = [.init(limit: 0, amount: 5, ends: 1234)]
        block.states = [state]
        try database.apply([block])
        // Said again, it replaces; nothing doubles.
        var again = load.block(steps: 0)
        again.corrections = []
        again.spent = []
        again.states = [state]
        again.states[0].limits[1].spent = 10
        try database.apply([again])
        let durable = try database.connection.durableState()
        #expect(durable.budgets.map(\.path).first == [] && durable.budgets.count == LedgerLoad.paths.count)
        for (k, node) in durable.budgets.enumerated() where !node.path.isEmpty {
            #expect(durable.budgets[..<k].contains { $0.id == node.parent })
        }
        let key = durable.budgets.first { $0.path == acme.path }!
        #expect(key.owner == Array("ada".utf8))
        let back = durable.states.first { $0.id == key.id }!
        #expect(back.limitText == state.limitText && back.state == StateBit.killed && back.why == state.why)
        #expect(back.who == state.who && back.when == 99 && back.flags == 2 && back.topRungs == 0x0302)
        #expect(back.limits.count == 2 && back.limits[0].base == 1 && back.limits[0].extra == 5 && back.limits[0].fired == 3)
        // Counted from the ledger's total, as much is in the window as before.
        let limit = back.limits[1]
        #expect(limit.spent == spent && limit.spent - limit.base == 10 - 4 && limit.windowStart == 12)
        #expect(limit.ring == [1, 2, -3].map { $0 + spent - 10 })
        #expect(back.topUps.count == 1 && back.topUps[0].ends == 1234)
        #expect(durable.meters.map { String(decoding: $0.name, as: UTF8.self) } == ["credits", "calls(search)"])
        let sums = durable.spent.filter { $0.budget == key.id }
        #expect(sums.first { $0.meter == 4 }?.change == spent)
        // Sessions of segments that are gone are closed, once.
        #expect(try database.closeSessions(except: load.segment, at: 5, reason: []) == 0)
        #expect(try database.closeSessions(except: 1, at: 5, reason: Array("reboot".utf8)) == Int64(load.sessions.count))
        #expect(try database.closeSessions(except: 1, at: 6, reason: []) == 0)
    }
}
