// bursar check: how well a home is looked after: a score, and what to do about it.

import ArgumentParser
import CBursar

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Score how well budgets are looked after, and say what to do.",
        discussion: """
            Each line is a share of 100: budgets with an owner, with a cost centre, under a money limit, limits that alert, \
            workflows whose results are stated, steps with a price, and the age of the prices. The score is the mean of those that there is something to say of.
            """)
    @Option(help: ArgumentHelp("Exit with 1 when the score is lower.", valueName: "score")) var least = 0
    @Option(help: "How far back steps and outcomes count.") var since = "30d"
    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if !(0...100).contains(least) { throw ValidationError("--least is 0 to 100.") }
    }

    private struct Line {
        let name: String
        let good: Int64
        let all: Int64
        let found: String
        let todo: String
        /// Of nothing there is none.
        var share: Double? { all == 0 ? nil : Double(good) / Double(all) }
    }

    func run() throws {
        let from = try parseTime(since)
        let home = try home.open()
        let lines = try budgets(home) + steps(home, from) + [prices(home)]
        let shares = lines.compactMap(\.share)
        let score = Int(shares.reduce(0) { $0 + $1 * 100 } / Double(shares.count))
        if output.isForPeople { say("score \(score) of 100\n") }
        show(
            [Column("check", "CHECK"), Column("share", "SCORE"), Column("found", "FOUND"), Column("todo", "WHAT TO DO")],
            lines.map { line in
                let isGood = line.good >= line.all
                return [
                    .text(line.name), line.share.map { .share($0) } ?? .none, .text(line.found), isGood ? .none : .text(line.todo),
                ]
            }, output)
        if score < least { throw Failure("the score is \(score), less than \(least)") }
    }

    private func budgets(_ home: Home) throws -> [Line] {
        var all: Int64 = 0, limits: Int64 = 0
        var unowned: [String] = [], unpaid: [String] = [], unlimited: [String] = [], silent: [String] = []
        var limited: Set<bursar_id_t> = []
        for node in try home.nodes(sessions: false) {
            all += 1
            if home.text(node.id, BURSAR_TEXT_OWNER).isEmpty { unowned.append(node.path) }
            if home.text(node.id, BURSAR_TEXT_COST_CENTER).isEmpty { unpaid.append(node.path) }
            let own = home.limits(node.id, node.view.limits).filter { $0.meter == BURSAR_METER_COST }
            if !own.isEmpty || limited.contains(node.view.parent) {
                limited.insert(node.id)
            } else {
                unlimited.append(node.path)
            }
            if own.isEmpty { continue }
            limits += 1
            if !home.text(node.id, BURSAR_TEXT_LIMITS).contains("alert") { silent.append(node.path) }
        }
        func line(_ name: String, _ all: Int64, _ bad: [String], _ word: String, _ todo: (String) -> String) -> Line {
            let first = bad.first ?? ""
            return Line(
                name: name, good: all - Int64(bad.count), all: all,
                found: "\(grouped(all - Int64(bad.count))) of \(grouped(all)) \(word)"
                    + (bad.isEmpty ? "" : ", not \(first.named)"), todo: bad.isEmpty ? "" : todo(first.shellWord))
        }
        if all == 0 {
            let none = Line(
                name: "limits", good: 0, all: 1, found: "no budgets", todo: "bursar budget declare acme '$50/day'")
            return [none]
        }
        return [
            line("owners", all, unowned, "budgets") { "bursar budget assign \($0) --owner …" },
            line("cost centres", all, unpaid, "budgets") { "bursar budget assign \($0) --cost-center …" },
            line("limits", all, unlimited, "budgets") { "bursar budget limit \($0) '$50/day'" },
            line("alerts", limits, silent, "money limits") { "bursar budget limit \($0) '… alert 80%'" },
        ]
    }

    private func steps(_ home: Home, _ from: Int64) throws -> [Line] {
        var known: Set<String> = []
        try home.ask("SELECT DISTINCT workflow FROM v_outcomes WHERE workflow IS NOT NULL") { known.insert($0.text(0) ?? "") }
        // The ledger is read once, for both.
        var costs: [String: Int64] = [:], unpricedOf: [String: Int64] = [:]
        var all: Int64 = 0
        try home.ask(
            """
            SELECT workflow, coalesce(model, ''), sum(cost_nanos), sum(steps), sum(iif(unpriced, steps, 0)) FROM v_steps
             WHERE settled_at >= ? GROUP BY 1, 2
            """, [.integer(from)]
        ) { row in
            if let workflow = row.text(0) { costs[workflow] = try sum(costs[workflow] ?? 0, row.int(2)) }
            all += row.int(3)
            if row.int(4) > 0 { unpricedOf[row.text(1) ?? "", default: 0] += row.int(4) }
        }
        func most(_ amounts: [String: Int64]) -> String? {
            amounts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
        }
        let workflows = Int64(costs.count)
        let without = costs.filter { !known.contains($0.key) }
        let stated = workflows - Int64(without.count)
        let unpriced = unpricedOf.values.reduce(0, +)
        let missing = most(without), model = most(unpricedOf)
        return [
            Line(
                name: "outcomes", good: stated, all: workflows,
                found: "\(grouped(stated)) of \(grouped(workflows)) workflows"
                    + (missing.map { ", not \($0.named)" } ?? ""),
                todo: "state results in the agent: session.outcome(…), or bursar outcome add"),
            Line(
                name: "priced steps", good: all - unpriced, all: all,
                found: "\(grouped(all - unpriced)) of \(grouped(all)) steps" + (model.map { ", not of \($0.named)" } ?? ""),
                todo: "load a price for \((model ?? "").named)"),
        ]
    }

    /// Whole for a month, nothing after half a year.
    private func prices(_ home: Home) throws -> Line {
        var health = bursar_health_t()
        health.size = UInt32(MemoryLayout<bursar_health_t>.size)
        let status = bursar_health(home.runtime, &health)
        if status != BURSAR_OK { throw Failure(status, "the home") }
        let days = max(0, now / 1_000_000_000 - health.prices_as_of_unix) / 86_400
        return Line(
            name: "prices", good: max(0, min(150, 180 - days)), all: 150, found: "built in, \(grouped(days)) days old",
            todo: "a newer Bursar, or prices of your own in each program")
    }
}
