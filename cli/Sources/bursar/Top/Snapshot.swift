// What `bursar top` shows: everything that lives in a home, read once a second in a few calls,
// with the rate at which it is spending. Texts are read once: an id never means another.

import CBursar
import Glibc

final class Snapshot {
    struct Node {
        let id: bursar_id_t
        let depth: Int
        let view: bursar_view_t
        var burn: Int64?  // nano-dollars a minute; nil until there are two looks

        /// Nanoseconds until nothing is left at this rate.
        var runsOutIn: Int64? {
            guard let burn, burn > 0, view.remaining_nanos < .max else { return nil }
            let minutes = Double(view.remaining_nanos) / Double(burn)
            return minutes < 1e6 ? Int64(minutes * 60e9) : nil
        }
    }

    struct Texts {
        let path: String
        let agent: String
        let model: String
        let labels: String
    }

    let home: Home
    private(set) var budgets: [Node] = []  // parents first, each level by path
    private(set) var sessions: [Node] = []
    private(set) var burn: Int64?  // of everything
    private(set) var spent: Int64 = 0
    private(set) var at: Int64 = 0

    private var looks: [bursar_id_t: (spent: Int64, burn: Double)] = [:]
    private var texts: [bursar_id_t: Texts] = [:]
    private var views: [bursar_view_t] = []

    init(_ home: Home) { self.home = home }

    /// Looks again.
    func refresh() throws {
        let before = at
        at = monotonic()
        try readAll()
        var below: [bursar_id_t: [Int]] = [:]
        for (k, view) in views.enumerated() where view.kind == BURSAR_KIND_BUDGET { below[view.parent, default: []].append(k) }
        budgets = []
        sessions = []
        var new: [bursar_id_t: (spent: Int64, burn: Double)] = [:]
        new.reserveCapacity(views.count)
        // A mean that forgets: after ten seconds two thirds of it are new.
        let seconds = Double(at - before) / 1e9
        let share = before == 0 ? 1 : seconds / (seconds + 10)
        func node(_ view: bursar_view_t, _ depth: Int) -> Node {
            var burn: Double = 0
            var isKnown = false
            if before != 0, seconds > 0 {
                let last = looks[view.id]
                // What is new since the last look spent all of it in between.
                let spent = Double(view.spent_nanos - (last?.spent ?? 0)) / seconds * 60
                burn = max(0, (last.map { $0.burn < 0 ? spent : $0.burn + (spent - $0.burn) * share }) ?? spent)
                isKnown = true
            }
            new[view.id] = (view.spent_nanos, isKnown ? burn : -1)
            return Node(id: view.id, depth: depth, view: view, burn: isKnown ? Int64(min(burn, 9e18)) : nil)
        }
        func add(_ parent: bursar_id_t, _ depth: Int) {
            for k in (below[parent] ?? []).sorted(by: { text(of: views[$0].id).path < text(of: views[$1].id).path }) {
                budgets.append(node(views[k], depth))
                add(views[k].id, depth + 1)
            }
        }
        add(0, 0)
        for view in views where view.kind == BURSAR_KIND_SESSION && view.state != BURSAR_STATE_CLOSED {
            sessions.append(node(view, 0))
        }
        looks = new
        if texts.count > 2 * views.count + 1000 { texts = texts.filter { new[$0.key] != nil } }
        let top = budgets.filter { $0.depth == 0 }
        spent = top.reduce(0) { $0 + $1.view.spent_nanos }
        burn = before == 0 ? nil : top.reduce(0) { $0 + ($1.burn ?? 0) }
    }

    /// Level by level: the ids below those that have any, then their views at once.
    private func readAll() throws {
        views = []
        var level = try home.children(0)
        while !level.isEmpty {
            let new = try home.views(level)
            views += new
            level = try new.flatMap { $0.children > 0 ? try home.children($0.id) : [] }
        }
    }

    func text(of id: bursar_id_t) -> Texts {
        if let found = texts[id] { return found }
        let found = Texts(
            path: home.text(id, BURSAR_TEXT_PATH).visible, agent: home.text(id, BURSAR_TEXT_AGENT).visible,
            model: home.text(id, BURSAR_TEXT_LADDER).visible,
            labels: home.text(id, BURSAR_TEXT_LABELS).split(separator: "\n").joined(separator: " ").visible)
        texts[id] = found
        return found
    }

    /// How much of its tightest limit is used, 0…1; nil without a limit.
    func share(of node: Node) -> Double? {
        home.limits(node.id, node.view.limits).compactMap { limit in
            let (whole, isOver) = limit.amount.addingReportingOverflow(limit.extra)
            return isOver || whole <= 0 || limit.meter == BURSAR_METER_IDLE ? nil : Double(limit.committed) / Double(whole)
        }.max()
    }
}
