// The outbox: blocks that were committed, in files of some megabytes, until the database
// has them. `<home>/ledger.<segment id>.<n>.log`, n from 1; one block for each batch,
// appended with one write.
//
// A block is good when its checksum is; the last good block says which batch the ledger
// has. What stands behind it was torn by a death or a full disk (zeros are no block
// either), and the next writer cuts it off. Writers hold the fold lock; readers need
// none: they stop at a block that is not whole yet, and come again.
//
// A file but the first begins with what all before it came to (its base), and has its
// name when that is whole. So the last file is enough for who comes anew, and whoever
// wants blocks from one on finds the file that has it; files before may be removed.

internal import CPlatform

final class Outbox {
    private let prefix: [UInt8]
    private let segment: Int64
    private var fd: Int32 = -1
    /// Of the open file: its number; all up to `end` was read, or written by us; up to
    /// `reserved` there is room on the disk.
    private(set) var number: Int64 = 0
    private var end: Int64 = 0
    private var reserved: Int64 = 0
    private var baseBytes: Int64 = 0
    /// What comes next may be known already.
    private var seeks = false
    /// Bytes that a file may grow to: a test's full disk.
    var room = Int64.max
    /// A file that is so long is the last but one. For tests to lower.
    var fileBytes: Int64 = 8 << 20
    private static let step: Int64 = 1 << 20

    /// Of a segment in a home: up to the dot before a file's number.
    static func path(of segment: Int64, in folder: [UInt8]) -> [UInt8] {
        var path = folder + bytes("/ledger.")
        Digits.append(UInt64(bitPattern: segment), to: &path)
        return path
    }

    /// `path` of the files, up to the dot before their number.
    init(_ path: [UInt8], segment: Int64) {
        prefix = path
        self.segment = segment
    }

    deinit { close() }

    /// Gives the descriptor back; a later use opens the file again.
    func close() {
        if fd >= 0 { bursar__ledger_close(fd) }
        fd = -1
    }

    private func failed(_ code: Int64) -> Failure {
        var failure = Failure(.home, "the ledger \(path: prefix) cannot be read or written: \(errno: Int32(truncatingIfNeeded: code)); steps wait in the journal, which is enforced, until it can")
        failure.values.0 = code
        return failure
    }

    private func name(_ n: Int64) -> [UInt8] {
        var name = prefix + [UInt8(ascii: ".")]
        Digits.append(UInt64(n), to: &name)
        return name + bytes(".log")
    }

    private func open(_ path: [UInt8], make: Bool) -> Int32 {
        (path + [0]).withUnsafeBytes {
            bursar__ledger_open($0.baseAddress!.assumingMemoryBound(to: CChar.self), make ? 1 : 0)
        }
    }

    /// The files that there are; 0 and 0: none.
    private func range() throws(Failure) -> (first: Int64, last: Int64) {
        var (first, last): (Int64, Int64) = (0, 0)
        let code = (prefix + [0]).withUnsafeBytes {
            bursar__ledger_range(
                $0.baseAddress!.assumingMemoryBound(to: CChar.self), &first, &last)
        }
        if code < 0 { throw failed(Int64(code)) }
        return (first, last)
    }

    /// Goes on in another file, at its beginning; false when it is not there.
    private func turn(to n: Int64, make: Bool = false) throws(Failure) -> Bool {
        let new = open(name(n), make: make)
        if new == -ENOENT { return false }
        if new < 0 { throw failed(Int64(new)) }
        close()
        (fd, number, end, reserved, baseBytes) = (new, n, 0, 0, 0)
        return true
    }

    private func ready() throws(Failure) {
        if fd >= 0 { return }
        if number > 0 {
            let (end, base) = (self.end, baseBytes)
            if try turn(to: number) { (self.end, baseBytes) = (end, base) }
        }
        if fd < 0 { _ = try turn(to: max(try range().last, 1), make: true) }
    }

    private func read(_ count: Int, at offset: Int64) throws(Failure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = bytes.withUnsafeMutableBytes {
            bursar__ledger_read(fd, $0.baseAddress, count, offset)
        }
        if got < 0 { throw failed(got) }
        if got < Int64(count) { bytes.removeLast(count - Int(got)) }
        return bytes
    }

    // MARK: - Reading

    /// The block at `end`, if it is whole and this segment's.
    private func block() throws(Failure) -> BlockReader? {
        let start = try read(BlockHead.bytes, at: end)
        guard let head = BlockReader.head(start), end + head.length < bursar__ledger_size(fd) else {
            return nil
        }
        let whole = BlockReader(head, try read(BlockHead.bytes + Int(head.length), at: end))
        guard whole.isWhole else { return nil }
        if head.segment != segment {
            var failure = Failure(
                .corrupt,
                "the ledger belongs to segment \(Int(head.segment)), and this is segment \(Int(segment))")
            failure.values = (head.segment, segment)
            throw failure
        }
        return whole
    }

    /// Where the first whole block is from `end` on. Behind one that is not whole there is
    /// none: somebody died, or writes. Else the file was damaged.
    private func blockBehind() throws(Failure) -> Int64? {
        let here = end
        defer { end = here }
        let size = bursar__ledger_size(fd)
        while end < size {
            let from = end
            let part = try read(1 << 16, at: from)
            for k in stride(from: 0, to: part.count - 7, by: 16) {
                let word = part.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: k, as: Int64.self) }
                if word != BlockHead.magic { continue }
                end = from + Int64(k)
                if try block() != nil { return end }
            }
            end = from + 1 << 16
        }
        return nil
    }

    private func damaged(_ batch: Int64) -> Failure {
        var failure = Failure(
            .corrupt,
            "the ledger's file \(path: name(number)) is damaged at byte \(Int(end)), after batch \(Int(batch)), and whole batches stand behind that: put back what was there, or cut the file there when nobody has the home open, and they are lost")
        failure.values = (batch, end)
        return failure
    }

    /// The next block after a batch, or a base that has more than that, where blocks
    /// were missed. nil: there is none yet.
    func next(after batch: Int64) throws(Failure) -> BlockReader? {
        try ready()
        while true {
            guard let found = try block() else {
                // Who writes goes on in another file when this one is whole.
                let last = try range().last
                if last <= number {
                    if let at = try blockBehind(), at > end { throw damaged(batch) }
                    return nil
                }
                if try block() != nil { continue }
                let next = number + 1
                if try !turn(to: next) {
                    if try !turn(to: last) { return nil }
                }
                continue
            }
            end += Int64(BlockHead.bytes) + found.head.length
            if found.head.isBase { baseBytes = end }
            if found.head.isBase ? found.head.batch > batch : found.head.batch == batch + 1 {
                seeks = false
                return found
            }
            // What is known already, in a file that is read from its beginning.
            if found.head.isBase || (seeks && found.head.batch <= batch) { continue }
            var failure = Failure(
                .corrupt,
                "the ledger has batch \(Int(found.head.batch)) where batch \(Int(batch &+ 1)) belongs")
            failure.values = (found.head.batch, batch &+ 1)
            throw failure
        }
    }

    /// What the file that is open began with; 0 for the first.
    private func base() throws(Failure) -> Int64 {
        let head = BlockReader.head(try read(BlockHead.bytes, at: 0))
        return head.map { $0.isBase ? $0.batch : 0 } ?? 0
    }

    /// Goes where the block after a batch is, for who reads all of them. What comes
    /// first there has been before, if the base says so.
    func seek(after batch: Int64) throws(Failure) {
        seeks = true
        let (first, last) = try range()
        var n = last
        while n >= max(first, 1) {
            if try turn(to: n) {
                if n == first { return }
                if try base() <= batch { return }
            }
            n -= 1
        }
    }

    /// Goes to the first block that there is; the batch before it.
    func rewind() throws(Failure) -> Int64 {
        seeks = true
        let first = try range().first
        guard first > 0, try turn(to: first) else { return 0 }
        return try base()
    }

    // MARK: - Writing: the fold lock is held, and all was read

    /// Cuts off what was never whole.
    func cutTorn() throws(Failure) {
        let size = bursar__ledger_size(fd)
        if size < 0 { throw failed(size) }
        if size != end { try cut() }
    }

    private func cut() throws(Failure) {
        reserved = 0
        let code = bursar__ledger_cut(fd, end)
        if code != 0 { throw failed(Int64(code)) }
    }

    /// Takes a block whole, or not at all: then the ledger ends where it did. `base`
    /// says what all before it came to.
    func append(_ new: Block, base: () -> Block) throws(Failure) {
        try ready()
        if end >= max(fileBytes, baseBytes * 4) { try rotate(base()) }
        try write(new.end())
    }

    private func write(_ all: UnsafeRawBufferPointer) throws(Failure) {
        let count = Int64(all.count)
        var code: Int32 = count > room - end ? -28 : 0
        if code == 0, end + count > reserved {
            let wanted = max(count, Outbox.step)
            code = bursar__ledger_reserve(fd, end, wanted)
            if code == 0 { reserved = end + wanted }
        }
        if code == 0 {
            code = bursar__ledger_append(fd, all.baseAddress, all.count)
            if code == 0 {
                end += count
                return
            }
        }
        try? cut()
        throw failed(Int64(code))
    }

    /// The next file: whole with its base when it gets its name. Where that is not
    /// possible, this one goes on.
    private func rotate(_ base: Block) throws(Failure) {
        let former = (fd, number, end, reserved, baseBytes)
        let path = name(number + 1)
        let temporary = prefix + bytes(".new")
        File.unlink(temporary)
        fd = open(temporary, make: true)
        (end, reserved) = (0, 0)
        let whole = base.end()
        var isMade = fd >= 0 && Int64(whole.count) <= BlockHead.most
        if isMade {
            do throws(Failure) { try write(whole) } catch { isMade = false }
        }
        if isMade, bursar__rename(temporary + [0], path + [0]) != 0 { isMade = false }
        if isMade {
            number += 1
            baseBytes = end
            // The room that it did not need.
            _ = bursar__ledger_cut(former.0, former.2)
            bursar__ledger_close(former.0)
        } else {
            close()
            File.unlink(temporary)
            (fd, number, end, reserved, baseBytes) = former
        }
    }

    /// Begins the outbox of a segment that goes on after a batch which others had.
    func begin(after batch: Int64) throws(Failure) {
        try ready()
        let base = Block()
        base.begin(BlockHead(isBase: true, batch: batch, segment: segment))
        if batch > 0 { try write(base.end()) }
    }

    /// Whether it has all batches from the first on.
    func isWhole() throws(Failure) -> Bool {
        guard try range().first == 1, try turn(to: 1) else { return false }
        return try base() == 0
    }

    /// Removes all files.
    func removeAll() {
        guard let all = try? range() else { return }
        for n in max(all.first, 1)...max(all.last, 1) { File.unlink(name(n)) }
    }

    /// Removes the files whose every block is up to a batch; never the last.
    func remove(through batch: Int64) throws(Failure) {
        let (first, last) = try range()
        let reader = Outbox(prefix, segment: segment)
        var n = first
        while n > 0, n < last {
            // One that cannot be read says nothing.
            guard try reader.turn(to: n + 1) else { return }
            let base = try reader.base()
            if base == 0 || base > batch { return }
            File.unlink(name(n))
            n += 1
        }
    }
}

extension Outbox {
    /// The next block after a batch, whole, for who writes them into the database; nil:
    /// not yet. `seek(after:)` once before. Any thread that has it to itself.
    func nextBlock(after batch: Int64) throws(Failure) -> LedgerBlock? {
        seeks = true  // another writer may have moved more than was read here
        guard var reader = try next(after: batch) else { return nil }
        guard !reader.head.isBase, let block = reader.entries() else {
            var failure = Failure(
                .corrupt,
                "the ledger goes on after batch \(Int(reader.head.batch)), and batch \(Int(batch &+ 1)) is missing or damaged")
            failure.values = (reader.head.batch, batch &+ 1)
            throw failure
        }
        return block
    }
}
