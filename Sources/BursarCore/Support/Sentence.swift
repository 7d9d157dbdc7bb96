// Sentences of errors, made of bytes: the library has no use for String.

/// Text of a refusal. What is interpolated was written by somebody else: it is
/// quoted, cut, and cleared of control bytes.
public struct Sentence: ExpressibleByStringInterpolation, Sendable {
    var bytes: [UInt8]

    @inline(never)
    public init(stringLiteral literal: StaticString) {
        var text = Interpolation(literalCapacity: 0, interpolationCount: 0)
        text.appendLiteral(literal)
        bytes = text.bytes
    }

    /// A sentence that was made before.
    init(bytes: [UInt8]) { self.bytes = bytes }

    public init(stringInterpolation: Interpolation) { bytes = stringInterpolation.bytes }

    public struct Interpolation: StringInterpolationProtocol {
        var bytes: [UInt8] = []

        /// What a sentence will take is not worth the room to say so.
        public init(literalCapacity: Int, interpolationCount: Int) {}

        @inline(never)
        public mutating func appendLiteral(_ literal: StaticString) {
            bytes.append(literal)
        }

        /// Words of the text, in backquotes.
        @inline(never)
        public mutating func appendInterpolation(_ words: [UInt8], most: Int = 72) {
            bytes.append(UInt8(ascii: "`"))
            for byte in Sentence.cut(words, to: most) {
                let isControl = byte < 0x20 || byte == 0x7F
                bytes.append(isControl || byte == UInt8(ascii: "`") ? UInt8(ascii: "?") : byte)
            }
            bytes.append(UInt8(ascii: "`"))
        }

        @inline(never)
        public mutating func appendInterpolation(_ word: StaticString) {
            bytes.append(UInt8(ascii: "`"))
            bytes.append(word)
            bytes.append(UInt8(ascii: "`"))
        }

        @inline(never)
        public mutating func appendInterpolation(plain words: StaticString) {
            bytes.append(words)
        }

        @inline(never)
        public mutating func appendInterpolation(_ number: Int) {
            if number < 0 { bytes.append(UInt8(ascii: "-")) }
            Digits.append(UInt64(number.magnitude), to: &bytes)
        }

        @inline(never)
        public mutating func appendInterpolation(_ number: UInt32) {
            Digits.append(UInt64(number), to: &bytes)
        }

        @inline(never)
        public mutating func appendInterpolation(number: Int) {
            Digits.append(UInt64(max(0, number)), to: &bytes)
        }
    }

    @inline(never)
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
