// What happened, as streams: the core calls one hub, and that fills a bounded buffer for
// each consumer.

internal import BursarCore
internal import Synchronization

/// Something that happened to a budget or session.
public struct Event: Sendable, Hashable {
    public let kind: Kind
    /// The budget or session.
    public let id: Int64
    /// Its path; of a session its budget's.
    public let path: String
    /// The session whose step caused it, or 0.
    public let session: Int64
    public let reservation: Int64
    /// When, in nanoseconds since 1970.
    public let unixNanos: Int64
    /// One more each; a gap is a loss.
    public let sequence: Int64
    public let meter: Meter
    /// The share of `limit` that was crossed.
    public let percent: Int
    public let amount: Int64
    public let limit: Int64
    public let committed: Int64
    public let reason: Reason
    /// A reason or a name.
    public let text: String

    /// The header's BURSAR_EVENT_*.
    public enum Kind: Int32, Sendable, CaseIterable {
        /// An alert share was crossed: `percent` of `limit`.
        case threshold = 1
        /// A downgrade share was crossed.
        case downgrade
        /// A limit refuses: once until it admits again.
        case halt
        case pause, resume, kill, revive
        /// `wall`.
        case deadline
        case idle, unattended
        /// More was billed than reserved: `amount`.
        case overrun
        /// A step was settled at an estimate: it outlived its time to live, or was left.
        case orphan
        /// A new window began.
        case window
        case topUp
        /// Declared with other limits: the stored ones stay.
        case declared
        /// Limits were changed.
        case limits
        /// An observed limit would have refused.
        case observed
        /// A step of an unknown model was admitted by policy.
        case unpriced
        /// A session keeps asking after refusals: `amount` in a row.
        case storm
        /// `amount` events were lost here: the buffer was full.
        case lost
        /// A settle came after the estimate and corrected it by `amount`.
        case late
        /// A rate refuses: once until it admits again.
        case throttle
        /// The home is not what was asked for, or is gone: the text says how.
        case home
        /// Something in the shared memory is what it cannot be. Told once.
        case corrupt
        /// The ledger cannot be read or written: records wait. `amount` is the code.
        case ledger
        /// An outcome was stated or revised: its name, `amount` its value or 0.
        case outcome
    }

    init(_ event: borrowing BursarCore.Event) {
        kind = Kind(rawValue: event.type.rawValue) ?? .lost
        id = event.id
        path = String(bytes: event.path)
        session = event.session
        reservation = event.reservation
        unixNanos = event.unixNanos
        sequence = event.sequence
        meter = Meter(rawValue: event.meter)
        percent = Int(event.percent)
        amount = event.amount
        limit = event.limit
        committed = event.committed
        reason = Reason(event.reason)
        text = String(bytes: event.text)
    }

    /// `amount` events up to `last` were lost.
    init(lost amount: Int64, before last: Event) {
        kind = .lost
        self.amount = amount
        unixNanos = last.unixNanos
        sequence = last.sequence - 1
        (id, path, session, reservation) = (0, "", 0, 0)
        (meter, percent, limit, committed) = (.cost, 0, 0, 0)
        (reason, text) = (.none, "")
    }
}

/// Passes the core's events on to every stream. It does not know its runtime, so that the
/// loop's thread never holds the last reference to one.
final class EventHub: Sendable {
    private struct Consumer {
        let continuation: AsyncStream<Event>.Continuation
        var lost: Int64 = 0
    }

    private struct Consumers {
        var byNumber: [Int: Consumer] = [:]
        var next = 0
        var isConnected = false
        var isFinished = false
    }

    private let consumers = Mutex(Consumers())
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    /// Has the core call the hub, from the first time on.
    func connect(to runtime: BursarCore.Runtime) {
        consumers.withLock { consumers in
            // No callback is there yet that setting one could wait for.
            if !consumers.isConnected { runtime.setCallback { event in self.send(Event(event)) } }
            consumers.isConnected = true
        }
    }

    /// A stream of what is sent from now on; one that has ended after `finish`.
    func stream() -> AsyncStream<Event> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Event.self, bufferingPolicy: .bufferingOldest(capacity))
        let number: Int? = consumers.withLock { consumers in
            if consumers.isFinished { return nil }
            consumers.next += 1
            consumers.byNumber[consumers.next] = Consumer(continuation: continuation)
            return consumers.next
        }
        guard let number else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            self?.consumers.withLock { $0.byNumber[number] = nil }
        }
        return stream
    }

    private func send(_ event: Event) {
        let numbers = consumers.withLock { [Int]($0.byNumber.keys) }
        for number in numbers {
            guard let consumer = consumers.withLock({ $0.byNumber[number] }) else { continue }
            var lost = consumer.lost
            // What is lost is told as soon as there is room, before what comes next.
            if lost > 0, isRoom(consumer.continuation.yield(Event(lost: lost, before: event))) {
                lost = 0
            }
            if !isRoom(consumer.continuation.yield(event)) {
                lost += event.kind == .lost ? event.amount : 1
            }
            consumers.withLock { $0.byNumber[number]?.lost = lost }
        }
    }

    private func isRoom(_ result: AsyncStream<Event>.Continuation.YieldResult) -> Bool {
        if case .dropped = result { return false }
        return true
    }

    /// Ends every stream.
    func finish() {
        let all = consumers.withLock { consumers in
            consumers.isFinished = true
            defer { consumers.byNumber = [:] }
            return consumers.byNumber.values.map(\.continuation)
        }
        for continuation in all { continuation.finish() }
    }
}
