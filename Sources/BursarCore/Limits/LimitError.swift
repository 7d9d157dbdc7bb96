// What malformed text gets: a place and a sentence that can be shown as it is.

/// Why text was refused, and where. One sentence: what is wrong and what to
/// write instead, at most `sentenceMax` bytes of UTF-8 without control bytes. A class, so
/// that what may throw it hands on one word.
public final class LimitError: Error, Sendable {
    /// 1-based.
    public let line: Int32
    /// The 1-based byte, in that line, of the offending word.
    public let column: Int32
    /// Its bytes; 0 when the text is empty.
    public let length: Int32
    public let sentence: [UInt8]

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
        self.sentence = Sentence.cut((place + sentence).bytes, to: LimitError.sentenceMax)
    }
}

/// Whether a time zone is known, and if not, which name comes nearest.
public enum ZoneAnswer: Sendable {
    case known
    case unknown(suggestion: [UInt8]?)
}
