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
    public init() {}
}

/// Sendable because every stored property is immutable, or guarded by the lock
/// that its comment names.
public final class Runtime: @unchecked Sendable {
    let core: Core
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
    var edit: UndoLog { segment.edit }
    var windows: WindowTable
    var windowed = WindowedLimits()
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
    /// The ledger could not be read or written; it was told.
    var ledgerFails = false

    /// Idempotency keys of charges. Guarded by `keys`.
    let keys = Lock()
    var charges = ChargeKeys()

    /// Opens a private runtime; the page is its handle.
    public static func open(_ options: OpenOptions) throws(Failure) -> UnsafeMutableRawPointer {
        bursar__fork_watch()
        let capacity = try Capacity(
            nodes: options.sessionsMax, records: options.reservationsMax,
            textBytes: options.textBytesMax)
        if options.timeToLive < 0 {
            throw Failure(.invalid, "reservation_ttl_ns is negative; 0 is the default")
        }
        let attachment = try Attachment(capacity)
        let page = try open(options, on: attachment)
        let core = Core(page: page)
        Word(attachment.segment.base + Header.segmentID).value = core.engine.pointee.clock.unix
        core.headerFlags.value = options.isObserved ? HeaderFlag.observed : 0
        return page
    }

    /// A runtime on a segment that others may be attached to.
    static func open(
        _ options: OpenOptions, on attachment: Attachment
    ) throws(Failure) -> UnsafeMutableRawPointer {
        let segment = attachment.segment
        let places = segment.places
        guard let page = bursar__map(Core.pageBytes) else {
            throw Failure(.memory, "no memory for a handle of 4096 bytes")
        }
        let book: PriceBook
        do throws(Failure) {
            book = try PriceBook(unixNow: bursar__clock(BURSAR__CLOCK_UNIX) / 1_000_000_000)
        } catch {
            bursar__unmap(page, Core.pageBytes)
            throw error
        }
        let base = segment.base
        let core = Core(page: page)
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
                policy: options.policy, clock: Clock(shifts: page + Core.shiftsOffset),
                forks: bursar__forks(), slot: attachment.slot, runtime: page, prices: book.index))
        core.signal.value = Signal.empty | Signal.resting
        let runtime: Runtime
        do throws(Failure) {
            runtime = try Runtime(core, attachment, book, options)
        } catch {
            bursar__unmap(page, Core.pageBytes)
            throw error
        }
        core.engine.pointee.runtime = Unmanaged.passRetained(runtime).toOpaque()
        return page
    }

    private init(_ core: Core, _ attachment: Attachment, _ book: PriceBook, _ options: OpenOptions)
        throws(Failure)
    {
        self.core = core
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
        loop = try Loop(core: core, external: options.loop)
        let opened = core.node(0).opened
        if opened.value == 0 { opened.value = core.engine.pointee.clock.steady }
    }

    /// The page goes with the class: whoever holds that may call it late.
    deinit { bursar__unmap(core.page, Core.pageBytes) }

    /// Closes: late calls find a closed page, then cleared memory, until 64
    /// others were closed.
    public static func close(_ page: UnsafeMutableRawPointer) -> Status {
        let core = Core(page: page)
        if core.engine.pointee.forks != bursar__forks() { return .forked }
        guard core.life.exchange(0, for: 1) else { return .closed }
        let runtime = core.runtime
        runtime.loop.stop()
        // Whoever holds a lock finishes first; whoever comes after finds `life`.
        runtime.folding.lock()
        runtime.config.lock()
        if !runtime.attachment.isShared { runtime.segment.clear() }
        runtime.timers = TimerHeap()
        runtime.config.unlock()
        runtime.folding.unlock()
        Quarantine.shared.keep(page)
        return .ok
    }

    var clock: Clock { core.engine.pointee.clock }

    /// Runs `body` under the configuration lock.
    func configuring<T>(_ body: () throws(Failure) -> T) throws(Failure) -> T {
        config.lock()
        defer { config.unlock() }
        if core.life.value != 0 { throw Failure(.closed, "the runtime was closed") }
        book.learn()
        return try body()
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
