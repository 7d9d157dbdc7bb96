// A runtime: everything behind a handle that the hot path does not need. Its
// parts live in extensions beside their subjects: Budgets, Sessions, Loop, Ledger.

internal import CPlatform

/// What a runtime is opened with.
public struct OpenOptions {
    public var isObserved = false
    public var policy = Policy()
    public var loop: UnsafeMutableRawPointer?
    public var sessionsMax: UInt32 = 0
    public var reservationsMax: UInt32 = 0
    public var textBytesMax: UInt32 = 0
    public var eventsMax: UInt32 = 0
    public var timeToLive: Int64 = 0
    /// The home's directory; empty = private.
    public var home: [UInt8] = []
    /// Where the segment of a new home goes; empty = /dev/shm.
    public var shmDirectory: [UInt8] = []
    /// A new home is shared with its group.
    public var isGroup = false
    /// The home is not made when it is not there.
    public var mustExist = false
    /// What this process calls itself.
    public var name: [UInt8] = []
    public enum Unavailable: Int32 { case refuse = 1, `private`, allow }
    public var onUnavailable = Unavailable.refuse
    public init() {}

    /// A home's segment takes its memory when it is made: 13 MiB by default.
    var capacity: Capacity {
        get throws(Failure) {
            let isHome = !home.isEmpty
            return try Capacity(
                nodes: sessionsMax, records: reservationsMax, textBytes: textBytesMax,
                isShared: isHome)
        }
    }
}

/// Sendable because every stored property is immutable, or guarded by the lock
/// that its comment names.
public final class Runtime: @unchecked Sendable {
    let core: Core
    let options: OpenOptions
    let attachment: Attachment
    var segment: Segment { attachment.segment }
    /// Guards the tree, limits, ceilings, texts and all that says "config".
    let config: SharedLock
    /// Held by whoever folds. Taken before `config`.
    let folding: SharedLock
    let book: PriceBook
    let events: Events
    let loop: Loop

    // Guarded by config: ways into the segment, and caches of it.
    let slab: Slab
    /// Under the config lock: see Undo.swift.
    var edit: Edit { Edit(runtime: self) }
    var windows: WindowTable
    var windowed = WindowedLimits()
    /// A windowed limit's zone could not be read when windows were opened last.
    var cannotRoll = false
    var toldOfZone = false
    /// Of nodes with time limits, steady.
    var timers = TimerHeap()
    /// Closed nodes waited for a record in CLAIMED when they were looked at last.
    var reclaimWaits = false

    #if BURSAR_SEAM
    var ledger: Ledger
    #else
    let ledger: Ledger
    #endif
    // Guarded by folding.
    var foldSums = BatchWork()
    var batchRecords: [UInt32] = []
    var names = ToldNames()
    /// What the next block takes along (Outcomes.swift).
    var pendingOutcomes: [OutcomeEntry] = []
    /// The batch's corrections, whose windows' bases fall when it is committed.
    var lowering: [UInt32] = []
    /// When the ledger was told of steps in flight, steady, and in which file of the outbox.
    var flightsAt = Int64.min
    var flightsFile: Int64 = 0

    /// A new keeper has looked at what the one before left. Loop thread only.
    var hasTakenOver = false
    /// Writes the home's database while this runtime keeps; the batch that it was told of
    /// last, and when, steady. Loop thread only.
    var writer: LedgerWriter?
    var writerTold: Int64 = 0
    var writerRung: Int64 = 0
    /// When the dead were looked for last. Loop thread only.
    var lastWatch: Int64 = 0
    var lastLook: Int64 = 0
    /// By how much the unix clock was ahead of the steady one. Loop thread only.
    var clockLead = Int64.min
    /// Until then others may keep, who can do what this process cannot. Loop thread only.
    var keepsNotBefore: Int64 = 0
    /// The last event of the segment's ring that was taken. Guarded by `taking`.
    let taking = Lock()
    var eventsTaken: Int64 = 0

    /// Idempotency keys of charges. Guarded by `keys`.
    let keys = Lock()
    var charges = ChargeKeys()

    /// Opens a runtime; the page is its handle.
    public static func open(_ options: OpenOptions) throws(Failure) -> UnsafeMutableRawPointer {
        bursar__fork_watch()
        _ = try options.capacity
        if options.timeToLive < 0 {
            throw Failure(.invalid, "reservation_ttl_ns is negative; 0 is the default")
        }
        guard let page = bursar__map(Core.pageBytes) else {
            throw Failure(.memory, "no memory for a handle of 4096 bytes")
        }
        Core(page: page).forks.value = .max  // no process's yet: others find no runtime behind it
        let book: PriceBook
        do throws(Failure) {
            book = try PriceBook(unixNow: bursar__clock(BURSAR__CLOCK_UNIX) / 1_000_000_000)
            try start(Core(page: page), options, book)
        } catch {
            bursar__unmap(page, Core.pageBytes)
            throw error
        }
        return page
    }

    /// Attaches, and puts a runtime behind the page. `parent` is who forked this process.
    static func start(
        _ core: Core, _ options: OpenOptions, _ book: PriceBook, parent: Process = .none
    ) throws(Failure) {
        if options.home.isEmpty {
            try start(
                core, options, book,
                try Attachment(options.capacity, isObserved: options.isObserved), [], parent)
            return
        }
        bursar__home_lock()
        defer { bursar__home_unlock() }
        if parent.slot != 0, core.forks.value == bursar__forks() { return }  // another thread did
        var notices: [Sentence] = []
        do throws(Failure) {
            let attachment = try Homes.attach(core.page, options, options.capacity, &notices)
            do throws(Failure) {
                try start(core, options, book, attachment, notices, parent)
            } catch {
                attachment.leave(core.page)
                throw error
            }
        } catch {
            guard options.onUnavailable != .refuse, parent.slot == 0, error.status != .invalid
            else { throw error }
            var alone = options
            alone.home = []
            alone.isObserved = options.isObserved || options.onUnavailable == .allow
            try start(
                core, alone, book,
                try Attachment(alone.capacity, isObserved: alone.isObserved),
                [Sentence(bytes: error.sentence) + "; this runtime is private"], .none)
        }
    }

    /// A handle on an attachment of the caller's.
    static func open(
        _ options: OpenOptions, on attachment: Attachment
    ) throws(Failure) -> UnsafeMutableRawPointer {
        guard let page = bursar__map(Core.pageBytes) else {
            throw Failure(.memory, "no memory for a handle of 4096 bytes")
        }
        let book = try PriceBook(unixNow: bursar__clock(BURSAR__CLOCK_UNIX) / 1_000_000_000)
        try start(Core(page: page), options, book, attachment, [], .none)
        return page
    }

    private static func start(
        _ core: Core, _ options: OpenOptions, _ book: PriceBook, _ attachment: Attachment,
        _ notices: [Sentence], _ parent: Process
    ) throws(Failure) {
        let places = attachment.segment.places
        let base = attachment.segment.base
        // In a fork's child the parent's stays until there is another; what the parent was
        // and did, the child is and did not.
        let former = core.engine.pointee
        core.keeps.value = 0
        Half(core.page + Core.corruptOffset).value = 0
        core.searchedAt.value = 0
        core.engine.initialize(
            to: Engine(
                header: base, nodes: base + places.nodesAt, cells: base + places.cellsAt,
                limits: base + places.limitsAt, records: base + places.recordsAt,
                slab: base + places.slabAt, tools: base + places.toolsAt,
                nodesMax: places.nodesMax, cellsMax: places.cellsMax,
                limitsMax: places.limitsMax, recordsMax: places.recordsMax,
                forcedFrom: places.recordsMax - max(places.recordsMax / 16, 8),
                toolsMax: Segment.toolsMax, slabUnits: places.slabUnits,
                timeToLive: options.timeToLive > 0 ? options.timeToLive : 900_000_000_000,
                policy: options.policy, clock: Clock(shifts: core.page + Core.shiftsOffset),
                slot: attachment.slot, priceMark: attachment.priceMark,
                runtime: parent.slot != 0 ? former.runtime : core.page, prices: book.index))
        let runtime: Runtime
        do throws(Failure) {
            runtime = try Runtime(core, attachment, book, options)
        } catch {
            core.engine.initialize(to: former)
            throw error
        }
        core.engine.pointee.runtime = Unmanaged.passRetained(runtime).toOpaque()
        if options.policy.undeclared == .byKind {
            core.engine.pointee.policy.undeclared = attachment.place == nil ? .allow : .refuse
        }
        if !attachment.isShared { core.signal.value = Signal.empty | Signal.resting }
        // The first handle of a process takes the slot for it.
        if attachment.isShared, attachment.slots[attachment.slot].generation.value != attachment.me.generation {
            if attachment.inherits, attachment.place != nil {
                attachment.slots[attachment.slot].flags.update(setting: Slot.ending)
                runtime.recover(slot: attachment.slot)
                if !runtime.endSessions(ofSlot: attachment.slot, within: SharedLock.most) {
                    // The runtime is not released: the page is the caller's to give back.
                    attachment.isUnfinished = true
                    runtime.loop.stop()
                    core.engine.initialize(to: former)
                    throw runtime.stuck("configuration")
                }
            }
            attachment.enter(options, parent: parent)
            if attachment.place != nil { runtime.recoverDead() }
        }
        // What ended while nobody was here ends before anything is granted.
        if core.topUpAt.value <= runtime.clock.steady, runtime.config.lock(for: SharedLock.patience) {
            runtime.endTopUps()
            runtime.edit.commit()
            runtime.config.unlock()
        }
        core.forks.storeReleasing(bursar__forks())
        for notice in notices { runtime.tellHome(notice) }
        // Somebody has to keep.
        if attachment.place != nil { runtime.loop.ring() }
    }

    private init(_ core: Core, _ attachment: Attachment, _ book: PriceBook, _ options: OpenOptions)
        throws(Failure)
    {
        self.core = core
        self.options = options
        self.attachment = attachment
        config = attachment.config
        folding = attachment.fold
        ledger = Ledger(
            path: attachment.ledgerPath, segment: core.statistic(Header.segmentID).value)
        self.book = book
        slab = Slab(attachment.segment)
        if attachment.isShared { book.shared = SharedNames(attachment.segment, slab) }
        windows = WindowTable(attachment.segment, slab)
        events = Events(capacity: Int(options.eventsMax == 0 ? 1024 : min(options.eventsMax, 1 << 24)))
        loop = try Loop(
            core: core, external: options.loop, descriptor: attachment.bells.ownDescriptor)
        eventsTaken = max(attachment.eventRing?.sent.loadAcquiring() ?? 0, 0)
        let opened = core.node(0).opened
        if opened.value == 0 { opened.value = core.engine.pointee.clock.steady }
    }

    /// The page goes with the class: whoever holds that may call it late.
    deinit { bursar__unmap(core.page, Core.pageBytes) }

    /// Closes: late calls find a closed page, then cleared memory, until 64
    /// others were closed.
    public static func close(_ page: UnsafeMutableRawPointer) -> Status {
        let core = Core(page: page)
        if core.forks.value != bursar__forks() {
            // What it had belongs to the parent, and nothing of it may be touched.
            if !core.runtime.attachment.isShared { return .forked }
            return core.life.exchange(Life.open, for: Life.closed) ? .ok : .closed
        }
        if core.life.value == Life.open { core.runtime.foldLast() }
        guard core.life.exchange(Life.open, for: Life.closed)
            || core.life.exchange(Life.adrift, for: Life.closed)
            || core.life.exchange(Life.lost, for: Life.closed)
        else { return .closed }
        let runtime = core.runtime
        runtime.loop.stop()
        let attachment = runtime.attachment
        if attachment.isShared {
            // So that no handle joins in between.
            bursar__home_lock()
            if attachment.isLast(page) {
                attachment.slots[attachment.slot].flags.update(setting: Slot.ending)
                attachment.searching {
                    attachment.isUnfinished =
                        !runtime.endSessions(ofSlot: attachment.slot, within: 1_000_000_000)
                }
            }
            attachment.leave(page)
            bursar__home_unlock()
        } else {
            // Whoever holds a lock finishes first; whoever comes after finds `life`.
            runtime.folding.lock()
            runtime.config.lock()
            runtime.segment.clear()
            runtime.timers = TimerHeap()
            runtime.config.unlock()
            runtime.folding.unlock()
        }
        runtime.ledger.close()
        runtime.events.close()
        Quarantine.shared.keep(page)
        return .ok
    }

    var clock: Clock { core.engine.pointee.clock }

    /// Runs `body` under the configuration lock.
    func configuring<T>(_ body: () throws(Failure) -> T) throws(Failure) -> T {
        try lockConfiguration()
        defer { config.unlock() }
        return try body()
    }

    /// Waits for the configuration lock; it is held unless this throws.
    @inline(never)
    private func lockConfiguration() throws(Failure) {
        guard config.lock(for: SharedLock.most) else { throw stuck("configuration") }
        if core.life.value != Life.open {
            defer { config.unlock() }
            throw core.failure(core.obstacleToNew() ?? .closed)
        }
        book.learn()
    }

    /// What a call answers that could not have a lock of the home.
    func stuck(_ what: StaticString) -> Failure {
        if core.life.value != Life.open { return core.failure(core.obstacleToNew() ?? .closed) }
        return Failure(
            .busy,
            "another process has held the home's \(plain: what) for 10 seconds: is it stopped?")
    }
}

/// Handles that were closed: their pages stay, so that a late call is answered.
final class Quarantine: @unchecked Sendable {  // Sendable because of its lock.
    static let shared = Quarantine()
    private let lock = Lock()
    private var pages: [UnsafeMutableRawPointer] = []  // guarded by lock
    private static let most = 64

    func keep(_ page: UnsafeMutableRawPointer) {
        lock.lock()
        pages.append(page)
        let oldest = pages.count > Quarantine.most ? pages.removeFirst() : nil
        lock.unlock()
        guard let oldest else { return }
        Unmanaged<Runtime>.fromOpaque(Core(page: oldest).engine.pointee.runtime).release()
    }
}
