// bursar: budgets of AI agents, from the command line. Each command is a file in
// Commands; it reads rows from the home, and Output prints them.

import ArgumentParser
import CBursar
import CSystem
import Glibc

@main
struct Bursar: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bursar",
        abstract: "Budgets for AI agents: who may spend what, who spent it, and the switch that stops it.",
        version: version,
        groupedSubcommands: [
            CommandGroup(name: "See:", subcommands: [Status.self, SessionCommand.self, Top.self, EventsCommand.self, WatchCommand.self, Doctor.self, Check.self, Verify.self]),
            CommandGroup(name: "Run:", subcommands: [RunCommand.self]),
            CommandGroup(name: "Stop:", subcommands: [Kill.self, Revive.self, Pause.self, Resume.self]),
            CommandGroup(name: "Report:", subcommands: [Report.self, QueryCommand.self, Export.self, OutcomeCommand.self]),
            CommandGroup(name: "Set:", subcommands: [BudgetCommand.self, HomeCommand.self, PricesCommand.self, PriceCommand.self]),
        ])

    static var version: String {
        let number = bursar_version_number()
        return "bursar \(number / 1_000_000).\(number / 1000 % 1000).\(number % 1000)"
    }

    static func main() {
        // A reader that closed the pipe has seen enough.
        signal(SIGPIPE, SIG_DFL)
        buffer_output(isatty(STDOUT_FILENO))
        do {
            var command = try parseAsRoot()
            defer { Progress.end() }
            try command.run()
            if flush_output() != 0 { throw Failure("cannot write: \(String(cString: strerror(errno)))", Code.system) }
        } catch let failure as Failure {
            let isWritten = flush_output() == 0 || failure.code == Code.system
            let cannot = String(cString: strerror(errno))
            if !failure.description.isEmpty { warn("bursar: " + failure.description.visible) }
            if !isWritten { warn("bursar: cannot write: \(cannot)") }
            Glibc.exit(isWritten ? failure.code : Code.system)
        } catch {
            // Help, or a mistake in the words of the command, which are shown as they may be.
            let lines = fullMessage(for: error).split(separator: "\n", omittingEmptySubsequences: false)
            let text = lines.map { String($0).visible.cut(to: 2000) }.joined(separator: "\n")
            let code = exitCode(for: error)
            if !code.isSuccess {
                warn(text)
            } else {
                say(text)
                if flush_output() != 0 {
                    warn("bursar: cannot write: \(String(cString: strerror(errno)))")
                    Glibc.exit(Code.system)
                }
            }
            Glibc.exit(code.rawValue)
        }
    }
}
