// bursar events: what happened, from the ledger, and with --follow what happens.

import ArgumentParser
import CBursar
import Glibc

struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Show what happened: limits reached, kills, pauses, top-ups, changes.")
    @Flag(name: .shortAndLong, help: "Go on with what happens from now on, until Ctrl-C.") var follow = false
    @Option(help: "From when: `2h`, `today`, `2026-10-01`.") var since = "24h"
    @Option(help: "Only below this path.") var path: String?
    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOptions

    func run() throws { throw Failure("not there yet", Code.failed) }
}
