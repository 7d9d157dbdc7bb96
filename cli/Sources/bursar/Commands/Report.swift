// bursar report: who spent what, what for, and was it worth it.

import ArgumentParser
import CBursar

struct Report: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Report what was spent: by team, model or any other dimension, and what it brought.",
        discussion: """
            By default a row for each group of --by with what it cost. Its rows add up to all that was spent. \
            One of --savings, --waste, --margin, --chargeback and --explain asks another question:

              bursar report --by team,model --since 7d
              bursar report --by workflow --per outcome --period 2026-10
              bursar report --chargeback --period 2026-10 --invoice 1234.56
              bursar report --explain 2026-09..2026-10
            """)

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Dimensions, separated by commas: organisation, team, workflow, agent, model, tool, owner, cost_center, "
                + "feature, customer, complexity, day, month, label:<key>, … Default: team.",
            valueName: "dimensions"))
    var by: String?
    @Option(help: "Also what each outcome, day or session cost: outcome, day, session.", completion: .list(["outcome", "day", "session"])) var per:
        String?

    @Flag(
        help: "What downgrades saved, and what a cheaper model would have saved on routine steps.")
    var savings = false
    @Option(
        help: ArgumentHelp(
            "With --savings: reckon with this model, rather than with those that the workflow uses.",
            valueName: "model"))
    var rung: [String] = []
    @Flag(help: "What was spent for nothing: retries, halted, no outcome, cache misses.")
    var waste = false
    @Flag(help: "The value of outcomes, less rework and cost.") var margin = false
    @Flag(help: "A period by cost centre; its lines add up to the invoice.") var chargeback = false
    @Option(help: "With --chargeback: what the provider billed, such as 1234.56.") var invoice:
        String?
    @Option(
        help: ArgumentHelp(
            "With --chargeback: a cost centre that serves everybody.", valueName: "cost-center"))
    var shared: [String] = []
    @Option(
        help: ArgumentHelp(
            "With --chargeback: which lines the cost centres carry in proportion to what they spent: "
                + "shared, unallocated, unmetered. Default: shared; `none` for none.",
            valueName: "lines"))
    var spread = "shared"
    @Option(
        help: ArgumentHelp(
            "Why spend changed from one period to another: volume, model mix, context, cache, price.",
            valueName: "period..period"))
    var explain: String?

    @OptionGroup var selection: Selection
    @OptionGroup var prices: PriceOptions
    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOptions
    @OptionGroup var progress: ProgressOption

    func validate() throws {
        let kinds = [savings, waste, margin, chargeback, explain != nil].filter { $0 }.count
        if kinds > 1 {
            throw ValidationError(
                "--savings, --waste, --margin, --chargeback and --explain are questions of their own: ask one."
            )
        }
        if per != nil, kinds > 0 { throw ValidationError("--per is for --by alone.") }
        if let per, Spend.Unit(rawValue: per) == nil {
            throw ValidationError("--per is outcome, day or session.")
        }
        if !rung.isEmpty, !savings { throw ValidationError("--rung is for --savings.") }
        if !chargeback, invoice != nil || !shared.isEmpty || spread != "shared" {
            throw ValidationError("--invoice, --shared and --spread are for --chargeback.")
        }
        if chargeback, by != nil {
            throw ValidationError("--chargeback is by cost centre: leave out --by.")
        }
        if chargeback, selection.period == nil {
            throw ValidationError("--chargeback needs its --period, such as 2026-10.")
        }
        if explain != nil,
            selection.period != nil || selection.since != nil || selection.until != nil
        {
            throw ValidationError(
                "--explain says both periods: leave out --period, --since and --until.")
        }
    }

    func run() throws {
        let period = try selection.span
        func open() throws -> Home {
            let home = try selection.open(home)
            progress.begin("report: reading a ledger", home)
            return home
        }
        func dimensions(_ usual: String) throws -> [Dimension] {
            try by == nil && usual.isEmpty ? [] : Dimension.list(by ?? usual)
        }

        if let explain {
            let ends = explain.split(separator: ".", omittingEmptySubsequences: false).map(
                String.init)
            guard ends.count == 3, ends[1].isEmpty else {
                throw Failure(
                    "\(explain.named) are no two periods: say `2026-09..2026-10`", Code.usage)
            }
            let report = Explain(
                home: try open(), dimensions: try dimensions(""), selection: selection,
                before: try Period(ends[0]),
                after: try Period(ends[2]), book: try prices.book())
            try report.show(output)
        } else if savings {
            let dimensions = try dimensions("workflow")
            try Savings(
                home: try open(), dimensions: dimensions, selection: selection, period: period,
                rungs: rung,
                book: try prices.book()
            ).show(output)
        } else if waste {
            let dimensions = try dimensions("")
            try Waste(
                home: try open(), dimensions: dimensions, selection: selection, period: period,
                book: try prices.book()
            ).show(output)
        } else if margin {
            let dimensions = try dimensions("team")
            try Margin(
                home: try open(), dimensions: dimensions, selection: selection, period: period
            ).show(output)
        } else if chargeback {
            let parts = try lines()
            let amount = try invoice.map(parseMoney)
            try Chargeback(
                home: try open(), selection: selection, period: period, invoice: amount,
                sharedCenters: shared,
                spread: parts
            ).show(output)
        } else {
            let dimensions = try dimensions("team")
            let report = Spend(
                home: try open(), dimensions: dimensions, selection: selection, period: period)
            try report.show(per: per.flatMap(Spend.Unit.init), output)
        }
    }

    private func lines() throws -> [Chargeback.Part] {
        if spread == "none" { return [] }
        return try spread.split(separator: ",").map { word in
            guard let part = Chargeback.Part(rawValue: String(word)) else {
                throw Failure(
                    "\(String(word).named) is no line: --spread takes shared, unallocated, unmetered, or none",
                    Code.usage)
            }
            return part
        }
    }
}

/// "1234.56", "$1234.56" or "1234.56 USD", exactly, in nano-dollars.
func parseMoney(_ text: String) throws -> Int64 {
    var nanos: Int64 = 0
    var error = bursar_error_t.new
    let status = text.withText { bursar_money_parse($0.data ?? emptyText, $0.len, &nanos, &error) }
    if status != BURSAR_OK {
        throw Failure(error, of: text)
    }
    return nanos
}
