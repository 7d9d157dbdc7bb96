// report --waste: what was spent for nothing, as far as the ledger can tell. Kinds overlap: a
// retry in a session that brought nothing is in both. They are not added up.
//
//   retries       tries after the first that cost something
//   halted        sessions that a limit, a deadline or a kill stopped, and that brought no outcome; the
//                 ledger does not know whether they had answered
//   no outcome    sessions that no outcome is credited to: neither they, nor their top session or
//                 its others, nor their workflow, nor a label
//   cache misses  at most: input of the step before, in the same session on the same model, that was
//                 not read from the cache, less what reading it would have cost. Only where
//                 both had 1,024 tokens in common, which providers want before they keep any
//   refused       asked for and refused: nothing was spent

import CBursar

struct Waste {
    let home: Home
    let dimensions: [Dimension]
    let selection: Selection
    let period: Period
    let book: Book

    static let least: Int64 = 1024

    private struct Line {
        let kind: String
        let key: [Value]
        var steps: Int64 = 0
        var tokens: Int64?
        var cost: Int64 = 0
    }

    func show(_ output: OutputOptions) throws {
        let filter = selection.filter(period)
        let count = dimensions.count
        var lines: [Line] = []
        var total: Int64 = 0
        try home.ask("SELECT sum(cost_nanos) FROM v_steps WHERE \(filter.0)", filter.1) {
            total = $0.int(0)
        }
        try home.ask(
            "SELECT \(dimensions.selected)sum(steps + tool_calls), sum(cost_nanos) FROM v_steps v "
                + "WHERE attempt > 0 AND \(filter.0)\(dimensions.grouped)",
            dimensions.parameters + filter.1
        ) { row in
            if row.int(count) == 0, row.int(count + 1) == 0 { return }
            lines.append(
                Line(
                    kind: "retries", key: row.key(count), steps: row.int(count),
                    cost: row.int(count + 1)))
        }
        lines += try fruitless(filter)
        lines += try cacheMisses(filter)
        let order = ["retries", "halted", "no outcome", "cache misses"]
        lines.sort {
            if $0.kind != $1.kind {
                return order.firstIndex(of: $0.kind)! < order.firstIndex(of: $1.kind)!
            }
            return $0.cost != $1.cost ? $0.cost > $1.cost : precedes($0.key, $1.key)
        }
        // Refusals are counted where budgets are, for the life of the home's memory.
        if count == 0, period.from == .min, period.to == .max {
            var refusals: Int64 = 0
            if let path = selection.path {
                refusals = (try? home.read(home.find(path)).refusals) ?? 0
            } else {
                var health = bursar_health_t()
                health.size = UInt32(MemoryLayout<bursar_health_t>.size)
                if bursar_health(home.runtime, &health) == BURSAR_OK { refusals = health.refusals }
            }
            if refusals > 0 { lines.append(Line(kind: "refused", key: [], steps: refusals)) }
        }
        let columns =
            [Column("waste", "WASTE")] + dimensions.columns + [
                Column("steps", "STEPS"), Column("tokens", "TOKENS"), Column("cost_nanos", "COST"),
                Column("share", "OF ALL"),
            ]
        if lines.isEmpty, output.isForPeople {
            say("No waste was found \(period.phrase).")
            return
        }
        bursar.show(
            columns,
            lines.map { line in
                [.text(line.kind)] + line.key.map(\.cell) + [
                    .count(line.steps), line.tokens.map { .count($0) } ?? .none, .money(line.cost),
                    total > 0 ? .share(Double(line.cost) / Double(total)) : .none,
                ]
            }, output)
        if output.isForPeople {
            say(
                "Of \(money(total)). Kinds overlap, so they are not added up; cache misses are an upper bound."
            )
        }
    }

    /// Sessions that no outcome is credited to, and those of them that were stopped.
    private func fruitless(_ filter: (String, [Value])) throws -> [Line] {
        var labels = Set<[String]>()
        var workflows: [String] = []
        var credited = Set<Int64>()
        try home.ask(
            "SELECT DISTINCT session, workflow, label_key, label_value FROM v_outcomes WHERE counts"
        ) { row in
            if let session = row.maybeInt(0) {
                credited.insert(session)
            } else if let key = row.text(2) {
                labels.insert([key, row.text(3) ?? ""])
            } else if let path = row.text(1) {
                workflows.append(path)
            }
        }
        var sets = Set<Int64>()
        if !labels.isEmpty {
            try home.ask("SELECT label_set, key, value FROM labels") { row in
                if labels.contains([row.text(1) ?? "", row.text(2) ?? ""]) {
                    sets.insert(row.int(0))
                }
            }
        }
        // A session that a limit refused; or whatever was open where somebody or a clock stopped a budget.
        var stopped = Set<Int64>()
        var stops: [(path: String, at: Int64)] = []
        try home.ask(
            "SELECT session, path, at FROM v_events WHERE type IN ('halt', 'kill', 'deadline', 'idle')"
        ) { row in
            if let session = row.maybeInt(0) {
                stopped.insert(session)
            } else {
                stops.append((row.text(1) ?? "", row.int(2)))
            }
        }
        func isWithin(_ path: String, _ top: String) -> Bool {
            top.isEmpty || path == top || path.hasPrefix(top + "/")
        }
        var top: [Int64: Int64] = [:]
        var good = Set<Int64>()
        var halted = Set<Int64>()
        try home.ask(
            "SELECT session, parent_session, workflow, label_set, opened_at, closed_at FROM v_sessions ORDER BY session"
        ) { row in
            let session = row.int(0)
            let path = row.text(2) ?? ""
            let first = row.maybeInt(1).map { top[$0] ?? $0 } ?? session
            top[session] = first
            if credited.contains(session) || row.maybeInt(3).map(sets.contains) ?? false
                || workflows.contains(where: { isWithin(path, $0) })
            {
                good.insert(first)
            }
            let life = row.int(4)...max(row.int(4), row.maybeInt(5) ?? .max)
            if stopped.contains(session)
                || stops.contains(where: { life.contains($0.at) && isWithin(path, $0.path) })
            {
                halted.insert(first)
            }
        }
        var sums: [[Value]: [Line]] = [:]
        let count = dimensions.count
        try home.ask(
            "SELECT \(dimensions.selected)session, sum(steps + tool_calls), sum(cost_nanos) FROM v_steps v WHERE \(filter.0) "
                + "GROUP BY \((1...count + 1).map(String.init).joined(separator: ", "))",
            dimensions.parameters + filter.1
        ) { row in
            let first = top[row.int(count)] ?? row.int(count)
            if good.contains(first) { return }
            let key = row.key(count)
            var pair =
                sums[key] ?? [Line(kind: "no outcome", key: key), Line(kind: "halted", key: key)]
            for k in halted.contains(first) ? [0, 1] : [0] {
                pair[k].steps += row.int(count + 1)
                pair[k].cost = try sum(pair[k].cost, row.int(count + 2))
            }
            sums[key] = pair
        }
        return sums.values.flatMap { $0.filter { $0.steps > 0 || $0.cost > 0 } }
    }

    private func cacheMisses(_ filter: (String, [Value])) throws -> [Line] {
        let count = dimensions.count
        var lines: [[Value]: (steps: Int64, tokens: Int64, picos: Int128)] = [:]
        var before: (session: Int64, model: String, input: Int64)?
        var prices: [String: Price?] = [:]
        try home.ask(
            """
            SELECT \(dimensions.selected)session, model, variant, input_tokens, cache_read_input_tokens FROM v_steps v \
            WHERE model IS NOT NULL AND count = 1 AND input_tokens > 0 AND \(filter.0) \
            ORDER BY session, model, settled_at
            """, dimensions.parameters + filter.1
        ) { row in
            let session = row.int(count)
            let model = row.text(count + 1) ?? ""
            let input = row.int(count + 3)
            defer { before = (session, model, input) }
            guard let last = before, last.session == session, last.model == model else { return }
            let common = min(last.input, input)
            let missed = common - row.int(count + 4)
            guard common >= Waste.least, missed > 0 else { return }
            let variant = row.text(count + 2) ?? "standard"
            let name = variant + " " + model
            if prices[name] == nil {
                prices[name] = .some(try book.price(model, Book.variant(variant)))
            }
            guard let price = prices[name] ?? nil else { return }
            let each =
                price.picos[TokenClass.input.rawValue] - price.picos[TokenClass.cacheRead.rawValue]
            guard each > 0 else { return }
            let key = row.key(count)
            var line = lines[key] ?? (0, 0, 0)
            line = (
                line.steps + 1, try sum(line.tokens, missed),
                line.picos + Int128(missed) * Int128(each)
            )
            lines[key] = line
        }
        return lines.map { key, line in
            Line(
                kind: "cache misses", key: key, steps: line.steps, tokens: line.tokens,
                cost: divided(line.picos, by: 1000))
        }
    }
}
