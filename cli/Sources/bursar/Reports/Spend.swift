// report --by: what was spent, by any dimensions, and per outcome, day or session.

struct Spend {
    enum Unit: String, CaseIterable { case outcome, day, session }

    let home: Home
    let dimensions: [Dimension]
    let selection: Selection
    let period: Period

    func show(per unit: Unit?, _ output: OutputOptions) throws {
        let filter = selection.filter(period)
        let per =
            switch unit {
            case .day: "count(DISTINCT day)"
            case .session: "count(DISTINCT session)"
            default: "0"
            }
        // Of an outcome first: it is refused before the ledger is read.
        let credited =
            unit == .outcome ? try outcomes(home, by: dimensions, selection, period) : [:]
        let amounts =
            "sum(cost_nanos), sum(steps), sum(tool_calls), sum(tokens), sum(saved_nanos), \(per)"
        var found: [(key: [Value], amounts: [Int64])] = []
        let count = dimensions.count
        try home.ask(
            "SELECT \(dimensions.selected)\(amounts) FROM v_steps v WHERE \(filter.0)\(dimensions.grouped)",
            dimensions.parameters + filter.1
        ) { row in
            found.append((row.key(count), (0..<6).map { row.int(count + $0) }))
        }
        if unit == .outcome {
            var rest = credited
            for k in found.indices {
                found[k].amounts[5] = rest.removeValue(forKey: found[k].key)?.outcomes ?? 0
            }
            // Outcomes of what spent nothing.
            for (key, sums) in rest { found.append((key, [0, 0, 0, 0, 0, sums.outcomes])) }
        }
        found.sort {
            $0.amounts[0] != $1.amounts[0]
                ? $0.amounts[0] > $1.amounts[0] : precedes($0.key, $1.key)
        }

        var total = [Int64](repeating: 0, count: 6)
        for row in found { for k in total.indices { total[k] = try sum(total[k], row.amounts[k]) } }
        if unit == .day || unit == .session {
            try home.ask("SELECT \(per) FROM v_steps v WHERE \(filter.0)", filter.1) {
                total[5] = $0.int(0)
            }
        }
        var columns =
            dimensions.columns + [
                Column("cost_nanos", "COST"), Column("share", "SHARE"), Column("steps", "STEPS"),
                Column("tool_calls", "CALLS"), Column("tokens", "TOKENS"),
                Column("saved_nanos", "SAVED"),
            ]
        if let unit {
            columns += [
                Column(unit.rawValue + "s", unit.rawValue.uppercased() + "S"),
                Column("cost_per_\(unit.rawValue)_nanos", "EACH"),
            ]
        }
        func cells(_ key: [Cell], _ amounts: [Int64]) -> [Cell] {
            let share = total[0] > 0 ? Cell.share(Double(amounts[0]) / Double(total[0])) : .none
            let cells: [Cell] =
                key + [
                    .money(amounts[0]), share, .count(amounts[1]), .count(amounts[2]),
                    .count(amounts[3]),
                    .money(amounts[4]),
                ]
            if unit == nil { return cells }
            let each = amounts[5] > 0 ? Cell.money(scaled(amounts[0], 1, amounts[5])) : .none
            return cells + [.count(amounts[5]), each]
        }
        if found.isEmpty, output.isForPeople {
            say(
                "Nothing was spent\(selection.path.map { " at \($0.visible)" } ?? "") \(period.phrase)."
            )
            return
        }
        let names = dimensions.indices.map { $0 == 0 ? Cell.text("all") : .text(" ") }
        bursar.show(
            columns, found.map { cells($0.key.map(\.cell), $0.amounts) },
            foot: dimensions.isEmpty ? nil : cells(names, total), output)
    }
}
