// The kernel's part of locks between processes: bytes of one file, each locked by
// at most one process, let go by the kernel when that process dies. A private
// runtime has none: every byte is free there.
//
// The locks belong to the open file, not to the process: closing another descriptor
// of the file takes none away, and a child of fork() would share them, so that its
// parent's death went unseen: the descriptor is closed in every child (see home.c).

internal import CPlatform
internal import Synchronization

/// Bytes of the lock file.
enum LockByte {
    static let fold: Int64 = 0
    static let config: Int64 = 1
    /// Whoever holds it attends to what is due for all.
    static let keeper: Int64 = 2
    static let events: Int64 = 3
    /// Held, shared, by every process that is attached.
    static let attached: Int64 = 8
    /// Held while a home is made, opened first or found to be gone.
    static let making: Int64 = 9
    /// A process's own, for as long as it lives.
    static func slot(_ slot: UInt32) -> Int64 { 64 + Int64(slot) }
}

final class ProcessLocks: @unchecked Sendable {  // Sendable: immutable, but for an atomic.
    #if !BURSAR_SEAM
    private let fd: Int32
    private let inode: UInt64
    private let forks: UInt32
    #endif
    /// The host closed the descriptor: no lock is ours any more, and nobody can tell
    /// whether we are alive.
    private let lost = Atomic<Bool>(false)

    #if BURSAR_SEAM
    init() {}
    func tryLock(_ byte: Int64) -> Bool { Seam.world.tryLock(byte: byte) }
    func unlock(_ byte: Int64) { Seam.world.unlock(byte: byte) }
    func tryShare(_ byte: Int64) -> Bool { true }
    func close() {}
    func end() {}
    var isLost: Bool { false }
    var isPrivate: Bool { false }
    init(_ fd: Int32, _ inode: UInt64) {}
    #else
    /// No other process can have any.
    var isPrivate: Bool { fd < 0 }

    /// The locks of a private runtime.
    init() {
        fd = -1
        inode = 0
        forks = 0
    }

    /// Those of a lock file, from bursar__open_lock().
    init(_ fd: Int32, _ inode: UInt64) {
        self.fd = fd
        self.inode = inode
        forks = bursar__forks()
    }

    /// Unlocks everything, at last. In a child the descriptor was closed when it was
    /// born, and its number may be another's.
    func close() { if fd >= 0, forks == bursar__forks() { bursar__close_kept(fd) } }

    /// Nothing is locked from here on; what is locked can still be unlocked.
    func end() { lost.store(true, ordering: .relaxed) }

    var isLost: Bool { lost.load(ordering: .relaxed) }

    private func set(_ byte: Int64, _ what: Int32) -> Bool {
        guard fd >= 0 else { return true }
        if isLost, what != BURSAR__UNLOCK { return false }
        let code = bursar__lock_byte(fd, inode, byte, what)
        if code < 0 { lost.store(true, ordering: .relaxed) }
        return code == 0
    }

    /// Whether the byte is ours now. Never waits.
    func tryLock(_ byte: Int64) -> Bool { set(byte, BURSAR__LOCK) }
    /// The same together with others who share it.
    func tryShare(_ byte: Int64) -> Bool { set(byte, BURSAR__SHARE) }
    func unlock(_ byte: Int64) { _ = set(byte, BURSAR__UNLOCK) }
    #endif
}
