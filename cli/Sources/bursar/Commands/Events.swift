// bursar events: what happened, from the ledger, and with --follow what happens.

import ArgumentParser
import CBursar
import CSystem
import Glibc

struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Show what happened: limits reached, kills, pauses, top-ups, changes.",
        discussion: "With --follow and --json every line is an object.")
    @Flag(name: .shortAndLong, help: "Go on with what happens from now on, until Ctrl-C.") var follow = false
    @Option(help: "From when: `2h`, `today`, `2026-10-01`.") var since = "24h"
    @Option(help: "Only this path and what is below it.", completion: Completion.paths) var path: String?
    @Option(
        help: ArgumentHelp("Only these, separated by commas: halt,kill,threshold,…", valueName: "types")) var type: String?
    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOptions

    func run() throws {
        let types = try type.map(Words.events)
        let from = try parseTime(since)
        let home = try home.open()
        if let path { try home.expectKnown(path) }
        var source = try EventSource(home)
        func isWanted(_ event: Happening) -> Bool {
            source.isWanted(event, path) && types?.contains(event.code) ?? true
        }
        let past = try source.past(since: from, path: path).filter(isWanted)
        let columns = output.isForPeople ? Happening.shortColumns : Happening.columns
        if !follow {
            if past.isEmpty, output.isForPeople { return say("Nothing happened since \(localTime(from)).") }
            return show(columns, past.map { output.isForPeople ? $0.shortCells : $0.cells }, output)
        }
        if output.csv { say(columns.map { csv($0.name) }.joined(separator: ",")) }
        past.forEach(tell)
        while true {
            while let event = source.next() { if isWanted(event) { tell(event) } }
            if flush_output() != 0 { throw Failure("cannot write: \(String(cString: strerror(errno)))", Code.system) }
            _ = source.wait(milliseconds: -1)
        }
    }

    private func tell(_ event: Happening) {
        if output.json {
            say(json(Happening.columns, event.cells))
        } else if output.csv {
            say(csv(event.cells))
        } else {
            say("\(localTime(event.at))  \(event.type.padded(to: 10))  \(event.path.visible)  \(event.sentence.visible)")
        }
    }
}
