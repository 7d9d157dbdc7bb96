// A runtime: an open handle on a set of budgets, and what everything else here
// is reached through.

internal import BursarCore

/// An open set of budgets: a home's, which every process that opens it shares, or private
/// to this process.
///
///     let runtime = try Runtime()  // or Runtime(home: "/home/ada/.bursar")
///     try runtime.declare("acme/support", "$500/month alert 50% 80%")
///     let session = try runtime.openSession("acme/support/triage", limits: "$2")
///     let step = try session.reserve("gpt-5", input: 1_200, maxOutput: 1_024)
///     // Call the provider with step.model and step.maxOutput.
///     try step.settle(Usage(input: 1_200, output: 300))
///
/// Every method may be called from any thread. The runtime lives as long as anything
/// of it does, a session, a step, a decision; then it closes itself. Reserving and
/// settling never block; the others may take a short lock.
///
/// In a child of `fork()` a runtime on a home may hang: the locks of the Swift runtime
/// remember the thread of the parent. Fork before one is opened, or to exec. (The shared
/// library for other languages has no Swift runtime in it, and goes on in a child.)
public final class Runtime: @unchecked Sendable {  // Sendable because the core is.
    /// For the hot calls. Valid as long as `slow` is held, closed or not.
    let core: Core
    private let slow: BursarCore.Runtime
    private let hub: EventHub

    /// Opens a home: the directory of a set of budgets that processes share. It is made
    /// when it is not there, and its parent is.
    ///
    /// - Throws: ``Failure/Code/home`` with a sentence, when it cannot be used.
    public convenience init(home: String) throws(BursarError) {
        var options = Options()
        options.home = home
        try self.init(options)
    }

    /// Opens a runtime.
    public init(_ options: Options = Options()) throws(BursarError) {
        var given = OpenOptions()
        given.home = options.home.bytes
        given.onUnavailable = OpenOptions.Unavailable(options.ifUnavailable)
        given.policy.role = options.role == .agent ? .agent : .operator
        given.isGroup = options.isGroup
        given.mustExist = options.mustExist
        given.shmDirectory = options.sharedMemoryDirectory.bytes
        given.name = options.name.bytes
        given.isObserved = options.isObserved
        given.policy.unknownModel = Policy.UnknownModel(options.unknownModel)
        switch options.undeclared {
        case nil: break
        case .allowed: given.policy.undeclared = .allow
        case .refused: given.policy.undeclared = .refuse
        }
        given.sessionsMax = UInt32(clamping: options.sessionsMax)
        given.reservationsMax = UInt32(clamping: options.reservationsMax)
        given.textBytesMax = UInt32(clamping: options.textBytesMax)
        given.eventsMax = UInt32(clamping: options.eventsMax)
        given.timeToLive = options.timeToLive.nanoseconds
        hub = EventHub(capacity: options.eventsMax > 0 ? options.eventsMax : 1024)
        core = Core(page: try calling { () throws(BursarCore.Failure) in
            try BursarCore.Runtime.open(given)
        })
        slow = core.runtime
    }

    deinit { close() }

    /// Closes the runtime: events that wait are delivered, every stream of events
    /// ends, and every later call throws ``Failure/Code/closed``. What is in flight is
    /// forgotten in a private runtime; in a home it is settled at an estimate when it
    /// expires, or when the next process looks. Waits for the runtime's thread. Closing
    /// again does nothing.
    public func close() {
        if BursarCore.Runtime.close(core.page) == .ok { hub.finish() }
    }

    /// Not closed yet.
    var isOpen: Bool { core.obstacle() != .closed }

    /// What happens from now on, for one consumer; each access is a stream of its own.
    ///
    /// Take it before what you want to hear of: `let events = runtime.events`. As many
    /// events wait as ``Options/eventsMax`` says; what does not fit is told as one
    /// ``Event/Kind/lost`` before the next that does. The stream does not keep the
    /// runtime open, and ends when it closes.
    public var events: AsyncStream<Event> {
        let stream = hub.stream()
        // After close the stream has ended, and nobody would call the hub.
        try? call { (runtime) throws(BursarCore.Failure) in hub.connect(to: runtime) }
        return stream
    }
}

extension Runtime {
    /// What a runtime is opened with. 0 is the default of a number.
    public struct Options: Sendable {
        /// The directory of a set of budgets that processes share; empty = private, and
        /// nothing is kept.
        public var home = ""
        /// What to do when the home cannot be used.
        public var ifUnavailable = Unavailable.refused
        /// Who the program is: a guard against accidents, not against attackers.
        public var role = Role.operator
        /// Where there is no home yet, ``Failure/Code/home`` instead of a new one.
        public var mustExist = false
        /// A new home is shared with its directory's group.
        public var isGroup = false
        /// Where the live state of a new home lies; empty = /dev/shm.
        public var sharedMemoryDirectory = ""
        /// What this process calls itself in a home, for people.
        public var name = ""
        /// Counts, decides and reports, but stops nobody.
        public var isObserved = false
        /// What becomes of a model without a known price under a money limit.
        public var unknownModel = UnknownModel.refused
        /// What becomes of a session without any limit above it; nil: it is allowed in a
        /// private runtime, and refused in a home.
        public var undeclared: Undeclared?
        /// Live budgets and sessions; default 65,536, of a home 10,240. One of them is the
        /// library's. Of a home that is there this and the next two are as it was made with.
        public var sessionsMax = 0
        /// Steps in flight; default 16,384.
        public var reservationsMax = 0
        /// Bytes of names and labels in use; default 64 MiB, of a home about 2 MiB: 205 for
        /// each of `sessionsMax`, and no less than 2 MiB.
        public var textBytesMax = 0
        /// Events that wait for their consumer; default 1,024.
        public var eventsMax = 0
        /// After this a step that nobody settled is settled at an estimate; default 15 minutes.
        public var timeToLive = Duration.zero

        public init() {}
    }

    /// A home that cannot be used.
    public enum Unavailable: Sendable {
        /// An error.
        case refused
        /// A private runtime instead, and an ``Event/Kind/home`` that says why.
        case isPrivate
        /// The same, and it stops nobody.
        case observed
    }

    /// Who a program is.
    public enum Role: Sendable {
        /// May do everything.
        case `operator`
        /// May not raise limits, revive, resume, remove, observe, or change the price of a
        /// tool that has one.
        case agent
    }

    /// A session without any limit above it.
    public enum Undeclared: Sendable {
        /// Allowed, and flagged.
        case allowed
        case refused
    }

    /// A model without a known price, under a money limit.
    public enum UnknownModel: Sendable {
        /// Refused.
        case refused
        /// Priced at the dearest of every class in the price book.
        case dearest
        /// Costs nothing, and every step of it is flagged.
        case free
    }
}

extension OpenOptions.Unavailable {
    fileprivate init(_ policy: Runtime.Unavailable) {
        switch policy {
        case .refused: self = .refuse
        case .isPrivate: self = .private
        case .observed: self = .allow
        }
    }
}

extension Policy.UnknownModel {
    fileprivate init(_ policy: Runtime.UnknownModel) {
        switch policy {
        case .refused: self = .refuse
        case .dearest: self = .dearest
        case .free: self = .free
        }
    }
}

// MARK: - Into the core

extension Runtime {
    /// Calls the core's class, unless the runtime was closed.
    func call<T>(
        _ body: (BursarCore.Runtime) throws(BursarCore.Failure) -> T
    ) throws(BursarError) -> T {
        return try calling { () throws(BursarCore.Failure) in
            if let status = core.obstacleToNew() { throw core.failure(status) }
            return try body(core.runtime)
        }
    }

    /// The same for what an agent may not do.
    func administer<T>(
        _ what: StaticString, _ body: (BursarCore.Runtime) throws(BursarCore.Failure) -> T
    ) throws(BursarError) -> T {
        try call { (runtime) throws(BursarCore.Failure) in
            if let refusal = runtime.refusesAgent(what) { throw refusal }
            return try body(runtime)
        }
    }
}

/// Calls the core and throws its failures as this module's.
func calling<T>(_ body: () throws(BursarCore.Failure) -> T) throws(BursarError) -> T {
    do throws(BursarCore.Failure) {
        return try body()
    } catch {
        throw .failed(Failure(error))
    }
}
