// bursar top: what runs, live, as htop shows processes; and the switches on keys.

import ArgumentParser
import CBursar
import CLaunch
import CSystem
import Glibc

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show budgets and sessions live: what they spend, how fast, and when it ends.",
        discussion: """
            Keys: arrows, page up and down choose; tab goes between budgets and sessions; / filters by path, agent, label or \
            id; s sorts; p pauses, r resumes, k kills, v revives and + tops up what is chosen, after a \
            question; q quits. MODEL is the session's ladder, best first.
            """)
    @Option(help: "Seconds between two looks: 1 to 3600.") var interval = 1
    @Option(help: "Order of sessions: spent, burn, age, steps or path.", completion: .list(Painter.Order.allCases.map(\.rawValue))) var sort = "spent"
    @Option(help: "Only what has this in its path, agent or labels.") var filter = ""
    @Flag(help: "Print one screen after --interval, and end.") var once = false
    @Flag(help: "No colours.") var noColor = false
    @OptionGroup var home: HomeOption

    func validate() throws {
        if !(1...3600).contains(interval) { throw ValidationError("--interval is 1 to 3600 seconds.") }
        if Painter.Order(rawValue: sort) == nil {
            throw ValidationError("--sort is \(Painter.Order.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
    }

    func run() throws {
        let isTerminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
        if !once, !isTerminal || environment("TERM") == "dumb" {
            throw Failure("`bursar top` needs a terminal; `bursar top --once` prints one screen", Code.usage)
        }
        let signals = once ? nil : try Signals([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH])
        let home = try home.open()
        var state = Painter.State()
        state.order = Painter.Order(rawValue: sort) ?? .spent
        state.filter = filter
        let snapshot = Snapshot(home)
        try snapshot.refresh()
        guard let signals else {
            // What is spent between two looks is the burn.
            sleep(UInt32(interval))
            try snapshot.refresh()
            var (columns, rows): (Int32, Int32) = (0, 0)
            if terminal_size(STDOUT_FILENO, &columns, &rows) != 0 || columns == 0 {
                (columns, rows) = (environment("COLUMNS").flatMap { Int32($0) } ?? 120, 1 << 20)
            }
            let count = snapshot.budgets.count + snapshot.sessions.count + 4
            let painter = Painter(snapshot: snapshot, hasColor: false, hasSelection: false)
            let lines = painter.lines(
                &state, width: Int(columns), height: min(Int(rows), count), clock: String(localTime(now).suffix(8)))
            for line in lines { say(String(line.reversed().drop { $0 == " " }.reversed())) }
            return
        }
        let colors = !noColor && environment("NO_COLOR") == nil
        let screen = TopScreen(
            home, snapshot, Painter(snapshot: snapshot, hasColor: colors, hasSelection: true), signals, state,
            every: Int64(interval) * 1_000_000_000)
        guard terminal_take(STDOUT_FILENO) == 0 else { throw Failure("the terminal: \(String(cString: strerror(errno)))") }
        defer { terminal_restore() }
        if let number = try screen.loop() {
            terminal_restore()
            throw Failure("", 128 + number)
        }
    }
}
