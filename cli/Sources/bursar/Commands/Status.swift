// bursar status: the whole home at a glance: every budget with what it spent and has left.

import ArgumentParser
import CBursar

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show budgets, what they spent and what is left.",
        discussion: "With a path, that budget and what is below it. `--sessions` adds the sessions.")

    @Argument(help: "A budget's path, or an id.", completion: Completion.targets) var path: String?
    @Flag(help: "Sessions too.") var sessions = false
    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOptions

    static let columns = [
        Column("path", "BUDGET"), Column("id", "ID"), Column("kind", "KIND"), Column("state", "STATE"),
        Column("spent_nanos", "SPENT"), Column("reserved_nanos", "RESERVED"),
        Column("remaining_nanos", "LEFT"), Column("steps", "STEPS"), Column("refusals", "REFUSED"),
        Column("limits", "LIMITS"), Column("owner", "OWNER"),
    ]

    func run() throws { try Status.show(path, sessions: sessions, home, output) }

    static func show(
        _ path: String?, sessions: Bool, _ option: HomeOption, _ output: OutputOptions
    ) throws {
        let home = try option.open()
        var rows: [[Cell]] = []
        func add(_ node: Home.Node) {
            let view = node.view
            let isSession = view.kind == BURSAR_KIND_SESSION
            let indent = output.isForPeople ? String(repeating: "  ", count: node.depth) : ""
            let agent = isSession ? home.text(node.id, BURSAR_TEXT_AGENT) : ""
            let name = output.isForPeople && isSession ? "· " + (agent.isEmpty ? "session" : agent) : node.path
            rows.append([
                .text(indent + name), .id(node.id), .text(Words.kind(view.kind)),
                .text(Words.state(view.effective_state)), .money(view.spent_nanos), .money(view.reserved_nanos),
                view.remaining_nanos == .max ? .none : .money(view.remaining_nanos),
                .count(view.steps), .count(view.refusals),
                .text(home.text(node.id, BURSAR_TEXT_LIMITS)), .text(home.text(node.id, BURSAR_TEXT_OWNER)),
            ])
        }
        if let path {
            let id = try home.find(path)
            add(Home.Node(id: id, depth: 0, path: home.text(id, BURSAR_TEXT_PATH), view: try home.read(id)))
            try home.nodes(below: id, depth: 1, sessions: sessions).forEach(add)
        } else {
            try home.nodes(sessions: sessions).forEach(add)
        }
        if rows.isEmpty, output.isForPeople {
            say("No budgets yet in \(home.path). `bursar budget declare acme '$50/day'` declares one.")
            return
        }
        guard output.isForPeople else { return bursar.show(columns, rows, output) }
        // An id is for sessions: a budget's name is shorter.
        let kept = columns.indices.filter { !["id", "kind"].contains(columns[$0].name) || (sessions && columns[$0].name == "id") }
        bursar.show(kept.map { columns[$0] }, rows.map { row in kept.map { row[$0] } }, output)
    }
}
