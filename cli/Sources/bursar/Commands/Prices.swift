// bursar prices: show, check, compare price files. A home keeps none: each process has those that
// are built in and those that it loads, so there is nothing here that could be stored.

import ArgumentParser
import CBursar

struct PricesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prices",
        abstract: "Show the prices that are built in, check a price file, compare two.",
        subcommands: [Show.self, Check.self, Import.self, Diff.self])

    static func row(_ model: String, _ price: Price?) -> [Cell] {
        let kinds: [TokenClass] = [
            .input, .cacheRead, .cacheWrite, .cacheWrite1h, .output, .reasoning,
        ]
        return [.text(model)]
            + kinds.map { kind in price.map { .money($0.picos[kind.rawValue] * 1000) } ?? .none }
            + [price.map { .money($0.request) } ?? .none]
    }

    static let columns = [
        Column("model", "MODEL"), Column("input_per_million_nanos", "INPUT/M"),
        Column("cache_read_per_million_nanos", "CACHE READ/M"),
        Column("cache_write_per_million_nanos", "CACHE WRITE/M"),
        Column("cache_write_1h_per_million_nanos", "FOR 1H/M"),
        Column("output_per_million_nanos", "OUTPUT/M"),
        Column("reasoning_per_million_nanos", "REASONING/M"), Column("request_nanos", "REQUEST"),
    ]

    /// The models that the ledger has.
    static func used(_ home: Home) throws -> [String] {
        var names: [String] = []
        try home.ask(
            "SELECT model FROM v_steps WHERE model IS NOT NULL UNION SELECT model_asked FROM v_steps WHERE model_asked "
                + "IS NOT NULL ORDER BY 1"
        ) { names.append($0.text(0) ?? "") }
        return names
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Show prices per million tokens, of the models named or of those that the home used."
        )
        @Argument(help: "Models.") var models: [String] = []
        @Option(help: "standard, batch, flex or priority.") var variant = "standard"
        @OptionGroup var prices: PriceOptions
        @OptionGroup var home: HomeOption
        @OptionGroup var output: OutputOptions

        func run() throws {
            let book = try prices.book()
            let names = models.isEmpty ? try PricesCommand.used(try home.open()) : models
            let rows = try names.map {
                PricesCommand.row($0, try book.price($0, Book.variant(variant)))
            }
            if rows.isEmpty, output.isForPeople {
                say("No model was used yet: name some, such as `bursar prices show gpt-4o`.")
                return
            }
            bursar.show(PricesCommand.columns, rows, output)
            if let missing = try models.first(where: { try book.price($0, 0) == nil }) {
                throw Failure("no price is known for \(missing.named)", Code.notFound)
            }
        }
    }

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check price files, or without any whether the home's models are priced.",
            discussion: "Exits with 1 when something needs somebody.")
        @Argument(help: "LiteLLM's JSON or bursar-prices-1.", completion: Completion.file) var files: [String] = []
        @OptionGroup var home: HomeOption
        @OptionGroup var output: OutputOptions

        func run() throws {
            let columns = [Column("what", "WHAT"), Column("found", "FOUND"), Column("advice", "")]
            var rows: [[Cell]] = []
            var isWell = true
            func add(_ what: String, _ found: String, _ advice: String?) {
                isWell = isWell && advice == nil
                rows.append([.text(what), .text(found), .text(advice ?? "good")])
            }
            for file in files {
                let (count, report) = try Book().load(file)
                add(file, "\(count) models", nil)
                for line in report.split(separator: "\n") {
                    rows.append([.text(file), .text(String(line)), .text("not expressed")])
                }
            }
            if files.isEmpty {
                let home = try home.open()
                var health = bursar_health_t()
                health.size = UInt32(MemoryLayout<bursar_health_t>.size)
                let status = bursar_health(home.runtime, &health)
                if status != BURSAR_OK { throw Failure(status, "the home's health") }
                let days = (now / 1_000_000_000 - health.prices_as_of_unix) / 86_400
                add(
                    "built-in prices", "\(days) days old",
                    days > 90 ? "install a newer version, or load a price file" : nil)
                let book = try Book()
                for model in try PricesCommand.used(home) where try book.price(model, 0) == nil {
                    add(model, "no price is built in: programs set it, or load a file", nil)
                }
                try home.ask(
                    "SELECT coalesce(price, 'none'), sum(steps), sum(cost_nanos), sum(iif(unpriced, steps, 0)) FROM v_steps "
                        + "WHERE model IS NOT NULL GROUP BY 1 ORDER BY 3 DESC"
                ) { row in
                    add(
                        "priced by \(row.text(0) ?? "")",
                        "\(grouped(row.int(1))) steps, \(money(row.int(2)))",
                        row.int(3) > 0
                            ? "\(grouped(row.int(3))) steps have no known price and count as free or dearest"
                            : nil)
                }
            }
            bursar.show(columns, rows, output)
            if !isWell { throw Failure("", Code.failed) }
        }
    }

    struct Import: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Check a price file, and say how processes load it: a home keeps no prices of models."
        )
        @Argument(help: "LiteLLM's JSON or bursar-prices-1.", completion: Completion.file) var file: String

        func run() throws {
            let (count, report) = try Book().load(file)
            let lines = report.split(separator: "\n")
            for line in lines { say(String(line).visible) }
            say(
                "\(file.visible) is good: \(count) models, \(lines.count) lines that a step's price cannot express."
            )
            say(
                """
                Nothing was stored: a home keeps no prices of models, so that every process knows what it pays by. Load it \
                in each, where its runtime is opened:

                  Python  rt.prices_load("\(file.visible)")
                  Go      rt.PricesLoad(book)
                  C       bursar_prices_load(rt, json, len, …)

                Reports here take it with --prices \(file.visible).
                """)
        }
    }

    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Show how a file's prices differ from those built in, or from another file's.",
            discussion: "Exits with 1 when they differ.")
        @Argument(help: "A price file.", completion: Completion.file) var file: String
        @Argument(help: "Another one, which is newer.", completion: Completion.file) var other: String?
        @OptionGroup var output: OutputOptions

        func run() throws {
            let before = try Book()
            let after = try Book()
            if other != nil { _ = try before.load(file) }
            _ = try after.load(other ?? file)
            var rows: [[Cell]] = []
            var names = try Diff.models(other ?? file)
            if other != nil { names = Array(Set(names).union(try Diff.models(file))) }
            for name in names.sorted() {
                for variant in ["standard", "batch", "flex", "priority"] {
                    let number = Book.variant(variant)
                    let a = try before.price(name, number)
                    let b = try after.price(name, number)
                    if a == b { continue }
                    // A variant without a price of its own is priced as standard.
                    if variant != "standard", a == (try before.price(name, 0)),
                        b == (try after.price(name, 0))
                    {
                        continue
                    }
                    for kind in TokenClass.allCases
                    where a?.picos[kind.rawValue] != b?.picos[kind.rawValue] {
                        func cell(_ price: Price?) -> Cell {
                            price.map { .money($0.picos[kind.rawValue] * 1000) } ?? .none
                        }
                        rows.append([
                            .text(name), .text(variant), .text(kind.name), cell(a), cell(b),
                        ])
                    }
                    if a?.request != b?.request {
                        rows.append([
                            .text(name), .text(variant), .text("request"),
                            a.map { .money($0.request) } ?? .none,
                            b.map { .money($0.request) } ?? .none,
                        ])
                    }
                }
            }
            if rows.isEmpty, output.isForPeople {
                say("The prices are the same, of all \(names.count) models.")
            }
            if !rows.isEmpty || !output.isForPeople {
                bursar.show(
                    [
                        Column("model", "MODEL"), Column("variant", "VARIANT"),
                        Column("class", "CLASS"),
                        Column("before_nanos", "BEFORE/M"), Column("after_nanos", "AFTER/M"),
                    ], rows, output)
            }
            if !rows.isEmpty { throw Failure("", Code.failed) }
        }

        /// The models that a file names: LiteLLM's keys, or those under `models` and their aliases.
        static func models(_ path: String) throws -> [String] {
            var reader = JSONReader(try contents(of: path))
            guard case .object(let pairs)? = try? reader.value() else { return [] }
            guard case .object(let models)? = pairs.first(where: { $0.key == "models" })?.value,
                pairs.contains(where: { $0.key == "format" })
            else { return pairs.map(\.key).filter { $0 != "sample_spec" } }
            return models.flatMap { name, value -> [String] in
                var entries = [value]
                if case .list(let items) = value { entries = items }
                return [name]
                    + entries.flatMap { entry -> [String] in
                        guard case .object(let fields) = entry,
                            case .list(let aliases)? = fields.first(where: { $0.key == "aliases" })?
                                .value
                        else { return [] }
                        return aliases.compactMap {
                            if case .text(let alias) = $0 { alias } else { nil }
                        }
                    }
            }
        }
    }
}
