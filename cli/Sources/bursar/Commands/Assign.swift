// bursar budget assign: who answers for a budget, and who pays. What else it is stays.

import ArgumentParser
import CBursar

extension BudgetCommand {
    struct Assign: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say who answers for a budget, who pays and what for; its limits stay.",
            discussion: "It holds for what is spent from now on, here and below, where nothing else is said.")
        @Argument(help: "Its path.", completion: Completion.paths) var path: String
        @Option(help: "Who answers for it.") var owner: String?
        @Option(help: "Who pays.") var costCenter: String?
        @Option(help: "What for.") var purpose: String?
        @OptionGroup var home: HomeOption

        func validate() throws {
            if owner == nil, costCenter == nil, purpose == nil {
                throw ValidationError("Say what is new: --owner, --cost-center or --purpose.")
            }
        }

        func run() throws {
            let home = try home.open()
            let id = try home.find(path)
            let view = try home.read(id)
            if view.kind != BURSAR_KIND_BUDGET {
                throw Failure("`\(path.visible)` is a session: its budget has an owner", Code.usage)
            }
            let name = home.text(id, BURSAR_TEXT_PATH)
            // What a budget inherits it goes on to inherit.
            func own(_ which: Int32) -> String {
                let text = home.text(id, which)
                return view.parent > 0 && text == home.text(view.parent, which) ? "" : text
            }
            var new = NewBudget()
            new.limits = home.text(id, BURSAR_TEXT_LIMITS)
            new.owner = owner ?? own(BURSAR_TEXT_OWNER)
            new.costCenter = costCenter ?? own(BURSAR_TEXT_COST_CENTER)
            new.purpose = purpose ?? home.text(id, BURSAR_TEXT_PURPOSE)
            new.flags =
                UInt32(BURSAR_BUDGET_REPLACE)
                | (view.flags & UInt32(BURSAR_VIEW_OBSERVED) != 0 ? UInt32(BURSAR_BUDGET_OBSERVE) : 0)
            try home.ask(
                """
                SELECT earn_nanos, earn_most_nanos, earn_outcome, top_rungs, complexity FROM budgets
                 WHERE path = ? AND closed_at IS NULL
                """, [.text(name)]
            ) { row in
                new.earn = row.maybeInt(0).map(money) ?? ""
                new.earnMost = row.maybeInt(1).map(money) ?? ""
                new.earnOutcome = row.text(2) ?? ""
                new.topRungs = row.int(3)
                new.complexity = Int32(truncatingIfNeeded: row.int(4))
            }
            _ = try home.declare(name, new)
            let owner = home.text(id, BURSAR_TEXT_OWNER), center = home.text(id, BURSAR_TEXT_COST_CENTER)
            say(
                "\(name.visible)  owner \(owner.isEmpty ? "nobody" : owner.visible)"
                    + "  cost centre \(center.isEmpty ? "none" : center.visible)")
        }
    }
}

/// What a budget is declared with.
struct NewBudget {
    var limits = "", owner = "", costCenter = "", purpose = ""
    var earn = "", earnMost = "", earnOutcome = ""
    var topRungs: Int64 = 0  // a byte for each complexity
    var complexity: Int32 = 0
    var flags: UInt32 = 0
}

extension Home {
    func declare(_ path: String, _ new: NewBudget) throws -> bursar_id_t {
        var options = bursar_budget_options_t()
        options.size = UInt32(MemoryLayout<bursar_budget_options_t>.size)
        options.flags = new.flags
        options.complexity = new.complexity
        withUnsafeMutableBytes(of: &options.top_rung) { rungs in
            for k in rungs.indices { rungs[k] = UInt8(truncatingIfNeeded: new.topRungs >> (8 * Int64(k))) }
        }
        var id: bursar_id_t = 0
        let texts = [
            path, new.limits, new.owner, new.costCenter, new.purpose, new.earn, new.earnMost, new.earnOutcome,
        ]
        try withTexts(texts) { texts in
            (options.limits, options.owner, options.cost_center, options.purpose) = (texts[1], texts[2], texts[3], texts[4])
            (options.earn, options.earn_most, options.earn_outcome) = (texts[5], texts[6], texts[7])
            try expect([BURSAR_E_PATH: path, BURSAR_E_LIMIT_TEXT: new.limits]) {
                bursar_budget_declare(runtime, texts[0].data ?? emptyText, texts[0].len, &options, &id, &$0)
            }
        }
        return id
    }
}
