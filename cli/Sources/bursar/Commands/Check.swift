// bursar check: how well a home is looked after: a score, and what to do about it.

import ArgumentParser
import CBursar

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Score how well budgets are looked after, and say what to do.",
        discussion: """
            Each line is a share of 100: budgets with an owner, with a cost centre, under a money limit, limits that alert, \
            workflows whose results are stated, steps with a price, and the age of the prices. The score is their mean.
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
        var share: Double { all == 0 ? 1 : Double(good) / Double(all) }
    }

    func run() throws {
        let from = try parseTime(since)
        let home = try home.open()
        let lines = try budgets(home) + steps(home, from) + [prices(home)]
        let score = Int(lines.reduce(0) { $0 + $1.share * 100 } / Double(lines.count))
        if output.isForPeople { say("score \(score) of 100\n") }
        show(
            [Column("check", "CHECK"), Column("share", "SCORE"), Column("found", "FOUND"), Column("todo", "WHAT TO DO")],
            lines.map { line in
                let isGood = line.good >= line.all
                return [
                    .text(line.name), .share(line.share), .text(line.found), isGood ? .none : .text(line.todo),
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
        return [
            line("owners", all, unowned, "budgets") { "bursar budget assign \($0) --owner …" },
            line("cost centres", all, unpaid, "budgets") { "bursar budget assign \($0) --cost-center …" },
            line("limits", all, unlimited, "budgets") { "bursar budget limit \($0) '$50/day'" },
            line("alerts", limits, silent, "money limits") { "bursar budget limit \($0) '… alert 80%'" },
        ]
    }

    private func steps(_ home: Home, _ from: Int64) throws -> [Line] {
        var workflows: Int64 = 0, stated: Int64 = 0, missing = ""
        try home.ask(
            """
            SELECT workflow, workflow IN (SELECT workflow FROM v_outcomes WHERE workflow IS NOT NULL)
              FROM v_steps WHERE settled_at >= ? AND workflow IS NOT NULL GROUP BY 1 ORDER BY sum(cost_nanos) DESC, 1
            """, [.integer(from)]
        ) { row in
            workflows += 1
            if row.int(1) != 0 { stated += 1 } else if missing.isEmpty { missing = (row.text(0) ?? "").visible }
        }
        var all: Int64 = 0, unpriced: Int64 = 0, model = ""
        try home.ask(
            """
            SELECT coalesce(model, ''), sum(steps), sum(iif(unpriced, steps, 0)) FROM v_steps WHERE settled_at >= ?
             GROUP BY 1 ORDER BY 3 DESC, 1
            """, [.integer(from)]
        ) { row in
            all += row.int(1)
            unpriced += row.int(2)
            if row.int(2) > 0, model.isEmpty { model = (row.text(0) ?? "").visible }
        }
        return [
            Line(
                name: "outcomes", good: stated, all: workflows,
                found: "\(grouped(stated)) of \(grouped(workflows)) workflows"
                    + (missing.isEmpty ? "" : ", not `\(missing)`"),
                todo: "state results in the agent: session.outcome(…), or bursar outcome add"),
            Line(
                name: "priced steps", good: all - unpriced, all: all,
                found: "\(grouped(all - unpriced)) of \(grouped(all)) steps" + (model.isEmpty ? "" : ", not of `\(model)`"),
                todo: "load a price for `\(model)`"),
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
