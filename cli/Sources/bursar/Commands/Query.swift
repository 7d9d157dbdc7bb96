// bursar query: the ledger in plain SQL.

import ArgumentParser
import CBursar
import Glibc

struct QueryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Ask the ledger with a SELECT over its views (docs/ledger.md).",
        discussion: """
            It sees all that was settled before. Amounts are as the ledger has them: money in nano-dollars, times in \
            nanoseconds since 1970. It can do nothing but read.
            """)
    @Argument(help: "The SELECT; `-` reads it from standard input.") var sql: String
    @Argument(help: "What its question marks stand for.") var parameters: [String] = []
    @Flag(help: "Only what the database has by now: never waits for somebody who writes.")
    var asWritten = false
    @Option(help: "Give up after this time, such as 30s.") var timeout: String?
    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOptions
    @OptionGroup var progress: ProgressOption

    func run() throws {
        let limit = try timeout.map(parseSpan) ?? 0
        let home = try home.open()
        let text = sql == "-" ? String(decoding: try contents(of: "-"), as: UTF8.self) : sql
        let values = parameters.map { word in
            Int64(word).flatMap { String($0) == word ? Value.integer($0) : nil } ?? .text(word)
        }
        var rows: [[Cell]] = []
        progress.begin("query: asking a ledger", home)
        let names = try home.ask(text, values, asWritten: asWritten, timeout: limit) { row in
            rows.append(row.key(row.count).map(\.cell))
            Progress.count(rows.count)
        }
        show(names.map { Column($0, $0) }, rows, output)
    }
}
