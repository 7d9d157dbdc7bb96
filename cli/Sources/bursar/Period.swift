// A stretch of time that a report is about. `--since` and `--until` are in the reader's zone.
// A period (2026-10, 2026-10-01, 2026-Q4, 2026) is in UTC, as the ledger's days and providers' bills are.

import ArgumentParser

struct Period: Sendable {
    var name = "all time"
    /// As a sentence about it goes on.
    var phrase = "yet"
    var from = Int64.min
    var to = Int64.max

    static let all = Period()

    /// `2026`, `2026-Q4`, `2026-10`, `2026-10-01`, or `2026-10-01/2026-10-08`: from the one up to,
    /// and without, the other.
    init(_ text: String) throws {
        (name, phrase) = (text, "in \(text.visible)")
        let ends = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if ends.count == 2 {
            (from, to) = (try Period(ends[0]).from, try Period(ends[1]).from)
            if to <= from { throw Failure("\(text.named) ends before it begins", Code.usage) }
            return
        }
        let bad = Failure(
            "\(text.named) is no period: say `2026-10`, `2026-10-01`, `2026-Q4`, `2026` or "
                + "`2026-10-01/2026-10-08`; periods are in UTC", Code.usage)
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard ends.count == 1, parts.count <= 3, parts[0].count == 4, let year = Int(parts[0]),
            (1970...2261).contains(year)
        else { throw bad }
        func number(_ part: String, _ range: ClosedRange<Int>) throws -> Int {
            guard part.count == 2, part.allSatisfy({ $0.isASCII && $0.isNumber }),
                let number = Int(part),
                range.contains(number)
            else { throw bad }
            return number
        }
        func day(_ year: Int, _ month: Int, _ day: Int = 1) -> Int64 {
            daysFromCivil(year + (month - 1) / 12, (month - 1) % 12 + 1, day) * 86_400_000_000_000
        }
        switch parts.count {
        case 1: (from, to) = (day(year, 1), day(year + 1, 1))
        case 2 where parts[1].count == 2 && "Qq".contains(parts[1].first ?? " "):
            guard let quarter = Int(String(parts[1].last ?? " ")), (1...4).contains(quarter) else {
                throw bad
            }
            (from, to) = (day(year, quarter * 3 - 2), day(year, quarter * 3 + 1))
        case 2:
            let month = try number(parts[1], 1...12)
            (from, to) = (day(year, month), day(year, month + 1))
        default:
            let (month, date) = (try number(parts[1], 1...12), try number(parts[2], 1...31))
            from = day(year, month, date)
            to = from + 86_400_000_000_000
            // The 31st of a month that has 30 days.
            if from >= day(year, month + 1) { throw bad }
        }
    }

    init() {}
}

/// Days since 1970-01-01 of a day of the Gregorian calendar (H. Hinnant, "chrono-compatible
/// low-level date algorithms").
func daysFromCivil(_ year: Int, _ month: Int, _ day: Int) -> Int64 {
    let y = month <= 2 ? year - 1 : year
    let era = y / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return Int64(
        era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468)
}

/// `--since`, `--until`, `--period`, `--path`.
struct Selection: ParsableArguments {
    @Option(help: "From when on: `7d`, `today`, `2026-10-01`, in your zone.") var since: String?
    @Option(help: "Up to when, and without it.") var until: String?
    @Option(
        help: "A month, day, quarter or year in UTC: `2026-10`, `2026-10-01`, `2026-Q4`, `2026`.")
    var period: String?
    @Option(help: "Only what is at this path and below.", completion: Completion.paths) var path: String?

    func validate() throws {
        if period != nil, since != nil || until != nil {
            throw ValidationError("--period says both ends: leave out --since and --until.")
        }
    }

    var span: Period {
        get throws {
            if let period { return try Period(period) }
            var found = Period()
            if let since { found.from = try parseTime(since) }
            if let until { found.to = try parseTime(until) }
            if found.to <= found.from { throw Failure("--until is not after --since", Code.usage) }
            if since != nil || until != nil {
                found.name = [since.map { "since \($0)" }, until.map { "until \($0)" }].compactMap {
                    $0
                }.joined(
                    separator: " ")
                found.phrase = found.name.visible
            }
            return found
        }
    }

    /// Opens the home; a path that no budget there ever had is an error.
    func open(_ option: HomeOption) throws -> Home {
        let home = try option.open()
        if let path { try home.expectKnown(path) }
        return home
    }

    /// SQL for WHERE with its parameters, for rows that have a time and a workflow.
    func filter(_ period: Period, time: String = "settled_at", workflow: String = "workflow") -> (
        String, [Value]
    ) {
        var terms: [String] = []
        var values: [Value] = []
        if period.from > .min {
            (terms, values) = (terms + ["\(time) >= ?"], values + [.integer(period.from)])
        }
        if period.to < .max {
            (terms, values) = (terms + ["\(time) < ?"], values + [.integer(period.to)])
        }
        if let path {
            terms.append("substr(\(workflow) || '/', 1, length(?) + 1) = ? || '/'")
            values += [.text(path), .text(path)]
        }
        return (terms.isEmpty ? "1" : terms.joined(separator: " AND "), values)
    }
}
