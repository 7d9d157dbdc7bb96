// One budget or session with all that is known of it: `budget show`, `session show`.

import ArgumentParser
import CBursar

enum Inspection {
    static func show(_ word: String, _ option: HomeOption, _ output: OutputOptions) throws {
        let home = try option.open()
        let id = try home.find(word)
        let view = try home.read(id)
        let isSession = view.kind == BURSAR_KIND_SESSION
        func text(_ which: Int32) -> Cell {
            let text = home.text(id, which)
            return text.isEmpty ? .none : .text(text)
        }
        let labels = home.text(id, BURSAR_TEXT_LABELS).split(separator: "\n").joined(separator: ", ")
        let facts: [(Column, Cell)] = [
            (Column("path", "Budget"), text(BURSAR_TEXT_PATH)),
            (Column("id", "Id"), .id(id)),
            (Column("kind", "Kind"), .text(Words.kind(view.kind))),
            (Column("agent", "Agent"), isSession ? text(BURSAR_TEXT_AGENT) : .none),
            (Column("state", "State"), .text(Words.state(view.effective_state))),
            (Column("reason", "Because"), view.reason == 0 ? .none : .text(Words.reason(view.reason))),
            (Column("reason_text", "Reason given"), text(BURSAR_TEXT_REASON)),
            (Column("owner", "Owner"), text(BURSAR_TEXT_OWNER)),
            (Column("cost_center", "Cost centre"), text(BURSAR_TEXT_COST_CENTER)),
            (Column("purpose", "Purpose"), text(BURSAR_TEXT_PURPOSE)),
            (Column("labels", "Labels"), labels.isEmpty ? .none : .text(labels)),
            (Column("ladder", "Ladder"), text(BURSAR_TEXT_LADDER)),
            (Column("opened_at", "Opened"), .time(view.opened_unix_ns)),
            (Column("spent_nanos", "Spent"), .money(view.spent_nanos)),
            (Column("reserved_nanos", "Reserved"), .money(view.reserved_nanos)),
            (Column("remaining_nanos", "Left"), view.remaining_nanos == .max ? .none : .money(view.remaining_nanos)),
            (Column("steps", "Steps"), .count(view.steps)),
            (Column("tool_calls", "Tool calls"), .count(view.tool_calls)),
            (Column("input_tokens", "Input tokens"), .count(view.input_tokens)),
            (Column("output_tokens", "Output tokens"), .count(view.output_tokens)),
            (Column("refusals", "Refused"), .count(view.refusals)),
            (Column("children", "Below it"), .count(Int64(view.children))),
        ]
        let limits = home.limits(id, view.limits)
        if output.json {
            let rows = limits.map { json(columns, row($0)) }.joined(separator: ", ")
            let object = json(facts.map(\.0), facts.map(\.1))
            say(object.dropLast() + ", \"limits\": [\(rows)]}")
            return
        }
        bursar.show(facts.map(\.0), one: facts.map(\.1), output)
        if output.csv || limits.isEmpty { return }
        say("")
        bursar.show(columns, limits.map(row), output)
    }

    private static let columns = [
        Column("limit", "LIMIT"), Column("spent", "SPENT"), Column("committed", "WITH STEPS IN FLIGHT"),
        Column("extra", "TOPPED UP"), Column("remaining", "LEFT"), Column("share", "USED"),
        Column("window_end_at", "UNTIL"),
    ]

    private static func row(_ limit: bursar_limit_view_t) -> [Cell] {
        func amount(_ value: Int64) -> Cell {
            switch limit.meter {
            case BURSAR_METER_COST: .money(value)
            case BURSAR_METER_WALL, BURSAR_METER_IDLE, BURSAR_METER_UNATTENDED: .span(value)
            default: .count(value)
            }
        }
        let (whole, isOver) = limit.amount.addingReportingOverflow(limit.extra)
        let share = isOver || whole <= 0 ? Cell.none : .share(Double(limit.committed) / Double(whole))
        return [
            .text(limit.canonical), amount(limit.spent), amount(limit.committed), limit.extra == 0 ? .none : amount(limit.extra),
            amount(limit.remaining), share, limit.window_end_unix_ns == 0 ? .none : .time(limit.window_end_unix_ns),
        ]
    }
}
