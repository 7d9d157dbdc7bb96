// Texts and small blocks of the segment: names, labels, ladders. Names repeat
// (a million sessions share a few agents), so texts are interned and counted.
//
// The slab is cut into units of 32 bytes; an allocation is 1, 2, 4, 8 or 16
// consecutive units. Unit 0 is not used: index 0 is "none". A text's block is
//     0 count of references (u32), 4 length (u32), 8 bytes...
// Everything here is guarded by the config lock.

internal import CPlatform

final class Slab {
    static let unit = 32
    static let textMax = 16 * unit - 8

    private let base: UnsafeMutableRawPointer
    private var fresh: UInt32 = 1
    private let end: UInt32
    private var returned: [[UInt32]] = [[], [], [], [], []]
    /// Texts by hash; several with one hash are probed one after the other.
    private var interned: [UInt64: UInt32] = [:]

    init(base: UnsafeMutableRawPointer, units: UInt32) {
        self.base = base
        end = units
    }

    func address(_ block: UInt32) -> UnsafeMutableRawPointer { base + Int(block) * Slab.unit }

    private static func order(_ bytes: Int) -> Int {
        var order = 0
        while (Slab.unit << order) < bytes { order += 1 }
        return order
    }

    /// A zeroed block, or nil when the slab is full.
    func allocate(bytes: Int) -> UInt32? {
        let order = Slab.order(bytes)
        guard order <= 4 else { return nil }
        if let block = returned[order].popLast() {
            memset(address(block), 0, Slab.unit << order)
            return block
        }
        let units = UInt32(1) << UInt32(order)
        guard end - fresh >= units else { return nil }
        defer { fresh += units }
        return fresh
    }

    func free(_ block: UInt32, bytes: Int) {
        if block != 0 { returned[Slab.order(bytes)].append(block) }
    }

    // MARK: - Texts

    private static func hash(_ text: [UInt8]) -> UInt64 {
        var h: UInt64 = 0xcbf2_9ce4_8422_2325  // FNV-1a
        for byte in text { h = (h ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return h
    }

    private func equals(_ block: UInt32, _ text: [UInt8]) -> Bool {
        let p = address(block)
        guard Int(p.load(fromByteOffset: 4, as: UInt32.self)) == text.count else { return false }
        for (k, byte) in text.enumerated() where p.load(fromByteOffset: 8 + k, as: UInt8.self) != byte {
            return false
        }
        return true
    }

    /// The text's block, without another reference; nil when nobody uses it.
    func find(_ text: [UInt8]) -> UInt32? {
        var h = Slab.hash(text)
        while let block = interned[h] {
            if equals(block, text) { return block }
            h &+= 0x9E37_79B9_7F4A_7C15
        }
        return nil
    }

    /// The text's block, with one more reference; 0 for the empty text; nil when full.
    func intern(_ text: [UInt8]) -> UInt32? {
        if text.isEmpty { return 0 }
        guard text.count <= Slab.textMax else { return nil }
        var h = Slab.hash(text)
        while let block = interned[h] {
            if equals(block, text) {
                let p = address(block).assumingMemoryBound(to: UInt32.self)
                p[0] += 1
                return block
            }
            h &+= 0x9E37_79B9_7F4A_7C15
        }
        guard let block = allocate(bytes: text.count + 8) else { return nil }
        let p = address(block)
        p.storeBytes(of: 1, as: UInt32.self)
        p.storeBytes(of: UInt32(text.count), toByteOffset: 4, as: UInt32.self)
        for (k, byte) in text.enumerated() { p.storeBytes(of: byte, toByteOffset: 8 + k, as: UInt8.self) }
        interned[h] = block
        return block
    }

    func retain(_ block: UInt32) {
        if block != 0 { address(block).assumingMemoryBound(to: UInt32.self)[0] += 1 }
    }

    func release(_ block: UInt32) {
        if block == 0 { return }
        let p = address(block).assumingMemoryBound(to: UInt32.self)
        p[0] -= 1
        if p[0] > 0 { return }
        let gone = text(block)
        // A chain of equal hashes must stay unbroken: take the text out and put
        // those that follow it back in.
        var h = Slab.hash(gone)
        while let found = interned[h], found != block { h &+= 0x9E37_79B9_7F4A_7C15 }
        interned[h] = nil
        var follow = h &+ 0x9E37_79B9_7F4A_7C15
        while let moved = interned[follow] {
            interned[follow] = nil
            var home = Slab.hash(text(moved))
            while interned[home] != nil { home &+= 0x9E37_79B9_7F4A_7C15 }
            interned[home] = moved
            follow &+= 0x9E37_79B9_7F4A_7C15
        }
        free(block, bytes: gone.count + 8)
    }

    func text(_ block: UInt32) -> [UInt8] {
        if block == 0 { return [] }
        let p = address(block)
        let count = Int(p.load(fromByteOffset: 4, as: UInt32.self))
        return [UInt8](UnsafeRawBufferPointer(start: p + 8, count: count))
    }
}
