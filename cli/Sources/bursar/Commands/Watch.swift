// bursar watch: tells a command or an address when limits are crossed, and when that is over.

import ArgumentParser
import CBursar
import CSystem
import Glibc

struct WatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Alert when a limit is crossed, an agent is stopped or the home is in trouble, and when it is over.",
        discussion: """
            Each crossing is told once, however often it is reported, until it is over; then once more, as \
            resolved: the limit was raised, its window began anew, the agent was revived. Without --exec and --webhook alerts \
            are printed, one JSON object per line.

            What cannot be delivered is tried four times within seven seconds, said on standard error, and left.
            """)
    @Option(
        help: ArgumentHelp(
            "A shell command: $BURSAR_ALERT (firing, resolved), $BURSAR_EVENT, $BURSAR_PATH, $BURSAR_SUMMARY, JSON on its input.",
            valueName: "command")) var exec: [String] = []
    @Option(
        help: ArgumentHelp(
            "An address that gets JSON by POST. http:// is spoken here, https:// by curl, which must be there.",
            valueName: "url")) var webhook: [String] = []
    @Option(help: "Only this path and what is below it.") var path: String?
    @Option(
        help: ArgumentHelp(
            "Only these, separated by commas. Default: threshold, halt, pause, kill, deadline, idle, unattended, storm, home, corrupt, ledger.",
            valueName: "types")) var type: String?
    @Option(help: "Tell what happened from then on too: `10m`, `today`.") var since: String?
    @Flag(help: "End when everything until now is told.") var once = false
    @OptionGroup var home: HomeOption

    func validate() throws {
        for url in webhook where !url.hasPrefix("http://") && !url.hasPrefix("https://") {
            throw ValidationError("--webhook `\(url.visible)` is no http:// or https:// address.")
        }
        for url in webhook where url.unicodeScalars.contains(where: { $0.value <= 0x20 || $0.value == 0x7F }) {
            throw ValidationError("--webhook `\(url.visible)` has blanks or control bytes.")
        }
    }

    func run() throws {
        let types = try type.map(Words.events) ?? Set(Alerts.types)
        let home = try home.open()
        var source = try EventSource(home)
        var alerts = Alerts(home)
        func raise(_ event: Happening) {
            guard types.contains(event.code), source.isWanted(event, path), let alert = alerts.raise(event) else { return }
            tell(alert)
        }
        if let since { for event in try source.past(since: try parseTime(since), path: path) { raise(event) } }
        while true {
            repeat { while let event = source.next() { raise(event) } } while once && source.wait(milliseconds: 200)
            alerts.settle().forEach(tell)
            if flush_output() != 0 { throw Failure("cannot write: \(String(cString: strerror(errno)))", Code.system) }
            if once { return }
            _ = source.wait(milliseconds: 1000)
        }
    }

    private func tell(_ alert: Alert) {
        if exec.isEmpty, webhook.isEmpty { say(alert.json) }
        for command in exec { report(command, Delivery.insist { Delivery.execute(command, alert) }) }
        for url in webhook { report(url, Delivery.insist { Delivery.post(url, alert.json) }) }
    }

    private func report(_ place: String, _ wrong: String?) {
        if let wrong { warn("bursar watch: `\(place.visible)`: \(wrong.visible)") }
    }
}
