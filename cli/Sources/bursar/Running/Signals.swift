// Signals that are read from a descriptor instead of interrupting.

import CLaunch
import Glibc

struct Signals {
    let descriptor: Int32

    static let forwarded = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM]

    init(_ taken: [Int32] = forwarded + [SIGCHLD, SIGCONT]) throws {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in taken { sigaddset(&set, signal) }
        descriptor = launch_take_signals(&set)
        if descriptor < 0 { throw Failure("signalfd: \(String(cString: strerror(errno)))", Code.system) }
    }

    /// The next one that waits, if any.
    func next() -> (number: Int32, isFromKernel: Bool)? {
        var isFromKernel: Int32 = 0
        let number = launch_next_signal(descriptor, &isFromKernel)
        return number > 0 ? (number, isFromKernel != 0) : nil
    }
}
