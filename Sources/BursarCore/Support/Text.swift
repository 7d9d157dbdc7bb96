// Literals as bytes: the library has no use for String.

internal import CPlatform

extension [UInt8] {
    init(_ text: StaticString) {
        self = []
        append(text)
    }

    /// The literal's bytes. All that words of sentences are for comes here, and only
    /// here: in the shipped library tools/texts.py has put a byte in the place of each
    /// pair that is frequent in them.
    @inline(never)
    mutating func append(_ text: StaticString) {
        for k in 0..<text.utf8CodeUnitCount { unpack(text.utf8Start[k]) }
    }

    /// A byte, or the two symbols that it stands for: pairs nest less than 256 deep.
    private mutating func unpack(_ symbol: UInt8) {
        let pair = bursar__text_pair(symbol)
        if pair == 0 { return append(symbol) }
        unpack(UInt8(truncatingIfNeeded: pair))
        unpack(UInt8(truncatingIfNeeded: pair >> 8))
    }
}

@inline(never)
func + (text: [UInt8], word: StaticString) -> [UInt8] {
    var text = text
    text.append(word)
    return text
}

/// The words of a literal, which blanks separate.
@inline(never)
func words(_ text: StaticString) -> [ArraySlice<UInt8>] {
    [UInt8](text).split(separator: UInt8(ascii: " "))
}
