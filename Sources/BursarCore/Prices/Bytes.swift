// Text as bytes: the comparisons that names and fields need.

extension UnsafeBufferPointer<UInt8> {
    func equals(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && hasPrefix(text)
    }

    func hasPrefix(_ text: StaticString) -> Bool {
        guard count >= text.utf8CodeUnitCount else { return false }
        for i in 0..<text.utf8CodeUnitCount where self[i] != text.utf8Start[i] { return false }
        return true
    }

    func hasSuffix(_ text: StaticString) -> Bool {
        guard count >= text.utf8CodeUnitCount else { return false }
        return dropping(count - text.utf8CodeUnitCount).equals(text)
    }

    func contains(_ text: StaticString) -> Bool {
        var rest = self
        while rest.count >= text.utf8CodeUnitCount {
            if rest.hasPrefix(text) { return true }
            rest = rest.dropping(1)
        }
        return false
    }

    func dropping(_ bytes: Int) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(rebasing: self[Swift.min(bytes, count)...])
    }

    func prefix(bytes: Int) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(rebasing: self[..<Swift.min(bytes, count)])
    }

    func equals(_ other: UnsafeBufferPointer<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for i in 0..<count where self[i] != other[i] { return false }
        return true
    }
}
