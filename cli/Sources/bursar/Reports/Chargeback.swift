// report --chargeback: a month's invoice by cost centre, to the nano-dollar.
//
// A line for each cost centre; `shared` is what those spent that serve everybody, `unallocated`
// what no cost centre answers for, `unmetered` the invoice less all that was metered (below 0
// where the invoice is lower: credits, discounts). What is spread is charged to the cost
// centres in proportion to what they spent themselves, by the largest remainder, and its own
// line is charged nothing. What is charged adds up to the invoice exactly; without an
// invoice, to what was metered.

struct Chargeback {
    enum Part: String, CaseIterable { case shared, unallocated, unmetered }

    let home: Home
    let selection: Selection
    let period: Period
    let invoice: Int64?
    let sharedCenters: [String]
    let spread: [Part]

    private struct Line {
        let kind: String
        let name: Cell
        var metered: Int64
        var estimated: Int64 = 0
        var added = [Int64](repeating: 0, count: 3)
        var charged: Int64 = 0
    }

    func show(_ output: OutputOptions) throws {
        var lines: [Line] = []
        var apart: [Part: Line] = [
            .shared: Line(kind: "shared", name: .none, metered: 0),
            .unallocated: Line(kind: "unallocated", name: .none, metered: 0),
            .unmetered: Line(kind: "unmetered", name: .none, metered: 0),
        ]
        var metered: Int64 = 0
        var unknown = Set(sharedCenters)
        let filter = selection.filter(period)
        try home.ask(
            "SELECT cost_center, sum(cost_nanos), sum(iif(estimated, cost_nanos, 0)) FROM v_steps WHERE \(filter.0) "
                + "GROUP BY 1 ORDER BY 2 DESC, 1", filter.1
        ) { row in
            let name = row.text(0) ?? "(unowned)"
            metered = try sum(metered, row.int(1))
            let part: Part? =
                name == "(unowned)" ? .unallocated : sharedCenters.contains(name) ? .shared : nil
            unknown.remove(name)
            if let part {
                apart[part]?.metered += row.int(1)
                apart[part]?.estimated += row.int(2)
            } else {
                lines.append(
                    Line(
                        kind: "cost_center", name: .text(name), metered: row.int(1),
                        estimated: row.int(2)))
            }
        }
        if let name = unknown.min() {
            throw Failure(
                "no cost centre \(name.named) spent anything \(period.phrase)", Code.notFound)
        }
        if let invoice {
            let (rest, isOver) = invoice.subtractingReportingOverflow(metered)
            if isOver { throw Failure("the invoice is out of range", Code.text) }
            apart[.unmetered]?.metered = rest
        }
        let weights = lines.map { Int128($0.metered) }
        for k in lines.indices { lines[k].charged = lines[k].metered }
        for (position, part) in Part.allCases.enumerated() {
            guard var line = apart[part] else { continue }
            if spread.contains(part), let split = apportion(line.metered, by: weights) {
                for k in split.indices {
                    lines[k].added[position] = split[k]
                    lines[k].charged = try sum(lines[k].charged, split[k])
                }
            } else {
                line.charged = line.metered
            }
            if part == .unmetered ? invoice != nil : line.metered != 0 { lines.append(line) }
        }
        var total = Line(kind: "all", name: .none, metered: 0)
        for line in lines {
            total.metered = try sum(total.metered, line.metered)
            total.estimated += line.estimated
            for k in total.added.indices { total.added[k] = try sum(total.added[k], line.added[k]) }
            total.charged = try sum(total.charged, line.charged)
        }
        guard total.charged == invoice ?? metered else {
            throw Failure(
                "the lines add up to \(money(total.charged)), not to \(money(invoice ?? metered)): a bug",
                Code.bug)
        }
        let columns = [
            Column("line", "LINE"), Column("cost_center", "COST CENTRE"),
            Column("metered_nanos", "METERED"),
            Column("estimated_nanos", "ESTIMATED"), Column("shared_nanos", "+ SHARED"),
            Column("unallocated_nanos", "+ UNALLOCATED"), Column("unmetered_nanos", "+ UNMETERED"),
            Column("charged_nanos", "CHARGED"), Column("share", "SHARE"),
        ]
        func cells(_ line: Line) -> [Cell] {
            let share =
                total.charged > 0 ? Cell.share(Double(line.charged) / Double(total.charged)) : .none
            return [.text(line.kind), line.name, .money(line.metered), .money(line.estimated)]
                + line.added.map { .money($0) } + [.money(line.charged), share]
        }
        if lines.isEmpty, output.isForPeople {
            say("Nothing was spent \(period.phrase).")
            return
        }
        bursar.show(columns, lines.map(cells), foot: cells(total), output)
        if output.isForPeople, let rest = apart[.unmetered]?.metered, rest < 0 {
            say(
                "The invoice is \(money(-rest)) below what was metered: credits, discounts, or a price here that is "
                    + "too high.")
        }
    }
}
