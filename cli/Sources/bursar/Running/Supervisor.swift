// What `bursar run` does while its command runs: waits for the command, for signals and for
// what happens to the session, and stops the tree when the session has ended.

import CBursar
import CLaunch
import CSystem
import Glibc

final class Supervisor {
    /// Why the tree is stopped, by exit code.
    enum Cause: Int32 {
        case operated = 122
        case budget = 123
        case time = 124
    }

    private let home: Home
    private let session: bursar_id_t
    private let signals: Signals
    private let grace: Int64
    private let path: [bursar_id_t]  // the session, and all above it
    private let variables: [String]
    private let tree: ProcessTree
    private let events: Int32

    var isLenient = false
    var leavesRest = false

    private var child: pid_t = 0
    private var status: Int32?  // of the command, when it ended
    private var cause: Cause?
    private var because = ""
    private var isEnded = false  // the command, by us
    private var refusals: Int64 = 0
    private let started = monotonic()
    private var last = bursar_view_t()

    init(_ home: Home, _ session: bursar_id_t, _ signals: Signals, grace: Int64) throws {
        (self.home, self.session, self.signals, self.grace) = (home, session, signals, grace)
        guard let lines = home.text({ bursar_session_environ(home.runtime, session, $0, $1, $2) }) else {
            throw Failure("the session cannot be handed to the command")
        }
        variables = lines.split(separator: "\n").map(String.init)
        tree = ProcessTree(mark: variables.first { $0.hasPrefix("BURSAR_SESSION=") } ?? "")
        var path: [bursar_id_t] = []
        var id = session
        while id > 0, path.count < 64 {
            path.append(id)
            id = try home.read(id).parent
        }
        self.path = path
        var events: Int32 = -1
        if bursar_events_fd(home.runtime, &events) != BURSAR_OK { throw Failure("no descriptors are left", Code.system) }
        self.events = events
    }

    /// Runs the command to its end; the exit code.
    func run(_ command: [String]) throws -> Int32 {
        launch_adopt_orphans()
        try start(command)
        tree.started(child)
        while status == nil {
            wait(min(1_000_000_000, untilTimeIsUp()))
            look()
            if cause != nil, status == nil { stop() }
        }
        var code = launch_exit_code(status ?? 0)
        if !isEnded {
            if code != 0, cause == nil { judgeLate() }
            if !leavesRest { stop() }
        }
        try? last = home.read(session)
        if let cause, code != 0 || isEnded { code = cause.rawValue }
        return code
    }

    private func start(_ command: [String]) throws {
        var names = Set(variables.map { $0.prefix { $0 != "=" } })
        names.insert("BURSAR_SESSION")
        var lines: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) }
        var at = environ
        while let line = at.pointee {
            let name = String(cString: line).prefix { $0 != "=" }
            if !names.contains(name) { lines.append(strdup(line)) }
            at += 1
        }
        // As they were given: a file's name need not be UTF-8, and a String is.
        let first = Int(CommandLine.argc) - command.count
        var words = command.indices.map { strdup(CommandLine.unsafeArgv[first + $0] ?? strdup("")) }
        lines.append(nil)
        words.append(nil)
        defer { for text in lines + words { free(text) } }
        var (error, place): (Int32, Int32) = (0, 0)
        child = words.withUnsafeMutableBytes { words in
            lines.withUnsafeMutableBytes { lines in
                launch(
                    words.baseAddress!.assumingMemoryBound(to: UnsafePointer<CChar>?.self),
                    lines.baseAddress!.assumingMemoryBound(to: UnsafePointer<CChar>?.self),
                    environment("PATH") ?? "/bin:/usr/bin", &error, &place)
            }
        }
        if child > 0 { return }
        let sentence = String(cString: strerror(error))
        if place == 0 { throw Failure("no process for the command: \(sentence)", 125) }
        throw Failure(
            "\(command[0].named): " + (error == ENOEXEC ? "it is no program, and has no #! line" : sentence),
            error == ENOENT ? 127 : 126)
    }

    // MARK: - Waiting

    private func wait(_ nanos: Int64) {
        var watched = [
            pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: events, events: Int16(POLLIN), revents: 0),
        ]
        _ = poll(&watched, nfds_t(watched.count), Int32(clamping: max(0, nanos + 999_999) / 1_000_000))
        while let (number, isFromKernel) = signals.next() { take(number, isFromKernel: isFromKernel) }
    }

    private func take(_ number: Int32, isFromKernel: Bool) {
        switch number {
        case SIGCHLD:
            var ended: Int32 = 0
            while case let pid = launch_reap(&ended), pid > 0 {
                if pid == child { status = ended }
            }
            // Nobody else tells the shell that this job is suspended.
            if status == nil, isatty(STDIN_FILENO) == 1, launch_is_stopped_apart(child) == 1 { raise(SIGSTOP) }
        case SIGCONT:
            if status == nil { kill(child, SIGCONT) }
        default:
            // What the terminal sends, it sends to the command too.
            if !isFromKernel, status == nil { kill(child, number) }
        }
    }

    private lazy var timeIsUp: Int64? = {
        let ends = path.flatMap { id -> [Int64] in
            guard let view = try? home.read(id) else { return [] }
            return home.limits(id, view.limits).filter { $0.meter == BURSAR_METER_WALL }.map(\.window_end_unix_ns)
        }
        return ends.filter { $0 > 0 }.min()
    }()

    /// A look at the session when its time should be up, however late the home's own is.
    private func untilTimeIsUp() -> Int64 {
        guard let timeIsUp else { return .max }
        let left = timeIsUp - now
        return left > 0 ? left : .max
    }

    // MARK: - Judging

    private func look() {
        while true {
            var event = bursar_event_t()
            event.size = UInt32(MemoryLayout<bursar_event_t>.size)
            var count = 0
            guard bursar_events_poll(home.runtime, &event, 1, &count) == BURSAR_OK, count == 1 else { break }
            judge(event)
        }
        guard cause == nil, let view = try? home.read(session) else {
            if cause == nil { conclude(.operated, "its session was removed") }
            return
        }
        judge(view)
    }

    private func judge(_ event: bursar_event_t) {
        if isLenient || cause != nil || !isOurs(event.session) { return }
        switch event.type {
        case BURSAR_EVENT_HALT where path.contains(event.id), BURSAR_EVENT_STORM where event.reason == BURSAR_REASON_LIMIT:
            conclude(.budget, "a limit of \(home.text(event.id, BURSAR_TEXT_PATH).named) refused it")
        default: break
        }
    }

    /// Whether a step's session is this one, or below it.
    private func isOurs(_ id: bursar_id_t) -> Bool {
        var id = id
        for _ in 0..<64 where id > 0 {
            if id == session { return true }
            guard let view = try? home.read(id) else { return false }
            id = view.parent
        }
        return false
    }

    private func judge(_ view: bursar_view_t) {
        let reason = (path + [0]).lazy.map { self.home.text($0, BURSAR_TEXT_REASON).visible }.first { !$0.isEmpty } ?? ""
        switch view.effective_state {
        case BURSAR_STATE_KILLED: conclude(.operated, "it was killed" + (reason.isEmpty ? "" : ": " + reason))
        case BURSAR_STATE_CLOSED: conclude(.operated, "its session was closed")
        case BURSAR_STATE_HALTED:
            let isTime = [BURSAR_REASON_WALL, BURSAR_REASON_IDLE, BURSAR_REASON_UNATTENDED].contains(view.reason)
            conclude(isTime ? .time : .budget, isTime ? "its time is up (\(Words.reason(view.reason)))" : "it was halted")
        default:
            // Refused where nothing is left at all, by a limit that told so before this began.
            if view.refusals > refusals, !isLenient, let name = exhausted() {
                conclude(.budget, "nothing is left of \(name)")
            }
            refusals = view.refusals
        }
    }

    private func exhausted() -> String? {
        for id in path {
            guard let view = try? home.read(id) else { continue }
            for limit in home.limits(id, view.limits)
            where limit.end == BURSAR_END_HALT && limit.meter < BURSAR_METER_WALL
                && limit.meter != BURSAR_METER_IN_FLIGHT && limit.remaining == 0
            {
                return "\(home.text(id, BURSAR_TEXT_PATH).named)"
            }
        }
        return nil
    }

    /// The command failed by itself. Was it for its session? What tells may be on its way.
    private func judgeLate() {
        let deadline = monotonic() + 500_000_000
        look()
        guard let view = try? home.read(session) else { return }
        while cause == nil, view.refusals > 0, monotonic() < deadline {
            wait(deadline - monotonic())
            look()
        }
        if cause == nil, view.effective_state == BURSAR_STATE_PAUSED, view.reason == BURSAR_REASON_PAUSED {
            conclude(.operated, "its session is paused")
        }
    }

    private func conclude(_ cause: Cause, _ because: String) {
        if self.cause == nil { (self.cause, self.because) = (cause, because) }
    }

    // MARK: - Stopping

    /// Soft, then hard, until nobody is left.
    private func stop() {
        if status == nil { isEnded = true }
        var told: Set<ProcessTree.Process> = []
        let deadline = monotonic() + grace
        while true {
            let members = tree.members()
            if members.isEmpty, status != nil, tree.isEmpty { return }
            let left = deadline - monotonic()
            if left <= 0 { break }
            let new = members.filter { !told.contains($0) }
            tree.signal(SIGTERM, to: new)
            told.formUnion(new)
            // Whoever is forked meanwhile hears it too.
            wait(min(left, new.isEmpty ? 100_000_000 : 10_000_000))
        }
        let patience = monotonic() + 10_000_000_000
        while monotonic() < patience {
            tree.kill()
            wait(5_000_000)
            let left = tree.members()
            let isOver = left.isEmpty ? tree.isEmpty : left.allSatisfy { tree.refused.contains($0.pid) }
            if isOver, status != nil || tree.refused.contains(child) { break }
        }
        if status == nil { status = SIGKILL }
        let rest = tree.members().map { String($0.pid) }
        if !rest.isEmpty { warn("bursar run: could not stop \(rest.joined(separator: ", "))") }
    }

    /// What was spent, and why it ended.
    var summary: String {
        let calls = last.tool_calls == 0 ? "" : ", \(grouped(last.tool_calls)) tool calls"
        let held = last.reserved_nanos == 0 ? "" : " and held \(money(last.reserved_nanos)) for steps that were cut off"
        return "spent \(money(last.spent_nanos))\(held) in \(grouped(last.steps)) steps\(calls), "
            + "\(grouped(last.input_tokens)) tokens in and \(grouped(last.output_tokens)) out, \(span(monotonic() - started))"
            + (cause == nil ? "" : "; \(isEnded ? "stopped" : "failed"): \(because)")
    }
}

/// A clock that nobody sets, ns.
func monotonic() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
