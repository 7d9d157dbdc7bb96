// bursar export: the ledger for other programs, as FOCUS.

import ArgumentParser
import CBursar

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Export spend as FOCUS: a row for each day, workflow, agent, model and class of tokens.",
        discussion: """
            CSV, or with --json an array of objects; costs are exact decimals in US dollars, and BilledCost adds up to what \
            the ledger has. docs/focus.md has a sample, and what stands in which column.
            """)
    @Option(help: "The version of FOCUS: 1.2 or 1.3.", completion: .list(Focus.Version.allCases.map(\.rawValue))) var focus = "1.3"
    @Option(help: "The length of a charge's period: day or hour.", completion: .list(["day", "hour"])) var per = "day"
    @Option(help: "BillingAccountId. Default: the home's id.") var account: String?
    @Option(help: "ProviderName of all rows. Default: who sells the model, by its name.")
    var provider: String?
    @Flag(help: "JSON rather than CSV.") var json = false
    @OptionGroup var selection: Selection
    @OptionGroup var prices: PriceOptions
    @OptionGroup var home: HomeOption
    @OptionGroup var progress: ProgressOption

    func validate() throws {
        if Focus.Version(rawValue: focus) == nil { throw ValidationError("--focus is 1.2 or 1.3.") }
        if !["day", "hour"].contains(per) { throw ValidationError("--per is day or hour.") }
    }

    func run() throws {
        guard let version = Focus.Version(rawValue: focus) else { return }
        let period = try selection.span
        let home = try selection.open(home)
        progress.begin("export: reading a ledger", home)
        var info = bursar_home_info_t()
        info.size = UInt32(MemoryLayout<bursar_home_info_t>.size)
        let status = bursar_home_info(home.runtime, &info)
        if status != BURSAR_OK { throw Failure(status, "the home") }
        let id = withUnsafeBytes(of: &info.id) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        let export = Focus(version: version, account: account ?? id, provider: provider)

        var tags: [Int64: String] = [:]
        try home.ask("SELECT label_set, key, value FROM labels ORDER BY 1, 2") { row in
            let pair = quoted(row.text(1) ?? "") + ": " + quoted(row.text(2) ?? "")
            tags[row.int(0)] = tags[row.int(0)].map { $0 + ", " + pair } ?? pair
        }
        tags = tags.mapValues { "{\($0)}" }
        var split = Split(try prices.book())
        let select = Focus.select.map { ($0 == "v.%" ? "v." + per : $0) + ", " }.joined()
        try split.read(
            home, select: select, count: Focus.select.count, [], where: selection.filter(period))
        let groups = split.groups.sorted {
            let a = $0.key + [$0.model, $0.tool, $0.meter].map { $0.map { .text($0) } ?? .null }
            let b = $1.key + [$1.model, $1.tool, $1.meter].map { $0.map { .text($0) } ?? .null }
            return precedes(a, b)
        }

        let columns = Focus.columns(version)
        if json { write("[") } else { say(columns.joined(separator: ",")) }
        var isFirst = true
        progress.begin("export: writing rows")
        var count = 0
        for row in groups.lazy.flatMap({ export.rows($0, tags: tags) }) {
            if json {
                let line = columns.map { name in
                    quoted(name) + ": "
                        + (row[name].map { Export.isNumber(name) ? $0 : quoted($0) } ?? "null")
                }.joined(separator: ", ")
                write((isFirst ? "\n" : ",\n") + "  {" + line + "}")
            } else {
                say(columns.map { csv(row[$0] ?? "") }.joined(separator: ","))
            }
            isFirst = false
            count += 1
            Progress.count(count)
        }
        if json { say(isFirst ? "]" : "\n]") }
    }

    /// Decimals are numbers in JSON too, written out in full.
    private static func isNumber(_ column: String) -> Bool {
        column.hasSuffix("Cost") || column.hasSuffix("Quantity") || column.hasSuffix("UnitPrice")
    }
}
