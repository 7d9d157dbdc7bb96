// An outbox that is damaged, or has more than one expects: nothing is lost without a word.

import Glibc
import Testing

@testable import BursarCore
@testable import CPlatform

@Suite(.serialized) struct DamageTests {
    let folder: TestFolder
    let prefix: [UInt8]
    init() throws {
        folder = try TestFolder()
        guard mkdir(String(decoding: folder.path, as: UTF8.self), 0o700) == 0 || errno == EEXIST else {
            throw Failure(.home, "no folder")
        }
        prefix = Outbox.path(of: 7, in: folder.path)
    }

    private func block(_ n: Int64) -> Block {
        let block = Block()
        block.begin(BlockHead(batch: n, segment: 7))
        block.open(.name)
        block.put(1)
        block.put(n)
        block.put([UInt8](repeating: 0x61, count: 1000))
        block.close()
        return block
    }

    private func base(_ n: Int64) -> Block {
        let block = Block()
        block.begin(BlockHead(isBase: true, batch: n, segment: 7))
        return block
    }

    /// Batches up to some number, a file for each `each`.
    @discardableResult
    private func fill(_ count: Int64, each: Int64 = .max) throws -> Outbox {
        let outbox = Outbox(prefix, segment: 7)
        var n: Int64 = 0
        while n < count {
            outbox.fileBytes = n > 0 && n % each == 0 ? 0 : 8 << 20
            let before = n
            try outbox.append(block(n + 1)) { base(before) }
            n += 1
        }
        return outbox
    }

    private func flip(file: Int, at offset: Int) throws {
        let path = String(decoding: prefix, as: UTF8.self) + ".\(file).log"
        let fd = open(path, O_RDWR)
        #expect(fd >= 0)
        var byte: UInt8 = 0
        #expect(pread(fd, &byte, 1, offset) == 1)
        byte ^= 4
        #expect(pwrite(fd, &byte, 1, offset) == 1)
        close(fd)
    }

    private func files() throws -> (Int64, Int64) {
        var (first, last): (Int64, Int64) = (0, 0)
        _ = (prefix + [0]).withUnsafeBytes {
            bursar__ledger_range($0.baseAddress!.assumingMemoryBound(to: CChar.self), &first, &last)
        }
        return (first, last)
    }

    @Test func aFileWhoseSuccessorCannotBeReadStays() throws {
        try fill(9, each: 3)
        #expect(try files() == (1, 3))
        // The database has batch 2: nothing of the first file may go.
        try flip(file: 2, at: 0)
        try Outbox(prefix, segment: 7).remove(through: 2)
        #expect(try files() == (1, 3))
    }

    @Test func whatStandsBehindADamagedBlockIsToldNotForgotten() throws {
        try fill(9)
        try flip(file: 1, at: 4 * 1100)
        let outbox = Outbox(prefix, segment: 7)
        try outbox.seek(after: 0)
        var last: Int64 = 0
        #expect(throws: Failure.self) {
            while let block = try outbox.nextBlock(after: last) { last = block.batch }
        }
        #expect(last < 9)
    }

    @Test func aTornEndIsNoDamage() throws {
        try fill(9)
        let path = String(decoding: prefix, as: UTF8.self) + ".1.log"
        for size in [9 * 1072 + 500, 8 * 1072 + 5] { _ = truncate(path, size) }
        let outbox = Outbox(prefix, segment: 7)
        try outbox.seek(after: 0)
        var last: Int64 = 0
        while let block = try outbox.nextBlock(after: last) { last = block.batch }
        #expect(last > 5)
    }

    /// Estimates are many, and a file begins with some of them only: who came after that
    /// folds a correction of one that it does not know.
    @Test func aCorrectionCountsWhoeverFoldsIt() throws {
        let home = try TestHome()
        let one = try home.process(1)
        try one.budget("acme", "$1000")
        let session = try one.session("acme")
        var handles: [Int64] = []
        for _ in 0..<30 {
            for _ in 0..<40 { handles.append(one.granted(session, 100) { $0.timeToLive = 1 }.reservation) }
            one.runtime.clock.shiftSteady(by: second)
            _ = one.runtime.scan()
            one.runtime.fold()
        }
        one.runtime.ledger.limit(to: .max, file: 2000)
        for _ in 0..<3 {
            one.spend(session, 10)
            one.runtime.fold()
        }
        #expect(try one.expectSettled("estimated") == 120_030)
        let two = try home.process(2)
        two.runtime.clock.shiftSteady(by: 31 * second)
        #expect(one.settle(handles[0], cost: 40).r.has(Receipt.late))
        two.runtime.fold()
        #expect(two.runtime.scan().used == 0)
        #expect(try one.expectSettled("corrected") == 119_970)
    }

    @Test func aStepHasARowWhereverOthersStand() throws {
        let path = Database.path(in: folder.path)
        let database = try Database(path)
        var block = LedgerBlock(segment: 7, batch: 1)
        for at: Int64 in [1_000, 1_000 + 999_999, 1_000 + 1_000_000] {
            var step = StepEntry(handle: at, session: 5)
            step.settled = at
            block.steps.append(step)
        }
        try database.apply([block])
        block.batch = 2
        block.steps = [block.steps[0]]
        try database.apply([block])
        #expect(try database.last(of: 7) == 2)
    }
}
