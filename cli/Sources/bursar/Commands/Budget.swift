// bursar budget: declare, show, list, limit, top up, remove.

import ArgumentParser
import CBursar

struct BudgetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "budget", abstract: "Declare, show, change and remove budgets.",
        subcommands: [Declare.self, Show.self, List.self, Assign.self, Limit.self, TopUp.self, Observe.self, Remove.self])

    struct Declare: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make sure that a budget is there.",
            discussion: """
                What is there with other limits keeps them, unless --replace says otherwise: a script that runs \
                again never undoes an operator's cut. --replace replaces all of it, also owner and cost centre: \
                `bursar budget assign` and `bursar budget limit` change one thing.
                """)
        @Argument(help: "Its path, such as acme/support.", completion: Completion.paths) var path: String
        @Argument(help: "Its limits, such as '$50/day, 20 steps/min'.") var limits: String?
        @Option(help: "Who answers for it.") var owner: String?
        @Option(help: "Who pays.") var costCenter: String?
        @Option(help: "What for.") var purpose: String?
        @Flag(help: "Replace other limits that are there.") var replace = false
        @Flag(help: "Count and report, but stop nobody.") var observe = false
        @OptionGroup var home: HomeOption

        func run() throws {
            let home = try home.open()
            var new = NewBudget()
            new.limits = limits ?? ""
            new.owner = owner ?? ""
            new.costCenter = costCenter ?? ""
            new.purpose = purpose ?? ""
            new.flags = (replace ? UInt32(BURSAR_BUDGET_REPLACE) : 0) | (observe ? UInt32(BURSAR_BUDGET_OBSERVE) : 0)
            let id = try home.declare(path, new)
            let stored = home.text(id, BURSAR_TEXT_LIMITS)
            say("\(path.visible)  \(stored.isEmpty ? "no limits" : stored)")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List budgets: what `bursar status` shows.")
        @Argument(help: "A budget's path.", completion: Completion.paths) var path: String?
        @OptionGroup var home: HomeOption
        @OptionGroup var output: OutputOptions

        func run() throws { try Status.show(path, sessions: false, home, output) }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a budget or a session, and each of its limits.")
        @Argument(help: "A budget's path, or an id.", completion: Completion.targets) var path: String
        @OptionGroup var home: HomeOption
        @OptionGroup var output: OutputOptions

        func run() throws { try Inspection.show(path, home, output) }
    }

    struct Limit: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "limit", abstract: "Replace the limits of a budget or session: a cut holds from the next step on.",
            aliases: ["cut"])
        @Argument(help: "A budget's path, or an id.", completion: Completion.targets) var path: String
        @Argument(help: "Its limits from now on, such as '$10/day'; `unlimited` removes them all.") var limits: String
        @OptionGroup var home: HomeOption

        func run() throws {
            let home = try home.open()
            let id = try home.find(path)
            let before = home.text(id, BURSAR_TEXT_LIMITS)
            try limits.withText { limits in
                try home.expect([BURSAR_E_LIMIT_TEXT: self.limits]) {
                    bursar_limits_set(home.runtime, id, limits.data ?? emptyText, limits.len, &$0)
                }
            }
            let after = home.text(id, BURSAR_TEXT_LIMITS)
            say("\(path.visible)  \(after.isEmpty ? "no limits" : after)  (was: \(before.isEmpty ? "no limits" : before))")
        }
    }

    struct TopUp: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "topup", abstract: "Raise the limits of a budget or session by an amount, for a while.",
            discussion: """
                On a calendar window it lasts until that ends, on a rolling window for its span, and never longer \
                than --for. It wakes what `then pause` paused.
                """)
        @Argument(help: "A budget's path, or an id.", completion: Completion.targets) var path: String
        @Argument(help: "How much: '$5', '200k tokens', '10m wall'.") var amount: String
        @Option(name: .customLong("for"), help: "How long at most: 30m, 1h, 2d.") var duration: String?
        @Option(name: .shortAndLong, help: "Why.") var reason: String?
        @OptionGroup var home: HomeOption

        func run() throws {
            let nanos = try duration.map(parseSpan) ?? 0
            let home = try home.open()
            let id = try home.find(path)
            try amount.withText { amount in
                try (reason ?? "").withText { reason in
                    try home.expect([BURSAR_E_LIMIT_TEXT: self.amount, BURSAR_E_NOT_FOUND: path]) {
                        bursar_top_up(
                            home.runtime, id, amount.data ?? emptyText, amount.len, nanos, reason.data, reason.len, &$0)
                    }
                }
            }
            let left = home.limits(id, try home.read(id).limits).filter { $0.extra > 0 }.map { limit in
                "\(quantity(limit.remaining, Words.meter(limit.meter, home))) left of \(limit.canonical)"
            }
            let end = nanos > 0 ? ", until \(localTime(now + nanos)) at most" : ""
            say("topped up \(path.visible) by \(amount.visible)\(end): \(left.joined(separator: ", "))")
        }
    }

    struct Observe: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Count and report here, but stop nobody.")
        @Argument(help: "Paths or ids.", completion: Completion.targets) var paths: [String]
        @Flag(help: "Enforce again.") var off = false
        @OptionGroup var home: HomeOption

        func run() throws {
            let home = try home.open()
            for path in paths {
                let status = bursar_observe(home.runtime, try home.find(path), off ? 0 : 1)
                if status != BURSAR_OK { throw Failure(status, path.named) }
                say("\(off ? "enforcing" : "observing") \(path.visible)")
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a budget with nothing below it. What it spent stays above it and in the ledger.")
        @Argument(help: "Its path.", completion: Completion.paths) var path: String
        @OptionGroup var home: HomeOption

        func run() throws {
            let home = try home.open()
            let id = try home.find(path)
            try home.expect { bursar_budget_remove(home.runtime, id, &$0) }
            say("removed \(path.visible)")
        }
    }
}
