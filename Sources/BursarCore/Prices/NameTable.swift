// Names by number: text in one buffer, found through a hash table of numbers.

/// Numbers from 1 in order of insertion; nothing is ever removed. Not thread-safe.
struct NameTable {
    private var text: [UInt8] = []
    private var starts: [Int32] = [0]
    /// Linear probing; 0 = empty. At most half full, so a probe ends.
    private var slots = [Int32](repeating: 0, count: 64)

    var count: Int { starts.count - 1 }

    /// The bytes of a name; valid during `body`.
    func withName<R>(_ number: Int, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        text.withUnsafeBufferPointer { all in
            body(
                UnsafeBufferPointer(
                    rebasing: all[Int(starts[number - 1])..<Int(starts[number])]))
        }
    }

    /// The number of a name, or 0.
    func find(_ name: UnsafeBufferPointer<UInt8>) -> Int {
        var slot = hash(name) & (slots.count - 1)
        while slots[slot] != 0 {
            let number = Int(slots[slot])
            if withName(number, { $0.equals(name) }) { return number }
            slot = (slot + 1) & (slots.count - 1)
        }
        return 0
    }

    /// Adds a name that `find` does not know; its number.
    mutating func insert(_ name: UnsafeBufferPointer<UInt8>) -> Int {
        text.append(contentsOf: name)
        starts.append(Int32(text.count))
        if count * 2 > slots.count {
            slots = [Int32](repeating: 0, count: slots.count * 2)
            for number in 1..<count { place(number, withName(number) { hash($0) }) }
        }
        place(count, hash(name))
        return count
    }

    private mutating func place(_ number: Int, _ hash: Int) {
        var slot = hash & (slots.count - 1)
        while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = Int32(number)
    }

    /// FNV-1a, 64 bits, folded.
    private func hash(_ name: UnsafeBufferPointer<UInt8>) -> Int {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return Int(truncatingIfNeeded: (hash ^ (hash >> 32)) & 0x7FFF_FFFF)
    }
}
