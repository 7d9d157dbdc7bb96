// The kernel's part of locks between processes: bytes of one file, each locked by
// at most one process, let go by the kernel when that process dies. A private
// runtime has none: every byte is free there.

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

final class ProcessLocks: @unchecked Sendable {  // Sendable: immutable.
    /// The locks of a private runtime.
    init() {}

    /// Whether the byte is ours now.
    #if BURSAR_SEAM
    func tryLock(_ byte: Int64) -> Bool { Seam.world.tryLock(byte: byte) }
    func unlock(_ byte: Int64) { Seam.world.unlock(byte: byte) }
    #else
    func tryLock(_ byte: Int64) -> Bool { true }
    func unlock(_ byte: Int64) {}
    #endif
}
