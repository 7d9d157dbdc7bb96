// Events: what happened that somebody may want to know. Two bounded queues, one
// for whoever polls and one for the callback; what does not fit is counted, and
// the gap is told in the stream.

internal import CPlatform

public enum EventType: Int32, Sendable {
    case threshold = 1, downgrade, halt, pause, resume, kill, revive, deadline, idle, unattended
    case overrun, orphan, window, topUp, declared, limits, observed, unpriced, storm, lost, late
    case throttle, home, corrupt, ledger, outcome
}

/// The header's bursar_event_t.
public struct Event {
    public var type: EventType
    public var id: Int64 = 0
    public var session: Int64 = 0
    public var reservation: Int64 = 0
    public var unixNanos: Int64 = 0
    public var sequence: Int64 = 0
    public var meter: Int32 = 0
    public var percent: Int32 = 0
    public var amount: Int64 = 0
    public var limit: Int64 = 0
    public var committed: Int64 = 0
    public var reason = Reason.none
    public var path: [UInt8] = []
    public var text: [UInt8] = []
    /// Who did it, for the ledger; empty: nobody, a limit or a clock did.
    public var actor: [UInt8] = []

    /// Whether it is about a limit, and says which.
    var isOfLimit: Bool {
        switch type {
        case .threshold, .downgrade, .halt, .deadline, .idle, .unattended, .window, .topUp, .observed,
            .throttle:
            return true
        default: return percent != 0
        }
    }
}

/// The queues. Everything is guarded by `lock`, but for what says otherwise.
final class Events {
    private let lock = Lock()
    private let capacity: Int
    private var polled: [Event] = []
    private var polledHead = 0
    private var called: [Event] = []
    private var lostPolled: Int64 = 0
    private var lostCalled: Int64 = 0
    private var sequence: Int64 = 0
    private var lost: Int64 = 0
    private var fd: Int32 = -1
    private var callback: ((borrowing Event) -> Void)?
    /// Events of the opening, until somebody listens.
    private var early: [Event] = []
    /// Held while the callback runs, so that taking it away can wait for it.
    private let calling = Lock()
    private var callingThread: UInt64 = 0  // guarded by lock

    /// How many there were, and how many of them were lost.
    var counts: (all: Int64, lost: Int64) {
        lock.lock()
        defer { lock.unlock() }
        return (sequence, lost)
    }

    init(capacity: Int) { self.capacity = capacity }

    deinit { close() }

    /// Gives the descriptor back: from here on nobody polls.
    func close() {
        lock.lock()
        if fd >= 0 { bursar__close_kept(fd) }
        fd = -1
        lock.unlock()
    }

    /// Takes an event, numbered by whoever sent it, or here; true when the loop has
    /// a callback to run for it.
    func push(_ event: Event) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        var event = event
        sequence = event.sequence > 0 ? event.sequence : sequence &+ 1
        event.sequence = sequence
        if fd >= 0 {
            if polled.count - polledHead < capacity {
                if polledHead > 1024, polledHead * 2 > polled.count {
                    polled.removeFirst(polledHead)
                    polledHead = 0
                }
                polled.append(event)
                if polled.count - polledHead == 1 { bursar__eventfd_signal(fd) }
            } else {
                lostPolled = saturatingAdd(lostPolled, 1)
                lost = saturatingAdd(lost, 1)
            }
        }
        guard callback != nil else {
            if fd < 0, event.type == .home, early.count < 16 { early.append(event) }
            return false
        }
        if called.count < capacity {
            called.append(event)
        } else {
            lostCalled = saturatingAdd(lostCalled, 1)
            lost = saturatingAdd(lost, 1)
        }
        return true
    }

    /// Counts events that others sent and this runtime was too slow for.
    func lose(_ count: Int64) {
        lock.lock()
        defer { lock.unlock() }
        if fd >= 0 { lostPolled = saturatingAdd(lostPolled, count) }
        if callback != nil { lostCalled = saturatingAdd(lostCalled, count) }
        lost = saturatingAdd(lost, count)
    }

    /// The descriptor that is readable while events wait; -1 when there is none to have.
    func descriptor() -> Int32 {
        lock.lock()
        defer { lock.unlock() }
        if fd < 0 {
            fd = bursar__eventfd()
            _ = bursar__keep_from_child(fd)
            if fd >= 0, !early.isEmpty {
                polled.append(contentsOf: early)
                early = []
                bursar__eventfd_signal(fd)
            }
        }
        return fd
    }

    /// Takes the oldest event that waits for a poll.
    func take() -> Event? {
        lock.lock()
        defer { lock.unlock() }
        guard polledHead < polled.count else {
            if lostPolled > 0 {
                defer { lostPolled = 0 }
                return lostEvent(lostPolled)
            }
            if fd >= 0 { bursar__eventfd_clear(fd) }
            return nil
        }
        let event = polled[polledHead]
        polledHead += 1
        if polledHead == polled.count {
            polled.removeAll(keepingCapacity: true)
            polledHead = 0
            if lostPolled == 0, fd >= 0 { bursar__eventfd_clear(fd) }
        }
        return event
    }

    private func lostEvent(_ count: Int64) -> Event {
        var event = Event(type: .lost)
        event.amount = count
        event.sequence = sequence
        event.unixNanos = bursar__clock(BURSAR__CLOCK_UNIX)
        return event
    }

    /// Sets the callback; waits for the former one unless called from it.
    func setCallback(_ new: ((borrowing Event) -> Void)?) {
        lock.lock()
        let isInside = callingThread == bursar__thread_self()
        callback = new
        called.removeAll()
        if new != nil { swap(&called, &early) }
        lostCalled = 0
        lock.unlock()
        if !isInside {
            calling.lock()
            calling.unlock()
        }
    }

    /// Runs the callback for what waits. Loop thread only.
    func deliver() {
        while true {
            calling.lock()
            lock.lock()
            guard let callback else {
                lock.unlock()
                calling.unlock()
                return
            }
            var batch = called
            called.removeAll()
            if lostCalled > 0 {
                batch.append(lostEvent(lostCalled))
                lostCalled = 0
            }
            callingThread = bursar__thread_self()
            lock.unlock()
            for event in batch {
                callback(event)
                lock.lock()
                let isGone = self.callback == nil
                lock.unlock()
                if isGone { break }
            }
            lock.lock()
            callingThread = 0
            lock.unlock()
            calling.unlock()
            if batch.isEmpty { return }
        }
    }
}
