// A file of outcomes: its columns, records and fields.

import CBursar

struct OutcomeFile {
    typealias Problem = Record.Problem

    private(set) var records: [Record] = []
    private let columns: [String: String]
    private let usual: [String: String]
    private let ignoreUnknown: Bool

    static let names = [
        "name", "id", "session", "workflow", "label", "value", "rework", "state", "by", "at",
        "reason",
    ]
    private static let are =
        "an import's columns are \(names.joined(separator: ", ")) and label:<key>"

    init(
        _ given: [UInt8], format: String?, columns: [String: String], usual: [String: String],
        ignoreUnknown: Bool
    ) throws {
        (self.columns, self.usual, self.ignoreUnknown) = (columns, usual, ignoreUnknown)
        let bytes = given.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(given.dropFirst(3)) : given
        if let place = bytes.firstIndex(of: 0) {
            throw Failure(
                "line \(bytes[..<place].count { $0 == 10 } + 1): the file has a NUL, so it is neither CSV nor JSON in "
                    + "UTF-8: export it anew", Code.text)
        }
        let first = trimmed(bytes).first
        let isJSON =
            format.map { $0 == "json" }
            ?? (first == UInt8(ascii: "[") || first == UInt8(ascii: "{"))
        if !isJSON {
            try readCSV(bytes)
        } else if first == UInt8(ascii: "[") {
            readList(bytes)
        } else {
            var line = 0
            for piece in bytes.split(separator: 10, omittingEmptySubsequences: false) {
                line += 1
                let text = trimmed(piece)
                if text.isEmpty { continue }
                var reader = JSONReader(text)
                do throws(JSONError) {
                    let value = try reader.value()
                    reader.skipBlanks()
                    guard reader.isAtEnd else {
                        throw JSONError(sentence: "something is after it", offset: 0)
                    }
                    records.append(Record(line: line, fields: fields(value)))
                } catch {
                    bad(line, "is not JSON: \(error.sentence)")
                }
            }
        }
    }

    private mutating func bad(_ line: Int, _ sentence: String) {
        records.append(
            Record(line: line, fields: .failure(Problem(column: "", sentence: sentence))))
    }

    // MARK: - Forms

    private mutating func readCSV(_ bytes: [UInt8]) throws {
        var reader = CSVReader(bytes)
        var header: [String]?
        while let (line, found) = reader.next() {
            guard case .success(let raw) = found else {
                if header == nil {
                    throw Failure(
                        "line \(line): the header is not CSV: a quote is out of place", Code.text)
                }
                if case .failure(.endless) = found {
                    bad(line, "a quote does not end, and nothing after it was read")
                } else {
                    bad(line, "a quote is out of place: a quote within a field is doubled")
                }
                continue
            }
            let cells = raw.map(trimmed)
            if cells.allSatisfy(\.isEmpty) { continue }
            if let header {
                if cells.count != header.count {
                    bad(line, "has \(cells.count) fields, and the header has \(header.count)")
                } else {
                    let fields = zip(header, cells).filter { !$0.0.isEmpty }.map {
                        (column: $0.0, text: $0.1)
                    }
                    records.append(Record(line: line, fields: .success(fields)))
                }
                continue
            }
            let names = cells.map { String(decoding: $0, as: UTF8.self) }
            let ours = names.map(find)
            let strange = zip(names, ours).filter { $0.1 == nil }.map { OutcomeFile.short($0.0) }
            if !strange.isEmpty {
                throw Failure(
                    "line \(line): unknown columns \(strange.joined(separator: ", ")); \(OutcomeFile.are); others are "
                        + "left out with --ignore-unknown, or named with --column", Code.text)
            }
            let known = ours.map { $0 ?? "" }
            for (k, name) in known.enumerated() where !name.isEmpty && known[..<k].contains(name) {
                throw Failure("line \(line): there are two columns \(name)", Code.text)
            }
            for needed in ["name", "id"] where !known.contains(needed) && usual[needed] == nil {
                throw Failure("line \(line): there is no column \(needed)", Code.text)
            }
            header = known
        }
        if header == nil {
            throw Failure("the file is empty: its first line has the columns' names", Code.text)
        }
    }

    private mutating func readList(_ bytes: [UInt8]) {
        var reader = JSONReader(bytes)
        _ = reader.take("[")
        var isFirst = true
        var counted = 0
        var line = 1
        func skipped(_ at: Int) -> Int { bytes[counted..<at].count { $0 == 10 } }
        while true {
            reader.skipBlanks()
            var probe = reader
            if probe.take("]") {
                probe.skipBlanks()
                if probe.isAtEnd { return }
            }
            if !isFirst, reader.take(",") { reader.skipBlanks() }
            line += skipped(reader.at)
            counted = reader.at
            let isSeparate = isFirst || bytes[..<reader.at].last { $0 > 0x20 } == UInt8(ascii: ",")
            isFirst = false
            do throws(JSONError) {
                guard isSeparate else {
                    throw JSONError(sentence: "expected `,` or `]`", offset: reader.at)
                }
                records.append(Record(line: line, fields: fields(try reader.value())))
            } catch {
                bad(line, "is not JSON, and nothing after it was read: \(error.sentence)")
                return
            }
        }
    }

    private func fields(_ value: JSON) -> Result<[(column: String, text: [UInt8])], Problem> {
        guard case .object(let pairs) = value else {
            return .failure(Problem(column: "", sentence: "is no JSON object"))
        }
        var fields: [(column: String, text: [UInt8])] = []
        for (name, item) in pairs {
            guard let ours = find(name) else {
                return .failure(
                    Problem(
                        column: OutcomeFile.plain(name), sentence: "is unknown; \(OutcomeFile.are)")
                )
            }
            if ours.isEmpty { continue }
            if fields.contains(where: { $0.column == ours }) {
                return .failure(Problem(column: ours, sentence: "is there twice"))
            }
            switch item {
            case .null: fields.append((ours, []))
            case .text(let text), .number(let text):
                fields.append((ours, trimmed(Array(text.utf8))))
            default:
                return .failure(Problem(column: ours, sentence: "is neither text nor a number"))
            }
        }
        return .success(fields)
    }

    // MARK: - Columns

    /// Ours for theirs: empty when it is left out, nothing when nobody knows it.
    private func find(_ name: String) -> String? {
        let name = name.blankless
        if let ours = columns[name] { return ours }
        return OutcomeFile.column(name) ?? (ignoreUnknown || name.isEmpty ? "" : nil)
    }

    private static func column(_ name: String) -> String? {
        let small = name.lowercased()
        if names.contains(small) { return small }
        guard let colon = name.firstIndex(of: ":"),
            String(name[..<colon]).blankless.lowercased() == "label"
        else { return nil }
        let key = String(name[name.index(after: colon)...]).blankless
        return key.isEmpty || key.contains("=") ? nil : "label:" + key
    }

    static func known(_ name: String) throws -> String {
        guard let ours = column(name.blankless) else {
            throw Failure("\(short(name)) is unknown; \(are)", Code.usage)
        }
        return ours
    }

    /// Says whose an outcome is.
    static func credits(_ column: String) -> Bool {
        column == "session" || column == "workflow" || column.hasPrefix("label")
    }

    // MARK: - Fields

    static func check(_ column: String, _ text: String) throws(Problem) {
        if text.hasPrefix("=") {
            throw Problem(
                column: column, sentence: "\(short(text)) is a formula: export what it comes to")
        }
        if ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"].contains(text) {
            throw Problem(column: column, sentence: "\(text) is a spreadsheet's error")
        }
        if column == "id", isCut(text) {
            throw Problem(
                column: column,
                sentence: "\(text) was cut by a spreadsheet: format its column as text")
        }
    }

    /// "1.23457E+12"
    private static func isCut(_ text: String) -> Bool {
        let parts = text.uppercased().split(separator: "+", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].last == "E", !parts[1].isEmpty,
            parts[1].utf8.allSatisfy(isDigit)
        else { return false }
        let number = parts[0].dropLast().split(omittingEmptySubsequences: false) {
            $0 == "." || $0 == ","
        }
        return (1...2).contains(number.count) && number[0].count == 1
            && number.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(isDigit) }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    /// `key=value`: of the column `label`, or of the one of `label:key` that is not empty.
    static func label(_ fields: [String: String]) throws(Problem) -> String {
        let labels = fields.keys.filter { $0.hasPrefix("label") }.sorted()
        guard let first = labels.first, let text = fields[first] else { return "" }
        if labels.count > 1 {
            throw Problem(
                column: first, sentence: "and \(labels[1]): an outcome is credited to one label")
        }
        return first == "label" ? text : "\(first.dropFirst(6))=\(text)"
    }

    /// Money in nano-dollars, or nanoseconds of somebody's time: `$5`, `12 min`, `1 h 30 min`.
    static func rework(_ text: String) throws -> (Int64, Int64) {
        if text.contains("$") || text.uppercased().contains("USD") {
            var nanos: Int64 = 0
            var error = bursar_error_t.new
            let status = text.withText {
                bursar_money_parse($0.data ?? emptyText, $0.len, &nanos, &error)
            }
            if status != BURSAR_OK {
                throw Problem(column: "rework", sentence: withoutPlace(Failure(error).description))
            }
            return (nanos, 0)
        }
        let bad = Problem(
            column: "rework", sentence: "\(short(text)) is neither money nor time: `$5` or `12 min`"
        )
        var rest = Array(text.lowercased().utf8)[...]
        var total: Int64 = 0
        let units: [(String, Int64)] = [
            ("hours", 3_600_000), ("hour", 3_600_000), ("h", 3_600_000), ("minutes", 60_000),
            ("minute", 60_000),
            ("min", 60_000), ("m", 60_000), ("seconds", 1000), ("second", 1000), ("sec", 1000),
            ("s", 1000),
        ]
        func digits(_ most: Int) -> String {
            let found = rest.prefix(while: isDigit).prefix(most)
            rest = rest.dropFirst(found.count)
            return String(decoding: found, as: UTF8.self)
        }
        repeat {
            guard let whole = Int64(digits(6)) else { throw bad }
            var thousandths = whole * 1000
            if rest.first == UInt8(ascii: ".") {
                rest = rest.dropFirst()
                let fraction = digits(3)
                guard
                    let part = Int64(fraction + String(repeating: "0", count: 3 - fraction.count)),
                    !fraction.isEmpty
                else { throw bad }
                thousandths += part
            }
            if rest.first == 0x20 { rest = rest.dropFirst() }
            guard let unit = units.first(where: { rest.starts(with: $0.0.utf8) }) else { throw bad }
            rest = rest.dropFirst(unit.0.utf8.count)
            if rest.first == 0x20 { rest = rest.dropFirst() }
            let (part, isOver) = (thousandths * 1000).multipliedReportingOverflow(by: unit.1)
            let (sum, isAbove) = total.addingReportingOverflow(part)
            if isOver || isAbove { throw bad }
            total = sum
        } while !rest.isEmpty
        return (0, total)
    }

    /// Unix nanoseconds of `2026-10-31` or `2026-10-31T14:05:06.5+02:00`; UTC where it names no zone.
    static func time(_ text: String) throws(Problem) -> Int64 {
        let bad = Problem(
            column: "at",
            sentence: "\(short(text)) is no time since 1970: `2026-10-31` or `2026-10-31T14:05:00Z`"
        )
        var rest = Array(text.utf8)[...]
        func number(_ digits: Int) throws(Problem) -> Int {
            guard rest.count >= digits, rest.prefix(digits).allSatisfy(isDigit),
                let found = Int(String(decoding: rest.prefix(digits), as: UTF8.self))
            else { throw bad }
            rest = rest.dropFirst(digits)
            return found
        }
        func take(_ bytes: String) -> UInt8? {
            guard let byte = rest.first, bytes.utf8.contains(byte) else { return nil }
            rest = rest.dropFirst()
            return byte
        }
        func need(_ bytes: String) throws(Problem) { if take(bytes) == nil { throw bad } }
        let year = try number(4)
        try need("-")
        let month = try number(2)
        try need("-")
        let day = try number(2)
        var (hour, minute, second, fraction, offset) = (0, 0, 0, Int64(0), 0)
        if take("Tt ") != nil {
            hour = try number(2)
            try need(":")
            minute = try number(2)
            if take(":") != nil {
                second = try number(2)
                if take(".") != nil {
                    let digits = String(decoding: rest.prefix(while: isDigit), as: UTF8.self)
                    guard (1...9).contains(digits.count) else { throw bad }
                    rest = rest.dropFirst(digits.count)
                    fraction = Int64(digits + String(repeating: "0", count: 9 - digits.count)) ?? 0
                }
            }
            _ = take(" ")
            if let sign = take("+-") {
                let hours = try number(2)
                _ = take(":")
                offset = (hours * 60 + (try number(2))) * (sign == UInt8(ascii: "-") ? -1 : 1)
            } else {
                _ = take("Zz")
            }
        }
        let isDay = (1...12).contains(month) && (1...31).contains(day)
        guard rest.isEmpty, isDay, (1970...2261).contains(year), hour < 24, minute < 60,
            second < 60, abs(offset) < 1440
        else { throw bad }
        let days = daysFromCivil(year, month, day)
        guard days < 106_000, month == 12 || days < daysFromCivil(year, month + 1, 1) else {
            throw bad
        }
        let minutes = days * 1440 + Int64(hour * 60 + minute - offset)
        let at = (minutes * 60 + Int64(second)) * 1_000_000_000 + fraction
        if at <= 0 { throw bad }
        return at
    }

    /// Without the place in an amount's text: the file has columns of its own.
    static func withoutPlace(_ sentence: String) -> String {
        guard sentence.hasPrefix("column "), let colon = sentence.firstIndex(of: ":"),
            sentence[..<colon].dropFirst(7).utf8.allSatisfy(isDigit)
        else { return sentence }
        return String(sentence[sentence.index(after: colon)...].dropFirst())
    }

    static func plain(_ text: String) -> String {
        text.count <= 60 ? text.visible : String(text.prefix(57)).visible + "..."
    }

    static func short(_ text: String) -> String { "`\(plain(text))`" }
}

extension String {
    var blankless: String { String(decoding: trimmed(Array(utf8)), as: UTF8.self) }
}
