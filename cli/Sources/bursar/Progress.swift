// A line on the terminal while long work goes on, so that nobody wonders whether it hangs. It is on
// standard error, from a second on, and only where that is a terminal.

import ArgumentParser
import CLaunch
import Glibc

/// `--quiet`, on commands that may take long.
struct ProgressOption: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Do not show on a terminal how long work goes on.") var quiet = false

    /// Until something is printed, or the command ends.
    func begin(_ what: String) {
        guard !quiet, isatty(STDERR_FILENO) == 1, environment("TERM") != "dumb" else { return }
        progress_begin("bursar \(what)")
        Progress.isShown = true
    }

    /// Of what reads all of the ledger.
    func begin(_ what: String, _ home: Home) {
        var file = stat()
        let isThere = stat(home.path + "/ledger.db", &file) == 0
        let megabytes = isThere ? Int64(file.st_size) / 1_048_576 : 0
        begin(what + (megabytes > 0 ? " of \(grouped(megabytes)) MiB" : ""))
    }
}

enum Progress {
    nonisolated(unsafe) fileprivate(set) static var isShown = false  // the main thread only

    static func count(_ part: Int, of whole: Int = 0) {
        if isShown { progress_count(Int64(part), Int64(whole)) }
    }

    static func end() {
        if !isShown { return }
        progress_end()
        isShown = false
    }
}
