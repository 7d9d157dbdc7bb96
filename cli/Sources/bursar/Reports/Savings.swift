// report --savings: what downgrades saved (taken), and what routine steps would have cost on
// the cheapest other model of their workflow (not taken).

struct Savings {
    let home: Home
    let dimensions: [Dimension]
    let selection: Selection
    let period: Period
    let rungs: [String]
    let book: Book

    private struct Line {
        var steps: Int64 = 0
        var cost: Int64 = 0
        var other: [String: Int64] = [:]
    }

    func show(_ output: OutputOptions) throws {
        let filter = selection.filter(period)
        let count = dimensions.count
        var rows: [[Cell]] = []
        var totals: [Int64] = [0, 0]
        try home.ask(
            """
            SELECT \(dimensions.selected)model_asked, model, sum(steps), sum(cost_nanos), sum(asked_cost_nanos), \
            sum(saved_nanos) FROM v_steps v WHERE model_asked <> model AND \(filter.0) \
            GROUP BY \((1...count + 2).map(String.init).joined(separator: ", ")) ORDER BY \(count + 6) DESC, 1, 2
            """, dimensions.parameters + filter.1
        ) { row in
            totals[0] = try sum(totals[0], row.int(count + 5))
            rows.append(
                [.text("taken")] + row.key(count + 2).map(\.cell) + [
                    .count(row.int(count + 2)), .money(row.int(count + 3)),
                    .money(row.int(count + 4)),
                    .money(row.int(count + 5)),
                ])
        }

        // Routine steps, each at the price of the other models.
        let others = try candidates()
        var lines: [[Value]: Line] = [:]
        var routine: Int64 = 0
        var unpriced = Set<String>()
        try home.ask(
            """
            SELECT \(dimensions.selected)model, workflow, variant, count, steps, cost_nanos, extra_nanos, \(Usage.columns) \
            FROM v_steps v WHERE complexity = 'routine' AND model IS NOT NULL AND \(filter.0)
            """, dimensions.parameters + filter.1
        ) { row in
            let key = row.key(count + 1)
            let model = row.text(count) ?? ""
            routine += row.int(count + 4)
            var line = lines[key] ?? Line()
            line.steps += row.int(count + 4)
            line.cost = try sum(line.cost, row.int(count + 5))
            // What compaction added up is taken at its average.
            let rows = max(1, row.int(count + 3))
            let usage = Usage(row, at: count + 7).divided(by: rows)
            for other in (rungs.isEmpty ? others[row.text(count + 1) ?? ""] ?? [] : rungs)
            where other != model {
                guard let each = try book.quote(other, Book.variant(row.text(count + 2)), usage)
                else {
                    unpriced.insert(other)
                    continue
                }
                let cost = Int64(clamping: Int128(each) * Int128(rows) + Int128(row.int(count + 6)))
                // A model that has a price for some of the steps has one for all: the price is the model's.
                line.other[other] = try sum(line.other[other] ?? 0, cost)
            }
            lines[key] = line
        }
        var missed: [(key: [Value], line: Line, model: String, other: Int64)] = []
        for (key, line) in lines {
            guard let best = line.other.min(by: { ($0.value, $0.key) < ($1.value, $1.key) }),
                best.value < line.cost
            else { continue }
            missed.append((key, line, best.key, best.value))
        }
        missed.sort {
            let (a, b) = ($0.line.cost - $0.other, $1.line.cost - $1.other)
            return a != b ? a > b : precedes($0.key, $1.key)
        }
        for (key, line, model, other) in missed {
            totals[1] = try sum(totals[1], line.cost - other)
            rows.append(
                [.text("not taken")] + key.map(\.cell) + [
                    .text(model), .count(line.steps), .money(line.cost), .money(other),
                    .money(line.cost - other),
                ])
        }
        let columns =
            [Column("saving", "SAVING")] + dimensions.columns + [
                Column("from_model", "FROM"), Column("to_model", "TO"), Column("steps", "STEPS"),
                Column("cost_nanos", "COST"), Column("other_cost_nanos", "ON THE OTHER"),
                Column("saved_nanos", "SAVED"),
            ]
        if !output.isForPeople || !rows.isEmpty { bursar.show(columns, rows, output) }
        guard output.isForPeople else { return }
        say(rows.isEmpty ? "No saving was taken \(period.phrase)." : "")
        say(
            "Taken by downgrades: \(money(totals[0])). Not taken on routine steps: \(money(totals[1]))."
        )
        if routine == 0 {
            say(
                "No step is known to be routine: a session, a step or a budget says so (complexity)."
            )
        }
        if !unpriced.isEmpty {
            say(
                "No price is known for \(unpriced.sorted().map(\.visible).joined(separator: ", ")): see --prices."
            )
        }
    }

    /// The models that each workflow ever asked for or was granted.
    private func candidates() throws -> [String: [String]] {
        var found: [String: [String]] = [:]
        try home.ask(
            "SELECT workflow, model_asked FROM v_steps WHERE model_asked IS NOT NULL UNION "
                + "SELECT workflow, model FROM v_steps WHERE model IS NOT NULL"
        ) { row in
            found[row.text(0) ?? "", default: []].append(row.text(1) ?? "")
        }
        return found
    }
}

extension Usage {
    fileprivate func divided(by count: Int64) -> Usage {
        if count == 1 { return self }
        var usage = self
        usage.input /= count
        usage.output /= count
        usage.cacheRead = min(usage.cacheRead / count, usage.input)
        usage.cacheWrite = min(usage.cacheWrite / count, usage.input - usage.cacheRead)
        usage.cacheWrite1h = min(usage.cacheWrite1h / count, usage.cacheWrite)
        usage.reasoning = min(usage.reasoning / count, usage.output)
        usage.audioInput = min(usage.audioInput / count, usage.input)
        usage.cacheReadAudio = min(usage.cacheReadAudio / count, usage.cacheRead, usage.audioInput)
        usage.audioOutput = min(usage.audioOutput / count, usage.output - usage.reasoning)
        usage.imageInput = min(usage.imageInput / count, usage.input - usage.audioInput)
        usage.imageOutput = min(
            usage.imageOutput / count, usage.output - usage.reasoning - usage.audioOutput)
        return usage
    }
}
