// The writer: moves what the fold put into the outbox over to the database, on a thread
// of its own, in the process whose runtime keeps the home. One home has one keeper, so
// its database has one writer; the next keeper's goes on where this one stood, as the
// database itself says which batch was its last.
//
// Nothing waits for it: admission, settling and folding need the segment and the outbox
// only. Where the database cannot be written (a full disk, somebody else's lock, damage),
// the outbox grows, an event says so, and the rows follow when it can.
//
// In a child of fork() the thread is not there, and nobody looks at the parent's. SQLite
// keeps what it knows of locks in memory, which would not be true in the child: so before
// every fork the writers of a process close their databases, and open them again after.

internal import CLedger
internal import CPlatform

/// Moves blocks from a home's outbox into its database. One thread at a time; several of
/// them, in one process or many, do not harm each other: the database says which batch it
/// has, and passes over what comes again.
final class LedgerMover {
    private let folder: [UInt8]
    private let mode: UInt32
    private let outbox: Outbox
    private let segment: Int64
    private var database: Database?
    /// The last batch that it moved, or found.
    private(set) var batch: Int64 = 0

    /// Blocks that go into one transaction.
    private static let blocksMax = 64

    /// Those of this process that have a database open. `lock` is held while one moves, and
    /// while the process forks.
    private final class Busy: @unchecked Sendable {  // Sendable because of its lock.
        static let shared = Busy()
        let lock = Lock()
        var movers: [LedgerMover] = []  // guarded by lock
    }

    init(_ place: Attachment.Place, outbox prefix: [UInt8], segment: Int64) {
        folder = place.folder.path
        mode = place.folder.fileMode
        outbox = Outbox(prefix, segment: segment)
        self.segment = segment
        bursar__fork_hooks(
            {
                Busy.shared.lock.lock()
                for mover in Busy.shared.movers {
                    mover.database?.connection.leaveLog()
                    mover.database = nil
                }
                Busy.shared.movers.removeAll()
            }, { Busy.shared.lock.unlock() })
    }

    func close() {
        Busy.shared.lock.lock()
        defer { Busy.shared.lock.unlock() }
        outbox.close()
        leave()
    }

    private func leave() {
        database = nil
        var others: [LedgerMover] = []
        for mover in Busy.shared.movers where mover !== self { others.append(mover) }
        Busy.shared.movers = others
    }

    /// Moves some blocks: true when there may be more. `removes`: files of the outbox that
    /// are not needed any more, which is for the elected writer alone to say.
    func move(removes: Bool) throws(Failure) -> Bool {
        Busy.shared.lock.lock()
        defer { Busy.shared.lock.unlock() }
        if database == nil { try open() }
        guard let database else { return false }
        do throws(Failure) {
            var blocks: [LedgerBlock] = []
            var last = batch
            while blocks.count < LedgerMover.blocksMax, let block = try outbox.nextBlock(after: last) {
                blocks.append(block)
                last = block.batch
            }
            if blocks.isEmpty { return false }
            batch = try database.apply(blocks)
            if removes { try outbox.remove(through: batch) }
            return blocks.count == LedgerMover.blocksMax
        } catch {
            // Where the outbox was left is found again with the database.
            leave()
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
        Busy.shared.movers.append(self)
    }
}

final class LedgerWriter: @unchecked Sendable {  // Sendable: see each property.
    private let core: Core
    private let mover: LedgerMover  // the thread's own
    private let bell: Int32
    private var thread: UInt64 = 0  // start, then stop
    private let lock = Lock()
    private var isStopping = false  // guarded by lock
    private var fails = false  // the thread's own

    /// How long it waits before it tries again what failed.
    private static let pause: Int32 = 1_000

    /// Of a home's runtime. `stop` must be called.
    init?(_ core: Core, _ place: Attachment.Place, outbox prefix: [UInt8]) {
        self.core = core
        mover = LedgerMover(
            place, outbox: prefix, segment: core.statistic(Header.segmentID).value)
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
                while try mover.move(removes: true) {}
                fails = false
            } catch {
                tell(error)
            }
            if ends { break }
            if core.runtime.isEarningDue { do throws(Failure) { try core.runtime.earn() } catch {} }
            bursar__eventfd_wait(bell, fails ? LedgerWriter.pause : -1)
            bursar__eventfd_clear(bell)
        }
        mover.close()
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
