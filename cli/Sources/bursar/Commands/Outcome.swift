// bursar outcome: business results that spend is held against.

import ArgumentParser
import CBursar

struct OutcomeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "outcome",
        abstract: "State, import, verify, dispute, correct, withdraw and list outcomes.",
        subcommands: [
            Add.self, Import.self, Verify.self, Dispute.self, Correct.self, Withdraw.self,
            List.self,
        ])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "State an outcome of a session, a workflow, or all sessions with a label.",
            discussion: "Stating the same name and id again changes nothing.")
        @Argument(help: "What it is, such as invoice_processed.") var name: String
        @Option(help: "Your own id of it, such as inv-7; without one it can never be revised.")
        var id: String?
        @Option(help: "Whose it is: a session's number.") var session: Int64?
        @Option(help: "Or a budget's path.", completion: Completion.paths) var workflow: String?
        @Option(help: "Or a label: customer=hooli.") var label: String?
        @Option(help: "What it is worth: '$3.20'; leave it out when nobody knows.") var value:
            String?
        @Option(help: "When it came about, as `2026-10-31 14:05`. Default: now.") var at: String?
        @OptionGroup var who: Who
        @OptionGroup var home: HomeOption

        func validate() throws {
            if [session != nil, workflow != nil, label != nil].filter({ $0 }).count != 1 {
                throw ValidationError("Say whose it is: one of --session, --workflow and --label.")
            }
            if workflow == "" || label == "" { throw ValidationError("--workflow and --label are not empty.") }
        }

        func run() throws {
            var outcome = NewOutcome(state: BURSAR_OUTCOME_STATED)
            outcome.name = name
            outcome.id = id ?? ""
            outcome.session = session ?? 0
            outcome.workflow = workflow ?? ""
            outcome.label = label ?? ""
            outcome.value = value ?? ""
            outcome.at = try at.map(parseTime) ?? 0
            try who.send(outcome, home)
            say("stated \(name.visible)" + (id.map { " \($0.visible)" } ?? ""))
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Verify an outcome: somebody else than who stated or corrected it.")
        @OptionGroup var which: Which
        @OptionGroup var who: Who
        @OptionGroup var home: HomeOption
        func run() throws { try which.revise(BURSAR_OUTCOME_VERIFIED, "verified", who, home) }
    }

    struct Dispute: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Dispute an outcome.")
        @OptionGroup var which: Which
        @OptionGroup var who: Who
        @OptionGroup var home: HomeOption
        func run() throws { try which.revise(BURSAR_OUTCOME_DISPUTED, "disputed", who, home) }
    }

    struct Withdraw: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Withdraw an outcome: it no longer counts.")
        @OptionGroup var which: Which
        @OptionGroup var who: Who
        @OptionGroup var home: HomeOption
        func run() throws { try which.revise(BURSAR_OUTCOME_WITHDRAWN, "withdrew", who, home) }
    }

    struct Correct: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Correct an outcome: another value, or what putting it right cost.")
        @OptionGroup var which: Which
        @Option(help: "What it is worth: '$3.20'.") var value: String?
        @Option(help: "What putting it right cost: '$5', or somebody's time: 30m.") var rework:
            String?
        @OptionGroup var who: Who
        @OptionGroup var home: HomeOption

        func validate() throws {
            if value == nil && rework == nil {
                throw ValidationError("Say what is corrected: --value or --rework.")
            }
        }

        func run() throws {
            try which.revise(BURSAR_OUTCOME_CORRECTED, "corrected", who, home) { outcome in
                outcome.value = value ?? ""
                if let rework {
                    if rework.contains("$") || rework.uppercased().hasSuffix("USD") {
                        outcome.reworkNanos = try parseMoney(rework)
                    } else {
                        outcome.reworkTime = try parseSpan(rework)
                    }
                }
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List outcomes, as their latest revisions say.")
        @Argument(help: "Only of this name.") var name: String?
        @Option(help: "Only stated, verified, disputed, corrected or withdrawn ones.") var state:
            String?
        @Flag(help: "Every revision: who said what, when and why.") var revisions = false
        @OptionGroup var selection: Selection
        @OptionGroup var home: HomeOption
        @OptionGroup var output: OutputOptions

        func validate() throws {
            if let state,
                !["stated", "verified", "disputed", "corrected", "withdrawn"].contains(state)
            {
                throw ValidationError(
                    "--state is stated, verified, disputed, corrected or withdrawn.")
            }
            if revisions, selection.path != nil {
                throw ValidationError("--revisions takes no --path.")
            }
        }

        func run() throws {
            var (filter, values) = selection.filter(try selection.span, time: "at")
            for (column, wanted) in [("name", name), ("state", state)] {
                if let wanted {
                    (filter, values) = (filter + " AND \(column) = ?", values + [.text(wanted)])
                }
            }
            let home = try selection.open(home)
            let columns = [
                Column("name", "NAME"), Column("key", "ID"), Column("revision", "REVISION"),
                Column("state", "STATE"),
                Column("value_nanos", "VALUE"), Column("rework_nanos", "REWORK"),
                Column("rework_ns", "REWORK TIME"),
                Column("cost_nanos", "COST"), Column("workflow", "WORKFLOW"),
                Column("session", "SESSION"),
                Column("label", "LABEL"), Column("at", "AT"), Column("who", "WHO"),
                Column("why", "WHY"),
            ]
            let place = revisions ? "NULL, NULL" : "cost_nanos, workflow"
            var rows: [[Cell]] = []
            try home.ask(
                "SELECT name, key, revision, state, value_nanos, rework_nanos, rework_ns, \(place), session, "
                    + "label_key || '=' || label_value, at, who, why FROM \(revisions ? "v_revisions" : "v_outcomes") "
                    + "WHERE \(filter) ORDER BY at DESC, id DESC", values
            ) { row in
                rows.append([
                    row[0].cell, row[1].cell, row[2].cell, row[3].cell,
                    row.maybeInt(4).map { .money($0) } ?? .none,
                    .money(row.int(5)), row.int(6) == 0 ? .none : .span(row.int(6)),
                    row.maybeInt(7).map { .money($0) } ?? .none, row[8].cell, row[9].cell,
                    row[10].cell, .time(row.int(11)),
                    row[12].cell, row[13].cell,
                ])
            }
            if rows.isEmpty, output.isForPeople {
                say(
                    "No outcomes. Agents state them, or `bursar outcome add` and `bursar outcome import`."
                )
                return
            }
            show(columns, rows, output)
        }
    }
}

/// Which outcome is revised.
struct Which: ParsableArguments {
    @Argument(help: "What it is, such as invoice_processed.") var name: String
    @Argument(help: "Its id.") var id: String

    func revise(
        _ state: Int32, _ done: String, _ who: Who, _ home: HomeOption,
        _ change: (inout NewOutcome) throws -> Void = { _ in }
    ) throws {
        var outcome = NewOutcome(state: state)
        (outcome.name, outcome.id) = (name, id)
        try change(&outcome)
        try who.send(outcome, home)
        say("\(done) \(name.visible) \(id.visible)")
    }
}

/// Who says so, and why.
struct Who: ParsableArguments {
    @Option(help: "Who says so. Default: the user.") var by: String?
    @Option(name: .shortAndLong, help: "Why.") var reason: String?

    func send(_ outcome: NewOutcome, _ option: HomeOption) throws {
        var outcome = outcome
        outcome.by = by ?? environment("USER") ?? ""
        outcome.reason = reason ?? ""
        let home = try option.open()
        let place = [outcome.workflow, outcome.label, outcome.session == 0 ? "" : "session \(outcome.session)"]
        let given = [
            BURSAR_E_NOT_FOUND: place.first { !$0.isEmpty }, BURSAR_E_MONEY_TEXT: outcome.value,
            BURSAR_E_PATH: outcome.workflow.isEmpty ? nil : outcome.workflow,
        ].compactMapValues { $0 }
        try outcome.withC { text in try home.expect(given) { bursar_outcome(home.runtime, text, &$0) } }
    }
}

/// An outcome on its way to the library.
struct NewOutcome {
    var state: Int32
    var name = ""
    var id = ""
    var session: Int64 = 0
    var workflow = ""
    var label = ""
    var value = ""
    var reworkNanos: Int64 = 0
    var reworkTime: Int64 = 0
    var by = ""
    var reason = ""
    var at: Int64 = 0

    init(state: Int32) { self.state = state }

    func withC<R>(_ body: (UnsafePointer<bursar_outcome_t>) throws -> R) rethrows -> R {
        let texts = Texts()
        var outcome = fill(texts)
        return try withExtendedLifetime(texts) { try body(&outcome) }
    }

    /// As the library takes it; its texts are those of `texts`.
    func fill(_ texts: Texts) -> bursar_outcome_t {
        var outcome = bursar_outcome_t()
        outcome.size = UInt32(MemoryLayout<bursar_outcome_t>.size)
        outcome.state = state
        outcome.name = texts.keep(name)
        outcome.id = texts.keep(id)
        outcome.session = session
        outcome.workflow = texts.keep(workflow)
        outcome.label = texts.keep(label)
        outcome.value = texts.keep(value)
        outcome.rework_nanos = reworkNanos
        outcome.rework_ns = reworkTime
        outcome.by = texts.keep(by)
        outcome.reason = texts.keep(reason)
        outcome.at = at
        return outcome
    }
}

/// Texts that stay where they are until this goes.
final class Texts {
    private var kept: [UnsafeMutablePointer<CChar>] = []

    func keep(_ text: String) -> bursar_text_t {
        if text.isEmpty { return bursar_text_t(data: nil, len: 0) }
        let bytes = Array(text.utf8)
        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
        for (k, byte) in bytes.enumerated() { copy[k] = CChar(bitPattern: byte) }
        kept.append(copy)
        return bursar_text_t(data: copy, len: bytes.count)
    }

    deinit { kept.forEach { $0.deallocate() } }
}
