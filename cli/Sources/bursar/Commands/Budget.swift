// bursar budget: declare, show, list, limit, top up, remove.

import ArgumentParser
import CBursar

struct BudgetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "budget", abstract: "Declare, show, change and remove budgets.",
        subcommands: [Declare.self])

    struct Declare: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make sure that a budget is there.",
            discussion: """
                What is there with other limits keeps them, unless --replace says otherwise: a script that runs \
                again never undoes an operator's cut.
                """)
        @Argument(help: "Its path, such as acme/support.") var path: String
        @Argument(help: "Its limits, such as '$50/day, 20 steps/min'.") var limits: String?
        @Option(help: "Who answers for it.") var owner: String?
        @Option(help: "Who pays.") var costCenter: String?
        @Option(help: "What for.") var purpose: String?
        @Flag(help: "Replace other limits that are there.") var replace = false
        @Flag(help: "Count and report, but stop nobody.") var observe = false
        @OptionGroup var home: HomeOption

        func run() throws {
            let home = try home.open()
            var options = bursar_budget_options_t()
            options.size = UInt32(MemoryLayout<bursar_budget_options_t>.size)
            options.flags =
                (replace ? UInt32(BURSAR_BUDGET_REPLACE) : 0) | (observe ? UInt32(BURSAR_BUDGET_OBSERVE) : 0)
            var id: bursar_id_t = 0
            try (limits ?? "").withText { limits in
                options.limits = limits
                try (owner ?? "").withText { owner in
                    options.owner = owner
                    try (costCenter ?? "").withText { center in
                        options.cost_center = center
                        try (purpose ?? "").withText { purpose in
                            options.purpose = purpose
                            try path.withText { path in
                                try home.expect {
                                    bursar_budget_declare(
                                        home.runtime, path.data ?? emptyText, path.len, &options, &id, &$0)
                                }
                            }
                        }
                    }
                }
            }
            let stored = home.text(id, BURSAR_TEXT_LIMITS)
            say("\(path.visible)  \(stored.isEmpty ? "no limits" : stored)")
        }
    }
}
