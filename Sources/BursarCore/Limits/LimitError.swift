// What malformed text gets: a place and a sentence that can be shown as it is.

/// Why text was refused, and where. One sentence: what is wrong and what to
/// write instead, at most `sentenceMax` bytes of UTF-8 without control bytes.
public struct LimitError: Error, Sendable {
    /// 1-based.
    public var line: Int32
    /// The 1-based byte, in that line, of the offending word.
    public var column: Int32
    /// Its bytes; 0 when the text is empty.
    public var length: Int32
    public var sentence: [UInt8]

    public static let sentenceMax = 460

    /// `range` are the offending bytes of `text`; the sentence is given without the place.
    init(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ sentence: Sentence) {
        let start = max(0, min(range.lowerBound, text.count - 1))
        let end = max(start, min(range.upperBound, text.count))
        var line = 1
        var lineStart = 0
        for i in 0..<start where text[i] == UInt8(ascii: "\n") {
            line += 1
            lineStart = i + 1
        }
        self.line = Int32(truncatingIfNeeded: line)
        column = Int32(truncatingIfNeeded: start - lineStart + 1)
        length = Int32(truncatingIfNeeded: end - start)
        let place: Sentence =
            line == 1
            ? "column \(number: start - lineStart + 1): "
            : "line \(number: line), column \(number: start - lineStart + 1): "
        self.sentence = place.bytes + sentence.bytes
        if self.sentence.count > LimitError.sentenceMax {
            self.sentence = Sentence.cut(self.sentence, to: LimitError.sentenceMax)
        }
    }
}

/// Whether a time zone is known, and if not, which name comes nearest.
public enum ZoneAnswer: Sendable {
    case known
    case unknown(suggestion: [UInt8]?)
}

/// Text of a refusal. What is interpolated was written by somebody else: it is
/// quoted, cut, and cleared of control bytes.
struct Sentence: ExpressibleByStringInterpolation {
    var bytes: [UInt8]

    init(stringLiteral literal: StaticString) {
        var text = Interpolation(literalCapacity: 0, interpolationCount: 0)
        text.appendLiteral(literal)
        bytes = text.bytes
    }

    init(stringInterpolation: Interpolation) { bytes = stringInterpolation.bytes }

    struct Interpolation: StringInterpolationProtocol {
        var bytes: [UInt8] = []

        init(literalCapacity: Int, interpolationCount: Int) {
            bytes.reserveCapacity(literalCapacity + 16 * interpolationCount)
        }

        mutating func appendLiteral(_ literal: StaticString) {
            literal.withUTF8Buffer { bytes.append(contentsOf: $0) }
        }

        /// Words of the text, in backquotes.
        mutating func appendInterpolation(_ words: [UInt8]) {
            bytes.append(UInt8(ascii: "`"))
            for byte in Sentence.cut(words, to: 72) {
                let isControl = byte < 0x20 || byte == 0x7F
                bytes.append(isControl || byte == UInt8(ascii: "`") ? UInt8(ascii: "?") : byte)
            }
            bytes.append(UInt8(ascii: "`"))
        }

        mutating func appendInterpolation(_ word: StaticString) {
            bytes.append(UInt8(ascii: "`"))
            appendLiteral(word)
            bytes.append(UInt8(ascii: "`"))
        }

        mutating func appendInterpolation(number: Int) {
            Digits.append(UInt64(max(0, number)), to: &bytes)
        }
    }

    static func + (one: Sentence, other: Sentence) -> Sentence {
        var sum = one
        sum.bytes.append(contentsOf: other.bytes)
        return sum
    }

    /// At most `limit` bytes, with dots for what is missing. (Only ASCII is ever that long.)
    static func cut(_ text: [UInt8], to limit: Int) -> [UInt8] {
        guard text.count > limit else { return text }
        return Array(text.prefix(limit - 3)) + "..."
    }
}
