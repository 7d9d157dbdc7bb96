// A cursor over the bytes of limit and money text: blanks, words, numbers, spans.

/// Reads checked text: ASCII without control bytes, so that a 0 means the end.
/// Blank are space, tab and line ends.
struct LimitScanner {
    let text: UnsafeBufferPointer<UInt8>
    var at = 0

    @inline(never)
    init(_ text: UnsafeBufferPointer<UInt8>) throws(LimitError) {
        self.text = text
        try check()
    }

    // MARK: - Bytes

    subscript(place: Int) -> UInt8 { place >= 0 && place < text.count ? text[place] : 0 }

    var atEnd: Bool { at >= text.count }

    func sees(_ scalar: Unicode.Scalar) -> Bool { self[at] == UInt8(ascii: scalar) }

    mutating func accept(_ scalar: Unicode.Scalar) -> Bool {
        guard sees(scalar) else { return false }
        at += 1
        return true
    }

    /// Skips blanks and says whether there were any.
    @inline(never)
    @discardableResult
    mutating func skipBlanks() -> Bool {
        let start = at
        while LimitScanner.isBlank(self[at]) { at += 1 }
        return at > start
    }

    func bytes(_ range: Range<Int>) -> [UInt8] {
        let start = max(0, min(range.lowerBound, text.count))
        let end = max(start, min(range.upperBound, text.count))
        return [UInt8](text[start..<end])
    }

    /// The bytes from `start` on for which `belongs` holds.
    func run(from start: Int, while belongs: (UInt8) -> Bool) -> Range<Int> {
        var end = start
        while end < text.count && belongs(text[end]) { end += 1 }
        return start..<end
    }

    /// The word at `start`, or the one byte there that begins none; empty at the end.
    func word(at start: Int) -> Range<Int> {
        let start = min(start, text.count)
        let word = run(from: start, while: LimitScanner.isWord)
        return word.isEmpty ? start..<min(start + 1, text.count) : word
    }

    @inline(never)
    func error(_ range: Range<Int>, _ sentence: Sentence) -> LimitError {
        LimitError(text, range, sentence)
    }

    /// What is left when a shell has put a variable's value in place of `$20`.
    static let shell: Sentence = "did the shell eat `$20`? Use single quotes or `20 USD`"

    static func isBlank(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || (byte >= 9 && byte <= 10) || byte == 13
    }

    static func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }

    static func isLetter(_ byte: UInt8) -> Bool {
        let lower = byte | 0x20
        return lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z")
    }

    /// Letters, digits, and the marks that names of meters may have inside.
    static func isWord(_ byte: UInt8) -> Bool {
        isLetter(byte) || isDigit(byte) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: ".")
    }

    // MARK: - Check

    /// Refuses what is too long, not UTF-8, or not ASCII, so that nothing after
    /// this needs to think of it.
    private func check() throws(LimitError) {
        guard text.count <= LimitList.bytesMax else {
            throw error(
                LimitList.bytesMax..<LimitList.bytesMax + 1,
                "too long: limit text has at most \(number: LimitList.bytesMax) bytes")
        }
        var place = 0
        while place < text.count {
            let byte = text[place]
            if byte < 0x80 {
                guard byte >= 0x20 && byte != 0x7F || LimitScanner.isBlank(byte) else {
                    throw error(
                        place..<place + 1,
                        byte == 0
                            ? "a NUL byte; limit text is plain ASCII"
                            : "a control byte; limit text is plain ASCII")
                }
                place += 1
                continue
            }
            let length = characterLength(at: place)
            guard length > 0 else {
                throw error(place..<place + 1, "not UTF-8; limit text is plain ASCII")
            }
            let character = bytes(place..<place + length)
            throw error(
                place..<place + length,
                LimitScanner.isCurrency(character)
                    ? "\(character): dollars only; write `$5` or `5 USD`"
                    : "\(character) is not ASCII; limit text is plain ASCII")
        }
    }

    /// The length of the UTF-8 character at `place`, or 0 when it is malformed.
    private func characterLength(at place: Int) -> Int {
        let first = self[place]
        let second = self[place + 1]
        func follows(_ count: Int) -> Bool {
            for i in 1...count where self[place + i] & 0xC0 != 0x80 { return false }
            return true
        }
        switch first {
        case 0xC2...0xDF: return follows(1) ? 2 : 0
        case 0xE0...0xEF:
            guard follows(2) else { return 0 }
            let isOverlong = first == 0xE0 && second < 0xA0
            let isSurrogate = first == 0xED && second >= 0xA0
            return isOverlong || isSurrogate ? 0 : 3
        case 0xF0...0xF4:
            guard follows(3) else { return 0 }
            let isOverlong = first == 0xF0 && second < 0x90
            let isTooHigh = first == 0xF4 && second >= 0x90
            return isOverlong || isTooHigh ? 0 : 4
        default: return 0
        }
    }

    /// Cent, pound, currency and yen signs, and the block that begins with the euro's.
    private static func isCurrency(_ character: [UInt8]) -> Bool {
        switch character.count {
        case 2: return character[0] == 0xC2 && (0xA2...0xA5).contains(character[1])
        case 3: return character[0] == 0xE2 && character[1] == 0x82 && character[2] >= 0xA0
        default: return false
        }
    }
}
