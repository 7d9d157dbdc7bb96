// The processes that descend from this one, found in /proc by their parents. This process
// adopts orphans (PR_SET_CHILD_SUBREAPER), so that setsid() and a double fork lead nowhere
// else. Who is signalled is held by a descriptor and looked at again, so that a number
// which was used anew hits nobody.
//
// A process that was a child of this one before it started anything (a shell's background
// job, left behind by `exec`) is a stranger with all that descends from it. While there are
// such, an orphan counts as ours only when it was seen below our command, or was given
// our session in its environment.

import CLaunch
import Glibc

final class ProcessTree {
    struct Process: Hashable {
        let pid: pid_t
        let start: UInt64  // clock ticks after boot: with the number, who it is

        static func == (a: Process, b: Process) -> Bool { a.pid == b.pid && a.start == b.start }
        func hash(into hasher: inout Hasher) { hasher.combine(pid) }
        fileprivate(set) var parent: pid_t = 0
        fileprivate(set) var isStopped = false
    }

    private var strangers: Set<Process> = []
    private var known: Set<Process> = []
    /// What a process of ours has in its environment: "BURSAR_SESSION=…".
    private let mark: [UInt8]
    /// Who may not be signalled: another user's.
    private(set) var refused: Set<pid_t> = []

    init(mark: String) {
        self.mark = Array(mark.utf8)
        strangers = Set(ProcessTree.below(getpid()) { _ in true })
    }

    /// Everything that this process started, and that runs.
    func members() -> [Process] {
        let me = getpid()
        guard !strangers.isEmpty else { return ProcessTree.below(me) { _ in true } }
        let all = Set(ProcessTree.below(me) { _ in true })
        let roots = all.filter { $0.parent == me && (strangers.contains($0) || !isOurs($0)) }
        let ours = ProcessTree.below(me) { !roots.contains($0) }.filter { !strangers.contains($0) }
        known.formUnion(ours)
        strangers.formUnion(all.subtracting(ours))
        return ours
    }

    /// Whether nobody is left. A look may miss who forks and ends faster than it looks; whoever it
    /// leaves is a child of this process, and the kernel knows these. Strangers are such too, so
    /// beside them it takes many looks.
    var isEmpty: Bool {
        if strangers.isEmpty { return launch_has_children() == 0 }
        return (0..<20).allSatisfy { _ in members().isEmpty }
    }

    /// The command itself, as soon as it is there.
    func started(_ pid: pid_t) {
        if let process = ProcessTree.read(pid) { known.insert(process) }
    }

    private func isOurs(_ process: Process) -> Bool {
        if known.contains(process) { return true }
        guard let environment = ProcessTree.contents("/proc/\(process.pid)/environ") else { return false }
        return environment.split(separator: 0).contains { $0.elementsEqual(mark) }
    }

    /// Signals each member; who is stopped may go on, to hear it. How many there were.
    @discardableResult
    func signal(_ number: Int32, to members: [Process]) -> Int {
        for process in members {
            let descriptor = launch_process_descriptor(process.pid)
            guard descriptor >= 0 else { continue }
            if ProcessTree.read(process.pid) == process {
                if launch_signal(descriptor, number) != 0, errno == EPERM { refused.insert(process.pid) }
                if process.isStopped, number == SIGTERM { _ = launch_signal(descriptor, SIGCONT) }
            }
            close(descriptor)
        }
        return members.count
    }

    /// Ends everything at once: stops it first, until a look finds nobody who could still
    /// fork, then kills it.
    func kill() {
        var stopped: Set<Process> = []
        for _ in 0..<100 {
            let new = members().filter { !stopped.contains($0) && !refused.contains($0.pid) }
            if new.isEmpty { break }
            signal(SIGSTOP, to: new)
            stopped.formUnion(new)
        }
        signal(SIGKILL, to: members())
    }

    // MARK: - /proc

    private static func below(_ root: pid_t, _ isWanted: (Process) -> Bool) -> [Process] {
        guard let directory = opendir("/proc") else { return [] }
        defer { closedir(directory) }
        var children: [pid_t: [Process]] = [:]
        while let entry = readdir(directory) {
            let pid = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { pid_t(atoi($0)) }
            }
            if pid > 0, let process = read(pid) { children[process.parent, default: []].append(process) }
        }
        var found: [Process] = []
        var parents = [root]
        while let parent = parents.popLast() {
            for process in children.removeValue(forKey: parent) ?? [] where isWanted(process) {
                found.append(process)
                parents.append(process.pid)
            }
        }
        return found
    }

    /// A process that runs; nil for one that ended, also when nobody reaped it.
    private static func read(_ pid: pid_t) -> Process? {
        guard let text = contents("/proc/\(pid)/stat"), let end = text.lastIndex(of: UInt8(ascii: ")")) else {
            return nil
        }
        // proc(5): after the name the fields are 3 state, 4 parent, … 20 threads, 22 start.
        let fields = text[(end + 2)...].split(separator: UInt8(ascii: " "))
        guard fields.count > 19, let parent = pid_t(String(decoding: fields[1], as: UTF8.self)),
            let start = UInt64(String(decoding: fields[19], as: UTF8.self))
        else { return nil }
        let state = fields[0].first
        // A main thread may be gone while others run.
        if state == UInt8(ascii: "Z") || state == UInt8(ascii: "X"), fields[17].elementsEqual("1".utf8) { return nil }
        return Process(pid: pid, start: start, parent: parent, isStopped: state == UInt8(ascii: "T"))
    }

    private static func contents(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        var count = 0
        while true {
            let room = bytes.count - count
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + count, room) }
            if got < 0 { return nil }
            if got == 0 { return Array(bytes[..<count]) }
            count += got
            if count == bytes.count { bytes += [UInt8](repeating: 0, count: bytes.count) }
        }
    }
}
