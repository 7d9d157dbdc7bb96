// The ledger's file: one block for each batch, appended with one write. A block is
//
//   0 magic, 8 batch, 16 segment id, 24 bytes of rows, 32 count of rows, 40 checksum,
//   48 rows: a kind and its fields, all of 64 bits, little-endian; a text is its
//   length and its bytes, filled up with zeros.
//
// A block is good when its checksum is; the last good block says which batch the
// ledger has. What stands behind it was torn by a death or a full disk, and the
// next writer cuts it off. Writers hold the fold lock; readers need none: they stop
// at a block that is not whole yet, and come again.

internal import CPlatform

final class LedgerFile {
    private let path: [UInt8]
    private let segment: Int64
    private var fd: Int32 = -1
    /// All up to here was read, or written by us.
    private var end: Int64 = 0
    /// Bytes that the file may grow to: a test's full disk.
    var room = Int64.max

    private static let magic: Int64 = 0x4255_5253_4C45_4401
    private static let headBytes = 48
    private static let blockMax: Int64 = 64 << 20

    init(_ path: [UInt8], segment: Int64) {
        self.path = path
        self.segment = segment
    }

    deinit { close() }

    /// Gives the descriptor back; a later use opens the file again.
    func close() {
        if fd >= 0 { bursar__ledger_close(fd) }
        fd = -1
    }

    private func failed(_ code: Int64) -> Failure {
        var failure = Failure(.unsupported, "the ledger \(path) cannot be read or written")
        failure.values.0 = code
        return failure
    }

    private func ready() throws(Failure) {
        if fd >= 0 { return }
        let name = path + [0]
        fd = name.withUnsafeBytes {
            bursar__ledger_open($0.baseAddress!.assumingMemoryBound(to: CChar.self))
        }
        if fd < 0 { throw failed(Int64(fd)) }
    }

    private func bytes(_ count: Int, at offset: Int64) throws(Failure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = bytes.withUnsafeMutableBytes {
            bursar__ledger_read(fd, $0.baseAddress, count, offset)
        }
        if got < 0 { throw failed(got) }
        if got < Int64(count) { bytes.removeLast(count - Int(got)) }
        return bytes
    }

    /// The block that comes next, if it is whole: batch after batch, of this segment.
    func next(after batch: Int64) throws(Failure) -> LedgerBatch? {
        try ready()
        let head = try bytes(LedgerFile.headBytes, at: end)
        if head.count < LedgerFile.headBytes { return nil }
        var source = Fields(head)
        let magic = source.take()
        let number = source.take()
        let id = source.take()
        let length = source.take()
        let count = source.take()
        let sum = source.take()
        guard magic == LedgerFile.magic, length >= 0, length <= LedgerFile.blockMax else { return nil }
        let body = try bytes(Int(length), at: end + Int64(LedgerFile.headBytes))
        guard body.count == Int(length),
            LedgerFile.checksum(number, id, count, body) == sum
        else { return nil }
        if id != segment {
            var failure = Failure(
                .corrupt, "the ledger belongs to segment \(Int(id)), and this is segment \(Int(segment))")
            failure.values = (id, segment)
            throw failure
        }
        guard number == batch &+ 1, let new = Fields.batch(number, body, count) else {
            var failure = Failure(
                .corrupt, "the ledger has batch \(Int(number)) where batch \(Int(batch &+ 1)) belongs")
            failure.values = (number, batch &+ 1)
            throw failure
        }
        end += Int64(LedgerFile.headBytes) + length
        return new
    }

    /// Cuts off what was never whole. Everything was read; fold lock held.
    func cutTorn() throws(Failure) {
        let size = bursar__ledger_size(fd)
        if size < 0 { throw failed(size) }
        if size == end { return }
        let code = bursar__ledger_cut(fd, end)
        if code != 0 { throw failed(Int64(code)) }
    }

    /// One block, one write. On a failure the ledger ends where it did.
    func append(_ new: LedgerBatch) throws(Failure) {
        try ready()
        var body = Fields()
        body.put(new)
        let count = Int64(new.count)
        var block = Fields()
        block.put(LedgerFile.magic)
        block.put(new.number)
        block.put(segment)
        block.put(Int64(body.bytes.count))
        block.put(count)
        block.put(LedgerFile.checksum(new.number, segment, count, body.bytes))
        block.bytes += body.bytes
        let size = min(Int64(block.bytes.count), max(room - end, 0))
        let isCut = size < Int64(block.bytes.count)
        var code = block.bytes.withUnsafeBytes { bursar__ledger_append(fd, $0.baseAddress, Int(size)) }
        if isCut { code = -28 }
        if code != 0 {
            _ = bursar__ledger_cut(fd, end)
            throw failed(Int64(code))
        }
        end += size
    }

    /// FNV-1a over words, mixed at the end.
    private static func checksum(_ batch: Int64, _ segment: Int64, _ count: Int64, _ body: [UInt8])
        -> Int64
    {
        var h: UInt64 = 0xcbf2_9ce4_8422_2325
        for word in [batch, segment, count] { h = (h ^ UInt64(bitPattern: word)) &* 0x100_0000_01b3 }
        body.withUnsafeBytes { raw in
            var at = 0
            while at + 8 <= raw.count {
                let word = raw.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                h = (h ^ word) &* 0x100_0000_01b3
                h ^= h >> 29
                at += 8
            }
        }
        return Int64(bitPattern: h ^ (h >> 32))
    }
}

/// Fields of 64 bits after one another.
private struct Fields {
    var bytes: [UInt8] = []
    private var at = 0
    private var isShort = false

    init() {}
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private enum Kind { static let row: Int64 = 1, estimate: Int64 = 2, correction: Int64 = 3 }

    mutating func put(_ value: Int64) {
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> Int64(shift * 8))) }
    }

    private mutating func put(_ text: [UInt8]) {
        put(Int64(text.count))
        bytes += text
        while bytes.count % 8 != 0 { bytes.append(0) }
    }

    private mutating func put(_ list: [Int64]) {
        put(Int64(list.count))
        for value in list { put(value) }
    }

    /// 0 past the end.
    mutating func take() -> Int64 {
        guard at + 8 <= bytes.count else {
            isShort = true
            return 0
        }
        var value: UInt64 = 0
        for k in 0..<8 { value |= UInt64(bytes[at + k]) << UInt64(k * 8) }
        at += 8
        return Int64(bitPattern: value)
    }

    private mutating func takeText() -> [UInt8] {
        let count = take()
        guard count >= 0, count <= Int64(bytes.count - at) else {
            isShort = true
            return []
        }
        let text = Array(bytes[at..<(at + Int(count))])
        at = min((at + Int(count) + 7) & ~7, bytes.count)
        return text
    }

    private mutating func takeList() -> [Int64] {
        let count = take()
        guard count >= 0, count <= 64 else {
            isShort = true
            return []
        }
        return (0..<count).map { _ in take() }
    }

    private mutating func takeHalf() -> UInt32 { UInt32(truncatingIfNeeded: take()) }

    mutating func put(_ new: LedgerBatch) {
        for row in new.rows {
            put(Kind.row)
            for value in [
                row.budget, Int64(row.asked), Int64(row.granted), row.steps, row.toolCalls,
                row.input, row.cacheRead, row.output, row.cost, row.askedCost, row.estimated,
            ] { put(value) }
            put(row.path)
            put(row.agent)
        }
        for (handle, row) in new.estimates {
            put(Kind.estimate)
            for value in [
                handle, Int64(row.row), Int64(row.asked), Int64(row.granted), Int64(row.flags),
                Int64(row.epoch), Int64(row.price), Int64(row.meter), Int64(row.tool), row.reserved,
                row.askedCost, row.cacheRead, row.settledAt, row.usedUnits, row.reasoning,
            ] { put(value) }
            put(row.used)
            put(row.rare)
            put(row.path)
        }
        for correction in new.corrections {
            put(Kind.correction)
            for value in [
                correction.handle, correction.usedUnits, correction.askedCost, correction.cacheRead,
                correction.reasoning,
            ] { put(value) }
            put(correction.used)
            put(correction.rare)
        }
    }

    /// A block's rows; nil when they are not what a block has.
    static func batch(_ number: Int64, _ body: [UInt8], _ count: Int64) -> LedgerBatch? {
        var fields = Fields(body)
        var new = LedgerBatch()
        new.number = number
        while fields.at < body.count, !fields.isShort {
            switch fields.take() {
            case Kind.row: new.rows.append(fields.takeRow())
            case Kind.estimate: new.estimates.append(fields.takeEstimate())
            case Kind.correction: new.corrections.append(fields.takeCorrection())
            default: return nil
            }
        }
        return fields.isShort || Int64(new.count) != count ? nil : new
    }

    private mutating func takeRow() -> SpendRow {
        var row = SpendRow()
        row.budget = take()
        row.asked = Int32(truncatingIfNeeded: take())
        row.granted = Int32(truncatingIfNeeded: take())
        row.steps = take()
        row.toolCalls = take()
        row.input = take()
        row.cacheRead = take()
        row.output = take()
        row.cost = take()
        row.askedCost = take()
        row.estimated = take()
        row.path = takeText()
        row.agent = takeText()
        return row
    }

    private mutating func takeEstimate() -> (handle: Int64, row: EstimatedRow) {
        let handle = take()
        var row = EstimatedRow()
        row.row = Int(take())
        row.asked = takeHalf()
        row.granted = takeHalf()
        row.flags = takeHalf()
        row.epoch = takeHalf()
        row.price = takeHalf()
        row.meter = takeHalf()
        row.tool = takeHalf()
        row.reserved = take()
        row.askedCost = take()
        row.cacheRead = take()
        row.settledAt = take()
        row.usedUnits = take()
        row.reasoning = take()
        row.used = takeList()
        row.rare = takeList()
        row.path = takeList()
        if row.used.count != MeterIndex.named { isShort = true }
        return (handle, row)
    }

    private mutating func takeCorrection() -> Correction {
        var correction = Correction()
        correction.handle = take()
        correction.usedUnits = take()
        correction.askedCost = take()
        correction.cacheRead = take()
        correction.reasoning = take()
        correction.used = takeList()
        correction.rare = takeList()
        if correction.used.count != MeterIndex.named { isShort = true }
        return correction
    }
}
