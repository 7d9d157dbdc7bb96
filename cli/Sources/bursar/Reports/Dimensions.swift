// What spend can be grouped by: the dimensions of v_steps, and any label.

struct Dimension {
    let name: String
    /// SQL over v_steps, called `v`, with one `?` for a label's key.
    let expression: String
    let label: String?
    /// Holds for a session as a whole, so that its outcomes have it too.
    let isOfSession: Bool

    var parameters: [Value] { label.map { [.text($0)] } ?? [] }
    var column: Column { Column(name, name.uppercased()) }

    private static let ofSessions =
        ["organisation", "team"] + (3...8).map { "level_\($0)" }
        + ["workflow", "session", "agent", "user", "owner", "cost_center", "feature", "customer"]
    private static let ofSteps = [
        "model_asked", "model", "tool", "price", "complexity", "variant", "attempt", "month", "day",
        "hour", "estimated",
        "corrected", "unpriced",
    ]

    /// Where the level that it names is in a path, from 0.
    var level: Int? {
        switch name {
        case "organisation": 0
        case "team": 1
        default: name.hasPrefix("level_") ? name.last?.wholeNumberValue.map { $0 - 1 } : nil
        }
    }

    init(_ word: String) throws {
        name = word
        if word.hasPrefix("label:"), word.utf8.count > 6 {
            label = String(word.dropFirst(6))
            expression = "(SELECT value FROM labels WHERE label_set = v.label_set AND key = ?)"
            isOfSession = true
            return
        }
        label = nil
        isOfSession = Dimension.ofSessions.contains(word)
        guard isOfSession || Dimension.ofSteps.contains(word) else {
            let known = Dimension.ofSessions + Dimension.ofSteps
            let near = known.map { (editDistance(word, $0), $0) }.filter { $0.0 <= 2 }.min {
                $0 < $1
            }
            throw Failure(
                "\(word.named) is no dimension" + (near.map { ": is it `\($0.1)`?" } ?? ".")
                    + " There are " + known.joined(separator: ", ") + ", and label:<key>",
                Code.usage)
        }
        expression = word == "month" ? "substr(v.day, 1, 7)" : "v." + word
    }

    /// Those of `team,model,label:customer`.
    static func list(_ text: String) throws -> [Dimension] {
        let words = text.split(separator: ",").map { String($0.drop { $0 == " " }) }
        if words.isEmpty {
            throw Failure("--by needs a dimension, such as team or team,model", Code.usage)
        }
        for (k, word) in words.enumerated() where words[..<k].contains(word) {
            throw Failure("--by has \(word.named) twice", Code.usage)
        }
        return try words.map(Dimension.init)
    }
}

extension [Dimension] {
    var columns: [Column] { map(\.column) }
    var parameters: [Value] { flatMap(\.parameters) }
    /// For SELECT, with a comma at its end where there are any.
    var selected: String { map { $0.expression + ", " }.joined() }
    /// For GROUP BY, or nothing.
    var grouped: String {
        isEmpty ? "" : " GROUP BY " + indices.map { String($0 + 1) }.joined(separator: ", ")
    }
}

/// Texts in their order, what is unknown last.
func precedes(_ a: [Value], _ b: [Value]) -> Bool {
    for (x, y) in zip(a, b) where x != y {
        switch (x, y) {
        case (.null, _): return false
        case (_, .null): return true
        case (.integer(let x), .integer(let y)): return x < y
        case (.text(let x), .text(let y)):
            return Array(x.utf8).lexicographicallyPrecedes(Array(y.utf8))
        default: return "\(x)" < "\(y)"
        }
    }
    return false
}
