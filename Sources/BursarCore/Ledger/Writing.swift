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
    private var inode: UInt64 = 0  // the database's
    /// The last batch that it moved, or found.
    private(set) var batch: Int64 = 0

    /// Blocks that go into one transaction, and steps that are enough for one.
    private static let blocksMax = 64
    private static let stepsMax = 16_384
    /// The outbox's file when those before it were removed last.
    private var removedAt: Int64 = 1
    /// Steady nanoseconds from which on it looks again for something to tidy.
    private var tidiesAt: Int64 = 0

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
        // A file that somebody has put in its place is opened, and none is made anew for it.
        var there = bursar__file()
        _ = File.stat(Database.path(in: folder), &there)
        if database != nil, there.inode != inode { leave() }
        if database == nil { try open(isThere: there.inode != 0) }
        guard let database else { return false }
        do throws(Failure) {
            var blocks: [LedgerBlock] = []
            var steps = 0
            var last = batch
            var isAll = false
            while !isAll, blocks.count < LedgerMover.blocksMax, steps < LedgerMover.stepsMax {
                if let block = try outbox.nextBlock(after: last) {
                    blocks.append(block)
                    steps += block.steps.count
                    last = block.batch
                } else {
                    isAll = true
                }
            }
            if blocks.isEmpty { return false }
            batch = try database.apply(blocks)
            // What the disk does not have yet must be in the outbox after a power cut.
            if removes, outbox.number != removedAt, database.connection.makeDurable() {
                try outbox.remove(through: batch)
                removedAt = outbox.number
            }
            return !isAll
        } catch {
            // Where the outbox was left is found again with the database.
            leave()
            throw error
        }
    }

    /// Tidies the database a little, when that is due. Returns the milliseconds until it is
    /// due again.
    func tidy(_ clock: Clock) throws(Failure) -> Int32 {
        Busy.shared.lock.lock()
        defer { Busy.shared.lock.unlock() }
        let now = clock.steady
        if now >= tidiesAt {
            do throws(Failure) {
                while let database, try database.tidy(clock.unix) {
                    // Small ones are many.
                    if clock.steady - now >= LedgerMover.work { return LedgerMover.breath }
                }
            } catch {
                leave()
                throw error
            }
            tidiesAt = now + Database.hour
        }
        return Int32((tidiesAt - now) / 1_000_000 + 1)
    }

    /// Tidies for so many nanoseconds, if one transaction does not take longer; then rests
    /// for so many milliseconds.
    private static let work: Int64 = 10_000_000
    private static let breath: Int32 = 20

    /// Opens the database, and finds the place in the outbox that follows it.
    private func open(isThere: Bool) throws(Failure) {
        if !isThere, try outbox.rewind() > 0 {
            throw Failure(
                .home, "the ledger \(path: Database.path(in: folder)) is gone; put it back, or a copy that was repaired, and what is new follows")
        }
        let new = try Database(inHome: folder, mode: mode)
        var there = bursar__file()
        _ = File.stat(Database.path(in: folder), &there)
        inode = there.inode
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
            var pause = LedgerWriter.pause
            do throws(Failure) {
                while try mover.move(removes: true) {}
                if !ends { pause = try mover.tidy(core.runtime.clock) }
                fails = false
            } catch {
                tell(error)
            }
            if ends { break }
            if core.runtime.isEarningDue { do throws(Failure) { try core.runtime.earn() } catch {} }
            bursar__eventfd_wait(bell, pause)
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
