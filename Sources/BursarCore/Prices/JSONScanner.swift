// A reader of JSON text that builds no tree: it walks the bytes once, checks
// them strictly (RFC 8259), and knows the line and column of what is wrong.

/// A string as it stands in the text, between its quotes.
struct JSONText {
    let raw: UnsafeBufferPointer<UInt8>
    let isEscaped: Bool

    /// What it says, escapes undone. The scanner has checked them.
    var bytes: [UInt8] {
        guard isEscaped else { return [UInt8](raw) }
        var result: [UInt8] = []
        var i = 0
        while i < raw.count {
            guard raw[i] == UInt8(ascii: "\\") else {
                result.append(raw[i])
                i += 1
                continue
            }
            i += 2
            switch raw[i - 1] {
            case UInt8(ascii: "b"): result.append(8)
            case UInt8(ascii: "f"): result.append(12)
            case UInt8(ascii: "n"): result.append(10)
            case UInt8(ascii: "r"): result.append(13)
            case UInt8(ascii: "t"): result.append(9)
            case UInt8(ascii: "u"):
                var code = JSONText.unit(raw, i)
                i += 4
                if code & 0xFC00 == 0xD800 {
                    code = 0x10000 + (code & 0x3FF) << 10 + JSONText.unit(raw, i + 2) & 0x3FF
                    i += 6
                }
                JSONText.append(code, to: &result)
            default: result.append(raw[i - 1])
            }
        }
        return result
    }

    /// The value of four hexadecimal digits; above 0xFFFF when they are not.
    static func unit(_ text: UnsafeBufferPointer<UInt8>, _ start: Int) -> UInt32 {
        var value: UInt32 = 0
        for i in start..<start + 4 {
            guard i < text.count else { return .max }
            let byte = text[i]
            let letter = (byte | 0x20) &- UInt8(ascii: "a")
            guard Decimal.isDigit(byte) || letter < 6 else { return .max }
            value = value << 4 | UInt32(letter < 6 ? letter + 10 : byte &- UInt8(ascii: "0"))
        }
        return value
    }

    private static func append(_ code: UInt32, to bytes: inout [UInt8]) {
        func add(_ value: UInt32) { bytes.append(UInt8(truncatingIfNeeded: value)) }
        if code < 0x80 {
            add(code)
        } else if code < 0x800 {
            add(0xC0 | code >> 6)
            add(0x80 | code & 0x3F)
        } else if code < 0x10000 {
            add(0xE0 | code >> 12)
            add(0x80 | code >> 6 & 0x3F)
            add(0x80 | code & 0x3F)
        } else {
            add(0xF0 | code >> 18)
            add(0x80 | code >> 12 & 0x3F)
            add(0x80 | code >> 6 & 0x3F)
            add(0x80 | code & 0x3F)
        }
    }
}

struct JSONScanner {
    enum Kind { case object, array, string, number, word }

    private let text: UnsafeBufferPointer<UInt8>
    private(set) var position = 0
    private var depth = 0
    /// Whether a value stands before `position` in the innermost object or array.
    private var isAfterValue = false

    private static let depthMax = 32

    init(_ text: UnsafeBufferPointer<UInt8>) { self.text = text }

    // MARK: - Structure

    /// What kind of value comes next.
    @inline(never)
    mutating func kind() throws(Failure) -> Kind {
        switch try peek() {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): return .word
        default: throw failure("expected a value")
        }
    }

    /// Where the next value begins.
    mutating func mark() throws(Failure) -> Int {
        _ = try peek()
        return position
    }

    @inline(never)
    mutating func enterObject() throws(Failure) {
        guard try peek() == UInt8(ascii: "{") else { throw failure("expected an object, `{`") }
        try enter()
    }

    mutating func enterArray() throws(Failure) {
        guard try peek() == UInt8(ascii: "[") else { throw failure("expected an array, `[`") }
        try enter()
    }

    /// The name of the next member, whose value must be read next; nil at the object's end.
    @inline(never)
    mutating func nextMember() throws(Failure) -> JSONText? {
        guard try !leaves(at: UInt8(ascii: "}")) else { return nil }
        guard try peek() == UInt8(ascii: "\"") else { throw failure("expected a name in quotes") }
        let name = try string()
        guard try peek() == UInt8(ascii: ":") else { throw failure("expected `:`") }
        position += 1
        isAfterValue = false
        return name
    }

    /// Whether the array has another element, which must be read next.
    mutating func nextElement() throws(Failure) -> Bool { try !leaves(at: UInt8(ascii: "]")) }

    /// After the outermost value: nothing but blanks may follow.
    mutating func end() throws(Failure) {
        skipBlanks()
        guard position == text.count else { throw failure("expected nothing more") }
    }

    private mutating func enter() throws(Failure) {
        guard depth < JSONScanner.depthMax else { throw failure("nested deeper than 32 levels") }
        depth += 1
        position += 1
        isAfterValue = false
    }

    private mutating func leaves(at bracket: UInt8) throws(Failure) -> Bool {
        if try peek() == bracket {
            position += 1
            depth -= 1
            isAfterValue = true
            return true
        }
        if isAfterValue {
            guard text[position] == UInt8(ascii: ",") else {
                throw failure(
                    bracket == UInt8(ascii: "}") ? "expected `,` or `}`" : "expected `,` or `]`")
            }
            position += 1
            guard try peek() != bracket else { throw failure("a comma before the end") }
            isAfterValue = false
        }
        return false
    }

    // MARK: - Values

    mutating func string() throws(Failure) -> JSONText {
        guard try peek() == UInt8(ascii: "\"") else { throw failure("expected text in quotes") }
        position += 1
        let start = position
        var isEscaped = false
        while position < text.count {
            let byte = text[position]
            if byte == UInt8(ascii: "\"") {
                let raw = UnsafeBufferPointer(rebasing: text[start..<position])
                position += 1
                isAfterValue = true
                return JSONText(raw: raw, isEscaped: isEscaped)
            }
            guard byte >= 0x20 else { throw failure("a control character in text") }
            if byte == UInt8(ascii: "\\") {
                isEscaped = true
                try skipEscape()
            } else {
                position += 1
            }
        }
        throw failure("the text has no closing quote")
    }

    private mutating func skipEscape() throws(Failure) {
        guard position + 1 < text.count else { throw failure("the text has no closing quote") }
        switch text[position + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
            UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 2
        case UInt8(ascii: "u"):
            let unit = JSONText.unit(text, position + 2)
            guard unit <= 0xFFFF else { throw failure("expected four hexadecimal digits") }
            var length = 6
            if unit & 0xF800 == 0xD800 {
                guard unit & 0xFC00 == 0xD800, position + 12 <= text.count,
                    text[position + 6] == UInt8(ascii: "\\"),
                    text[position + 7] == UInt8(ascii: "u"),
                    JSONText.unit(text, position + 8) & ~0x3FF == 0xDC00
                else { throw failure("half of a surrogate pair") }
                length = 12
            }
            position += length
        default: throw failure("an unknown escape")
        }
    }

    /// A number as it is written.
    mutating func number() throws(Failure) -> UnsafeBufferPointer<UInt8> {
        guard try kind() == .number else { throw failure("expected a number") }
        let start = position
        if text[position] == UInt8(ascii: "-") { position += 1 }
        if position < text.count, text[position] == UInt8(ascii: "0") {
            position += 1
        } else {
            try skipDigits()
        }
        if position < text.count, text[position] == UInt8(ascii: ".") {
            position += 1
            try skipDigits()
        }
        if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            if position < text.count,
                text[position] == UInt8(ascii: "+") || text[position] == UInt8(ascii: "-")
            {
                position += 1
            }
            try skipDigits()
        }
        isAfterValue = true
        return UnsafeBufferPointer(rebasing: text[start..<position])
    }

    private mutating func skipDigits() throws(Failure) {
        let start = position
        while position < text.count, Decimal.isDigit(text[position]) { position += 1 }
        guard position > start else { throw failure("expected a digit") }
    }

    /// `true`, `false` or `null`: its first letter.
    mutating func word() throws(Failure) -> UInt8 {
        _ = try peek()
        let rest = text.dropping(position)
        for word in ["true", "false", "null"] as [StaticString] where rest.hasPrefix(word) {
            position += word.utf8CodeUnitCount
            isAfterValue = true
            return word.utf8Start[0]
        }
        throw failure("expected true, false or null")
    }

    /// Passes over a value of any kind.
    mutating func skip() throws(Failure) {
        switch try kind() {
        case .string: _ = try string()
        case .number: _ = try number()
        case .word: _ = try word()
        case .object:
            try enterObject()
            while try nextMember() != nil { try skip() }
        case .array:
            try enterArray()
            while try nextElement() { try skip() }
        }
    }

    private mutating func peek() throws(Failure) -> UInt8 {
        skipBlanks()
        guard position < text.count else { throw failure("the text ends too early") }
        return text[position]
    }

    @inline(never)
    private mutating func skipBlanks() {
        while position < text.count {
            switch text[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    // MARK: - Errors

    @inline(never)
    func failure(_ sentence: StaticString, at offset: Int? = nil) -> Failure {
        var bytes: [UInt8] = []
        bytes.append(sentence)
        return failure(bytes, at: offset)
    }

    /// An error with the line and column of `offset`, or of where the scanner stands.
    func failure(_ sentence: [UInt8], at offset: Int? = nil) -> Failure {
        var failure = Failure(.price, bytes: sentence)
        let end = min(offset ?? position, text.count)
        var line = 1
        var lineStart = 0
        for i in 0..<end where text[i] == 0x0A {
            line += 1
            lineStart = i + 1
        }
        failure.line = Int32(clamping: line)
        failure.column = Int32(clamping: end - lineStart + 1)
        return failure
    }
}
