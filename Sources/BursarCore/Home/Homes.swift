// Coming to a home. It never splits in two without a word: whoever cannot reach the one
// segment that the home's processes share is refused, with a sentence that names what
// is in the way.
//
// MAKING is held from the first look at the home's files until ATTACHED is held,
// shared. So whoever has MAKING and gets ATTACHED for itself alone knows that nobody
// is attached, and may make a new segment; everybody else uses the one that is there.

internal import CPlatform

enum Homes {
    /// What this process has open. Guarded by bursar__still_lock().
    private nonisolated(unsafe) static var attachments: [Unmanaged<Attachment>] = []

    static func forget(_ attachment: Attachment) {
        attachments.removeAll { $0.toOpaque() == Unmanaged.passUnretained(attachment).toOpaque() }
    }

    /// The process's attachment to the home with that lock file, now with one more handle.
    private static func join(
        _ lock: bursar__file, _ page: UnsafeMutableRawPointer
    ) throws(Failure) -> Attachment? {
        bursar__still_lock()
        defer { bursar__still_unlock() }
        let forks = bursar__forks()
        attachments.removeAll { $0.takeUnretainedValue().forks != forks }
        for entry in attachments {
            let found = entry.takeUnretainedValue()
            guard let file = found.place?.lockFile, file.inode == lock.inode,
                file.device == lock.device, !found.locks.isLost
            else { continue }
            if let failure = found.whatIsMissing() { throw failure }
            found.pages.append(page)
            return found
        }
        return nil
    }

    /// Attaches a handle to the home that the options name. What is worth telling, but
    /// no failure, is added to `notices`. Under bursar__home_lock().
    static func attach(
        _ page: UnsafeMutableRawPointer, _ options: OpenOptions, _ capacity: Capacity,
        _ notices: inout [Sentence]
    ) throws(Failure) -> Attachment {
        let folder = try Folder(options.home, mustExist: options.mustExist)
        var lock = bursar__file()
        if options.mustExist, File.stat(folder.record, &lock) < 0 {
            throw Folder.refused(folder.path, "is no home: it has no file `home`")
        }
        if File.stat(folder.lock, &lock) == 0, let found = try join(lock, page) {
            compare(options, found, &notices)
            return found
        }
        // Before anything is left there.
        if File.stat(folder.lock, &lock) == -ENOENT { try folder.expectEmpty() }
        let fd = bursar__open_lock(folder.lock + [0])
        if fd < 0 { throw Folder.failed("open", folder.lock, fd) }
        _ = bursar__fstat(fd, &lock)
        let locks = ProcessLocks(fd, lock.inode)
        var isDone = false
        defer { if !isDone { locks.close() } }
        if bursar__user() == 0, lock.owner == 0, folder.owner != 0 {
            _ = bursar__give(fd, folder.owner, folder.group, folder.fileMode)
            _ = bursar__fstat(fd, &lock)
        }
        try folder.expectOurs(folder.lock, lock)
        try take(LockByte.making, locks, folder)
        defer { locks.unlock(LockByte.making) }

        let isAlone = locks.tryLock(LockByte.attached)
        let named = try Folder.real(
            options.shmDirectory.isEmpty ? bytes("/dev/shm") : options.shmDirectory)
        let files = SegmentFile(folder: folder, boot: try HomeRecord.bootID(), named: named)
        let mapped: (segment: Segment, file: bursar__file)
        let record: HomeRecord
        if let known = try HomeRecord(of: folder) {
            record = known
            mapped = try find(
                folder, known, lock, files, options, capacity, isAlone: isAlone, &notices)
        } else {
            guard isAlone else {
                throw Folder.refused(
                    folder.record, "is gone while other processes are attached to the home; close them first")
            }
            try folder.expectEmpty()
            let isMemory = try Folder.expectLocal(
                named, File.open(named, BURSAR__DIRECTORY))
            if !isMemory {
                notices.append(
                    "the segment of \(path: folder.path) lies in \(path: named), which is no memory file system: steps may wait for the disk")
            }
            try folder.settle(isGroup: options.isGroup || folder.isGroup, lockFile: fd)
            record = try HomeRecord(shmDirectory: named, lock: lock)
            let made = try files.make(record, capacity, isObserved: options.isObserved)
            mapped = (made.segment, made.file)
        }
        let (me, inherits) = try takeSlot(mapped.segment, locks)
        let bells = try Bells(folder, me.slot)
        guard locks.tryShare(LockByte.attached) else {
            bells.close()
            throw Folder.refused(folder.lock, "keeps no locks")
        }
        let attachment = Attachment(
            mapped.segment, locks, me,
            Attachment.Place(
                folder: folder, id: record.id, segment: record.segment, lockFile: lock,
                segmentFile: mapped.file),
            bells, inherits: inherits, isShared: true)
        compare(options, attachment, &notices)
        bursar__still_lock()
        attachment.pages.append(page)
        attachments.append(Unmanaged.passUnretained(attachment))
        bursar__still_unlock()
        isDone = true
        return attachment
    }

    /// Waits for a lock that is held for milliseconds.
    private static func take(
        _ byte: Int64, _ locks: ProcessLocks, _ folder: Folder
    ) throws(Failure) {
        var pause: Int64 = 50_000
        var waited: Int64 = 0
        while !locks.tryLock(byte) {
            if locks.isLost { throw Folder.refused(folder.lock, "keeps no locks") }
            if waited > 10_000_000_000 {
                throw Folder.refused(
                    folder.path, "is being opened by another process, which has not gone on for 10 seconds: is it stopped?")
            }
            bursar__sleep(pause)
            waited += pause
            pause = min(pause * 2, 2_000_000)
        }
        sequentialFence()
    }

    /// The segment of a home that has a record, or a new one where that is safe.
    private static func find(
        _ folder: Folder, _ known: HomeRecord, _ lock: bursar__file, _ files: SegmentFile,
        _ options: OpenOptions, _ capacity: Capacity, isAlone: Bool, _ notices: inout [Sentence]
    ) throws(Failure) -> (segment: Segment, file: bursar__file) {
        let isSameBoot = known.boot == files.boot
        // Devices may be numbered anew when the machine starts.
        if known.lockInode != lock.inode || (isSameBoot && known.lockDevice != lock.device) {
            throw Folder.refused(
                folder.record, "was written for another lock file (inode \(Int(clamping: known.lockInode))) than the one beside it (inode \(Int(clamping: lock.inode))): the home was copied, or the lock file replaced; if nobody uses this one, remove its file `home`, and it becomes a home of its own")
        }
        // Before anything is made there: others would have a segment each.
        if isSameBoot {
            var directory = bursar__file()
            let code = File.stat(known.shmDirectory, &directory)
            if code < 0 { throw Folder.failed("find", known.shmDirectory, code) }
            if directory.device != known.shmDevice {
                throw Folder.refused(
                    folder.path, "has its segment in another \(path: known.shmDirectory) than this process sees (a container?): mount that one there")
            }
        }
        let why: Sentence
        let busy: Sentence
        if !isSameBoot {
            why = "the machine was started anew"
            busy = "belongs to another machine or boot, whose processes are attached: a home is for one machine"
        } else if known.layout != Layout.identity {
            why = "another version of the library made the former one"
            busy = "has layout \(hex: known.layout), and processes of that library version are attached; this library has \(hex: Layout.identity): close them first, or use their version"
        } else if let found = try files.find(known) {
            return found
        } else {
            why = "the former one was removed"
            busy = "is gone while other processes are attached to it: it was removed, or this process sees another \(path: known.shmDirectory) than they do (a container?)"
        }
        guard isAlone else { throw Folder.refused(known.segment, busy) }
        known.lockDevice = lock.device
        let made = try files.make(known, capacity, isObserved: options.isObserved)
        notices.append(
            "\(path: folder.path) has a new segment, as " + why
                + (made.isRestored
                    ? ": its budgets and what they spent are in it, sessions are closed"
                    : ": nothing had been written of it"))
        return (made.segment, made.file)
    }

    /// A home is as it was made: says so to whoever asks for more.
    private static func compare(
        _ options: OpenOptions, _ attachment: Attachment, _ notices: inout [Sentence]
    ) {
        let segment = attachment.segment
        if options.isObserved,
            Half(segment.base + Header.flags).value & HeaderFlag.observed == 0
        {
            notices.append("observing was asked for, and the home enforces, which stays")
        }
        if options.isGroup, attachment.place?.folder.isGroup == false {
            notices.append("a group's home was asked for, and the home is its owner's, which stays")
        }
        func larger(_ name: StaticString, _ asked: UInt32, _ has: UInt32) {
            if asked > has {
                notices.append(
                    "\(plain: name) is \(asked), and the home's segment was made for \(has), which stays: it is made anew only when no process is attached and its file was removed")
            }
        }
        larger("sessions_max", options.sessionsMax, segment.places.nodesMax)
        larger("reservations_max", options.reservationsMax, segment.places.recordsMax)
        larger("text_bytes_max", options.textBytesMax, segment.places.slabUnits * UInt32(Slab.unit))
    }

    /// A slot whose byte we lock: one that nobody left behind, or else a dead process's.
    private static func takeSlot(
        _ segment: Segment, _ locks: ProcessLocks
    ) throws(Failure) -> (Process, inherits: Bool) {
        let table = SlotTable(of: segment)
        let last = Half(segment.base + Header.lastSlot)
        for inherits in [false, true] {
            for k in 1...SlotTable.count {
                let slot = (last.value &+ k) % SlotTable.count
                guard slot != 0, table[slot].isUsed == inherits,
                    locks.tryLock(LockByte.slot(slot))
                else { continue }
                sequentialFence()
                if table[slot].isUsed == inherits {
                    last.value = slot
                    let generation = table[slot].generation.value &+ 1
                    return (Process(slot: slot, generation: generation), inherits)
                }
                locks.unlock(LockByte.slot(slot))
            }
        }
        var pids = Sentence("\(table[1].pid.value)")
        for slot in 2..<UInt32(9) { pids = pids + ", \(table[slot].pid.value)" }
        throw Failure(
            .capacity,
            "255 processes are attached to the home, and no more are possible: " + pids + ", ...")
    }
}

extension Attachment {
    /// Puts this process into its slot, after what its last holder left was put in order.
    func enter(_ options: OpenOptions, parent: Process) {
        let entry = slots[me.slot]
        entry.flags.storeReleasing(0)
        entry.generation.value = me.generation
        entry.pid.value = bursar__process()
        entry.role.value = UInt32(options.policy.role.rawValue)
        entry.parent.value = parent.slot
        entry.parentGeneration.value = parent.generation
        entry.since.value = bursar__clock(BURSAR__CLOCK_UNIX)
        entry.bell.value = 0
        entry.setName(options.name)
        entry.flags.storeReleasing(Slot.used)
    }
}
