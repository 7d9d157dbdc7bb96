// What `bursar watch` tells: each crossing once, and when it is over.

import CBursar
import Glibc

struct Alert {
    let event: Happening
    var resolvedAt: Int64?

    var json: String {
        let state = [Column("status", ""), Column("resolved_at", "")]
        let cells: [Cell] = [.text(resolvedAt == nil ? "firing" : "resolved"), resolvedAt.map { .time($0) } ?? .none]
        return bursar.json(
            state + Happening.columns + [Column("summary", "")], cells + event.cells + [.text(sentence)])
    }

    /// As incoming webhooks of Slack and of those that take the same want it. `&`, `<` and `>` are escaped, so that no
    /// name or reason becomes a link or calls a channel (https://docs.slack.dev/messaging/formatting-message-text).
    var message: String {
        var text = ""
        for scalar in ("bursar: " + sentence).visible.unicodeScalars {
            switch scalar {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return "{\"text\": \(quoted(text))}"
    }

    var sentence: String {
        let place = event.path.isEmpty ? "the home" : "`\(event.path)`"
        let what = "\(event.type) at \(place)" + (event.sentence.isEmpty ? "" : ": \(event.sentence)")
        return resolvedAt == nil ? what : "over: " + what
    }
}

/// The alerts that are open. A crossing that is told again while it is open is the same.
struct Alerts {
    private struct Key: Hashable {
        let code: Int32, id: Int64, meter: String, percent: Int64
        let text: String
    }

    private let home: Home
    private var open: [Key: Alert] = [:]

    init(_ home: Home) { self.home = home }

    /// Those that something ends: of others nobody could say that they are over.
    var lasting: [Happening] {
        open.values.map(\.event).filter { !Alerts.isOfHome($0.code) }.sorted { $0.at < $1.at }
    }

    private static func isOfHome(_ code: Int32) -> Bool {
        [BURSAR_EVENT_HOME, BURSAR_EVENT_CORRUPT, BURSAR_EVENT_LEDGER].contains(code)
    }

    static let types = [
        BURSAR_EVENT_THRESHOLD, BURSAR_EVENT_HALT, BURSAR_EVENT_PAUSE, BURSAR_EVENT_KILL, BURSAR_EVENT_DEADLINE,
        BURSAR_EVENT_IDLE, BURSAR_EVENT_UNATTENDED, BURSAR_EVENT_STORM, BURSAR_EVENT_HOME, BURSAR_EVENT_CORRUPT,
        BURSAR_EVENT_LEDGER,
    ]

    /// The alert that an event raises, if it is a new one.
    mutating func raise(_ event: Happening) -> Alert? {
        var event = event
        if event.id == 0, !event.path.isEmpty, let id = try? home.find(event.path) { event.id = id }
        // Of the same limit and share it is one, whichever step crossed it; a kill is one, whoever killed.
        let key = Key(
            code: event.code, id: event.id, meter: event.meter, percent: event.percent,
            text: Alerts.isOfHome(event.code) ? event.text : "")
        if open[key] != nil { return nil }
        let alert = Alert(event: event)
        open[key] = alert
        return alert
    }

    /// The alerts that are over by now.
    mutating func settle() -> [Alert] {
        var over: [Alert] = []
        for (key, alert) in open where isOver(alert.event) {
            open[key] = nil
            var alert = alert
            alert.resolvedAt = now
            over.append(alert)
        }
        return over.sorted { $0.event.at < $1.event.at }
    }

    private func isOver(_ event: Happening) -> Bool {
        // What is wrong with a home stays open: nothing says that it is over.
        if Alerts.isOfHome(event.code) { return false }
        guard let view = try? home.read(event.id) else { return true }  // removed, or closed
        switch event.code {
        case BURSAR_EVENT_PAUSE: return view.effective_state != BURSAR_STATE_PAUSED
        case BURSAR_EVENT_KILL: return view.effective_state != BURSAR_STATE_KILLED
        case BURSAR_EVENT_DEADLINE, BURSAR_EVENT_IDLE, BURSAR_EVENT_UNATTENDED:
            return view.effective_state != BURSAR_STATE_HALTED && view.effective_state != BURSAR_STATE_PAUSED
        case BURSAR_EVENT_STORM: return view.effective_state == BURSAR_STATE_CLOSED
        default:
            // Of a limit: it was raised, a new window began, or it is gone.
            let limits = home.limits(event.id, view.limits).filter { Words.meter($0.meter, home) == event.meter }
            guard let limit = limits.min(by: { distance($0, event) < distance($1, event) }) else { return true }
            let (whole, isWide) = limit.amount.addingReportingOverflow(limit.extra)
            if isWide || whole > event.limit || limit.committed < event.committed - event.committed / 100 { return true }
            return event.percent > 0 && Double(limit.committed) * 100 < Double(whole) * Double(event.percent)
        }
    }

    private func distance(_ limit: bursar_limit_view_t, _ event: Happening) -> Int64 {
        (limit.amount.subtractingReportingOverflow(event.limit).partialValue).magnitude > Int64.max.magnitude
            ? .max : Int64(abs(limit.amount &- event.limit))
    }
}
