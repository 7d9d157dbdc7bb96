// Reading tables that others wrote: CSV with a header, a JSON list of objects, or a JSON object a
// line. A record that is wrong keeps no other out.

/// A record of a table: its line, and what it says by column, or what is wrong with it.
struct Record {
    struct Problem: Error {
        let column: String
        let sentence: String
    }

    let line: Int
    let fields: Result<[(column: String, text: [UInt8])], Problem>
}

/// CSV (RFC 4180) a record at a time, with any mark between fields and any end of line.
struct CSVReader {
    private let bytes: [UInt8]
    private let mark: UInt8
    private var at = 0
    private(set) var line = 1

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        // The mark that the first line has most of.
        let blank = Array(" \t,;\"".utf8)
        let first =
            bytes.split { $0 == 10 || $0 == 13 }.first { $0.contains { !blank.contains($0) } } ?? []
        var best = (UInt8(ascii: ","), -1)
        for mark in Array(",;\t".utf8) {
            let count = first.count { $0 == mark }
            if count > best.1 { best = (mark, count) }
        }
        mark = best.0
    }

    enum Wrong: Error {
        case quote  // something between a quote and the next mark
        case endless  // a quote that does not end
    }

    /// The next record's line and fields; nothing at the end.
    mutating func next() -> (line: Int, fields: Result<[[UInt8]], Wrong>)? {
        guard at < bytes.count else { return nil }
        let start = line
        var fields: [[UInt8]] = []
        var field: [UInt8] = []
        var isQuoted = false
        var wasQuoted = false
        while true {
            guard at < bytes.count else {
                if isQuoted { return (start, .failure(.endless)) }
                return (start, .success(fields + [field]))
            }
            let byte = bytes[at]
            at += 1
            let isEnd = byte == 10 || byte == 13
            if isEnd {
                if byte == 13, at < bytes.count, bytes[at] == 10 {
                    if isQuoted { field.append(13) }
                    at += 1
                }
                line += 1
            }
            if isQuoted {
                if byte != UInt8(ascii: "\"") {
                    field.append(isEnd ? 10 : byte)
                } else if at < bytes.count, bytes[at] == byte {
                    field.append(byte)
                    at += 1
                } else {
                    (isQuoted, wasQuoted) = (false, true)
                }
            } else if isEnd {
                return (start, .success(fields + [field]))
            } else if byte == mark {
                fields.append(field)
                (field, wasQuoted) = ([], false)
            } else if wasQuoted {
                // The rest of the line is not looked at.
                while at < bytes.count, bytes[at] != 10, bytes[at] != 13 { at += 1 }
                if at < bytes.count {
                    if bytes[at] == 13, at + 1 < bytes.count, bytes[at + 1] == 10 { at += 1 }
                    at += 1
                    line += 1
                }
                return (start, .failure(.quote))
            } else if byte == UInt8(ascii: "\""), field.isEmpty {
                isQuoted = true
            } else {
                field.append(byte)
            }
        }
    }
}

/// Without blanks at its ends.
func trimmed(_ bytes: some BidirectionalCollection<UInt8>) -> [UInt8] {
    func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (9...13).contains(byte) }
    guard let first = bytes.firstIndex(where: { !isBlank($0) }),
        let last = bytes.lastIndex(where: { !isBlank($0) })
    else { return [] }
    return Array(bytes[first...last])
}
