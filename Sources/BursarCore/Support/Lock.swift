// Locks for the slow paths. The hot path takes none.

internal import CPlatform
internal import Synchronization

/// A plain mutual exclusion lock of one process. Order, outermost first: fold,
/// config, slab, prices, events. Never held while host code runs, but for `callback`.
public final class Lock: @unchecked Sendable {  // Sendable because a mutex is.
    private let mutex: UnsafeMutableRawPointer

    public init() {
        // Invariant: forty bytes of memory. Without them nothing else works either.
        mutex = bursar__lock_new()!
    }

    deinit { bursar__lock_free(mutex) }

    public func lock() { bursar__lock(mutex) }
    public func tryLock() -> Bool { bursar__lock_try(mutex) != 0 }
    public func unlock() { bursar__unlock(mutex) }
}

/// One lock for all that must be whole in the child of a fork, which waits for it:
/// short, and nothing else is taken under it.
struct StillLock {
    func lock() { bursar__still_lock() }
    func unlock() { bursar__still_unlock() }
}

/// A lock between the threads of all processes on a home: a mutex for the threads
/// of this one, who share the kernel's lock, then the kernel's lock itself.
///
/// Who is stopped while holding it stops only what needs it: the slow paths.
final class SharedLock: @unchecked Sendable {  // Sendable: see its parts.
    private let own = Lock()
    private let locks: ProcessLocks
    private let byte: Int64
    /// What the lock guards is all or nothing: see Undo.swift.
    private let edit: UndoLog?

    init(_ locks: ProcessLocks, _ byte: Int64, _ edit: UndoLog? = nil) {
        self.locks = locks
        self.byte = byte
        self.edit = edit
    }

    /// How long a step or the loop waits, in nanoseconds: whoever holds it is done in far
    /// less, unless his process was stopped.
    static let patience: Int64 = 50_000_000
    /// How long a step waits that has something to tell, and is done.
    static let moment: Int64 = 1_000_000
    /// How long a call waits that answers BURSAR_E_BUSY then.
    static let most: Int64 = 10_000_000_000

    #if !BURSAR_SEAM
    /// Until when nobody waits for as long as somebody has waited in vain.
    private let stuckUntil = Atomic<Int64>(0)
    private let inVain = Atomic<Int64>(0)
    #endif

    /// Waits, however long it takes: for private runtimes, where nobody is stopped alone,
    /// and tests. Where the kernel's locks were lost it keeps out
    /// the threads of this process only: by then every handle has stopped (`Life.lost`),
    /// which whoever holds the lock looks at first.
    func lock() {
        if !lock(for: .max) { own.lock() }
    }

    /// Waits for at most `nanos`; whether it is ours now.
    func lock(for nanos: Int64) -> Bool {
        var pause: Int64 = 20_000
        var waited: Int64 = 0
        if locks.isPrivate || nanos == .max {
            own.lock()
        } else {
            // A thread of this process may wait for another process for ever.
            while !own.tryLock() {
                if waited >= nanos { return false }
                bursar__sleep(pause)
                waited += pause
                pause = min(pause * 2, 1_000_000)
            }
        }
        while !locks.tryLock(byte) {
            if waited >= nanos || locks.isLost {
                own.unlock()
                return false
            }
            bursar__sleep(pause)
            waited = saturatingAdd(waited, pause)
            pause = min(pause * 2, 1_000_000)
        }
        sequentialFence()
        edit?.recover()
        return true
    }

    /// The same for who can do without, often: where somebody waited as long and in vain,
    /// the next second's try does not wait.
    func tryLock(for nanos: Int64) -> Bool {
        #if BURSAR_SEAM
        return lock(for: nanos)
        #else
        if tryLock() { return true }
        let now = bursar__clock(BURSAR__CLOCK_STEADY)
        if now < stuckUntil.load(ordering: .relaxed), nanos <= inVain.load(ordering: .relaxed) {
            return false
        }
        if lock(for: nanos) { return true }
        inVain.store(nanos, ordering: .relaxed)
        stuckUntil.store(now + nanos + 1_000_000_000, ordering: .relaxed)
        return false
        #endif
    }

    func tryLock() -> Bool {
        guard own.tryLock() else { return false }
        guard locks.tryLock(byte) else {
            own.unlock()
            return false
        }
        sequentialFence()
        edit?.recover()
        return true
    }

    func unlock() {
        edit?.commit()
        locks.unlock(byte)
        own.unlock()
    }

    /// Waits until no thread of this process has it.
    func drain() {
        own.lock()
        own.unlock()
    }
}
