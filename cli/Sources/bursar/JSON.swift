// Reading JSON (RFC 8259), with numbers as their text, so that none is rounded, and objects in
// their order, so that a key that is there twice is seen.

indirect enum JSON {
    case null
    case bool(Bool)
    case number(String)
    case text(String)
    case list([JSON])
    case object([(key: String, value: JSON)])
}

struct JSONError: Error {
    let sentence: String
    let offset: Int
}

struct JSONReader {
    private let bytes: [UInt8]
    private(set) var at = 0
    private static let deepest = 64

    init(_ bytes: [UInt8], at: Int = 0) {
        self.bytes = bytes
        self.at = at
    }

    var isAtEnd: Bool { at >= bytes.count }
    var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    mutating func skipBlanks() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
            at += 1
        }
    }

    /// Passes over a byte if it is next.
    mutating func take(_ byte: Character) -> Bool {
        skipBlanks()
        guard next == byte.asciiValue else { return false }
        at += 1
        return true
    }

    mutating func value(_ depth: Int = 0) throws(JSONError) -> JSON {
        skipBlanks()
        guard depth < JSONReader.deepest else { throw error("it is nested too deep") }
        switch next {
        case UInt8(ascii: "{"):
            at += 1
            var pairs: [(key: String, value: JSON)] = []
            if take("}") { return .object(pairs) }
            repeat {
                skipBlanks()
                guard next == UInt8(ascii: "\"") else { throw error("expected a name in quotes") }
                let key = try text()
                guard take(":") else { throw error("expected `:`") }
                pairs.append((key, try value(depth + 1)))
            } while take(",")
            guard take("}") else { throw error("expected `,` or `}`") }
            return .object(pairs)
        case UInt8(ascii: "["):
            at += 1
            var items: [JSON] = []
            if take("]") { return .list(items) }
            repeat { items.append(try value(depth + 1)) } while take(",")
            guard take("]") else { throw error("expected `,` or `]`") }
            return .list(items)
        case UInt8(ascii: "\""): return .text(try text())
        case nil: throw error("it ends in the middle")
        default: return try word()
        }
    }

    private mutating func word() throws(JSONError) -> JSON {
        let start = at
        while let byte = next, byte != 0x2C, byte != 0x7D, byte != 0x5D, byte > 0x20 { at += 1 }
        let word = String(decoding: bytes[start..<at], as: UTF8.self)
        switch word {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        default:
            guard JSONReader.isNumber(Array(bytes[start..<at])) else {
                at = start
                throw error("expected a value")
            }
            return .number(word)
        }
    }

    private static func isNumber(_ bytes: [UInt8]) -> Bool {
        var k = 0
        func isDigit() -> Bool { k < bytes.count && (0x30...0x39).contains(bytes[k]) }
        func digits() -> Bool {
            let start = k
            while isDigit() { k += 1 }
            return k > start
        }
        if k < bytes.count, bytes[k] == UInt8(ascii: "-") { k += 1 }
        if k < bytes.count, bytes[k] == UInt8(ascii: "0") {
            k += 1
        } else if !digits() {
            return false
        }
        if k < bytes.count, bytes[k] == UInt8(ascii: ".") {
            k += 1
            if !digits() { return false }
        }
        if k < bytes.count, bytes[k] | 0x20 == UInt8(ascii: "e") {
            k += 1
            if k < bytes.count, bytes[k] == UInt8(ascii: "+") || bytes[k] == UInt8(ascii: "-") {
                k += 1
            }
            if !digits() { return false }
        }
        return k == bytes.count
    }

    private mutating func text() throws(JSONError) -> String {
        at += 1
        var out: [UInt8] = []
        while let byte = next {
            at += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: out, as: UTF8.self) else {
                    throw error("it is not UTF-8")
                }
                return text
            case ..<0x20: throw error("a control character in a text")
            case UInt8(ascii: "\\"):
                let kind = next
                at += 1
                switch kind {
                case UInt8(ascii: "b"): out.append(8)
                case UInt8(ascii: "f"): out.append(12)
                case UInt8(ascii: "n"): out.append(10)
                case UInt8(ascii: "r"): out.append(13)
                case UInt8(ascii: "t"): out.append(9)
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"):
                    out.append(kind ?? 0)
                case UInt8(ascii: "u"):
                    var code = try hex()
                    if (0xD800..<0xDC00).contains(code), next == UInt8(ascii: "\\"),
                        at + 1 < bytes.count,
                        bytes[at + 1] == UInt8(ascii: "u")
                    {
                        at += 2
                        let low = try hex()
                        guard (0xDC00..<0xE000).contains(low) else {
                            throw error("half a character")
                        }
                        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
                    }
                    guard let scalar = Unicode.Scalar(code) else { throw error("half a character") }
                    out += Array(String(Character(scalar)).utf8)
                default: throw error("an escape that JSON does not have")
                }
            default: out.append(byte)
            }
        }
        throw error("a text that does not end")
    }

    private mutating func hex() throws(JSONError) -> UInt32 {
        guard at + 4 <= bytes.count,
            let code = UInt32(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16),
            bytes[at] != UInt8(ascii: "+"), bytes[at] != UInt8(ascii: "-")
        else { throw error("an escape that JSON does not have") }
        at += 4
        return code
    }

    private func error(_ sentence: String) -> JSONError {
        JSONError(sentence: sentence, offset: at)
    }
}
