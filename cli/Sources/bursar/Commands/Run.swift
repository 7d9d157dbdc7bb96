// bursar run: a command under a budget, as timeout(1) is one under a clock.

import ArgumentParser
import CBursar
import CLaunch
import Glibc

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a command in a session of its own, and stop it when the session ends.",
        discussion: """
            The command finds the session in $BURSAR_HOME and $BURSAR_SESSION, as do the processes that it \
            starts. Inside another `bursar run` it is a session below that one, unless --path says otherwise.

            When a limit refuses it, its time is up, or somebody kills it, every process that descends from the command \
            gets SIGTERM, and after the grace time SIGKILL: also those that called setsid or forked twice, never \
            others. What the command leaves behind when it ends is stopped the same way. A pause stops \
            nothing: steps wait. Signals are passed on; on a terminal the command is in the foreground.

            Exit code: the command's own, 128 + n when signal n ended it; when it was stopped, or failed because \
            of it, 124 time, 123 a limit, 122 killed, closed or paused by somebody. 125: `bursar run` \
            itself failed; 126, 127: the command cannot be executed, is not there.
            """)

    @Option(help: "What it may use: '$5, 200 steps, 10m wall, 2m idle'.") var limits: String?
    @Option(help: "The budget it is under. Default: the session it is run in, or else `run`.", completion: Completion.paths) var path: String?
    @Option(help: "Who asked for it: the label `user`.") var user: String?
    @Option(help: "What it is called. Default: the command's name.") var agent: String?
    @Option(help: ArgumentHelp("A label, for reports. May be repeated.", valueName: "key=value")) var label: [String] = []
    @Option(help: "How long it may take to end after SIGTERM.") var grace = "5s"
    @Flag(help: "Go on when a limit refuses: only a kill and the end of its time stop it.") var keepGoing = false
    @Flag(help: "Leave alone what still runs when the command has ended by itself.") var leave = false
    @Flag(name: .shortAndLong, help: "Say nothing at the end.") var quiet = false
    @OptionGroup var home: HomeOption
    @Argument(parsing: .postTerminator, help: "The command, after `--`.") var command: [String] = []

    func validate() throws {
        if command.isEmpty { throw ValidationError("Say what to run, after `--`: bursar run --limits '$5' -- agent.") }
    }

    func run() throws {
        do {
            let graceNanos = ["0", "0s"].contains(grace) ? 0 : try parseSpan(grace)
            guard launch_remember_descriptors() == 0 else { throw Failure("cannot read /proc/self/fd") }
            let signals = try Signals()
            let home = try home.open(role: BURSAR_ROLE_AGENT)
            let session = try open(in: home)
            defer { _ = bursar_session_close(home.runtime, session) }
            let supervisor = try Supervisor(home, session, signals, grace: graceNanos)
            supervisor.isLenient = keepGoing
            supervisor.leavesRest = leave
            let code = try supervisor.run(command)
            if !quiet { warn("bursar run: " + supervisor.summary) }
            if code != 0 { throw Exit(code: code) }
        } catch let failure as Failure {
            throw Failure(failure.description, max(failure.code, 125))
        } catch let exit as Exit {
            throw Failure("", exit.code)
        }
    }

    private struct Exit: Error { let code: Int32 }

    private func open(in home: Home) throws -> bursar_id_t {
        var options = bursar_session_options_t()
        options.size = UInt32(MemoryLayout<bursar_session_options_t>.size)
        if path == nil, let outer = environment("BURSAR_SESSION") {
            let status = outer.withText {
                bursar_session_attach(home.runtime, $0.data ?? emptyText, $0.len, &options.parent, nil)
            }
            // A session of another home, or one that ended, is none to be in.
            if status != BURSAR_OK { options.parent = 0 }
        }
        var pairs = try label.map { text in
            guard let at = text.firstIndex(of: "="), at != text.startIndex else {
                throw Failure("\(text.named) is no label: say key=value", Code.usage)
            }
            return (String(text[..<at]), String(text[text.index(after: at)...]))
        }
        if let user { pairs.append(("user", user)) }
        let texts = [path ?? "run", agent ?? String((command[0].split(separator: "/").last.map(String.init) ?? "").visible.prefix(64)), limits ?? ""]
        var session: bursar_id_t = 0
        try withTexts(texts + pairs.flatMap { [$0.0, $0.1] }) { texts in
            options.path = texts[0]
            options.agent = texts[1]
            options.limits = texts[2]
            let labels = pairs.indices.map { bursar_label_t(key: texts[3 + 2 * $0], value: texts[4 + 2 * $0]) }
            try labels.withUnsafeBufferPointer { labels in
                options.labels = labels.baseAddress
                options.label_count = UInt32(labels.count)
                let given = [BURSAR_E_PATH: path ?? "", BURSAR_E_LIMIT_TEXT: limits ?? ""].filter { !$0.value.isEmpty }
                try home.expect(given) { bursar_session_open(home.runtime, &options, &session, &$0) }
            }
        }
        if try home.read(session).flags & UInt32(BURSAR_VIEW_UNDECLARED) != 0 {
            let name = home.text(session, BURSAR_TEXT_PATH)
            warn(
                "bursar run: no budget with a limit is above \(name.named), so its steps may be refused: "
                    + "`bursar budget declare \(name.shellWord) '$50/day'` makes one")
        }
        return session
    }
}
