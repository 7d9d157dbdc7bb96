// Homes from inside one process. Other processes are played by open files of their own
// on the lock file, which the kernel tells apart as it does processes; those that fork,
// die and race are in Tests/c/home.c.

import Glibc
import Testing

@testable import BursarCore
@testable import CPlatform
import CPrices

/// A directory for one test, removed with the segment that its home has.
final class TestFolder {
    let folder: [UInt8]
    var path: [UInt8] { folder + [UInt8]("/home".utf8) }
    private var pages: [UnsafeMutableRawPointer] = []

    init() throws {
        var random: UInt64 = 0
        #expect(bursar__random(&random, 8) == 0)
        folder = [UInt8]("/tmp/bursar-test-\(random)".utf8)
        #expect(bursar__make_directory(folder + [0], 0o700) == 0)
    }

    func open(_ configure: (inout OpenOptions) -> Void = { _ in }) throws -> Runtime {
        var options = OpenOptions()
        options.home = path
        configure(&options)
        let page = try Runtime.open(options)
        pages.append(page)
        return Core(page: page).runtime
    }

    /// Locks as another process has them.
    func stranger(_ runtime: Runtime) -> ProcessLocks {
        let place = runtime.attachment.place!
        let fd = bursar__open(place.folder.lock + [0], BURSAR__WRITE)
        #expect(bursar__keep_from_child(fd) == 0)
        return ProcessLocks(fd, place.lockFile.inode)
    }

    deinit {
        for page in pages {
            let segment = Core(page: page).runtime.attachment.place?.segment
            _ = Runtime.close(page)
            if let segment { _ = bursar__unlink(segment + [0]) }
        }
        _ = system("rm -r " + String(decoding: folder, as: UTF8.self))
    }
}

@Suite struct HomeTests {
    @Test func aByteIsLockedByOneProcessAtATime() throws {
        let home = try TestFolder()
        let runtime = try home.open()
        let mine = runtime.attachment.locks
        let other = home.stranger(runtime)
        defer { other.close() }
        #expect(mine.tryLock(LockByte.config))
        #expect(!other.tryLock(LockByte.config))
        #expect(other.tryLock(LockByte.fold))
        #expect(!mine.tryLock(LockByte.fold))
        mine.unlock(LockByte.config)
        #expect(other.tryLock(LockByte.config))
        // A third open file that comes and goes takes nothing away.
        home.stranger(runtime).close()
        #expect(!mine.tryLock(LockByte.config))
        // Attached, together; alone only when the other has left.
        #expect(!other.tryLock(LockByte.attached))
        #expect(other.tryShare(LockByte.attached))
        #expect(!mine.tryLock(LockByte.attached))
        #expect(!other.tryLock(LockByte.slot(runtime.attachment.slot)))
    }

    @Test func aSharedLockIsHeldByOneThreadOfOneProcess() throws {
        let home = try TestFolder()
        let runtime = try home.open()
        let other = home.stranger(runtime)
        defer { other.close() }
        let theirs = SharedLock(other, LockByte.config)
        let ours = runtime.config
        // A plain word, which only a lock can guard.
        let count = UnsafeMutablePointer<Int>.allocate(capacity: 1)
        defer { count.deallocate() }
        count.pointee = 0
        nonisolated(unsafe) let shared = count
        hammer(threads: 4, iterations: 200) { thread, _, _ in
            let lock = thread % 2 == 0 ? theirs : ours
            lock.lock()
            let before = shared.pointee
            sleepBriefly()
            shared.pointee = before + 1
            lock.unlock()
        }
        #expect(count.pointee == 800)
        theirs.lock()
        #expect(!ours.tryLock())
        #expect(!ours.lock(for: 3_000_000))
        theirs.unlock()
        // The loop may have it for a moment.
        #expect(ours.lock(for: 5_000_000_000))
        ours.unlock()
    }

    @Test func aLostDescriptorStopsTheHandle() throws {
        let home = try TestFolder()
        let runtime = try home.open()
        let core = runtime.core
        // A host that closes what it finds open, and opens something else.
        let number = try #require(home.descriptor(of: runtime.attachment.place!.lockFile))
        bursar__fd_close(number)
        let other = bursar__open([UInt8]("/dev/null".utf8) + [0], BURSAR__READ)
        defer { bursar__fd_close(other) }
        #expect(!runtime.attachment.locks.tryLock(LockByte.config))
        runtime.lookAtHome()
        #expect(core.obstacle() == .home)
        #expect(core.obstacleToNew() == .home)
        #expect(core.failure(.home).text.contains("was closed in this process"))
        #expect(throws: BursarCore.Failure.self) {
            try runtime.budgetDeclare([97], BudgetOptions())
        }
    }

    @Test func filesTakenAwayStopWhatIsNewAndLetTheRestSettle() throws {
        for name in ["segment", "lock"] {
            let home = try TestFolder()
            let runtime = try home.open()
            _ = try runtime.eventsDescriptor()
            let core = runtime.core
            let place = runtime.attachment.place!
            #expect(runtime.attachment.whatIsMissing() == nil)
            let path = name == "lock" ? place.folder.lock : place.segment
            let away = path + [UInt8](".away".utf8) + [0]
            #expect(bursar__rename(path + [0], away) == 0)
            // Told once, whoever sees it: these, or the loop beside them.
            hammer(threads: 4, iterations: 1) { _, _, _ in runtime.lookAtHome() }
            #expect(core.obstacle() == nil)
            #expect(core.obstacleToNew() == .home)
            #expect(core.failure(.home).text.contains("is gone: it was the \(name)"))
            var d = Decision()
            #expect(core.reserve(1 << 32 | 1, Request(), &d) == .home)
            let event = try #require(runtime.takeEvent())
            #expect(event.type == .home)
            #expect(runtime.takeEvent() == nil)
            // Something else in its place is not it.
            bursar__fd_close(bursar__open(path + [0], BURSAR__NEW))
            #expect(runtime.attachment.whatIsMissing()?.text.contains("was replaced") == true)
            _ = bursar__unlink(path + [0])
            #expect(bursar__rename(away, path + [0]) == 0)
            #expect(runtime.attachment.whatIsMissing() == nil)
        }
    }

    @Test func fileSystemsThatMachinesShareAreRefused() throws {
        let here: [UInt64] = [0xEF53, 0x0102_1994, 0x794C_7630, 0x5846_5342, 0x9123_683E]
        for type in here { try Folder.expectSuitable([47], type) }
        let others: [(UInt64, String)] = [
            (0x6969, "NFS"), (0xFF53_4D42, "SMB"), (0x517B, "SMB"), (0x6573_5546, "FUSE"),
            (0x0102_1997, "9p"), (0x5346_414F, "AFS"), (0x0BD0_0BD0, "Lustre"),
            (0x00C3_6400, "Ceph"),
        ]
        for (type, name) in others {
            do throws(BursarCore.Failure) {
                try Folder.expectSuitable([UInt8]("/mnt".utf8), type)
                Issue.record("\(name) is taken")
            } catch {
                #expect(error.status == .home)
                #expect(error.text.contains("`\(name)`"))
            }
        }
    }

    @Test func theDeadAreFoundOnceAndTheLivingNever() throws {
        let home = try TestFolder()
        let runtime = try home.open()
        let attachment = runtime.attachment
        let other = home.stranger(runtime)
        let slots = attachment.slots
        for slot in UInt32(100)..<110 {
            slots[slot].generation.value = 7
            slots[slot].flags.storeReleasing(Slot.used)
            #expect(other.tryLock(LockByte.slot(slot)))
        }
        slots[105].parent.value = 104
        slots[105].parentGeneration.value = 7
        #expect(attachment.takeDead { _ in false } == 0)
        #expect(attachment.isAlive(BursarCore.Process(slot: 104, generation: 7)))
        #expect(!attachment.isAlive(BursarCore.Process(slot: 104, generation: 6)))
        other.unlock(LockByte.slot(104))
        #expect(!attachment.isAlive(BursarCore.Process(slot: 104, generation: 7)))
        var dead: [UInt32] = []
        // Who cannot put everything in order leaves the slot to the next.
        #expect(attachment.takeDead { $0 != 104 } == 0)
        #expect(slots[104].isUsed)
        let count = attachment.takeDead { slot in
            dead.append(slot)
            // Ours while we look at it: nobody else recovers it.
            #expect(!other.tryLock(LockByte.slot(slot)))
            #expect(attachment.livingChild(of: slot) == 105)
            #expect(attachment.livingChild(of: 103) == nil)
            // Nor another thread of this process.
            #expect(attachment.takeDead { _ in false } == 0)
            return true
        }
        #expect(count == 1 && dead == [104])
        #expect(!slots[104].isUsed)
        other.close()
        dead = []
        let more = attachment.takeDead { slot in
            dead.append(slot)
            return true
        }
        #expect(more == 9)
        #expect(dead == [100, 101, 102, 103, 105, 106, 107, 108, 109])
        #expect(runtime.home.processes.count == 1)
    }

    @Test func slotsAreTakenInTurn() throws {
        let home = try TestFolder()
        var taken: [UInt32] = []
        for _ in 0..<4 {
            let runtime = try home.open()
            taken.append(runtime.attachment.slot)
            #expect(Runtime.close(runtime.core.page) == .ok)
        }
        #expect(taken == [1, 2, 3, 4])
    }

    @Test func aBellRingsAtItsOwnerAndNowhereElse() throws {
        let home = try TestFolder()
        let runtime = try home.open()
        let bells = runtime.attachment.bells
        let folder = runtime.attachment.place!.folder
        let theirs = try Bells(folder, 200)
        defer { theirs.close() }
        func waits(_ bell: Bells) -> Bool {
            var byte: UInt8 = 0
            return bursar__read(bell.ownDescriptor, &byte, 1) == 1
        }
        #expect(!waits(bells) && !waits(theirs))
        bells.ring(200)
        #expect(waits(theirs) && !waits(bells))
        theirs.ring(runtime.attachment.slot)
        bells.ring(201)  // nobody's
        #expect(waits(bells) && !waits(theirs))
        // A full bell has rung: nobody waits.
        for _ in 0..<70_000 { bells.ring(200) }
        theirs.drain()
        #expect(!waits(theirs))
        // Its next owner starts with a quiet one.
        bells.ring(200)
        let next = try Bells(folder, 200)
        #expect(!waits(next))
        next.close()
    }

    @Test func anAttachmentThatEndsLetsEverythingGo() throws {
        let home = try TestFolder()
        let keeper = try home.open()
        let other = home.stranger(keeper)
        defer { other.close() }
        let slot = keeper.attachment.slot
        #expect(keeper.attachment.slots[slot].isUsed)
        #expect(Runtime.close(keeper.core.page) == .ok)
        #expect(Runtime.close(keeper.core.page) == .closed)
        // A process that another test spawns has all descriptors, until it execs.
        var waits = 0
        while !other.tryLock(LockByte.attached), waits < 5_000 {
            sleepBriefly()
            waits += 1
        }
        #expect(waits < 5_000)
        #expect(other.tryLock(LockByte.slot(slot)))
        #expect(!keeper.attachment.slots[slot].isUsed)
        #expect(keeper.core.obstacle() == .closed)
    }

    @Test func whatWasInFlightAtCloseIsSettledAtItsWorst() throws {
        let home = try TestFolder()
        let runtime = try home.open()
        var budget = BudgetOptions()
        budget.limits = [UInt8]("$5".utf8)
        _ = try runtime.budgetDeclare([UInt8]("a".utf8), budget)
        var options = SessionOptions()
        options.path = [UInt8]("a".utf8)
        let session = try runtime.sessionOpen(options)
        var request = Request()
        request.extraNanos = dollar
        var d = Decision()
        #expect(runtime.core.reserve(session, request, &d) == .ok)
        let slot = runtime.attachment.slot
        let segment = runtime.attachment.place!.segment
        #expect(Runtime.close(runtime.core.page) == .ok)
        let fd = bursar__open(segment + [0], BURSAR__READ)
        var flags: UInt32 = 0
        #expect(pread(fd, &flags, 4, Header.page + Int(slot) * Slot.size) == 4)
        close(fd)
        #expect(flags & Slot.used == 0)
        let next = try home.open()
        let spent = try next.read(try next.budgetFind([UInt8]("a".utf8))).spentNanos
        #expect(spent == dollar && next.health().inFlight == 0)
    }

    @Test func aHomeThatWasClosedTakesNoMemory() throws {
        let home = try TestFolder()
        let first = try home.open()
        let second = try home.open()
        let segment = first.attachment.place!.segment
        func isMapped() -> Bool {
            let fd = Glibc.open("/proc/self/maps", O_RDONLY)
            defer { close(fd) }
            var text: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 65_536)
            while true {
                let n = read(fd, &part, part.count)
                if n <= 0 { break }
                text += part[..<n]
            }
            return String(decoding: text, as: UTF8.self)
                .contains(String(decoding: segment, as: UTF8.self))
        }
        _ = Runtime.close(first.core.page)
        #expect(isMapped(), "another handle has it")
        let core = second.core
        _ = Runtime.close(core.page)
        #expect(!isMapped())
        // Calls that are late find nothing, and do no harm.
        _ = second.core.settledNow(0, core.cell(1))
        _ = second.scan()
        var d = Decision()
        #expect(core.reserve(1 << 32 | 1, Request(), &d) == .closed)
        _ = bursar__unlink(segment + [0])
    }
}

extension TestFolder {
    /// The number under which a file is open in this process.
    func descriptor(of file: bursar__file) -> Int32? {
        for fd in Int32(3)..<1024 {
            var found = bursar__file()
            if bursar__fstat(fd, &found) == 0, found.inode == file.inode, found.device == file.device {
                return fd
            }
        }
        return nil
    }
}

extension BursarCore.Failure {
    var text: String { String(decoding: sentence, as: UTF8.self) }
}
