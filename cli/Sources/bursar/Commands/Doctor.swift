// bursar doctor: what a home is, who has it open, and what is not as it should be.

import ArgumentParser
import CBursar

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look at the home's health: fill, lag, processes, lost events, age of prices, totals.",
        discussion: "Exits with 1 when something needs somebody.")
    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOptions
    @OptionGroup var progress: ProgressOption

    func run() throws {
        let home = try home.open()
        var health = bursar_health_t()
        health.size = UInt32(MemoryLayout<bursar_health_t>.size)
        var status = bursar_health(home.runtime, &health)
        if status != BURSAR_OK { throw Failure(status, "the home's health") }
        var info = bursar_home_info_t()
        info.size = UInt32(MemoryLayout<bursar_home_info_t>.size)
        status = bursar_home_info(home.runtime, &info)
        if status != BURSAR_OK { throw Failure(status, "the home") }

        var rows: [[Cell]] = []
        var isWell = true
        func add(_ what: String, _ found: String, _ advice: String? = nil) {
            if advice != nil { isWell = false }
            rows.append([.text(what), .text(found), advice.map { .text($0) } ?? .text("good")])
        }
        func share(_ part: Int64, _ whole: Int64) -> Int64 { whole > 0 ? part * 100 / whole : 0 }

        let segment = withUnsafeBytes(of: &info.segment_path) {
            String(decoding: $0.prefix(Int(min(info.segment_path_len, 255))), as: UTF8.self)
        }
        add("home", home.path)
        add("segment", "\(segment), \(health.segment_bytes / 1_048_576) MiB, since \(localTime(info.segment_id))")
        add("processes", processes(home))
        let nodes = share(health.nodes, health.nodes_max)
        add(
            "budgets and sessions", "\(grouped(health.nodes)) of \(grouped(health.nodes_max))",
            nodes >= 80 ? "make the home anew with a larger `sessions_max`, or close sessions that are done" : nil)
        let journal = share(health.reservations, health.reservations_max)
        add(
            "steps in the journal", "\(grouped(health.reservations)) of \(grouped(health.reservations_max)), "
                + "\(grouped(health.in_flight)) in flight",
            journal >= 80 ? "steps are not settled, or the ledger takes none: see the events" : nil)
        add(
            "oldest step not yet counted", span(health.fold_lag_ns),
            health.fold_lag_ns > 5_000_000_000 ? "nobody folds: is the process that looks after the home stopped?" : nil)
        add("steps", "\(grouped(health.settled_steps)) settled, \(grouped(health.estimated_steps)) of them at an estimate")
        add("refusals", "\(grouped(health.refusals)), \(grouped(health.transient_refusals)) of them for steps in flight")
        add(
            "billed above what was reserved", money(health.overrun_nanos))
        add(
            "events lost", "\(grouped(health.events_lost)) of \(grouped(health.events))",
            health.events_lost > 0 ? "a listener was too slow: poll more often, or raise `events_max`" : nil)
        let days = (now / 1_000_000_000 - health.prices_as_of_unix) / 86_400
        add(
            "built-in prices", "\(days) days old",
            days > 90 ? "install a newer version, or load a price file" : nil)
        do {
            progress.begin("doctor: adding up a ledger", home)
            try home.expect { bursar_verify(home.runtime, &$0) }
            add("totals", "every total is the sum of its steps")
        } catch let failure as Failure {
            // A ledger that cannot be read differs from one that does not add up.
            do {
                try home.ask("SELECT sum(cost_nanos) FROM v_steps") { _ in }
                add("totals", failure.description, "stop, keep the home's files, and report it")
            } catch let failure as Failure {
                let advice =
                    switch failure.code {
                    case Code.busy: "somebody else writes to it: look again"
                    case Code.bug: "agents work on under their limits; repair it: docs/operations.md"
                    default: "agents work on under their limits; put it right soon, rows follow by themselves: docs/operations.md"
                    }
                add("ledger", failure.description, advice)
            }
        }
        try show(rows, isWell)
    }

    private func show(_ rows: [[Cell]], _ isWell: Bool) throws {
        if output.isForPeople {
            bursar.show([Column("what", "WHAT"), Column("found", "FOUND")], rows.map { Array($0.prefix(2)) }, output)
            say("")
            var isGood = true
            for row in rows {
                guard case .text(let what) = row[0], case .text(let advice) = row[2], advice != "good" else { continue }
                say("\(what): \(advice)")
                isGood = false
            }
            if isGood { say("All is well.") }
        } else {
            bursar.show([Column("what", "WHAT"), Column("found", "FOUND"), Column("advice", "")], rows, output)
        }
        if !isWell { throw Failure("", Code.failed) }
    }

    private func processes(_ home: Home) -> String {
        var names: [String] = []
        var position: UInt32 = 0
        while true {
            var process = bursar_process_t()
            process.size = UInt32(MemoryLayout<bursar_process_t>.size)
            guard bursar_home_process(home.runtime, position, &process) == BURSAR_OK else { break }
            let name = withUnsafeBytes(of: &process.name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            names.append("\(process.pid)" + (name.isEmpty ? "" : " (\(name.visible))"))
            position += 1
        }
        return names.joined(separator: ", ")
    }
}
