// One block of the outbox, as it is put together: bytes in one piece of memory, which
// stays for the next block. Of a settled step its record is copied as it is; what has
// words is written field by field. Block+Read.swift takes it apart again.
//
// A block is
//
//   0 magic, 8 batch, 16 segment id, 24 bytes that follow the head, 32 unix - steady
//   clock in nanoseconds, 40 checksum; 48 sections.
//
// All is little-endian and begins at a multiple of 8. A section is kind | bytes << 8 and
// that many bytes. A text is its length and its bytes, filled up with zeros.

/// What a section is.
enum Section: Int64 {
    // What the sums in memory are made of: see Ledger.swift.
    case row = 1, estimate, correction
    /// Steps and late settles: records one after the other, their word replaced by the
    /// step's handle. The first two lines of a plain one, all four of one that says
    /// `more` or `detail`.
    case steps
    case name, node, state
    /// Budget, meter, change: as many as there are.
    case spent
    case outcome
    /// All steps that are in flight for long, when that was, instead of those told before: a
    /// record as it would be settled at an estimate, and the ids of its path.
    case flights
    case events
}

struct BlockHead {
    static let bytes = 48
    static let magic: Int64 = 0x4255_5253_4C45_4402
    /// A file's first block: what all before it came to.
    static let baseMagic: Int64 = 0x4255_5253_4C45_4403
    /// More than any batch can say: of half a million steps in flight it is 300 MB.
    static let most: Int64 = 1 << 30
    var isBase = false
    var batch: Int64 = 0
    var segment: Int64 = 0
    var length: Int64 = 0
    /// What turns steady times into unix times.
    var offset: Int64 = 0
}

final class Block {
    private(set) var p: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity = 1 << 16
    private var section = 0

    init() { p = .allocate(byteCount: capacity, alignment: 64) }
    deinit { p.deallocate() }

    /// Room for some more bytes.
    @inline(never)
    private func grow(_ more: Int) {
        while capacity < count + more { capacity *= 2 }
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
        larger.copyMemory(from: p, byteCount: count)
        p.deallocate()
        p = larger
    }

    @inline(__always)
    private func need(_ more: Int) { if count + more > capacity { grow(more) } }

    func begin(_ head: BlockHead) {
        count = 0
        put(head.isBase ? BlockHead.baseMagic : BlockHead.magic)
        for value in [head.batch, head.segment, 0, head.offset, 0] { put(value) }
    }

    /// The whole block.
    func end() -> UnsafeRawBufferPointer {
        while count % 32 != 16 { put(0) }
        p.storeBytes(of: Int64(count - BlockHead.bytes), toByteOffset: 24, as: Int64.self)
        let all = UnsafeRawBufferPointer(start: p, count: count)
        p.storeBytes(of: Block.checksum(all), toByteOffset: 40, as: Int64.self)
        return all
    }

    /// FNV-1a over words, in four lanes that do not wait for each other, mixed at the
    /// end. The head's checksum itself counts as 0.
    static func checksum(_ all: UnsafeRawBufferPointer) -> Int64 {
        let prime: UInt64 = 0x100_0000_01b3
        var a: UInt64 = 0xcbf2_9ce4_8422_2325
        var b = ~a
        var c = a &* prime
        var d = ~c
        var at = BlockHead.bytes
        for k in 0..<5 { a = (a ^ all.loadUnaligned(fromByteOffset: k * 8, as: UInt64.self)) &* prime }
        while at + 32 <= all.count {
            a = (a ^ all.loadUnaligned(fromByteOffset: at, as: UInt64.self)) &* prime
            b = (b ^ all.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self)) &* prime
            c = (c ^ all.loadUnaligned(fromByteOffset: at + 16, as: UInt64.self)) &* prime
            d = (d ^ all.loadUnaligned(fromByteOffset: at + 24, as: UInt64.self)) &* prime
            a ^= a >> 29
            b ^= b >> 29
            c ^= c >> 29
            d ^= d >> 29
            at += 32
        }
        var h = a
        for lane in [b, c, d] { h = (h ^ lane ^ (h >> 32)) &* prime }
        return Int64(bitPattern: h ^ (h >> 32))
    }

    // MARK: - Sections

    func open(_ kind: Section) {
        section = count
        put(kind.rawValue)
    }

    /// Empty sections say nothing.
    func close() {
        let bytes = count - section - 8
        if bytes == 0 {
            count = section
            return
        }
        let kind = p.load(fromByteOffset: section, as: Int64.self)
        p.storeBytes(of: kind | Int64(bytes) << 8, toByteOffset: section, as: Int64.self)
    }

    func put(_ value: Int64) {
        need(8)
        p.storeBytes(of: value.littleEndian, toByteOffset: count, as: Int64.self)
        count += 8
    }

    func put(_ text: [UInt8]) {
        put(Int64(text.count))
        need(text.count + 8)
        p.storeBytes(of: 0, toByteOffset: count + text.count & ~7, as: Int64.self)
        text.withUnsafeBytes { bytes in
            if let from = bytes.baseAddress { (p + count).copyMemory(from: from, byteCount: bytes.count) }
        }
        count += (text.count + 7) & ~7
    }

    func put(_ list: [Int64]) {
        put(Int64(list.count))
        for value in list { put(value) }
    }

    /// A settled record; `session` in place of the node that it names, unless 0.
    @inline(__always)
    func put(_ record: Record, handle: Int64, session: Int64 = 0) {
        let isLong = record.flags.value & (RecordFlag.more | RecordFlag.detail) != 0
        let bytes = isLong ? Record.size : Record.size / 2
        need(bytes)
        (p + count).copyMemory(from: record.p, byteCount: bytes)
        p.storeBytes(of: handle, toByteOffset: count, as: Int64.self)
        if session != 0 { p.storeBytes(of: session, toByteOffset: count + 8, as: Int64.self) }
        count += bytes
    }
}

/// A block that was read and is whole: its fields, one after the other.
struct BlockReader {
    let head: BlockHead
    let bytes: [UInt8]
    var at = 0
    private(set) var isShort = false

    /// nil when these are not the bytes of a block.
    static func head(_ bytes: [UInt8]) -> BlockHead? {
        guard bytes.count >= BlockHead.bytes else { return nil }
        var reader = BlockReader(BlockHead(), bytes)
        let magic = reader.take()
        var head = BlockHead()
        head.isBase = magic == BlockHead.baseMagic
        head.batch = reader.take()
        head.segment = reader.take()
        head.length = reader.take()
        head.offset = reader.take()
        guard magic == BlockHead.magic || head.isBase, head.length >= 0,
            head.length <= BlockHead.most, head.length % 32 == 0
        else { return nil }
        return head
    }

    /// `bytes` has the head too.
    init(_ head: BlockHead, _ bytes: [UInt8]) {
        self.head = head
        self.bytes = bytes
    }

    var isWhole: Bool {
        bytes.count == BlockHead.bytes + Int(head.length)
            && bytes.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: 40, as: Int64.self) == Block.checksum($0)
            }
    }

    /// 0 past the end.
    @inline(never)
    mutating func take() -> Int64 {
        guard at + 8 <= bytes.count else {
            isShort = true
            return 0
        }
        defer { at += 8 }
        return bytes.withUnsafeBytes {
            Int64(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: Int64.self))
        }
    }

    mutating func takeHalf() -> UInt32 { UInt32(truncatingIfNeeded: take()) }

    mutating func takeText() -> [UInt8] {
        let count = take()
        guard count >= 0, count <= Int64(bytes.count - at) else {
            isShort = true
            return []
        }
        let text = Array(bytes[at..<(at + Int(count))])
        at = min((at + Int(count) + 7) & ~7, bytes.count)
        return text
    }

    mutating func takeList() -> [Int64] {
        let count = take()
        guard count >= 0, count <= 128 else {
            isShort = true
            return []
        }
        return (0..<count).map { _ in take() }
    }

    /// Each section of a kind that is wanted; `body` takes all of it. False when the
    /// block is not what a block is.
    mutating func eachSection(_ body: (inout BlockReader, Section, Int) -> Bool) -> Bool {
        at = BlockHead.bytes
        while at < bytes.count {
            let word = take()
            if word == 0 { continue }  // filled up
            let end = at + Int(word >> 8)
            guard word > 0, end <= bytes.count, let kind = Section(rawValue: word & 0xFF) else {
                return false
            }
            if body(&self, kind, end) {
                if isShort || at != end { return false }
            }
            at = end
        }
        return !isShort
    }
}
