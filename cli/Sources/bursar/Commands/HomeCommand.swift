// bursar home: make one, and say what it is.

import ArgumentParser
import CBursar

struct HomeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "home", abstract: "Make a home; `bursar doctor` says what one is.", subcommands: [Create.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a home: budgets that every process on this machine shares.")
        @Flag(help: "Share it with the directory's group.") var group = false
        @OptionGroup var home: HomeOption

        func run() throws {
            let made = try Home(try home.path, make: true, group: group)
            say("made \(made.path)")
        }
    }
}
