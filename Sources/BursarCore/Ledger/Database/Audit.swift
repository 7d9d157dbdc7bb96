// The ledger's totals, computed again from its rows.

/// A total that is not the sum of its rows.
struct LedgerDifference {
    /// A budget's path, or "session" and its key; what SQLite says of a broken file.
    var name: [UInt8]
    var meter: [UInt8]
    var stored: Int64
    var computed: Int64
}

extension Connection {
    /// Compares what budgets and sessions are said to have spent, meter by meter, with the
    /// steps below them. At most a hundred differences. Complexity: O(steps).
    func verify() throws(Failure) -> [LedgerDifference] {
        var found: [LedgerDifference] = []
        try each("PRAGMA quick_check(10)") { row throws(Failure) in
            let text = row.value(0).bytes
            if text != [0x6F, 0x6B] {
                found.append(LedgerDifference(name: text, meter: [], stored: 0, computed: 0))
            }
        }
        for sql in [budgets, sessions] {
            try each(sql) { row throws(Failure) in
                found.append(
                    LedgerDifference(
                        name: row.value(0).bytes, meter: row.value(1).bytes, stored: row.int(2),
                        computed: row.int(3)))
            }
        }
        return found
    }

    private var budgets: StaticString {
        """
        WITH RECURSIVE up(budget,above) AS (SELECT id,id FROM budgets UNION ALL
          SELECT u.budget,b.parent FROM up u JOIN budgets b ON b.id=u.above WHERE b.parent IS NOT NULL),
        t AS MATERIALIZED (SELECT s.budget, t.meter, t.call_meter, sum(t.cost_nanos) cost,
          sum(t.input_tokens) i, sum(t.output_tokens) o, sum(t.cache_read_input_tokens) c,
          sum(t.steps) steps, sum(t.tool_calls) calls, sum(t.units) units
          FROM steps t JOIN sessions s ON s.id=t.session GROUP BY 1,2,3),
        both(budget,meter,stored,computed) AS (SELECT budget,meter,amount,0 FROM spent UNION ALL
          SELECT u.above, m.column1, 0, CASE m.column1 WHEN 0 THEN cost WHEN 1 THEN i+o WHEN 2 THEN i
            WHEN 3 THEN o WHEN 4 THEN i+o-c WHEN 5 THEN steps ELSE calls END
            FROM t JOIN up u ON u.budget=t.budget, (VALUES(0),(1),(2),(3),(4),(5),(6)) m UNION ALL
          SELECT u.above, t.meter, 0, units FROM t JOIN up u ON u.budget=t.budget
            WHERE t.meter IS NOT NULL UNION ALL
          SELECT u.above, call_meter, 0, calls FROM t JOIN up u ON u.budget=t.budget
            WHERE call_meter IS NOT NULL)
        SELECT b.path, n.name, sum(stored), sum(computed) FROM both
          LEFT JOIN budgets b ON b.id=both.budget LEFT JOIN names n ON n.id=both.meter
          GROUP BY both.budget, both.meter HAVING sum(stored)<>sum(computed) LIMIT 100
        """
    }

    private var sessions: StaticString {
        """
        SELECT 'session '||s.id, n.name, CASE n.id WHEN 0 THEN s.cost_nanos WHEN 2 THEN s.input_tokens
          WHEN 3 THEN s.output_tokens WHEN 5 THEN s.steps ELSE s.tool_calls END stored,
          CASE n.id WHEN 0 THEN cost WHEN 2 THEN i WHEN 3 THEN o WHEN 5 THEN st ELSE calls END computed
          FROM sessions s LEFT JOIN (SELECT session, sum(cost_nanos) cost, sum(input_tokens) i,
            sum(output_tokens) o, sum(steps) st, sum(tool_calls) calls FROM steps GROUP BY 1) t
            ON t.session=s.id
          JOIN names n ON n.id IN (0,2,3,5,6) WHERE stored<>coalesce(computed,0) LIMIT 100
        """
    }
}

extension Connection {
    /// Runs a text that is prepared for it, row by row.
    func each(
        _ sql: StaticString, _ body: (Statement) throws(Failure) -> Void
    ) throws(Failure) {
        let statement = try prepare(sql)
        defer { statement.end() }
        while try statement.step() { try body(statement) }
    }
}
