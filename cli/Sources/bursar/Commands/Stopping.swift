// bursar kill, revive, pause, resume: the switches. A path names a budget with everything
// below it, an id one session; `--all` everything there is.

import ArgumentParser
import CBursar
import CSystem
import Glibc

/// What the four have in common.
struct Target: ParsableArguments {
    @Argument(help: "Paths of budgets, or ids of sessions.", completion: Completion.targets) var targets: [String] = []
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

    /// The ids that it was done to, 0 = everything; and the home that they are of.
    @discardableResult
    func each(_ done: String, _ call: Switch) throws -> (Home, [bursar_id_t]) {
        let home = try home.open()
        let ids: [(bursar_id_t, String)] = all ? [(0, "everything")] : try targets.map { (try home.find($0), $0) }
        for (id, name) in ids {
            let status = (reason ?? "").withText { call(home.runtime, id, $0.data, $0.len) }
            if status != BURSAR_OK { throw Failure(status, name.named) }
            say("\(done) \(name.visible)")
        }
        return (home, ids.map(\.0))
    }
}

struct Kill: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop a budget with all below it, or a session: nothing new is admitted.",
        discussion: """
            It holds at once, for every process and also for those to come, until it is revived. A step in flight \
            still ends, and what it costs is counted: --wait waits for that.
            """)
    @OptionGroup var target: Target
    @Option(
        help: ArgumentHelp(
            "Wait until nothing is held for steps in flight, at most this long: `10s`. Exits with 1 when something still is.",
            valueName: "time")) var wait: String?

    func run() throws {
        let patience = try wait.map(parseSpan)
        let started = monotonic()
        let (home, ids) = try target.each("killed") { bursar_kill($0, $1, $2, $3) }
        guard let patience else { return }
        _ = flush_output()
        while true {
            let held = try held(home, ids)
            let time = monotonic() - started
            if held == 0 { return say("nothing is in flight, \(span(time)) after") }
            if time > patience {
                throw Failure(
                    "\(money(held)) are still held for steps in flight, \(span(time)) after: nothing new begins, and these "
                        + "end when their provider answers or their process does", Code.failed)
            }
            usleep(20_000)
        }
    }

    private func held(_ home: Home, _ ids: [bursar_id_t]) throws -> Int64 {
        var sum: Int64 = 0
        for id in ids == [0] ? try home.children(0) : ids {
            guard let view = try? home.read(id) else { continue }  // removed meanwhile
            sum = sum.addingReportingOverflow(view.reserved_nanos).partialValue
        }
        return sum
    }
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
