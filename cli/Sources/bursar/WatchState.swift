// What `bursar watch --state` keeps from one run to the next: how far it has told what happened, and
// the alerts that are open, so that a restart tells nothing twice and leaves nothing out. The file is
// written whole, after what it says was told: a crash between the two tells that once more.

import CBursar
import Glibc

struct WatchState {
    private let path: String
    private let home: String  // its id
    private let segment: Int64  // that the home has now
    private var last = (segment: Int64(0), sequence: Int64(0), at: Int64(0))
    /// Whether there was no such file.
    private(set) var isNew = true
    private(set) var open: [Happening] = []

    init(_ path: String, _ home: Home) throws {
        self.path = path
        var info = bursar_home_info_t()
        info.size = UInt32(MemoryLayout<bursar_home_info_t>.size)
        let status = bursar_home_info(home.runtime, &info)
        if status != BURSAR_OK { throw Failure(status, "the home") }
        self.home = withUnsafeBytes(of: &info.id) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        segment = info.segment_id
        last = (segment, 0, now)
        var isThere = stat()
        if stat(path, &isThere) == 0 { try read(home) }
    }

    /// Since when the ledger is to be asked for what is new.
    var since: Int64 { last.at - 3_600_000_000_000 }

    func isNews(_ event: Happening) -> Bool {
        event.segment == last.segment && last.sequence > 0 ? event.sequence > last.sequence : event.at > last.at
    }

    mutating func saw(_ event: Happening) {
        if event.segment != last.segment || event.sequence > last.sequence {
            last = (event.segment, event.sequence, max(last.at, event.at))
        }
    }

    // MARK: - The file

    /// Replaces the file, by renaming another one to it.
    func save(_ open: [Happening]) throws {
        var text = "{\"bursar_watch\": 1, \"home\": \(quoted(home)), \"segment\": \(last.segment), "
        text += "\"sequence\": \(last.sequence), \"at\": \(last.at), \"open\": ["
        text += open.map { event in
            let cells = event.cells.map { cell in if case .time(let at) = cell { Cell.id(at) } else { cell } }
            let more = [Cell.id(Int64(event.code)), .id(event.id), .id(Int64(event.reason))]
            return "\n  "
                + json(
                    Happening.columns + [Column("code", ""), Column("id", ""), Column("reason_code", "")], cells + more)
        }.joined(separator: ",")
        text += "]}\n"
        let new = path + ".new"
        let descriptor = Glibc.open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw cannot("write") }
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + sent, bytes.count - sent) }
            if count < 0, errno == EINTR { continue }
            if count < 0 {
                let failure = cannot("write")
                close(descriptor)
                throw failure
            }
            sent += count
        }
        let isSafe = fsync(descriptor) == 0
        guard close(descriptor) == 0, isSafe, rename(new, path) == 0 else { throw cannot("write") }
    }

    private func cannot(_ verb: String) -> Failure {
        Failure("cannot \(verb) the state \(path.named): \(String(cString: strerror(errno)))", Code.system)
    }

    private mutating func read(_ home: Home) throws {
        let bad = Failure(
            "\(path.named) is no state of a watch: name another file, or remove it to begin anew", Code.text)
        var reader = JSONReader(try contents(of: path))
        guard case .object(let pairs)? = try? reader.value(), number(pairs, "bursar_watch") == 1,
            case .list(let items)? = pairs.first(where: { $0.key == "open" })?.value
        else { throw bad }
        if text(pairs, "home") != self.home {
            throw Failure("\(path.named) is the state of another home's watch: name another file", Code.text)
        }
        last = (number(pairs, "segment"), number(pairs, "sequence"), number(pairs, "at"))
        isNew = false
        open = try items.map { item in
            guard case .object(let pairs) = item else { throw bad }
            var event = Happening()
            event.at = number(pairs, "at")
            event.code = Int32(truncatingIfNeeded: number(pairs, "code"))
            event.path = text(pairs, "path")
            // Ids end with a segment: then it is found by its path.
            event.id = last.segment == segment ? number(pairs, "id") : 0
            event.session = number(pairs, "session")
            event.agent = text(pairs, "agent")
            event.meter = text(pairs, "meter")
            event.percent = number(pairs, "percent")
            event.amount = number(pairs, "amount")
            event.limit = number(pairs, "limit")
            event.committed = number(pairs, "committed")
            event.reason = Int32(truncatingIfNeeded: number(pairs, "reason_code"))
            event.text = text(pairs, "text")
            event.actor = text(pairs, "actor")
            return event
        }
    }

    private func number(_ pairs: [(key: String, value: JSON)], _ key: String) -> Int64 {
        if case .number(let digits)? = pairs.first(where: { $0.key == key })?.value { return Int64(digits) ?? 0 }
        return 0
    }

    private func text(_ pairs: [(key: String, value: JSON)], _ key: String) -> String {
        if case .text(let text)? = pairs.first(where: { $0.key == key })?.value { return text }
        return ""
    }
}
