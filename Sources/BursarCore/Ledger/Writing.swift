// The writer: moves what the fold put into the outbox over to the database, on a thread
// of its own, in the process whose runtime keeps the home. One home has one keeper, so
// its database has one writer; the next keeper's goes on where this one stood, as the
// database itself says which batch was its last.
//
// Nothing waits for it: admission, settling and folding need the segment and the outbox
// only. Where the database cannot be written (a full disk, somebody else's lock, damage),
// the outbox grows, an event says so, and the rows follow when it can.
//
// In a child of fork() the thread is not there, and nobody looks at the parent's.

internal import CLedger
internal import CPlatform

final class LedgerWriter: @unchecked Sendable {  // Sendable: see each property.
    private let core: Core
    private let folder: [UInt8]
    private let mode: UInt32
    private let outbox: Outbox
    private let segment: Int64
    private let bell: Int32
    private var thread: UInt64 = 0  // start, then stop
    private let lock = Lock()
    private var isStopping = false  // guarded by lock
    // The thread's own.
    private var database: Database?
    private var batch: Int64 = 0
    private var fails = false

    /// Blocks that go into one transaction.
    private static let blocksMax = 64
    /// How long it waits before it tries again what failed.
    private static let pause: Int32 = 1_000

    /// Of a home's runtime. `stop` must be called.
    init?(_ core: Core, _ place: Attachment.Place, outbox prefix: [UInt8]) {
        self.core = core
        folder = place.folder.path
        mode = place.folder.fileMode
        segment = core.statistic(Header.segmentID).value
        outbox = Outbox(prefix, segment: segment)
        bell = bursar__eventfd()
        if bell < 0 { return nil }
        _ = bursar__keep_from_child(bell)
        let me = Unmanaged.passUnretained(self).toOpaque()
        let code = bursar__thread_start(
            { argument in
                guard let argument else { return }
                Unmanaged<LedgerWriter>.fromOpaque(argument).takeUnretainedValue().run()
            }, me, &thread)
        if code != 0 {
            bursar__close_kept(bell)
            return nil
        }
    }

    /// There may be something in the outbox. Any thread.
    func ring() { bursar__eventfd_signal(bell) }

    /// Writes what is there, once, and ends.
    func stop() {
        lock.lock()
        isStopping = true
        lock.unlock()
        ring()
        bursar__thread_join(thread)
        bursar__close_kept(bell)
    }

    private func stops() -> Bool {
        lock.lock()
        defer { lock.unlock() }
        return isStopping
    }

    private func run() {
        while true {
            let ends = stops()
            do throws(Failure) {
                while try move() {}
                fails = false
            } catch {
                tell(error)
            }
            if ends { break }
            bursar__eventfd_wait(bell, fails ? LedgerWriter.pause : -1)
            bursar__eventfd_clear(bell)
        }
        outbox.close()
        database = nil
    }

    /// Moves some blocks; true when there may be more.
    private func move() throws(Failure) -> Bool {
        if database == nil { try open() }
        guard let database else { return false }
        do throws(Failure) {
            var blocks: [LedgerBlock] = []
            var last = batch
            while blocks.count < LedgerWriter.blocksMax, let block = try outbox.nextBlock(after: last) {
                blocks.append(block)
                last = block.batch
            }
            if blocks.isEmpty { return false }
            batch = try database.apply(blocks)
            try outbox.remove(through: batch)
            return blocks.count == LedgerWriter.blocksMax
        } catch {
            // Where the outbox was left is found again with the database.
            self.database = nil
            throw error
        }
    }

    /// Opens the database, and finds the place in the outbox that follows it.
    private func open() throws(Failure) {
        let new = try Database(inHome: folder, mode: mode)
        batch = try new.last(of: segment)
        outbox.close()
        try outbox.seek(after: batch)
        database = new
    }

    private func tell(_ failure: Failure) {
        if fails { return }
        fails = true
        var event = Event(type: .ledger)
        event.amount = failure.values.0
        event.text = failure.sentence
        core.runtime.send(event)
    }
}
