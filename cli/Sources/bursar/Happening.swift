// An event, from the ledger or as it happens, and what it says to people.

import ArgumentParser
import CBursar
import Glibc

struct Happening {
    var at: Int64 = 0
    var code: Int32 = 0
    var path = ""
    var id: Int64 = 0  // the budget or session; 0 when it is from the ledger
    var session: Int64 = 0
    var agent = ""  // the session's
    var meter = ""
    var percent: Int64 = 0
    var amount: Int64 = 0
    var limit: Int64 = 0
    var committed: Int64 = 0
    var reason: Int32 = 0
    var text = ""
    var actor = ""
    var segment: Int64 = 0
    var sequence: Int64 = 0

    var type: String { Words.event(code) }

    static let columns = [
        Column("at", "TIME"), Column("type", "EVENT"), Column("path", "BUDGET"), Column("session", "SESSION"),
        Column("agent", "AGENT"),
        Column("meter", "METER"), Column("percent", "SHARE"), Column("amount", "AMOUNT"), Column("limit", "LIMIT"),
        Column("committed", "COMMITTED"), Column("reason", "REASON"), Column("text", "TEXT"), Column("actor", "BY"),
    ]

    var cells: [Cell] {
        func count(_ value: Int64) -> Cell { value == 0 ? .none : .count(value) }
        func word(_ text: String) -> Cell { text.isEmpty ? .none : .text(text) }
        return [
            .time(at), .text(type), word(path), session == 0 ? .none : .id(session), word(agent), word(meter), count(percent),
            count(amount), count(limit), count(committed), word(Words.reason(reason)), word(text), word(actor),
        ]
    }

    /// For people: a line.
    static let shortColumns = [
        Column("at", "TIME"), Column("type", "EVENT"), Column("path", "BUDGET"), Column("what", "WHAT"),
    ]
    var shortCells: [Cell] { [.time(at), .text(type), .text(path), .text(sentence)] }

    var sentence: String {
        var parts: [String] = []
        if percent > 0 { parts.append("\(percent)%") }
        if limit > 0 {
            parts.append("\(quantity(committed)) of \(quantity(limit))")
        } else if amount != 0, code != BURSAR_EVENT_LEDGER {  // of which it is SQLite's code
            parts.append(code == BURSAR_EVENT_LOST || code == BURSAR_EVENT_STORM ? grouped(amount) : quantity(amount))
        }
        if reason > BURSAR_REASON_RATE { parts.append(Words.reason(reason)) }
        if !agent.isEmpty { parts.append("agent \(agent)") }
        if !text.isEmpty { parts.append(text) }
        if !actor.isEmpty { parts.append("by \(actor)") }
        return parts.joined(separator: ", ")
    }

    private func quantity(_ value: Int64) -> String { bursar.quantity(value, meter) }
}

/// A home's events: those of the ledger, and those to come.
struct EventSource {
    let home: Home
    private let descriptor: Int32
    private let segment: Int64
    private var lastKnown: Int64 = 0
    private var lastTold: (sequence: Int64, at: Int64) = (0, now)
    private var again: [Happening] = []

    /// From here on events are kept for `next`.
    init(_ home: Home) throws {
        self.home = home
        var descriptor: Int32 = -1
        if bursar_events_fd(home.runtime, &descriptor) != BURSAR_OK { throw Failure("no descriptors are left", Code.system) }
        self.descriptor = descriptor
        var info = bursar_home_info_t()
        info.size = UInt32(MemoryLayout<bursar_home_info_t>.size)
        _ = bursar_home_info(home.runtime, &info)
        segment = info.segment_id
    }

    /// The ledger's, oldest first.
    mutating func past(since: Int64, path: String?) throws -> [Happening] {
        var found: [Happening] = []
        var last: Int64 = 0
        let segment = segment
        try home.ask(
            """
            SELECT e.at, code, path, e.session, meter, percent, amount, "limit", committed, e.reason, text, actor, e.segment,
                   e.sequence, s.agent
              FROM v_events e LEFT JOIN sessions s ON s.id = e.session WHERE e.at >= ? ORDER BY e.at, e.id
            """, [.integer(since)]
        ) { row in
            var event = Happening()
            event.at = row.int(0)
            event.code = Int32(truncatingIfNeeded: row.int(1))
            event.path = row.text(2) ?? ""
            event.session = row.int(3)
            event.meter = row.text(4) ?? ""
            event.percent = row.int(5)
            event.amount = row.int(6)
            event.limit = row.int(7)
            event.committed = row.int(8)
            event.reason = Int32(truncatingIfNeeded: row.int(9))
            event.text = row.text(10) ?? ""
            event.actor = row.text(11) ?? ""
            event.agent = row.text(14) ?? ""
            (event.segment, event.sequence) = (row.int(12), row.int(13))
            if row.int(12) == segment { last = max(last, row.int(13)) }
            if isWanted(event, path) { found.append(event) }
        }
        lastKnown = max(lastKnown, last)
        return found
    }

    func isWanted(_ event: Happening, _ path: String?) -> Bool {
        guard let path else { return true }
        return event.path == path || event.path.hasPrefix(path + "/")
    }

    /// Waits; false when a signal came or the time is over.
    func wait(milliseconds: Int32) -> Bool {
        var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&watched, 1, milliseconds) > 0
    }

    /// The next that waits and that `past` had not.
    mutating func next() -> Happening? {
        while true {
            if !again.isEmpty { return again.removeFirst() }
            var event = bursar_event_t()
            event.size = UInt32(MemoryLayout<bursar_event_t>.size)
            var count = 0
            guard bursar_events_poll(home.runtime, &event, 1, &count) == BURSAR_OK, count == 1 else { return nil }
            if event.sequence > 0, event.sequence <= lastKnown { continue }
            if event.type == BURSAR_EVENT_LOST {
                // What came faster than it was taken is in the ledger.
                let told = max(lastKnown, lastTold.sequence)
                let since = lastTold.at - 60_000_000_000
                again = ((try? past(since: since, path: nil)) ?? []).filter { [segment] in
                    $0.segment == segment && $0.sequence > told
                }
                if !again.isEmpty { continue }
            }
            lastTold = (max(lastTold.sequence, event.sequence), event.unix_ns)
            var found = Happening()
            found.at = event.unix_ns
            found.code = event.type
            found.path = string(event.path, event.path_len)
            found.id = event.id
            found.session = event.session
            found.agent = event.session > 0 ? home.text(event.session, BURSAR_TEXT_AGENT) : ""
            found.meter = event.limit != 0 || event.percent != 0 ? Words.meter(event.meter, home) : ""
            found.percent = Int64(event.percent)
            found.amount = event.amount
            found.limit = event.limit
            found.committed = event.committed
            found.reason = event.reason
            found.text = string(event.text, event.text_len)
            (found.segment, found.sequence) = (segment, event.sequence)
            return found
        }
    }

    private func string<T>(_ field: T, _ length: UInt32) -> String {
        withUnsafeBytes(of: field) { String(decoding: $0.prefix(min(Int(length), $0.count - 1)), as: UTF8.self) }
    }
}
