// Why a time zone could not be had, and the sentence for it.

/// What a look-up in the `ZoneCatalog` throws. Nothing is ever assumed instead.
public enum ZoneError: Error, Sendable {
    /// Not of the form Area/City: other characters, a dot, a leading slash, too long.
    case malformed
    /// No such zone here; an installed name that may be meant, or empty.
    case unknown(suggestion: [UInt8])
    /// An offset such as UTC+2; the fixed zone that has it, or empty.
    case offset(suggestion: [UInt8])
    /// This machine has no time zone files; only UTC is known.
    case noFiles
    /// The system's error number for the file.
    case unreadable(Int32)
    /// The file contradicts itself or is cut off.
    case corrupt(StaticString)

    /// What was wrong, what was expected, what to do. `name` is what was asked for.
    public func sentence(for name: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        func add(_ words: StaticString) { text.append(words) }
        func addName() {
            add("`")
            text.append(contentsOf: name)
            add("`")
        }
        switch self {
        case .malformed:
            add("a time zone is an IANA name such as Europe/Berlin: letters, digits, _ + - and /")
        case .unknown(let suggestion):
            addName()
            add(" is no time zone of this machine; ")
            if suggestion.isEmpty {
                add("an IANA name such as Europe/Berlin is expected")
            } else {
                add("did you mean ")
                text.append(contentsOf: suggestion)
                add("?")
            }
        case .offset(let suggestion):
            addName()
            add(" is an offset and knows no clock changes; use an IANA name such as Europe/Berlin")
            if !suggestion.isEmpty {
                add(", or ")
                text.append(contentsOf: suggestion)
                add(" for that offset all year")
                if suggestion.count > 4 { add(" (its sign counts westwards)") }
            }
        case .noFiles:
            addName()
            add(": this machine has no time zone files (package tzdata); only UTC is known")
        case .unreadable(let number):
            addName()
            add(": the time zone file cannot be read, error ")
            text.append(contentsOf: decimal(number))
        case .corrupt(let what):
            addName()
            add(": the time zone file is corrupt: ")
            add(what)
        }
        return text
    }

    private func decimal(_ number: Int32) -> [UInt8] {
        var digits: [UInt8] = []
        var rest = number.magnitude
        repeat {
            digits.insert(48 + UInt8(rest % 10), at: 0)
            rest /= 10
        } while rest > 0
        return digits
    }
}
