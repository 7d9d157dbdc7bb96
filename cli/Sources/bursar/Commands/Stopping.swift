// bursar kill, revive, pause, resume: the switches. A path names a budget with everything
// below it, an id one session; `--all` everything there is.

import ArgumentParser
import CBursar

/// What the four have in common.
struct Target: ParsableArguments {
    @Argument(help: "Paths of budgets, or ids of sessions.") var targets: [String] = []
    @Flag(help: "Everything in the home.") var all = false
    @Option(name: .shortAndLong, help: "Why: it stays beside the state, in events and in the ledger.")
    var reason: String?
    @OptionGroup var home: HomeOption

    func validate() throws {
        if all != targets.isEmpty {
            throw ValidationError("Say which: paths or ids, or --all for everything in the home.")
        }
    }

    typealias Switch = (
        OpaquePointer, bursar_id_t, UnsafePointer<CChar>?, Int
    ) -> bursar_status_t

    func each(_ done: String, _ call: Switch) throws {
        let home = try home.open()
        let ids: [(bursar_id_t, String)] = all ? [(0, "everything")] : try targets.map { (try home.find($0), $0) }
        for (id, name) in ids {
            let status = (reason ?? "").withText { call(home.runtime, id, $0.data, $0.len) }
            if status != BURSAR_OK { throw Failure(status, name.named) }
            say("\(done) \(name.visible)")
        }
    }
}

struct Kill: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop a budget with all below it, or a session: nothing new is admitted.")
    @OptionGroup var target: Target
    func run() throws { try target.each("killed") { bursar_kill($0, $1, $2, $3) } }
}

struct Revive: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Undo a kill.")
    @OptionGroup var target: Target
    func run() throws { try target.each("revived") { bursar_revive($0, $1, $2, $3) } }
}

struct Pause: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold a budget or a session: steps wait until it is resumed.")
    @OptionGroup var target: Target
    func run() throws { try target.each("paused") { bursar_pause($0, $1, $2, $3) } }
}

struct Resume: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Undo a pause, or a halt by a time limit.")
    @OptionGroup var target: Target
    func run() throws { try target.each("resumed") { bursar_resume($0, $1, $2, $3) } }
}
