// Values and texts of the database, and a map from ids to keys.

/// A value of a column.
public enum DBValue {
    case null
    case integer(Int64)
    case real(Double)
    case text([UInt8])
    case blob([UInt8])
}

enum Text {
    /// Names and labels come from anywhere; readers of the ledger expect UTF-8.
    @inline(never)
    static func clean(_ text: [UInt8]) -> [UInt8] {
        var out = text
        var i = 0
        while i < text.count {
            let length = sequence(text, i)
            if length == 0 { out[i] = UInt8(ascii: "?") }
            i += max(length, 1)
        }
        return out
    }

    /// Bytes of the well-formed character at `i` (Unicode table 3-7); 0 = none.
    private static func sequence(_ text: [UInt8], _ i: Int) -> Int {
        let first = text[i]
        if first < 0x80 { return first == 0 ? 0 : 1 }
        guard first >= 0xC2, first <= 0xF4 else { return 0 }
        let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        guard i + length <= text.count else { return 0 }
        let low: UInt8 = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80
        let high: UInt8 = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF
        guard text[i + 1] >= low, text[i + 1] <= high else { return 0 }
        for k in 2..<max(length, 2) where text[i + k] & 0xC0 != 0x80 { return 0 }
        return length
    }
}

/// Integers by integers: open addressing, one array. (Dictionary is 2 KB of code.)
struct KeyMap {
    private var slots: [Int64] = []  // key, value; `null` = empty
    private(set) var count = 0

    private func place(_ key: Int64) -> Int {
        let mask = slots.count / 2 - 1
        var h = UInt64(bitPattern: key) &* 0x9E37_79B9_7F4A_7C15
        h ^= h >> 32
        var i = Int(truncatingIfNeeded: h) & mask
        while slots[i * 2] != key, slots[i * 2] != null { i = (i + 1) & mask }
        return i * 2
    }

    /// `null` is no key: it has no value.
    subscript(_ key: Int64) -> Int64? {
        if slots.isEmpty { return nil }
        let i = place(key)
        return slots[i] == null ? nil : slots[i + 1]
    }

    mutating func set(_ key: Int64, _ value: Int64) {
        if key == null { return }
        if count * 4 >= slots.count { grow() }
        let i = place(key)
        if slots[i] == null { count += 1 }
        slots[i] = key
        slots[i + 1] = value
    }

    private mutating func grow() {
        let old = slots
        slots = [Int64](repeating: null, count: max(old.count * 2, 128))
        for k in stride(from: 0, to: old.count, by: 2) where old[k] != null {
            let i = place(old[k])
            slots[i] = old[k]
            slots[i + 1] = old[k + 1]
        }
    }
}
