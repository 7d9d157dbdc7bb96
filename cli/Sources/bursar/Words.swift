// The library's numbers as the words that C, Python, Go and SQL have for them.

import CBursar

enum Words {
    static func state(_ state: Int32) -> String {
        switch state {
        case BURSAR_STATE_OPEN: "open"
        case BURSAR_STATE_PAUSED: "paused"
        case BURSAR_STATE_HALTED: "halted"
        case BURSAR_STATE_KILLED: "killed"
        case BURSAR_STATE_CLOSED: "closed"
        default: "state \(state)"
        }
    }

    static func kind(_ kind: Int32) -> String { kind == BURSAR_KIND_SESSION ? "session" : "budget" }

    static func reason(_ reason: Int32) -> String {
        let words = [
            "", "limit", "rate", "killed", "paused", "closed", "wall", "idle", "unattended", "undeclared",
            "price_unknown", "journal_full", "downgrade", "holdback",
        ]
        return words.indices.contains(Int(reason)) ? words[Int(reason)] : "reason \(reason)"
    }
}

extension Words {
    private static let events = [
        "", "threshold", "downgrade", "halt", "pause", "resume", "kill", "revive", "deadline", "idle", "unattended",
        "overrun", "orphan", "window", "top_up", "declared", "limits", "observed", "unpriced", "storm", "lost", "late",
        "throttle", "home", "corrupt", "ledger", "outcome",
    ]

    static func event(_ code: Int32) -> String {
        code > 0 && events.indices.contains(Int(code)) ? events[Int(code)] : "event \(code)"
    }

    /// "halt,kill": their codes.
    static func events(_ text: String) throws -> Set<Int32> {
        try Set(
            text.split(separator: ",", omittingEmptySubsequences: false).map { word in
                guard let code = events.firstIndex(of: word.trimmed), code > 0 else {
                    throw Failure(
                        "there are no events \(String(word).named): "
                            + events.dropFirst().joined(separator: ", "), Code.usage)
                }
                return Int32(code)
            })
    }

    /// As limit text and the ledger have it.
    static func meter(_ meter: Int32, _ home: Home) -> String {
        let words = [
            "cost", "tokens", "input_tokens", "output_tokens", "fresh_tokens", "steps", "tool_calls", "in_flight",
        ]
        switch meter {
        case 0..<8: return words[Int(meter)]
        case BURSAR_METER_WALL: return "wall"
        case BURSAR_METER_IDLE: return "idle"
        case BURSAR_METER_UNATTENDED: return "unattended"
        default: return home.text(Int64(meter), BURSAR_TEXT_METER)
        }
    }
}

extension Substring {
    fileprivate var trimmed: String { String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
}
