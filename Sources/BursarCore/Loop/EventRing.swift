// Events between processes: a ring in the segment. Whoever sends one writes it
// under the events lock; every runtime on the home reads at its own pace, with a
// cursor of its own and without a lock, so that nobody who is stopped or slow
// holds up another. Who falls a whole ring behind has lost the difference, and is
// told how many.
//
// Entry (1,024 bytes):
//     0 stamp       Word  the event's number, 0 while it is written
//     8 the fields, in the order of `write`; 96 path, text, actor
//
// A reader takes an entry if the stamp is the number it wants before and after the
// copy (a sequence lock; Linux, Documentation/locking/seqlock.rst). A writer that
// dies in the middle leaves the number sent as it was; the next writes over it.

struct EventRing {
    let header: UnsafeMutableRawPointer
    let entries: UnsafeMutableRawPointer

    static let count: Int64 = 256
    private static let size = 1024
    private static let textAt = 96
    static let bytes = Int(count) * size

    /// How many events were ever sent.
    var sent: Word { Word(header + Header.eventsSent) }

    private func entry(_ number: Int64) -> UnsafeMutableRawPointer {
        entries + Int(number & (EventRing.count - 1)) * EventRing.size
    }

    /// Appends an event. Events lock held.
    func write(_ event: Event) {
        let last = sent.value
        let number = last >= 0 && last < .max ? last + 1 : 1  // else the segment is corrupt
        let p = entry(number)
        Word(p).storeReleasing(0)
        sequentialFence()
        let path = event.path.count > 519 ? Path.line(event.path, most: 519) : event.path
        let text = event.text.count > 304 ? Path.line(event.text, most: 304) : event.text
        let actor = event.actor.prefix(96)
        let fields = [
            Int64(event.type.rawValue), event.id, event.session, event.reservation,
            event.unixNanos, Int64(event.meter) << 32 | Int64(event.percent), event.amount,
            event.limit, event.committed,
            Int64(event.reason.rawValue) << 32 | Int64(path.count) << 16 | Int64(text.count),
            Int64(actor.count),
        ]
        for (k, field) in fields.enumerated() { Word(p + 8 + k * 8).value = field }
        var at = EventRing.textAt
        var word: UInt64 = 0
        for byte in path + text + actor {
            word |= UInt64(byte) << UInt64((at & 7) * 8)
            at += 1
            if at & 7 == 0 {
                Word(p + at - 8).value = Int64(bitPattern: word)
                word = 0
            }
        }
        if at & 7 != 0 { Word(p + (at & ~7)).value = Int64(bitPattern: word) }
        Word(p).storeReleasing(number)
        sent.storeReleasing(number)
    }

    /// The event with this number, nil when it was written over.
    @inline(never)
    func read(_ number: Int64) -> Event? {
        let p = entry(number)
        guard Word(p).loadAcquiring() == number else { return nil }
        func field(_ k: Int) -> Int64 { Word(p + 8 + k * 8).value }
        let kind = Int32(truncatingIfNeeded: field(0))
        let lengths = field(9)
        let pathCount = Int(lengths >> 16) & 0xFFFF
        let textCount = Int(lengths & 0xFFFF)
        let actorCount = Int(field(10) & 0xFFFF)
        // A corrupt segment says anything; the lengths stay inside the entry.
        guard let type = EventType(rawValue: kind),
            EventRing.textAt + pathCount + textCount + actorCount <= EventRing.size
        else { return nil }
        var event = Event(type: type)
        event.id = field(1)
        event.session = field(2)
        event.reservation = field(3)
        event.unixNanos = field(4)
        event.meter = Int32(truncatingIfNeeded: field(5) >> 32)
        event.percent = Int32(truncatingIfNeeded: field(5))
        event.amount = field(6)
        event.limit = field(7)
        event.committed = field(8)
        event.reason = Reason(rawValue: Int32(truncatingIfNeeded: lengths >> 32)) ?? .none
        func bytes(_ start: Int, _ count: Int) -> [UInt8] {
            (start..<start + count).map {
                UInt8(truncatingIfNeeded: Word(p + ($0 & ~7)).value >> Int64(($0 & 7) * 8))
            }
        }
        event.path = bytes(EventRing.textAt, pathCount)
        event.text = bytes(EventRing.textAt + pathCount, textCount)
        event.actor = bytes(EventRing.textAt + pathCount + textCount, actorCount)
        event.sequence = number
        acquireFence()
        return Word(p).value == number ? event : nil
    }
}

extension Runtime {
    /// Queues an event for whoever listens, in every process; the time is now.
    /// Takes no lock that a caller may hold, and waits no longer than `nanos` for one.
    func send(_ event: Event, for nanos: Int64 = SharedLock.patience) {
        var event = event
        event.unixNanos = clock.unix
        guard let ring = attachment.eventRing else {
            if events.push(event) { loop.ring() }
            return
        }
        guard attachment.events.tryLock(for: nanos) else {
            // Somebody was stopped while he wrote: it is told here only.
            if events.push(event) { loop.ring() }
            return
        }
        ring.write(event)
        attachment.events.unlock()
        core.wake(from: Signal.resting)  // for the ledger
        takeEvents()
        attachment.ringListeners(except: core.page)
    }

    /// Takes what others, and this one, have sent since the last time.
    func takeEvents() {
        guard let ring = attachment.eventRing else { return }
        taking.lock()
        let known = ring.sent.loadAcquiring()
        let sent = max(known, 0)
        // A number that fell, or that there cannot be: start over from there.
        let isCorrupt = known < eventsTaken
        if isCorrupt { eventsTaken = max(sent, 1) - 1 }
        let lost = sent - eventsTaken - EventRing.count
        if lost > 0 {
            events.lose(lost)
            eventsTaken += lost
        }
        var hasCallback = false
        while eventsTaken < sent {
            eventsTaken += 1
            if let event = ring.read(eventsTaken) {
                if events.push(event) { hasCallback = true }
            } else {
                events.lose(1)
            }
        }
        taking.unlock()
        if isCorrupt { reportCorrupt("the number of events is one that there cannot be") }
        if hasCallback { loop.ring() }
    }
}
