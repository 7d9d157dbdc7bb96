// bursar outcome import: outcomes from a file, as a CRM exports them. The columns and rules are
// those of docs/ledger.md, the same as in Python and Go: the same file again changes nothing.

import ArgumentParser
import CBursar

extension OutcomeCommand {
    struct Import: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Import outcomes from CSV or JSON; the same file again changes nothing.",
            discussion: """
                Columns: name, id, session, workflow, label, value, rework, state, by, at, reason and label:<key> \
                (docs/ledger.md). Lines that are wrong are told, keep no other out, and make it exit with 1.

                  bursar outcome import deals.csv --default name=deal_won \\
                --column Deal=id --column Amount=value --column Notes= \\
                --column Account=label:customer
                """)
        @Argument(help: "The file; `-` is standard input.", completion: Completion.file) var file: String
        @Option(help: "csv or json. Default: by how it begins.", completion: .list(["csv", "json"])) var format: String?
        @Option(help: "Who says so, where a line does not. Default: the user.") var by: String?
        @Option(
            name: .long,
            help: ArgumentHelp(
                "What the file calls a column; nothing after `=` leaves it out.",
                valueName: "theirs=ours"))
        var column: [String] = []
        @Option(
            name: .customLong("default"),
            help: ArgumentHelp("What a line means that is silent.", valueName: "column=text"))
        var defaults: [String] = []
        @Flag(help: "Leave out columns that nobody knows.") var ignoreUnknown = false
        @OptionGroup var home: HomeOption
        @OptionGroup var output: OutputOptions
        @OptionGroup var progress: ProgressOption

        func run() throws {
            var columns: [String: String] = [:]
            var usual: [String: String] = [:]
            for (pairs, isColumn) in [(column, true), (defaults, false)] {
                for pair in pairs {
                    guard let split = pair.firstIndex(of: "=") else {
                        throw Failure(
                            "\(pair.named) has no `=`: \(isColumn ? "theirs=ours" : "column=text")",
                            Code.usage)
                    }
                    let (left, right) = (
                        String(pair[..<split]), String(pair[pair.index(after: split)...])
                    )
                    if isColumn {
                        columns[left.blankless] = right.isEmpty ? "" : try OutcomeFile.known(right)
                    } else {
                        usual[try OutcomeFile.known(left)] = right
                    }
                }
            }
            if let by = by ?? (usual["by"] == nil ? environment("USER") : nil) { usual["by"] = by }
            if let format, format != "csv", format != "json" {
                throw Failure("--format is csv or json", Code.usage)
            }
            progress.begin("outcome import: reading \(file.visible)")
            let table = try OutcomeFile(
                try contents(of: file), format: format, columns: columns, usual: usual,
                ignoreUnknown: ignoreUnknown)
            let importing = Importing(home: try home.open(), usual: usual)
            progress.begin("outcome import: lines of \(file.visible)")
            for (k, record) in table.records.enumerated() {
                try importing.take(record)
                Progress.count(k + 1, of: table.records.count)
            }
            try importing.send()
            let failed = importing.failed.sorted { $0.line < $1.line }
            for bad in failed {
                let place = bad.column.isEmpty ? "" : ", column \(bad.column.visible)"
                warn("\(file.visible): line \(bad.line)\(place): \(bad.sentence.visible)")
            }
            show(
                [
                    Column("stated", "Stated"), Column("revised", "Revised"),
                    Column("unchanged", "Unchanged"),
                    Column("failed", "Failed"),
                ],
                one: [
                    .count(importing.stated), .count(importing.revised),
                    .count(importing.unchanged),
                    .count(Int64(failed.count)),
                ], output)
            if !failed.isEmpty { throw Failure("", Code.failed) }
        }
    }
}

/// Hands records over, up to 1,024 in one write.
private final class Importing {
    typealias Problem = Record.Problem

    let home: Home
    let usual: [String: String]
    var stated: Int64 = 0
    var revised: Int64 = 0
    var unchanged: Int64 = 0
    var failed: [(line: Int, column: String, sentence: String)] = []
    private var waiting: [(line: Int, outcome: NewOutcome)] = []
    private var seen: [[String]: (line: Int, fields: [String: String])] = [:]
    private static let states = [
        "stated": BURSAR_OUTCOME_STATED, "verified": BURSAR_OUTCOME_VERIFIED,
        "disputed": BURSAR_OUTCOME_DISPUTED,
        "corrected": BURSAR_OUTCOME_CORRECTED, "withdrawn": BURSAR_OUTCOME_WITHDRAWN,
    ]

    init(home: Home, usual: [String: String]) {
        self.home = home
        self.usual = usual
    }

    func take(_ record: Record) throws {
        do {
            var fields: [String: String] = [:]
            for (column, bytes) in try record.fields.get() where !bytes.isEmpty {
                guard let text = String(validating: bytes, as: UTF8.self) else {
                    throw Problem(column: column, sentence: "is not UTF-8: save the file as UTF-8")
                }
                fields[column] = text
            }
            let isCredited = fields.keys.contains(where: OutcomeFile.credits)
            for (column, text) in usual
            where !text.isEmpty && fields[column] == nil
                && !(isCredited && OutcomeFile.credits(column))
            {
                fields[column] = text
            }
            waiting.append((record.line, try outcome(record.line, fields)))
        } catch let problem as Problem {
            failed.append((record.line, problem.column, problem.sentence))
        }
        if waiting.count == 1024 { try send() }
    }

    func send() throws {
        if waiting.isEmpty { return }
        let texts = Texts()
        let outcomes = waiting.map { $0.outcome.fill(texts) }
        var results = [Int32](repeating: 0, count: outcomes.count)
        var errors = [bursar_error_t](repeating: .new, count: outcomes.count)
        let status = withExtendedLifetime(texts) {
            bursar_outcomes(home.runtime, outcomes, outcomes.count, &results, &errors)
        }
        for (k, (line, outcome)) in waiting.enumerated() {
            let result = results[k]
            // Nothing more comes in: the home, or a lock.
            if result < 0, result == status || result == BURSAR_E_UNSUPPORTED {
                let said =
                    errors[k].status == BURSAR_OK
                    ? Failure(result, "it was not written") : Failure(errors[k])
                throw Failure(
                    "line \(line): \(said.description); what the lines before it say is in the ledger, and the same "
                        + "file may be imported again", Code.of(result))
            }
            if result < 0 {
                let column = result == BURSAR_E_MONEY_TEXT ? "value" : ""
                let place = result == BURSAR_E_NOT_FOUND && !outcome.workflow.isEmpty ? outcome.workflow.named + ": " : ""
                failed.append(
                    (line, column, place + OutcomeFile.withoutPlace(Failure(errors[k]).description)))
            } else if result == 0 {
                unchanged += 1
            } else if outcome.state == BURSAR_OUTCOME_STATED {
                stated += 1
            } else {
                revised += 1
            }
        }
        waiting = []
    }

    private func outcome(_ line: Int, _ fields: [String: String]) throws -> NewOutcome {
        for (column, text) in fields.sorted(by: { $0.key < $1.key }) {
            try OutcomeFile.check(column, text)
        }
        for column in ["name", "id"] where fields[column] == nil {
            throw Problem(
                column: column, sentence: "is empty; with a name and an id it can be imported again"
            )
        }
        guard let state = Importing.states[(fields["state"] ?? "stated").lowercased()] else {
            throw Problem(
                column: "state",
                sentence:
                    "\(OutcomeFile.short(fields["state"] ?? "")) is none of stated, verified, disputed, corrected, withdrawn"
            )
        }
        var outcome = NewOutcome(state: state)
        if let at = fields["at"] {
            outcome.at = try OutcomeFile.time(at)
        } else if state != BURSAR_OUTCOME_STATED {
            throw Problem(
                column: "at",
                sentence:
                    "is empty; what is not `stated` says when, so that the same file again is not a revision"
            )
        }
        if state == BURSAR_OUTCOME_STATED {
            let key = [fields["name"] ?? "", fields["id"] ?? ""]
            if let first = seen[key], first.fields != fields {
                throw Problem(
                    column: "id",
                    sentence:
                        "\(OutcomeFile.short(key[1])) is on line \(first.line) too, which says something else of it"
                )
            }
            if seen[key] == nil { seen[key] = (line, fields) }
        }
        if let session = fields["session"] {
            guard session.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let number = Int64(session)
            else {
                throw Problem(
                    column: "session",
                    sentence: "\(OutcomeFile.short(session)) is no session's number")
            }
            outcome.session = number
        }
        if let rework = fields["rework"] {
            (outcome.reworkNanos, outcome.reworkTime) = try OutcomeFile.rework(rework)
        }
        outcome.name = fields["name"] ?? ""
        outcome.id = fields["id"] ?? ""
        outcome.workflow = fields["workflow"] ?? ""
        outcome.value = fields["value"] ?? ""
        outcome.by = fields["by"] ?? ""
        outcome.reason = fields["reason"] ?? ""
        outcome.label = try OutcomeFile.label(fields)
        return outcome
    }
}
