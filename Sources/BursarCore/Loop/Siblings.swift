// Who is rung when: runtimes of this process on the same home by their loops, the
// other processes by their bells.

/// The runtimes of one process on one home. Any thread.
final class Siblings: @unchecked Sendable {  // Sendable because of its lock.
    private let lock = Lock()
    private var pages: [UnsafeMutableRawPointer] = []  // guarded by lock

    func add(_ page: UnsafeMutableRawPointer) {
        lock.lock()
        pages.append(page)
        lock.unlock()
    }

    /// After this nobody rings it any more.
    func remove(_ page: UnsafeMutableRawPointer) {
        lock.lock()
        pages.removeAll { $0 == page }
        lock.unlock()
    }

    func ring(except page: UnsafeMutableRawPointer?) {
        lock.lock()
        for other in pages where other != page { Core(page: other).runtime.loop.ring() }
        lock.unlock()
    }
}

extension Attachment {
    /// Rings the process of a slot; false when nobody is there to hear it.
    func ring(_ slot: UInt32) -> Bool {
        if slot == self.slot {
            siblings.ring(except: nil)
            return isShared
        }
        return false
    }

    /// Rings every runtime that waits for events, but the caller.
    func ringListeners(except page: UnsafeMutableRawPointer) {
        siblings.ring(except: page)
    }

    /// From now on this process is rung when there are events.
    func listen() {}
}

extension Runtime {
    func recoverDead() -> Int { 0 }
}
