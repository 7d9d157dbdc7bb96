// Money, counts, times and durations as people read and write them. Times are shown in
// the reader's zone, and in UTC with their zone for programs.

import CBursar
import CSystem
import Glibc

/// "$1.25": as the library writes it, exact.
func money(_ nanos: Int64) -> String {
    if nanos == .max { return "unlimited" }
    var buffer = [CChar](repeating: 0, count: 64)
    var length = 0
    guard bursar_money_format(nanos, &buffer, buffer.count, &length) == BURSAR_OK else { return "?" }
    return String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// "1,234,567"
func grouped(_ count: Int64) -> String {
    let digits = String(count.magnitude)
    var out = ""
    for (k, digit) in digits.enumerated() {
        if k > 0, (digits.count - k) % 3 == 0 { out += "," }
        out.append(digit)
    }
    return count < 0 ? "-" + out : out
}

/// "1h 5m", "3.2s", "12ms"
func span(_ nanos: Int64) -> String {
    let seconds = nanos / 1_000_000_000
    switch nanos {
    case ..<0: return "-" + span(nanos == .min ? .max : -nanos)
    case ..<1_000_000: return "\(nanos / 1000)us"
    case ..<1_000_000_000: return "\(nanos / 1_000_000)ms"
    case ..<60_000_000_000: return "\(seconds).\(nanos / 100_000_000 % 10)s"
    case ..<3_600_000_000_000: return "\(seconds / 60)m \(seconds % 60)s"
    case ..<86_400_000_000_000: return "\(seconds / 3600)h \(seconds / 60 % 60)m"
    default: return "\(seconds / 86_400)d \(seconds / 3600 % 24)h"
    }
}

/// An amount of a meter.
func quantity(_ value: Int64, _ meter: String) -> String {
    switch meter {
    case "", "cost": money(value)
    case "wall", "idle", "unattended": span(value)
    default: "\(grouped(value)) \(meter)"
    }
}

/// In the reader's zone: "2026-10-01 14:03:22".
func localTime(_ nanos: Int64) -> String { time(nanos, "%Y-%m-%d %H:%M:%S", isLocal: true) }

/// RFC 3339 in UTC, to the nanosecond where there are any.
func utcTime(_ nanos: Int64) -> String {
    let whole = time(nanos, "%Y-%m-%dT%H:%M:%S", isLocal: false)
    let rest = floorMod(nanos, 1_000_000_000)
    if rest == 0 { return whole + "Z" }
    let digits = String(rest)
    var fraction = String(repeating: "0", count: 9 - digits.count) + digits
    while fraction.last == "0" { fraction.removeLast() }
    return whole + "." + fraction + "Z"
}

private func time(_ nanos: Int64, _ format: String, isLocal: Bool) -> String {
    var seconds = time_t((nanos - floorMod(nanos, 1_000_000_000)) / 1_000_000_000)
    var parts = tm()
    if isLocal { localtime_r(&seconds, &parts) } else { gmtime_r(&seconds, &parts) }
    var buffer = [CChar](repeating: 0, count: 64)
    let length = strftime(&buffer, buffer.count, format, &parts)
    return String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

private func floorMod(_ a: Int64, _ b: Int64) -> Int64 {
    let r = a % b
    return r < 0 ? r + b : r
}

/// Now, unix ns.
var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// A point in time as people give it on the command line: `now`, `today`, `yesterday`,
/// `2h`, `30m`, `7d` or `2w` ago, `2026-10`, `2026-10-01`, `2026-10-01 14:00[:30]`; in the reader's zone,
/// or with `Z` at the end in UTC. Unix ns.
func parseTime(_ text: String) throws -> Int64 {
    let bad = Failure(
        "\(text.named) is no time: say `now`, `today`, `yesterday`, `2h` or `7d` (ago), `2026-10`, "
            + "`2026-10-01` or `2026-10-01 14:00`, with a `Z` at its end for UTC", Code.usage)
    if text == "now" { return now }
    if let last = text.unicodeScalars.last, let count = Int64(text.dropLast()), count >= 0 {
        let units: [Unicode.Scalar: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
        if let unit = units[last] {
            let (seconds, isOver) = count.multipliedReportingOverflow(by: unit)
            guard !isOver, seconds < 9_000_000_000 else { throw bad }
            return now - seconds * 1_000_000_000
        }
    }
    var parts = tm()
    parts.tm_isdst = -1
    if text == "today" || text == "yesterday" {
        var seconds = Glibc.time(nil)
        localtime_r(&seconds, &parts)
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (0, 0, 0)
        if text == "yesterday" { parts.tm_mday -= 1 }
        parts.tm_isdst = -1
        return Int64(mktime(&parts)) * 1_000_000_000
    }
    let isUTC = text.hasSuffix("Z")
    let body = isUTC ? String(text.dropLast()) : text
    for format in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d", "%Y-%m"] {
        var found = tm()
        found.tm_mday = 1
        let isWhole = body.withCString { strptime($0, format, &found).map { $0.pointee == 0 } ?? false }
        guard isWhole else { continue }
        let wanted = (found.tm_year, found.tm_mon, found.tm_mday)
        found.tm_isdst = -1
        let seconds = isUTC ? timegm(&found) : mktime(&found)
        // The 31st of a month that has 30 days.
        if (found.tm_year, found.tm_mon, found.tm_mday) != wanted { throw bad }
        guard abs(seconds) < 9_000_000_000 else { throw bad }
        return Int64(seconds) * 1_000_000_000
    }
    throw bad
}

/// A length of time as people give it: `90s`, `30m`, `1h`, `2d`, `1w`. Nanoseconds, of 100 years at most.
func parseSpan(_ text: String) throws -> Int64 {
    let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
    guard let last = text.last, let unit = units[last], let count = Int64(text.dropLast()), count > 0,
        count <= 3_153_600_000 / unit
    else {
        throw Failure("\(text.named) is no length of time: say `90s`, `30m`, `1h`, `2d` or `1w`", Code.usage)
    }
    return count * unit * 1_000_000_000
}
