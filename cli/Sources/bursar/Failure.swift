// What ends a command: a sentence on standard error and an exit code that scripts can
// tell apart. The codes are those of <sysexits.h>, where it has one.

import ArgumentParser
import CBursar
import Glibc

struct Failure: Error, CustomStringConvertible {
    let description: String
    let code: Int32

    init(_ sentence: String, _ code: Int32 = Code.failed) {
        description = sentence
        self.code = code
    }

    /// What the library said, of the text that it was given.
    init(_ error: bursar_error_t, of given: String? = nil) {
        var error = error
        let length = Int(min(error.message_len, 463))
        var sentence = withUnsafeBytes(of: &error.message) { String(decoding: $0.prefix(length), as: UTF8.self) }
        if sentence.isEmpty { sentence = String(cString: bursar_status_string(error.status)) }
        self.init((given.map { $0.named + ": " } ?? "") + sentence, Code.of(error.status))
    }

    init(_ status: bursar_status_t, _ what: String) {
        self.init("\(what): \(String(cString: bursar_status_string(status)))", Code.of(status))
    }
}

/// Exit codes, in docs/operations.md.
enum Code {
    static let good: Int32 = 0
    /// What was asked is answered, and the answer is no: totals differ, a score is too low.
    static let failed: Int32 = 1
    static let usage: Int32 = 64  // EX_USAGE
    static let text: Int32 = 65  // EX_DATAERR: a limit, an amount, a path, a file's line
    static let notFound: Int32 = 66  // EX_NOINPUT
    static let home: Int32 = 69  // EX_UNAVAILABLE
    static let bug: Int32 = 70  // EX_SOFTWARE
    static let system: Int32 = 71  // EX_OSERR
    static let busy: Int32 = 75  // EX_TEMPFAIL: the same command may work in a moment
    static let role: Int32 = 77  // EX_NOPERM

    static func of(_ status: bursar_status_t) -> Int32 {
        switch status {
        case BURSAR_OK: good
        case BURSAR_E_NOT_FOUND: notFound
        case BURSAR_E_INVALID, BURSAR_E_LIMIT_TEXT, BURSAR_E_MONEY_TEXT, BURSAR_E_PATH, BURSAR_E_PRICE,
            BURSAR_E_QUERY, BURSAR_E_ZONE:
            text
        case BURSAR_E_HOME: home
        case BURSAR_E_BUSY: busy
        case BURSAR_E_ROLE: role
        case BURSAR_E_CORRUPT: bug
        default: failed
        }
    }
}
