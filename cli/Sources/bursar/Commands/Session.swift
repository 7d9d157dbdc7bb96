// bursar session: what runs, and one of it.

import ArgumentParser
import CBursar

struct SessionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "session", abstract: "List sessions, show one, attend to one, close one.",
        subcommands: [List.self, Show.self, Attend.self, Close.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the sessions that are open.")
        @Argument(help: "A budget's path: those below it.", completion: Completion.paths) var path: String?
        @Option(help: "Order: spent, age, steps or path.", completion: .list(["spent", "age", "steps", "path"])) var sort = "spent"
        @OptionGroup var home: HomeOption
        @OptionGroup var output: OutputOptions

        func validate() throws {
            if !["spent", "age", "steps", "path"].contains(sort) {
                throw ValidationError("--sort is spent, age, steps or path.")
            }
        }

        func run() throws {
            let home = try home.open()
            var found = try home.nodes(below: try path.map { try home.find($0) } ?? 0)
                .filter { $0.view.kind == BURSAR_KIND_SESSION }
            switch sort {
            case "age": found.sort { $0.view.opened_unix_ns < $1.view.opened_unix_ns }
            case "steps": found.sort { $0.view.steps > $1.view.steps }
            case "path": found.sort { ($0.path, $0.id) < ($1.path, $1.id) }
            default: found.sort { ($1.view.spent_nanos, $0.id) < ($0.view.spent_nanos, $1.id) }
            }
            let columns = [
                Column("id", "ID"), Column("path", "BUDGET"), Column("agent", "AGENT"), Column("state", "STATE"),
                Column("spent_nanos", "SPENT"), Column("remaining_nanos", "LEFT"), Column("steps", "STEPS"),
                Column("age_ns", "AGE"), Column("labels", "LABELS"),
            ]
            if found.isEmpty, output.isForPeople {
                return say("No sessions are open\(path.map { " at \($0.visible)" } ?? "").")
            }
            let now = now
            show(
                columns,
                found.map { node in
                    [
                        .id(node.id), .text(node.path), .text(home.text(node.id, BURSAR_TEXT_AGENT)),
                        .text(Words.state(node.view.effective_state)), .money(node.view.spent_nanos),
                        node.view.remaining_nanos == .max ? .none : .money(node.view.remaining_nanos),
                        .count(node.view.steps), .span(max(0, now - node.view.opened_unix_ns)),
                        .text(home.text(node.id, BURSAR_TEXT_LABELS).split(separator: "\n").joined(separator: ", ")),
                    ]
                }, output)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a session, and each of its limits.")
        @Argument(help: "Its id.", completion: Completion.sessions) var session: String
        @OptionGroup var home: HomeOption
        @OptionGroup var output: OutputOptions

        func run() throws { try Inspection.show(session, home, output) }
    }

    struct Attend: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say that somebody looked: `unattended` starts again.")
        @Argument(help: "Ids of sessions, or paths of budgets.", completion: Completion.targets) var targets: [String]
        @Option(help: "Who looked. Default: the user.") var who: String?
        @OptionGroup var home: HomeOption

        func run() throws {
            let home = try home.open()
            for target in targets {
                let id = try home.find(target)
                let status = (who ?? environment("USER") ?? "").withText { bursar_attend(home.runtime, id, $0.data, $0.len) }
                if status != BURSAR_OK { throw Failure(status, target.named) }
                say("attended \(target.visible)")
            }
        }
    }

    struct Close: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Close sessions: nothing more is admitted.")
        @Argument(help: "Their ids.", completion: Completion.sessions) var sessions: [String]
        @OptionGroup var home: HomeOption

        func run() throws {
            let home = try home.open()
            for session in sessions {
                let id = try home.find(session)
                if try home.read(id).kind != BURSAR_KIND_SESSION {
                    throw Failure("\(session.named) is a budget: `bursar budget remove` removes one", Code.usage)
                }
                let status = bursar_session_close(home.runtime, id)
                if status != BURSAR_OK { throw Failure(status, session.named) }
                say("closed \(session.visible)")
            }
        }
    }
}
