// report --explain A..B: why spend changed from one period to another.
//
// The change is split by substitution, one thing after the other: each total below is what
// A's spend would have been with everything before it as in B, in whole nano-dollars, and a
// part is the difference of two totals that follow each other. So the parts add up to the
// change exactly, whatever was rounded on the way. The order is the one in which things are
// decided; another order would move small amounts between parts that change together.
//
//   1  volume     as many steps of models in all as in B; tools and charges as often as in B
//   2  model mix  each model's share of the steps as in B. A model that is new costs what it costs in B,
//                 so that all of it is here
//   3  context    each model's tokens per step as in B: input as a whole, output class by class
//   4  cache      input by class (fresh, cached, written to the cache) as in B. A class that
//                 A did not use costs what it costs in B
//   5  price      each class's price as in B: what remains

struct Explain {
    let home: Home
    let dimensions: [Dimension]
    let selection: Selection
    let before: Period
    let after: Period
    let book: Book

    static let parts = ["volume", "model_mix", "context", "cache", "price"]

    /// A model, tool or charge with its amounts in one period.
    struct Item {
        var steps: Int64 = 0
        var cost: Int64 = 0
        var extra: Int64 = 0
        /// By class; what has no classes is one more, the last.
        var tokens = [Int64](repeating: 0, count: TokenClass.count + 1)
        var costs = [Int64](repeating: 0, count: TokenClass.count + 1)

        mutating func add(_ group: StepGroup) throws {
            steps = try sum(
                steps,
                group.model == nil ? (group.tool == nil ? group.count : group.calls) : group.steps)
            cost = try sum(cost, group.cost)
            for part in group.parts() {
                if part.kind == nil, part.tokens == 0 {
                    extra = try sum(extra, part.cost)
                } else {
                    let index = part.kind?.rawValue ?? TokenClass.count
                    tokens[index] = try sum(tokens[index], part.tokens)
                    costs[index] = try sum(costs[index], part.cost)
                }
            }
        }
    }

    struct Name: Hashable {
        let model: String?
        let tool: String?
        let meter: String?
    }

    func show(_ output: OutputOptions) throws {
        var sides: [[[Value]: [Name: Item]]] = [[:], [:]]
        for (side, period) in [before, after].enumerated() {
            var split = Split(book)
            try split.read(
                home, select: dimensions.selected, count: dimensions.count, dimensions.parameters,
                where: selection.filter(period))
            for group in split.groups {
                let name = Name(
                    model: group.model, tool: group.tool,
                    meter: group.model == nil ? group.meter : nil)
                try sides[side][group.key, default: [:]][name, default: Item()].add(group)
            }
        }
        var rows: [(key: [Value], totals: [Int64])] = []
        for key in Set(sides[0].keys).union(sides[1].keys) {
            rows.append((key, try Explain.totals(sides[0][key] ?? [:], sides[1][key] ?? [:])))
        }
        rows.sort {
            let (a, b) = ($0.totals[5] - $0.totals[0], $1.totals[5] - $1.totals[0])
            return a.magnitude != b.magnitude ? a.magnitude > b.magnitude : precedes($0.key, $1.key)
        }
        let columns =
            dimensions.columns + [Column("before_nanos", before.name.uppercased())]
            + Explain.parts.map {
                Column($0 + "_nanos", $0.uppercased().split(separator: "_").joined(separator: " "))
            } + [Column("after_nanos", after.name.uppercased()), Column("change_nanos", "CHANGE")]
        func cells(_ key: [Cell], _ totals: [Int64]) -> [Cell] {
            key + [.money(totals[0])] + (1...5).map { .money(totals[$0] - totals[$0 - 1]) }
                + [.money(totals[5]), .money(totals[5] - totals[0])]
        }
        if rows.isEmpty, output.isForPeople {
            say(
                "Nothing was spent, neither in \(before.name.visible) nor in \(after.name.visible)."
            )
            return
        }
        var total = [Int64](repeating: 0, count: 6)
        for row in rows { for k in total.indices { total[k] = try sum(total[k], row.totals[k]) } }
        if output.isForPeople, dimensions.isEmpty, let totals = rows.first?.totals {
            // One row reads better from top to bottom.
            let notes = [
                "as many steps as in \(after.name)", "which models the steps go to",
                "tokens in a step",
                "how much of the input is read from the cache", "what a token costs, and a call",
            ]
            var lines: [[Cell]] = [[.text(before.name), .money(totals[0]), .text("")]]
            for k in 1...5 {
                let name = Explain.parts[k - 1].split(separator: "_").joined(separator: " ")
                lines.append([
                    .text("  " + name), .money(totals[k] - totals[k - 1]), .text(notes[k - 1]),
                ])
            }
            lines.append([
                .text(after.name), .money(totals[5]),
                .text("\(money(totals[5] - totals[0])) in all"),
            ])
            bursar.show(
                [Column("part", "PART"), Column("nanos", "AMOUNT"), Column("why", "")], lines,
                output)
            return
        }
        let names = dimensions.indices.map { $0 == 0 ? Cell.text("all") : .text(" ") }
        bursar.show(
            columns, rows.map { cells($0.key.map(\.cell), $0.totals) },
            foot: dimensions.isEmpty ? nil : cells(names, total), output)
    }

    /// The six totals, from A's spend to B's.
    static func totals(_ before: [Name: Item], _ after: [Name: Item]) throws -> [Int64] {
        var totals = [Int64](repeating: 0, count: 6)
        func steps(_ side: [Name: Item]) -> Int64 {
            side.reduce(0) { $0 + ($1.key.model == nil ? 0 : $1.value.steps) }
        }
        let all = (before: steps(before), after: steps(after))
        for name in Set(before.keys).union(after.keys) {
            let a = before[name] ?? Item()
            let b = after[name] ?? Item()
            var t = [a.cost, 0, 0, 0, 0, b.cost]
            if name.model == nil {
                // A tool or a charge: as often as in B, then at B's price.
                t[1] = a.steps > 0 ? scaled(a.cost, b.steps, a.steps) : b.cost
                (t[2], t[3], t[4]) = (t[1], t[1], t[1])
            } else {
                t[1] = all.before > 0 ? scaled(a.cost, all.after, all.before) : b.cost
                if a.steps == 0 {
                    (t[2], t[3], t[4]) = (b.cost, b.cost, b.cost)
                } else {
                    t[2] = scaled(a.cost, b.steps, a.steps)
                    let fixed = scaled(a.extra, b.steps, a.steps)
                    let rest = try later(a, b)
                    t[3] = try sum(fixed, rest.context)
                    t[4] = try sum(fixed, rest.cache)
                }
            }
            for k in totals.indices { totals[k] = try sum(totals[k], t[k]) }
        }
        return totals
    }

    /// What A's tokens cost with B's numbers of them: input as a whole, and by class.
    private static func later(_ a: Item, _ b: Item) throws -> (context: Int64, cache: Int64) {
        let inputs = TokenClass.allCases.filter(\.isInput).map(\.rawValue)
        func added(_ amounts: [Int64]) -> Int64 { inputs.reduce(0) { $0 + amounts[$1] } }
        func byClass(_ classes: [Int]) throws -> Int64 {
            try classes.reduce(Int64(0)) { total, k in
                try sum(
                    total,
                    a.tokens[k] > 0 ? scaled(a.costs[k], b.tokens[k], a.tokens[k]) : b.costs[k])
            }
        }
        let other = (0...TokenClass.count).filter { !inputs.contains($0) }
        let rest = try byClass(other)
        let whole =
            added(a.tokens) > 0
            ? scaled(added(a.costs), added(b.tokens), added(a.tokens)) : added(b.costs)
        return (try sum(whole, rest), try sum(try byClass(inputs), rest))
    }
}
