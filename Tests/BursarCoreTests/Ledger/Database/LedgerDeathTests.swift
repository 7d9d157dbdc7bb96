// The ledger's writer is killed at any instruction, and its disk fills: nothing is lost
// and nothing counts twice.

import Glibc
import Testing

@testable import BursarCore

@Suite(.serialized) struct LedgerDeathTests {
    /// How often it is killed: LEDGER_KILLS=1000 for the long run.
    private static var kills: Int {
        getenv("LEDGER_KILLS").flatMap { Int(String(cString: $0)) } ?? 12
    }

    /// A writer under load from where the database stands, until it is killed from
    /// another thread, after a time that the seed says.
    private static func writeUntilKilled(_ path: [UInt8], seed: UInt64) throws {
        var dice = LedgerDice(state: seed)
        let microseconds = UInt32(dice.roll(60_000) + 200)
        var thread = pthread_t()
        let box = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
        box.pointee = microseconds
        var load = LedgerLoad(seed: 99)
        var all: [LedgerBlock] = []
        let database = try Database(path)
        let last = try database.last(of: load.segment)
        // Some of what it has comes again, as after a death it may.
        for _ in 0..<(last + 80) { all.append(load.block(steps: 40)) }
        pthread_create(&thread, nil, { argument in
            usleep(argument!.load(as: UInt32.self))
            kill(getpid(), SIGKILL)
            return nil
        }, box)
        var k = max(Int(last) - 2, 0)
        while true {
            let end = min(k + 1 + Int(dice.roll(5)), all.count)
            try database.apply(Array(all[k..<end]))
            k = end < all.count ? end : k
        }
    }

    @Test func aWriterThatIsKilledAnywhereLosesNothingAndDoublesNothing() async throws {
        let folder = try LedgerFolder()
        let path = folder.ledger
        var load = LedgerLoad(seed: 99)
        var last: Int64 = 0
        for k in 0..<LedgerDeathTests.kills {
            let seed = UInt64(k)
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as [UInt8], seed = seed as UInt64] in
                try LedgerDeathTests.writeUntilKilled(path, seed: seed)
            }
            let database = try Database(path)
            let batch = try database.last(of: load.segment)
            #expect(batch >= last)
            last = batch
            while load.batch < batch { _ = load.block(steps: 40) }
            let differences = try database.connection.verify()
            #expect(differences.isEmpty, "\(differences)")
            let reader = try Reader(path)
            #expect(try reader.int("SELECT coalesce(sum(count),0) FROM v_steps") == Int64(load.steps.count))
            #expect(
                try reader.int("SELECT coalesce(sum(cost_nanos),0) FROM v_steps")
                    == load.steps.values.map(\.cost).reduce(0, +))
        }
        #expect(last > 0)
    }

    @Test func aFullDiskLosesNothingAndIsFollowedWhenThereIsRoomAgain() throws {
        let folder = try LedgerFolder()
        guard mount("tmpfs", folder.path, "tmpfs", 0, "size=6m") == 0 else {
            print("SKIPPED: a full disk needs a mount, and mounting needs root (errno \(errno))")
            return
        }
        defer { umount2(folder.path, Int32(MNT_DETACH)) }
        var load = LedgerLoad(seed: 61)
        let database = try Database(folder.ledger)
        database.connection.setBusyTimeout(1)
        var waiting: [LedgerBlock] = []
        var refused = 0
        let ballast = open("\(folder.path)/link", O_RDWR | O_CREAT, 0o600)
        let chunk = [UInt8](repeating: 1, count: 64 << 10)
        for round in 0..<60 {
            waiting.append(load.block(steps: 300))
            if round % 12 == 4 { while write(ballast, chunk, chunk.count) > 0 {} }
            if round % 12 == 9 { ftruncate(ballast, 0); lseek(ballast, 0, SEEK_SET) }
            do throws(Failure) {
                try database.apply(waiting)
                waiting = []
            } catch {
                refused += 1
                #expect(error.status == .home, "\(error)")
                // It can be read all the while.
                #expect(try Reader(folder.ledger).int("SELECT count(*)>=0 FROM steps") == 1)
            }
        }
        ftruncate(ballast, 0)
        close(ballast)
        try database.apply(waiting)
        #expect(refused > 0)
        #expect(try database.last(of: load.segment) == 60)
        #expect(try database.connection.verify().isEmpty)
        #expect(try Reader(folder.ledger).int("SELECT sum(count) FROM v_steps") == Int64(load.steps.count))
    }

    @Test func aReadOnlyFileSystemIsRefusedAndUsedWhenItIsWritable() throws {
        let folder = try LedgerFolder()
        guard mount("tmpfs", folder.path, "tmpfs", 0, "size=8m") == 0 else {
            print("SKIPPED: a read-only file system needs a mount, and mounting needs root (errno \(errno))")
            return
        }
        defer { umount2(folder.path, Int32(MNT_DETACH)) }
        var load = LedgerLoad(seed: 62)
        do { try Database(folder.ledger).apply(load.blocks(2)) }
        let remount = UInt(MS_REMOUNT)
        #expect(mount("tmpfs", folder.path, "tmpfs", remount | UInt(MS_RDONLY), "size=8m") == 0)
        do throws(Failure) {
            _ = try Database(folder.ledger)
            Issue.record("it was opened")
        } catch {
            #expect(error.status == .home)
            #expect(String(decoding: error.sentence, as: UTF8.self).contains("read-only"))
        }
        #expect(mount("tmpfs", folder.path, "tmpfs", remount, "size=8m") == 0)
        #expect(try Database(folder.ledger).apply(load.blocks(2)) == 4)
    }
}
