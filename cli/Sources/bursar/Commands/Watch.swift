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
            resolved: the limit was raised, its window began anew, the agent was revived. Without --exec, --webhook and --slack alerts \
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
    @Option(
        help: ArgumentHelp(
            "The address of an incoming webhook of Slack or Mattermost, which gets a sentence.",
            valueName: "url")) var slack: [String] = []
    @Option(help: "Only this path and what is below it.", completion: Completion.paths) var path: String?
    @Option(
        help: ArgumentHelp(
            "Only these, separated by commas. Default: threshold, halt, pause, kill, deadline, idle, unattended, storm, home, corrupt, ledger.",
            valueName: "types")) var type: String?
    @Option(help: "Tell what happened from then on too: `10m`, `today`.") var since: String?
    @Option(
        help: ArgumentHelp(
            "Where it keeps what it has told: a restart goes on from there, and tells nothing twice.", valueName: "file"))
    var state: String?
    @Flag(help: "End when everything until now is told.") var once = false
    @OptionGroup var home: HomeOption

    func validate() throws {
        for (option, url) in webhook.map({ ("--webhook", $0) }) + slack.map({ ("--slack", $0) }) {
            if !url.hasPrefix("http://"), !url.hasPrefix("https://") {
                throw ValidationError("\(option) \(url.named) is no http:// or https:// address.")
            }
            if url.unicodeScalars.contains(where: { $0.value <= 0x20 || $0.value == 0x7F }) {
                throw ValidationError("\(option) \(url.named) has blanks or control bytes.")
            }
        }
    }

    func run() throws {
        let types = try type.map(Words.events) ?? Set(Alerts.types)
        let home = try home.open()
        if let path { try home.expectKnown(path) }
        var source = try EventSource(home)
        var alerts = Alerts(home)
        var kept = try state.map { try WatchState($0, home) }
        kept?.open.forEach { _ = alerts.raise($0) }
        try kept?.save(alerts.lasting)
        var down: Set<String> = []
        func raise(_ event: Happening) throws {
            kept?.saw(event)
            guard types.contains(event.code), source.isWanted(event, path), let alert = alerts.raise(event) else { return }
            tell(alert, &down)
            try kept?.save(alerts.lasting)
        }
        var from = try since.map(parseTime)
        if let kept, !kept.isNew { from = kept.since }
        if let from {
            let before = kept
            for event in try source.past(since: from, path: path) where before?.isNew ?? true || before?.isNews(event) ?? true {
                try raise(event)
            }
        }
        while true {
            repeat { while let event = source.next() { try raise(event) } } while once && source.wait(milliseconds: 200)
            let over = alerts.settle()
            over.forEach { tell($0, &down) }
            if !over.isEmpty || once { try kept?.save(alerts.lasting) }
            if flush_output() != 0 { throw Failure("cannot write: \(String(cString: strerror(errno)))", Code.system) }
            if once { return }
            _ = source.wait(milliseconds: 1000)
        }
    }

    private func tell(_ alert: Alert, _ down: inout Set<String>) {
        if exec.isEmpty, webhook.isEmpty, slack.isEmpty { say(alert.json) }
        let places =
            exec.map { command in (command, { Delivery.execute(command, alert) }) }
            + webhook.map { url in (url, { Delivery.post(url, alert.json) }) }
            + slack.map { url in (url, { Delivery.post(url, alert.message) }) }
        for (place, wrong) in Delivery.insist(places, &down) { warn("bursar watch: \(place.named): \(wrong.visible)") }
    }
}
