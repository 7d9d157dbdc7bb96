// The screen of `bursar top` as lines of text, for any size of terminal.

import CBursar
import Glibc

struct Painter {
    enum Pane { case budgets, sessions }
    enum Order: String, CaseIterable { case spent, burn, age, steps, path }

    /// What people chose.
    struct State {
        var pane = Pane.budgets
        var selected: bursar_id_t = 0
        var order = Order.spent
        var filter = ""
        var top: [Int] = [0, 0]  // the first row that is shown, of each pane
        var message = ""  // instead of the help: a question, or what was done
    }

    let snapshot: Snapshot
    let hasColor: Bool
    let hasSelection: Bool

    private static let columns: [(title: String, width: Int, from: Int)] = [
        ("STATE", 7, 0), ("SPENT", 10, 0), ("LEFT", 10, 50), ("USED", 16, 66), ("BURN/MIN", 10, 80),
        ("ENDS IN", 8, 92), ("STEPS", 8, 104), ("AGE", 8, 114), ("MODEL", 14, 132),
    ]

    /// The rows of a pane, filtered and in order.
    func rows(_ pane: Pane, _ state: State) -> [Snapshot.Node] {
        var nodes = pane == .budgets ? snapshot.budgets : snapshot.sessions
        if !state.filter.isEmpty {
            nodes = nodes.filter {
                let text = snapshot.text(of: $0.id)
                return text.path.contains(state.filter) || text.agent.contains(state.filter)
                    || text.labels.contains(state.filter) || String($0.id) == state.filter
            }
        }
        if pane == .budgets { return nodes }
        switch state.order {
        case .spent: sort(&nodes) { $0.view.spent_nanos }
        case .burn: sort(&nodes) { $0.burn ?? 0 }
        case .age: sort(&nodes) { -$0.view.opened_unix_ns }
        case .steps: sort(&nodes) { $0.view.steps }
        case .path: nodes.sort { (snapshot.text(of: $0.id).path, $0.id) < (snapshot.text(of: $1.id).path, $1.id) }
        }
        return nodes
    }

    /// The largest first.
    private func sort(_ nodes: inout [Snapshot.Node], _ key: (Snapshot.Node) -> Int64) {
        let keys = nodes.enumerated().map { (key: key($1), id: $1.id, at: $0) }
        nodes = keys.sorted { $0.key != $1.key ? $0.key > $1.key : $0.id < $1.id }.map { nodes[$0.at] }
    }

    /// The screen: `height` lines of `width` columns.
    func lines(_ state: inout State, width: Int, height: Int, clock: String) -> [String] {
        let budgets = rows(.budgets, state), sessions = rows(.sessions, state)
        let room = max(0, height - 4)  // head, two titles, foot
        let forBudgets = min(budgets.count, max(room / 2, room - sessions.count))
        let forSessions = min(sessions.count, room - forBudgets)
        var lines: [String] = []
        let burn = snapshot.burn.map { "  \(rounded($0))/min" } ?? ""
        let head =
            "bursar top  \(clock)  \(grouped(Int64(snapshot.sessions.count))) sessions  "
            + "\(grouped(Int64(snapshot.budgets.count))) budgets  spent \(rounded(snapshot.spent))\(burn)"
            + (state.filter.isEmpty ? "" : "  /\(state.filter.visible)")
        lines.append(styled(fit(head, width), "1"))
        for (k, (pane, nodes, count)) in [(Pane.budgets, budgets, forBudgets), (.sessions, sessions, forSessions)].enumerated() {
            let title = pane == .budgets ? "BUDGET" : "SESSION by \(state.order.rawValue)"
            if lines.count < height { lines.append(styled(fit(line(title, Painter.columns.map(\.title), width), width), "7")) }
            let at = nodes.firstIndex { $0.id == state.selected }
            if let at, pane == state.pane {
                if at < state.top[k] { state.top[k] = at }
                if at >= state.top[k] + count { state.top[k] = at - count + 1 }
            }
            state.top[k] = max(0, min(state.top[k], nodes.count - count))
            for node in nodes.dropFirst(state.top[k]).prefix(count) where lines.count < height {
                let isSelected = hasSelection && pane == state.pane && node.id == state.selected
                let text = fit(row(node, pane, width, isSelected: isSelected), width)
                lines.append(isSelected ? styled(text, "7") : colored(text, node))
            }
        }
        while lines.count < height - 1 { lines.append("") }
        if !state.message.isEmpty, lines.count == height { lines.removeLast() }
        if hasSelection, lines.count < height {
            let help = "q quit  tab pane  / filter  s sort  p pause  r resume  k kill  v revive  + top up"
            lines.append(fit(state.message.isEmpty ? help : state.message, width))
        }
        return lines
    }

    private func row(_ node: Snapshot.Node, _ pane: Pane, _ width: Int, isSelected: Bool) -> String {
        let view = node.view, text = snapshot.text(of: node.id)
        let name: String
        if pane == .budgets {
            let own = text.path.split(separator: "/").last.map(String.init) ?? text.path
            name = String(repeating: "  ", count: node.depth) + own
        } else {
            name = "\(node.id) \(text.path)" + (text.agent.isEmpty ? "" : " · \(text.agent)")
        }
        let age = max(0, now - view.opened_unix_ns)
        let cells: [String] = [
            Words.state(view.effective_state), rounded(view.spent_nanos),
            view.remaining_nanos == .max ? "-" : rounded(view.remaining_nanos),
            width >= Painter.columns[3].from ? bar(snapshot.share(of: node), 16) : "",
            node.burn.map { $0 == 0 ? "-" : rounded($0) } ?? "-", node.runsOutIn.map { brief($0) } ?? "-",
            grouped(view.steps), brief(age), text.model.isEmpty ? "-" : text.model,
        ]
        return line(name, cells, width)
    }

    private func line(_ name: String, _ cells: [String], _ width: Int) -> String {
        let shown = Painter.columns.indices.filter { width >= Painter.columns[$0].from }
        let room = max(8, width - shown.reduce(0) { $0 + Painter.columns[$1].width + 1 })
        var out = fit(name, room)
        for k in shown {
            let cell = fit(cells[k], Painter.columns[k].width, pad: false)
            let blanks = String(repeating: " ", count: Painter.columns[k].width - cell.count)
            // Words to the left, numbers to the right.
            out += " " + ([0, 3, 8].contains(k) ? cell + blanks : blanks + cell)
        }
        return out
    }

    private func bar(_ share: Double?, _ width: Int) -> String {
        guard let share else { return "-" }
        let cells = width - 7
        let full = Int((min(max(share, 0), 1) * Double(cells)).rounded(.down))
        let number = share > 9.99 ? ">999%" : "\(Int((share * 100).rounded(.down)))%"
        return "[" + String(repeating: "|", count: full) + String(repeating: " ", count: cells - full) + "]"
            + String(repeating: " ", count: max(0, 5 - number.count)) + number
    }

    private func colored(_ text: String, _ node: Snapshot.Node) -> String {
        switch node.view.effective_state {
        case BURSAR_STATE_KILLED, BURSAR_STATE_HALTED: hasColor ? styled(text, "31") : text
        case BURSAR_STATE_PAUSED: hasColor ? styled(text, "33") : text
        default: text
        }
    }

    private func styled(_ text: String, _ style: String) -> String {
        hasSelection ? "\u{1B}[\(style)m\(text)\u{1B}[0m" : text
    }

    /// Cut or filled to a width.
    private func fit(_ text: String, _ width: Int, pad: Bool = true) -> String {
        if text.count > width { return width < 1 ? "" : String(text.prefix(width - 1)) + "~" }
        return pad ? text.padded(to: width) : text
    }

    /// Money to the cent from a dollar on, to four digits of a dollar below.
    private func rounded(_ nanos: Int64) -> String {
        if nanos == 0 { return "$0" }
        let (digits, unit): (Int, Int64) = nanos.magnitude < 1_000_000_000 ? (4, 100_000) : (2, 10_000_000)
        let rest = String((nanos % 1_000_000_000 / unit).magnitude)
        return (nanos < 0 ? "-$" : "$") + grouped(abs(nanos / 1_000_000_000)) + "."
            + String(repeating: "0", count: digits - rest.count) + rest
    }

    private func brief(_ nanos: Int64) -> String {
        let seconds = nanos / 1_000_000_000
        switch seconds {
        case ..<60: return "\(seconds)s"
        case ..<3600: return "\(seconds / 60)m\(seconds % 60)s"
        case ..<86_400: return "\(seconds / 3600)h\(seconds / 60 % 60)m"
        default: return "\(seconds / 86_400)d\(seconds / 3600 % 24)h"
        }
    }
}
