// A mutex for the slow paths. The hot path takes none.

internal import CPlatform

/// A plain mutual exclusion lock. Order, outermost first: fold, config, slab,
/// prices, events. Never held while host code runs, but for `callback`.
public final class Lock: @unchecked Sendable {  // Sendable because a mutex is.
    private let mutex: UnsafeMutableRawPointer

    public init() {
        // Invariant: forty bytes of memory. Without them nothing else works either.
        mutex = bursar__lock_new()!
    }

    deinit { bursar__lock_free(mutex) }

    public func lock() { bursar__lock(mutex) }
    public func unlock() { bursar__unlock(mutex) }
}
