// What a command prints: rows, as a table for people, as JSON or as CSV. Commands make
// rows and never look at how they are shown. Text that agents or users wrote is hostile:
// control bytes become visible on a terminal, and in CSV nothing begins like a formula.

import ArgumentParser
import CBursar
import CSystem
import Glibc

/// `--json`, `--csv` and colour, on every command that prints rows.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON: one array of objects, money in nano-dollars.") var json = false
    @Flag(help: "Print CSV with a header line, money in nano-dollars.") var csv = false
    @Flag(help: "No colours. Default: colours on a terminal, unless $NO_COLOR is set.") var noColor = false

    func validate() throws {
        if json && csv { throw ValidationError("--json and --csv are two forms: choose one.") }
    }

    var isForPeople: Bool { !json && !csv }
    var hasColor: Bool {
        !noColor && environment("NO_COLOR") == nil && isatty(STDOUT_FILENO) == 1
            && !["", "dumb"].contains(environment("TERM") ?? "")
    }
}

/// A value of a row.
enum Cell {
    case none
    case text(String)
    case count(Int64)
    case id(Int64)
    case money(Int64)  // nano-dollars
    case time(Int64)  // unix ns
    case span(Int64)  // ns
    case share(Double)  // 0…1
    case real(Double)
    case flag(Bool)
}

struct Column {
    let name: String  // as in JSON, CSV and SQL
    let title: String  // as in a table
    init(_ name: String, _ title: String) {
        self.name = name
        self.title = title
    }
}

/// Prints rows. `foot` is a last row, sums for people only.
func show(_ columns: [Column], _ rows: [[Cell]], foot: [Cell]? = nil, _ options: OutputOptions) {
    if options.json {
        var out = "["
        for (k, row) in rows.enumerated() {
            out += k == 0 ? "\n" : ",\n"
            out += "  " + json(columns, row)
        }
        say(out + (rows.isEmpty ? "]" : "\n]"))
    } else if options.csv {
        say(columns.map { csv($0.name) }.joined(separator: ","))
        for row in rows { say(csv(row)) }
    } else {
        table(columns, rows, foot: foot, hasColor: options.hasColor)
    }
}

/// Prints one object.
func show(_ columns: [Column], one row: [Cell], _ options: OutputOptions) {
    if options.json {
        say(json(columns, row))
    } else if options.csv {
        show(columns, [row], options)
    } else {
        let width = columns.map(\.title.count).max() ?? 0
        for (column, cell) in zip(columns, row) {
            if case .none = cell { continue }
            say(column.title.padded(to: width) + "  " + shown(cell))
        }
    }
}

func say(_ line: String) {
    if Progress.isShown, isOnTerminal { Progress.end() }
    print(line)
}

private let isOnTerminal = isatty(STDOUT_FILENO) == 1

/// Without an end of line.
func write(_ text: String) {
    if Progress.isShown, isOnTerminal { Progress.end() }
    print(text, terminator: "")
}

/// To standard error.
func warn(_ line: String) {
    Progress.end()
    put_error(line)
}

// MARK: - Forms

private func table(_ columns: [Column], _ rows: [[Cell]], foot: [Cell]?, hasColor: Bool) {
    let cells = (rows + (foot.map { [$0] } ?? [])).map { $0.map(shown) }
    var widths = columns.map(\.title.count)
    for row in cells { for (k, cell) in row.enumerated() { widths[k] = max(widths[k], cell.count) } }
    let areNumbers = columns.indices.map { k in rows.contains { $0[k].isNumber } }
    func line(_ texts: [String]) -> String {
        var out = ""
        for (k, text) in texts.enumerated() {
            if k > 0 { out += "  " }
            if areNumbers[k] {
                out += String(repeating: " ", count: widths[k] - text.count) + text
            } else {
                out += k == texts.count - 1 ? text : text.padded(to: widths[k])
            }
        }
        while out.last == " " { out.removeLast() }
        return out
    }
    let head = line(columns.map(\.title))
    say(hasColor ? "\u{1B}[1m\(head)\u{1B}[0m" : head)
    for (row, _) in zip(cells, rows) { say(line(row)) }
    if foot != nil, let texts = cells.last {
        say(String(repeating: "-", count: widths.reduce(0, +) + 2 * (widths.count - 1)))
        say(line(texts))
    }
}

extension Cell {
    var isNumber: Bool {
        switch self {
        case .count, .id, .money, .share, .span, .real: true
        default: false
        }
    }
}

/// A cell for people.
func shown(_ cell: Cell) -> String {
    switch cell {
    case .none: "-"
    case .text(let text): text.isEmpty ? "-" : text.visible
    case .count(let count): grouped(count)
    case .id(let id): String(id)
    case .money(let nanos): money(nanos)
    case .time(let nanos): localTime(nanos)
    case .span(let nanos): span(nanos)
    case .share(let share): "\(Int((share * 100).rounded()))%"
    case .real(let number): String(number)
    case .flag(let flag): flag ? "yes" : "no"
    }
}

/// A cell for programs.
private func plain(_ cell: Cell) -> String {
    switch cell {
    case .none: ""
    case .text(let text): text
    case .count(let count), .id(let count), .money(let count), .span(let count): String(count)
    case .time(let nanos): utcTime(nanos)
    case .share(let number), .real(let number): number.isFinite ? String(number) : ""
    case .flag(let flag): flag ? "true" : "false"
    }
}

func json(_ columns: [Column], _ row: [Cell]) -> String {
    "{"
        + zip(columns, row).map { column, cell in
            quoted(column.name) + ": "
                + {
                    switch cell {
                    case .none: "null"
                    case .share(let number) where !number.isFinite: "null"
                    case .real(let number) where !number.isFinite: "null"
                    case .text, .time: quoted(plain(cell))
                    default: plain(cell)
                    }
                }()
        }.joined(separator: ", ") + "}"
}

/// A JSON string (RFC 8259), that does nothing to a terminal either.
func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": out += "\\\""
        case "\\": out += "\\\\"
        case "\n": out += "\\n"
        case "\t": out += "\\t"
        case "\r": out += "\\r"
        case _ where scalar.isUnsafe:
            let digits = String(scalar.value, radix: 16)
            out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: out.unicodeScalars.append(scalar)
        }
    }
    return out + "\""
}

/// Signs, tabs and ends of lines; also the wide signs of East Asian keyboards.
private let formulaStarts: Set<Unicode.Scalar> = [
    "=", "+", "-", "@", "\t", "\r", "\n", "\u{FF1D}", "\u{FF0B}", "\u{FF0D}", "\u{FF20}",
]

/// A line of CSV.
func csv(_ row: [Cell]) -> String { row.map { csv(plain($0)) }.joined(separator: ",") }

/// A CSV field (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe, and so does what
/// begins with apostrophes before that, so that who takes one off such a field has the text again.
func csv(_ text: String) -> String {
    var text = text
    let start = text.unicodeScalars.drop { $0 == "'" }.first
    if let start, formulaStarts.contains(start), Double(text) == nil { text = "'" + text }
    let needsQuotes = text.unicodeScalars.contains { [",", ";", "\"", "\n", "\r", "\t"].contains($0) }
    if !needsQuotes { return text }
    var out = "\""
    for scalar in text.unicodeScalars {
        if scalar == "\"" { out += "\"" }
        out.unicodeScalars.append(scalar)
    }
    return out + "\""
}

extension String {
    /// With control bytes, and what changes the direction of text, made visible.
    var visible: String {
        guard unicodeScalars.contains(where: { $0.isUnsafe }) else { return self }
        var out = ""
        for scalar in unicodeScalars {
            if scalar.isUnsafe {
                out += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    /// As a sentence about it has it: in quotes, and not too long to be read.
    var named: String { "`\(visible.cut(to: 100))`" }

    /// As a word of a shell's command line, that somebody may copy.
    var shellWord: String {
        let isPlain = unicodeScalars.allSatisfy { $0.properties.isAlphabetic || "0123456789_-./:@%+".unicodeScalars.contains($0) }
        if isPlain, !isEmpty, !hasPrefix("-") { return self }
        return "'" + visible.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    func cut(to width: Int) -> String { count <= width ? self : prefix(width - 3) + "..." }

    func padded(to width: Int) -> String {
        count >= width ? self : self + String(repeating: " ", count: width - count)
    }
}

extension Unicode.Scalar {
    fileprivate var isUnsafe: Bool {
        value < 0x20 || (0x7F..<0xA0).contains(value) || value == 0x061C || (0x200B...0x200F).contains(value)
            || (0x2028...0x202E).contains(value) || (0x2060...0x206F).contains(value) || value == 0xFEFF
    }
}
