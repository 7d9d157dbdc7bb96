// report --margin: the value of outcomes, less rework and what all sessions cost.

struct Margin {
    let home: Home
    let dimensions: [Dimension]
    let selection: Selection
    let period: Period

    func show(_ output: OutputOptions) throws {
        var values = try outcomes(home, by: dimensions, selection, period)
        let filter = selection.filter(period)
        var found: [(key: [Value], cost: Int64, sums: OutcomeSums)] = []
        try home.ask(
            "SELECT \(dimensions.selected)sum(cost_nanos) FROM v_steps v WHERE \(filter.0)\(dimensions.grouped)",
            dimensions.parameters + filter.1
        ) { row in
            let key = row.key(dimensions.count)
            found.append(
                (key, row.int(dimensions.count), values.removeValue(forKey: key) ?? OutcomeSums()))
        }
        for (key, sums) in values { found.append((key, 0, sums)) }
        func margin(_ cost: Int64, _ sums: OutcomeSums) -> Int64 {
            Int64(clamping: Int128(sums.value) - Int128(sums.rework) - Int128(cost))
        }
        found.sort {
            let (a, b) = (margin($0.cost, $0.sums), margin($1.cost, $1.sums))
            return a != b ? a > b : precedes($0.key, $1.key)
        }
        var cost: Int64 = 0
        var total = OutcomeSums()
        for row in found {
            cost = try sum(cost, row.cost)
            total.outcomes += row.sums.outcomes
            total.verified += row.sums.verified
            total.unvalued += row.sums.unvalued
            total.value = try sum(total.value, row.sums.value)
            total.rework = try sum(total.rework, row.sums.rework)
        }
        let columns =
            dimensions.columns + [
                Column("outcomes", "OUTCOMES"), Column("verified", "VERIFIED"),
                Column("unvalued", "NO VALUE"),
                Column("value_nanos", "VALUE"), Column("rework_nanos", "REWORK"),
                Column("cost_nanos", "COST"),
                Column("margin_nanos", "MARGIN"), Column("margin_share", "OF VALUE"),
            ]
        func cells(_ key: [Cell], _ cost: Int64, _ sums: OutcomeSums) -> [Cell] {
            // Outcomes that all have no value are worth something unknown; no outcomes are worth nothing.
            let isUnknown = sums.outcomes > 0 && sums.unvalued == sums.outcomes
            let left = margin(cost, sums)
            return key + [
                .count(sums.outcomes), .count(sums.verified), .count(sums.unvalued),
                isUnknown ? .none : .money(sums.value), .money(sums.rework), .money(cost),
                isUnknown ? .none : .money(left),
                sums.value > 0 ? .share(Double(left) / Double(sums.value)) : .none,
            ]
        }
        if found.isEmpty, output.isForPeople {
            say("Nothing was spent and no outcome was stated \(period.phrase).")
            return
        }
        let names = dimensions.indices.map { $0 == 0 ? Cell.text("all") : .text(" ") }
        bursar.show(
            columns, found.map { cells($0.key.map(\.cell), $0.cost, $0.sums) },
            foot: dimensions.isEmpty ? nil : cells(names, cost, total), output)
        if output.isForPeople, total.unvalued > 0 {
            say(
                "\(total.unvalued) of \(total.outcomes) outcomes have no known value, which is not counted as 0 dollars."
            )
        }
    }
}
