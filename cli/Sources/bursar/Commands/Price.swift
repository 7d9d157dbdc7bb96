// bursar price: what a step costs.

import ArgumentParser
import CBursar

struct PriceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "price", abstract: "Say what a step costs on a model.",
        discussion: """
            bursar price gpt-4o --input 1000 --output 200 --cache-read 800

            Tokens that are read from the cache or written to it are part of --input, reasoning is part of --output.
            """)
    @Argument(help: "The model's name.") var model: String
    @Option(help: "Tokens of input, those from the cache included.") var input: Int64 = 0
    @Option(help: "Tokens of output, reasoning included.") var output: Int64 = 0
    @Option(help: "Of the input: read from the cache.") var cacheRead: Int64 = 0
    @Option(help: "Of the input: written to the cache.") var cacheWrite: Int64 = 0
    @Option(name: .customLong("cache-write-1h"), help: "Of those: kept for an hour.")
    var cacheWrite1h: Int64 = 0
    @Option(help: "Of the output: reasoning.") var reasoning: Int64 = 0
    @Option(help: "Of the input: audio.") var audioInput: Int64 = 0
    @Option(help: "Of the output: audio.") var audioOutput: Int64 = 0
    @Option(help: "standard, batch, flex or priority.") var variant = "standard"
    @OptionGroup var prices: PriceOptions
    @OptionGroup var form: OutputOptions

    func validate() throws {
        if !["standard", "batch", "flex", "priority"].contains(variant) {
            throw ValidationError("--variant is standard, batch, flex or priority.")
        }
    }

    func run() throws {
        let book = try prices.book()
        var usage = Usage()
        (usage.input, usage.output, usage.cacheRead, usage.cacheWrite) = (
            input, output, cacheRead, cacheWrite
        )
        (usage.cacheWrite1h, usage.reasoning, usage.audioInput, usage.audioOutput) =
            (cacheWrite1h, reasoning, audioInput, audioOutput)
        let number = Book.variant(variant)
        guard let base = try book.price(model, number) else {
            throw Failure(
                "no price is known for \(model.named): --prices loads a file that has one",
                Code.notFound)
        }
        guard let total = try book.quote(model, number, usage) else {
            throw Failure(
                "this usage is none: what is read from the cache and written to it is part of --input, reasoning of "
                    + "--output, and none of it is below 0", Code.usage)
        }
        let tokens = usage.classes
        var price = base
        for step: Int64 in [1000, -1000]
        where divided(price.cost(tokens, requests: 1), by: 1000) != total {
            price = try book.price(model, number, input: input, step: step) ?? base
        }
        let request = Int128(price.request) * 1000
        let weights = zip(price.picos, tokens).map { Int128($0) * Int128($1) } + [request]
        let parts = apportion(total, by: weights) ?? [Int64](repeating: 0, count: weights.count)
        var rows: [[Cell]] = []
        for kind in TokenClass.allCases where tokens[kind.rawValue] > 0 {
            let k = kind.rawValue
            rows.append([
                .text(kind.name), .count(tokens[k]), .money(price.picos[k] * 1000),
                .money(parts[k]),
            ])
        }
        if price.request != 0 {
            rows.append([.text("request"), .count(1), .none, .money(parts[TokenClass.count])])
        }
        let columns = [
            Column("class", "CLASS"), Column("tokens", "TOKENS"),
            Column("per_million_nanos", "PER MILLION"),
            Column("cost_nanos", "COST"),
        ]
        if form.isForPeople, rows.isEmpty {
            say("Nothing used costs nothing: say --input and --output.")
            return
        }
        show(
            columns, rows, foot: [.text("all"), .count(input + output), .none, .money(total)], form)
    }
}
