// Outcomes by the dimensions that sessions have, for reports that hold spend against them.

struct OutcomeSums {
    var outcomes: Int64 = 0
    var verified: Int64 = 0
    var unvalued: Int64 = 0
    var value: Int64 = 0
    var rework: Int64 = 0
}

/// Outcomes that count, by `dimensions`, which are of sessions. An outcome came about when it was first stated.
/// One that is credited to a workflow or a label has what follows from that, and no more.
func outcomes(_ home: Home, by dimensions: [Dimension], _ selection: Selection, _ period: Period)
    throws -> [[Value]:
    OutcomeSums]
{
    if let other = dimensions.first(where: { !$0.isOfSession }) {
        throw Failure(
            "outcomes are of sessions, so they have no \(other.name): group by team, workflow, agent, owner, "
                + "cost_center, customer, feature or label:<key>", Code.usage)
    }
    // What sessions and budgets say.
    var sessions: [Int64: [Value]] = [:]
    let ownOnes = ["session", "agent", "user", "owner", "cost_center"]
    let bySession = dimensions.map { dimension in
        if dimension.label != nil { return dimension.expression }
        if ["feature", "customer"].contains(dimension.name) {
            return
                "(SELECT value FROM labels WHERE label_set = v.label_set AND key = '\(dimension.name)')"
        }
        return ownOnes.contains(dimension.name) ? dimension.expression : "NULL"
    }
    try home.ask(
        "SELECT session, \(bySession.joined(separator: ", ")) FROM v_sessions v WHERE session IN "
            + "(SELECT session FROM v_outcomes WHERE counts)", dimensions.parameters
    ) { row in
        sessions[row.int(0)] = (0..<dimensions.count).map { row[$0 + 1] }
    }
    var budgets: [String: (owner: Value, center: Value)] = [:]
    try home.ask("SELECT path, owner, cost_center FROM v_budgets ORDER BY budget") { row in
        budgets[row.text(0) ?? ""] = (row[1], row[2])
    }

    let time = """
        coalesce((SELECT min(r.at) FROM v_revisions r WHERE r.name = o.name AND r.key = o.key), o.at)
        """
    let filter = selection.filter(period, time: time)
    var sums: [[Value]: OutcomeSums] = [:]
    try home.ask(
        "SELECT state, value_nanos, rework_nanos, workflow, session, label_key, label_value FROM v_outcomes o "
            + "WHERE counts AND " + filter.0, filter.1
    ) { row in
        let path = row.text(3)
        let levels = path?.split(separator: "/").map(String.init) ?? []
        let session = row.maybeInt(4).flatMap { sessions[$0] }
        let key = dimensions.enumerated().map { k, dimension -> Value in
            if let level = dimension.level {
                return levels.indices.contains(level) ? .text(levels[level]) : .null
            }
            if dimension.name == "workflow" { return row[3] }
            if let session { return session[k] }
            switch dimension.name {
            case "owner": return path.flatMap { budgets[$0]?.owner } ?? .text("(unowned)")
            case "cost_center": return path.flatMap { budgets[$0]?.center } ?? .text("(unowned)")
            default:
                let label = dimension.label ?? dimension.name
                return row.text(5) == label ? row[6] : .null
            }
        }
        var entry = sums[key] ?? OutcomeSums()
        entry.outcomes += 1
        if row.text(0) == "verified" { entry.verified += 1 }
        if let value = row.maybeInt(1) {
            entry.value = try sum(entry.value, value)
        } else {
            entry.unvalued += 1
        }
        entry.rework = try sum(entry.rework, row.int(2))
        sums[key] = entry
    }
    return sums
}
