// What a process has of a home: its mapping of the segment, its slot, its locks.
// All runtimes of one process on one home share it. A private runtime has one of
// its own.

internal import CPlatform

final class Attachment: @unchecked Sendable {  // Sendable: immutable, or guarded as said.
    let segment: Segment
    let locks: ProcessLocks
    /// The number that records bear while this process is responsible for them, and
    /// how often it had been given.
    let me: Process
    var slot: UInt32 { me.slot }
    /// Tells this process's price sets from those of others, and of who had the slot before.
    var priceMark: UInt32 { me.slot &<< Record.priceBits | me.generation &<< (Record.priceBits + 8) }
    /// Where the home is; nil in a private runtime.
    let place: Place?
    let isShared: Bool
    let bells: Bells
    /// The slot's last holder died: its records are to be put in order first.
    let inherits: Bool
    /// Events between processes; a private runtime needs none.
    let eventRing: EventRing?
    /// Held by whoever folds. Taken before `config`.
    let fold: SharedLock
    /// Guards the tree, limits, ceilings, texts and all that says "config".
    let config: SharedLock
    /// Guards the ring of events. Taken last.
    let events: SharedLock
    /// Held, and kept, by the one runtime that attends to what is due.
    let keeper: SharedLock
    /// Held by the thread that looks for the dead: the kernel does not tell threads apart.
    let search = Lock()
    /// Where the outbox lies, up to the dot before a file's number; nil = in memory. Set
    /// before a runtime opens on it.
    var ledgerPath: [UInt8]?

    /// Sessions of the slot are open still: they are left to whoever recovers it. Guarded by
    /// bursar__home_lock().
    var isUnfinished = false

    /// The handles on it. Guarded by bursar__still_lock().
    var pages: [UnsafeMutableRawPointer] = []
    let forks = bursar__forks()

    /// The files that make a home this one.
    struct Place {
        let folder: Folder
        let id: [UInt8]
        let segment: [UInt8]
        let lockFile: bursar__file
        let segmentFile: bursar__file
    }

    /// A private segment.
    convenience init(_ capacity: Capacity, isObserved: Bool) throws(Failure) {
        let segment = try Segment(capacity)
        segment.format(capacity, isObserved: isObserved)
        let me = Process(slot: Attachment.privateSlot, generation: 1)
        self.init(segment, ProcessLocks(), me, nil, Bells(), inherits: false, isShared: false)
    }

    /// On memory that others are attached to, without a home: for simulations.
    convenience init(_ segment: Segment, _ locks: ProcessLocks, slot: UInt32) {
        let entry = SlotTable(of: segment)[slot]
        self.init(
            segment, locks, Process(slot: slot, generation: entry.generation.value &+ 1), nil,
            Bells(), inherits: entry.isUsed, isShared: true)
    }

    init(
        _ segment: Segment, _ locks: ProcessLocks, _ me: Process, _ place: Place?, _ bells: Bells,
        inherits: Bool, isShared: Bool
    ) {
        self.segment = segment
        self.locks = locks
        self.me = me
        self.place = place
        self.isShared = isShared
        self.bells = bells
        self.inherits = inherits
        eventRing = isShared
            ? EventRing(header: segment.base, entries: segment.base + segment.places.eventsAt) : nil
        if let place {
            ledgerPath = Outbox.path(
                of: Word(segment.base + Header.segmentID).value, in: place.folder.path)
        }
        fold = SharedLock(locks, LockByte.fold)
        config = SharedLock(locks, LockByte.config, segment.edit)
        events = SharedLock(locks, LockByte.events)
        keeper = SharedLock(locks, LockByte.keeper)
    }

    static let privateSlot: UInt32 = 1

    var slots: SlotTable { SlotTable(of: segment) }

    // MARK: - Others

    /// Takes each slot whose process has died, has `recover` put in order what it left,
    /// and frees it; false leaves it to whoever looks next. How many were freed. One
    /// thread at a time; others find nothing.
    func takeDead(_ recover: (UInt32) -> Bool) -> Int {
        guard isShared, search.tryLock() else { return 0 }
        defer { search.unlock() }
        var dead = 0
        for slot in 1..<SlotTable.count where slot != me.slot && slots[slot].isUsed {
            guard locks.tryLock(LockByte.slot(slot)) else { continue }
            sequentialFence()
            if slots[slot].isUsed {
                slots[slot].flags.update(setting: Slot.ending)
                if recover(slot) {
                    slots[slot].flags.storeReleasing(0)
                    dead += 1
                }
            }
            locks.unlock(LockByte.slot(slot))
        }
        return dead
    }

    /// Runs `body` while nobody else looks for the dead.
    func searching(_ body: () -> Void) {
        search.lock()
        defer { search.unlock() }
        body()
    }

    /// Whether no other handle of this process is on it.
    func isLast(_ page: UnsafeMutableRawPointer) -> Bool {
        bursar__still_lock()
        defer { bursar__still_unlock() }
        return !pages.contains { $0 != page }
    }

    /// Whether a process, in that life, lives. Not the caller's own.
    func isAlive(_ process: Process) -> Bool {
        search.lock()
        defer { search.unlock() }
        let entry = slots[process.slot]
        guard entry.isUsed, entry.generation.value == process.generation else { return false }
        guard locks.tryLock(LockByte.slot(process.slot)) else { return true }
        locks.unlock(LockByte.slot(process.slot))
        return false
    }

    /// A living process that `parent` forked. Under `search`, and under the config lock:
    /// whoever ends a process's sessions marks its slot before it takes that lock, so that
    /// a child that is found here has what it inherits ended, if it dies now.
    func livingChild(of parent: UInt32) -> UInt32? {
        let generation = slots[parent].generation.value
        for slot in 1..<SlotTable.count {
            let entry = slots[slot]
            guard entry.isUsed, entry.flags.value & Slot.ending == 0, entry.parent.value == parent,
                entry.parentGeneration.value == generation
            else { continue }
            if slot == me.slot { return slot }
            guard locks.tryLock(LockByte.slot(slot)) else { return slot }
            locks.unlock(LockByte.slot(slot))
        }
        return nil
    }

    // MARK: - The place

    /// Why this is no longer where a process that opens the home now comes to; nil = it is.
    func whatIsMissing() -> Failure? {
        guard let place else { return nil }
        if locks.isLost {
            return Folder.refused(
                place.folder.lock, "was closed in this process, by somebody who closes descriptors of others: open the home again")
        }
        func find(_ path: [UInt8], _ wanted: bursar__file, _ what: StaticString) -> Failure? {
            var file = bursar__file()
            let code = File.stat(path, &file)
            if code == 0, file.inode == wanted.inode, file.device == wanted.device { return nil }
            return Folder.refused(
                path, "\(plain: code < 0 ? "is gone" : "was replaced"): it was the \(plain: what) of this process's home; close it and open it again")
        }
        return find(place.folder.lock, place.lockFile, "lock file")
            ?? find(place.segment, place.segmentFile, "segment")
    }

    /// Ends or narrows the life of every handle that is open; whether one was, for of
    /// threads that find the same at once one shall tell of it.
    func stop(_ life: UInt32) -> Bool {
        bursar__still_lock()
        defer { bursar__still_unlock() }
        var wasOpen = false
        for page in pages {
            let word = Core(page: page).life
            if word.exchange(Life.open, for: life) {
                wasOpen = true
            } else if life == Life.lost {
                _ = word.exchange(Life.adrift, for: life)
            }
        }
        return wasOpen
    }

    // MARK: - Leaving

    /// Takes a handle off. The last one gives the slot back; what is in flight is left
    /// to whoever looks for the dead.
    ///
    /// A thread may be in the middle of a call: the locks go when no record of ours is
    /// in transition. A call that is even later claims its record under a number that
    /// nobody has, or that the next process has: it is that process's then, until it
    /// settles or expires. Slots are taken in turn, so that takes 255 others first.
    func leave(_ page: UnsafeMutableRawPointer) {
        bursar__still_lock()
        pages.removeAll { $0 == page }
        let isLast = pages.isEmpty
        if isLast { Homes.forget(self) }
        bursar__still_unlock()
        guard isLast, isShared else { return }
        // Whoever has a lock finishes, whoever waits for one gives up and finds `life`.
        locks.end()
        for lock in [fold, config, events, keeper] { lock.drain() }
        var waits = 0
        var left = Core(page: page).records(of: me.slot)
        while left.moving > 0, waits < 10_000 {
            bursar__sleep(100_000)
            left = Core(page: page).records(of: me.slot)
            waits += 1
        }
        bells.close()
        // A thread that never finishes keeps the slot until the process ends.
        if left.moving > 0 { return }
        if left.all == 0, !isUnfinished { slots[me.slot].flags.storeReleasing(0) }
        locks.close()
        segment.clear()
    }
}

extension Core {
    /// Records that the process in `slot` is responsible for; of them, those in the
    /// middle of an operation.
    fileprivate func records(of slot: UInt32) -> (all: Int, moving: Int) {
        var all = 0, moving = 0
        for i in 0..<Int(engine.pointee.recordsMax) {
            let word = record(i).word.loadAcquiring()
            guard RecordWord.actor(word) == Int64(slot) else { continue }
            switch RecordWord.state(word) {
            case RecordState.claimed, RecordState.settling, RecordState.adjusting,
                RecordState.releasing:
                moving += 1
                all += 1
            case RecordState.held, RecordState.inFlight: all += 1
            default: continue
            }
        }
        return (all, moving)
    }
}
