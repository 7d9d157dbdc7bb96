// What a process has of a home: its mapping of the segment, its slot, its locks.
// All runtimes of one process on one home share it. A private runtime has one of
// its own.

final class Attachment: @unchecked Sendable {  // Sendable: immutable, or guarded as said.
    let segment: Segment
    let locks: ProcessLocks
    /// The number that records bear while this process is responsible for them.
    let slot: UInt32
    let isShared: Bool
    /// Held by whoever folds. Taken before `config`.
    let fold: SharedLock
    /// Guards the tree, limits, ceilings, texts and all that says "config".
    let config: SharedLock
    /// Guards the ring of events. Taken last.
    let events: SharedLock
    /// Held, and kept, by the one runtime that attends to what is due.
    let keeper: SharedLock
    /// Where the ledger lies; nil = in memory. Set before a runtime opens on it.
    var ledgerPath: [UInt8]?
    /// Held by the one thread that recovers the dead.
    let recovering = Lock()

    /// A private segment.
    convenience init(_ capacity: Capacity) throws(Failure) {
        self.init(
            try Segment(capacity), ProcessLocks(), slot: Attachment.privateSlot, isShared: false)
    }

    init(_ segment: Segment, _ locks: ProcessLocks, slot: UInt32, isShared: Bool) {
        self.segment = segment
        self.locks = locks
        self.slot = slot
        self.isShared = isShared
        fold = SharedLock(locks, LockByte.fold)
        config = SharedLock(locks, LockByte.config, segment.edit)
        events = SharedLock(locks, LockByte.events)
        keeper = SharedLock(locks, LockByte.keeper)
    }

    static let privateSlot: UInt32 = 1
}
