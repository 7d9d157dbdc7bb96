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
