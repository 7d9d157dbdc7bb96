// bursar verify: adds up everything again, and says where it differs.

import ArgumentParser
import CBursar

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Recompute every total from the ledger and the journal, and compare.",
        discussion: "Exits with 70 when something differs, naming the first. Agents that work meanwhile do not matter.")

    @OptionGroup var home: HomeOption
    @OptionGroup var progress: ProgressOption

    func run() throws {
        let home = try home.open()
        progress.begin("verify: adding up the ledger", home)
        try home.expect { bursar_verify(home.runtime, &$0) }
        say("Every total of \(home.path) is the sum of its steps.")
    }
}
