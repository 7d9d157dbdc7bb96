// Texts and small blocks of the segment: names, labels, ladders, rings. Names repeat
// (a million sessions share a few agents), so texts are interned and counted.
//
// The slab is cut into units of 32 bytes; an allocation is 1, 2, 4, 8 or 16
// consecutive units. Unit 0 is not used: index 0 is "none". Blocks that were given
// back are linked through their first half, by size. A text's block is
//     0 count of references, 4 the next text of its bucket, 8 length, 12 bytes...
// Everything here is guarded by the config lock. Numbers that come from the segment
// are bounded before they are used.

internal import CPlatform

final class Slab {
    static let unit = 32
    static let textAt = 12
    static let textMax = 16 * unit - textAt

    private let base: UnsafeMutableRawPointer
    private let end: UInt32
    private let fresh: Half
    private let returned: UnsafeMutableRawPointer  // five halves
    private let buckets: UnsafeMutableRawPointer
    private let bucketMask: UInt64
    private let edit: UndoLog

    init(_ segment: Segment) {
        let places = segment.places
        base = segment.base + places.slabAt
        end = places.slabUnits
        fresh = Half(segment.base + Header.slabFresh)
        returned = segment.base + Header.slabReturned
        buckets = segment.base + places.textsAt
        bucketMask = UInt64(places.textBuckets - 1)
        edit = segment.edit
    }

    func address(_ block: UInt32) -> UnsafeMutableRawPointer {
        base + (block < end ? Int(block) * Slab.unit : 0)
    }

    private static func order(_ bytes: Int) -> Int {
        var order = 0
        while (Slab.unit << order) < bytes { order += 1 }
        return order
    }

    /// A zeroed block, or nil when the slab is full.
    func allocate(bytes: Int) -> UInt32? {
        let order = Slab.order(bytes)
        guard order <= 4 else { return nil }
        let head = Half(returned + order * 4)
        let first = head.value
        if first != 0, first < end {
            let next = Half(address(first)).value
            edit[head] = next < end ? next : 0
            edit.zero(address(first), Slab.unit << order)
            return first
        }
        let units = UInt32(1) << UInt32(order)
        let block = fresh.value
        guard block > 0, block < end, end - block >= units else { return nil }
        edit[fresh] = block + units
        // Zero already, unless somebody was killed who had it.
        memset(address(block), 0, Slab.unit << order)
        return block
    }

    func free(_ block: UInt32, bytes: Int) {
        let order = Slab.order(bytes)
        guard block != 0, block < end, order <= 4 else { return }
        let head = Half(returned + order * 4)
        edit[Half(address(block))] = head.value
        edit[head] = block
    }

    // MARK: - Texts

    private func bucket(_ text: [UInt8]) -> Half {
        var h: UInt64 = 0xcbf2_9ce4_8422_2325  // FNV-1a, 64 bits, folded
        for byte in text { h = (h ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return Half(buckets + Int((h ^ (h >> 32)) & bucketMask) * 4)
    }

    private func references(_ block: UInt32) -> Half { Half(address(block)) }
    private func following(_ block: UInt32) -> Half { Half(address(block) + 4) }
    private func length(_ block: UInt32) -> Int {
        min(Int(Half(address(block) + 8).value), Slab.textMax)
    }

    private func equals(_ block: UInt32, _ text: [UInt8]) -> Bool {
        length(block) == text.count
            && text.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return true }
                return memcmp(address(block) + Slab.textAt, start, bytes.count) == 0
            }
    }

    /// The text's block, without another reference; nil when nobody uses it.
    func find(_ text: [UInt8]) -> UInt32? {
        if text.isEmpty { return nil }
        var block = bucket(text).value
        var left = end
        while block != 0, left > 0 {
            if equals(block, text) { return block }
            block = following(block).value
            left -= 1
        }
        return nil
    }

    /// The text's block, with one more reference; 0 for the empty text; nil when full.
    func intern(_ text: [UInt8]) -> UInt32? {
        if text.isEmpty { return 0 }
        guard text.count <= Slab.textMax else { return nil }
        if let block = find(text) {
            retain(block)
            return block
        }
        guard let block = allocate(bytes: text.count + Slab.textAt) else { return nil }
        let bucket = bucket(text)
        var bytes = [UInt8](repeating: 0, count: Slab.textAt)
        bytes.withUnsafeMutableBytes { p in
            p.storeBytes(of: 1, as: UInt32.self)
            p.storeBytes(of: bucket.value, toByteOffset: 4, as: UInt32.self)
            p.storeBytes(of: UInt32(text.count), toByteOffset: 8, as: UInt32.self)
        }
        bytes += text
        bytes.withUnsafeBytes { edit.copy($0, to: address(block)) }
        edit[bucket] = block
        return block
    }

    func retain(_ block: UInt32) {
        if block != 0 { edit[references(block)] = references(block).value &+ 1 }
    }

    func release(_ block: UInt32) {
        if block == 0 { return }
        let count = references(block)
        if count.value > 1 {
            edit[count] = count.value - 1
            return
        }
        let gone = text(block)
        // Out of its bucket.
        var link = bucket(gone)
        var left = end
        while link.value != 0, link.value != block, left > 0 {
            link = following(link.value)
            left -= 1
        }
        if link.value == block { edit[link] = following(block).value }
        free(block, bytes: gone.count + Slab.textAt)
    }

    func text(_ block: UInt32) -> [UInt8] {
        if block == 0 { return [] }
        return [UInt8](
            UnsafeRawBufferPointer(start: address(block) + Slab.textAt, count: length(block)))
    }
}
