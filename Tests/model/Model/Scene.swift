// A small home with processes and their programs: what exploration starts from.

@testable import BursarCore

/// Amounts in programs are whole dollars.
let dollar: Int64 = 1_000_000_000

/// What a program does, step by step. A step of the budget's kind ("step 0") has a
/// number, so that its handle and its row are known to all.
enum Op {
    case reserve(Int, session: Int, Int64)
    /// Held, not sent.
    case hold(Int, session: Int, Int64)
    case begin(Int)
    case settle(Int, Int64)
    case release(Int)
    case charge(Int, session: Int, Int64, forced: Bool = false)
    /// Ends a record's time, whoever's it is.
    case expire(record: Int)
    case fold
    case recover(process: Int)
    case recount
    /// Every reservation's time is over, and somebody notices.
    case expireAll
    /// The next day begins.
    case midnight
    /// Opens the windows that are due.
    case roll
    case topUp(budget: Int, String)
    case limits(budget: Int, String)
    case close(session: Int)
    case open(session: Int, String, String)
}

struct Program {
    var ops: [Op]
    /// Another thread of that process; nil: a process of its own.
    var threadOf: Int?
    /// A new process on that process's slot, once it is dead.
    var successorOf: Int?
    var mayBeKilled = true
    var mayBeStopped = true

    init(
        _ ops: [Op], threadOf: Int? = nil, successorOf: Int? = nil, mayBeKilled: Bool = true,
        mayBeStopped: Bool = true
    ) {
        self.ops = ops
        self.threadOf = threadOf
        self.successorOf = successorOf
        self.mayBeKilled = mayBeKilled
        self.mayBeStopped = mayBeStopped
    }
}

struct Scene {
    var name: String
    var about: String
    var kills = 1
    var stops = 0
    /// For `make model-full` only.
    var isLarge = false
    var forced = 0
    var budgets: [(path: String, limits: String)] = [("b", "$4")]
    var sessions: [(path: String, limits: String)] = [("b", "$3"), ("b", "$3")]
    var records = 2
    /// Adds and takes back, instead of compare-and-swap near a ceiling.
    var addsPlainly = true
    /// Every word of a record's body is a place to switch, not only its node.
    var tearsBodies = false
    var programs: [Program]
    var steps = 0
}

/// A scene set up on a machine.
final class Stage {
    let scene: Scene
    let machine: Machine
    let segment: Segment
    var processes: [Process] = []
    var budgets: [Int64] = []
    var sessions: [Int64] = []
    private var firstSessions: [Int64] = []
    private static let clocks: (steady: Int64, unix: Int64) = (
        1_000_000 * dollar, 1_767_225_600 * dollar - dollar / 1000
    )
    private(set) var judge: Judge!
    private var programOf: [Program] = []
    /// Where each fiber is in its program.
    private var opOf: [Int] = []
    private(set) var initial: Truth!
    /// A planted bug: who should die loses its locks only.
    var losesLocks = false
    private static let finisher = 29

    init(_ scene: Scene) throws {
        self.scene = scene
        let machine = Machine()
        self.machine = machine
        (machine.steady, machine.unix) = Stage.clocks
        Seam.world = machine
        let segment = try Segment(try Capacity(nodes: 16, records: 64, textBytes: 1 << 16, isShared: true))
        self.segment = segment
        let places = segment.places
        let recordsAt = places.recordsAt
        let recordsEnd = recordsAt + Int(places.recordsMax) * Record.size
        let nodesAt = places.nodesAt
        let cellsAt = places.cellsAt
        let tears = scene.tearsBodies
        machine.attach(segment: segment.base, bytes: segment.bytes) { place in
            let offset = place << 2
            if machine.isLock(place: place) { return true }
            if offset < Header.page {
                return [
                    Header.batch, Header.foldOpen, Header.dirt, Header.dirtSeen, Header.undoCount,
                    Header.raised,
                ].contains(offset)
            }
            if offset >= recordsEnd { return false }
            if offset >= recordsAt, offset < recordsEnd {
                let field = (offset - recordsAt) % Record.size
                return field < 16 || tears
            }
            if offset >= nodesAt, offset < cellsAt {
                let field = (offset - nodesAt) % Node.size
                return field == 0 || field == 68 || field == 72
            }
            return true
        }

        func process(slot: Int) throws -> Process {
            let process = Process(id: processes.count, machine: machine)
            process.slot = UInt32(slot)
            let attachment = Attachment(segment, ProcessLocks(), slot: UInt32(slot))
            attachment.ledgerPath = [46]
            var options = OpenOptions()
            options.policy.plainCharge = scene.addsPlainly
            options.timeToLive = 1_000_000 * dollar
            process.page = try Runtime.open(options, on: attachment)
            process.core.engine.pointee.forcedFrom = UInt32(scene.records)
            process.core.engine.pointee.recordsMax = UInt32(scene.records + scene.forced)
            processes.append(process)
            return process
        }
        // The first process makes the tree; a last one, that plays no part, cleans up.
        for (k, program) in scene.programs.enumerated() {
            let owner: Process
            if let other = program.threadOf {
                owner = processes[other]
            } else {
                owner = try process(slot: program.successorOf.map { $0 + 1 } ?? processes.count + 1)
                owner.isAlive = program.successorOf == nil
            }
            machine.fibers.append(Fiber(id: k, process: owner))
            programOf.append(program)
            opOf.append(0)
        }
        _ = try process(slot: Stage.finisher)
        machine.processes = processes
        let maker = processes[0].runtime
        for (path, limits) in scene.budgets {
            var options = BudgetOptions()
            options.limits = [UInt8](limits.utf8)
            budgets.append(try maker.budgetDeclare([UInt8](path.utf8), options))
        }
        for (path, limits) in scene.sessions {
            var options = SessionOptions()
            options.path = [UInt8](path.utf8)
            options.limits = [UInt8](limits.utf8)
            sessions.append(try maker.sessionOpen(options))
        }
        firstSessions = sessions
        let core = processes[0].core
        core.highWater.value = UInt32(scene.records)
        core.forcedHighWater.value = UInt32(scene.forced)
        judge = Judge(
            core, machine, nodes: 8, cells: Int(segment.freeCells.highWater) + 4,
            limits: Int(segment.freeLimits.highWater) + 4,
            records: scene.records + scene.forced, steps: scene.steps)
        initial = judge.truth
        machine.observer = { [unowned judge] in judge.saw($0, $1, $2, $3) }
        judge.stepInHand = { [unowned self] in $0.map { self.step(of: $0) } ?? -1 }
        judge.isForced = { [unowned self] in $0.map { self.isForced($0) } ?? false }
        for process in processes where process.isAlive {
            machine.give(byte: LockByte.slot(process.slot), to: process.id)
        }
        machine.settle()
    }

    var places: Geometry { segment.places }
    var finisher: Process { processes[processes.count - 1] }

    private func op(_ f: Fiber) -> Op? {
        let ops = programOf[f.id].ops
        return opOf[f.id] < ops.count ? ops[opOf[f.id]] : nil
    }
    private func step(of f: Fiber) -> Int {
        switch op(f) {
        case .reserve(let step, _, _), .hold(let step, _, _), .charge(let step, _, _, _): return step
        default: return -1
        }
    }
    private func isForced(_ f: Fiber) -> Bool {
        if case .charge(_, _, _, let forced) = op(f) { return forced }
        return false
    }

    // MARK: - Runs

    /// Everything as it was, every program before its first step.
    func reset() {
        machine.drain()
        machine.undo(to: 0)
        judge.truth = initial
        sessions = firstSessions
        (machine.steady, machine.unix) = Stage.clocks
        machine.saboteur?.reset()
        for process in processes {
            process.isStopped = false
            forget(process)
        }
        for f in machine.fibers {
            let program = programOf[f.id]
            f.process.isAlive = program.successorOf == nil
            opOf[f.id] = 0
            if f.process.isAlive { start(f) } else { f.state = .finished }
        }
    }

    /// Up to its first access that matters.
    private func start(_ f: Fiber) {
        machine.start(f) { [unowned self, unowned f] in self.run(f) }
        machine.step(f)
    }

    private func run(_ f: Fiber) {
        let ops = programOf[f.id].ops
        for (k, op) in ops.enumerated() {
            opOf[f.id] = k
            f.history = 0
            f.results = mark(f, k)
            perform(op, f)
        }
        opOf[f.id] = ops.count
        f.history = 0
        f.results = mark(f, ops.count)
    }

    /// What a program remembers from here on: where it is, and the handles it will use.
    private func mark(_ f: Fiber, _ k: Int) -> UInt64 {
        var h = Machine.mixed(0, Int64(k))
        for op in programOf[f.id].ops[k...] {
            switch op {
            case .begin(let step), .settle(let step, _), .release(let step):
                h = Machine.mixed(h, judge.truth.handles[step])
            default: break
            }
        }
        return h
    }

    private func perform(_ op: Op, _ f: Fiber) {
        let core = f.process.core
        f.mustDrain = false
        f.doing = ""
        switch op {
        case .reserve(let step, let session, let amount):
            reserve(core, step, sessions[session], amount * dollar, isHeld: false)
        case .hold(let step, let session, let amount):
            reserve(core, step, sessions[session], amount * dollar, isHeld: true)
        case .begin(let step):
            if judge.truth.handles[step] != 0 { _ = core.begin(judge.truth.handles[step]) }
        case .settle(let step, let amount):
            f.mustDrain = true
            settle(core, step, amount * dollar)
        case .release(let step):
            if judge.truth.handles[step] != 0 { _ = core.release(judge.truth.handles[step]) }
        case .charge(let step, let session, let amount, let forced):
            _ = step
            var c = DirectCharge()
            c.nanos = amount * dollar
            c.flags = forced ? DirectCharge.force : 0
            var d = Decision()
            var r = Receipt()
            f.mustDrain = true
            _ = core.charge(sessions[session], c, &d, &r)
        case .expire(let i):
            f.mustDrain = true
            let word = core.record(i).word.loadAcquiring()
            let state = RecordWord.state(word)
            if state == RecordState.held || state == RecordState.inFlight { _ = core.expire(i, word) }
        case .fold:
            f.mustDrain = true
            f.process.runtime.fold()
        case .recover(let process):
            f.mustDrain = true
            f.doing = "recover"
            recover(processes[process].slot, by: f.process)
        case .expireAll:
            f.mustDrain = true
            for i in 0..<scene.records {
                let word = core.record(i).word.loadAcquiring()
                if RecordWord.state(word) == RecordState.inFlight { _ = core.expire(i, word) }
            }
        case .midnight:
            machine.pass(dollar)
        case .roll:
            f.mustDrain = true
            let runtime = f.process.runtime
            if core.isAnythingDue() || Plant.rollsAgain.isOn {
                runtime.config.lock()
                runtime.rollDue()
                runtime.config.unlock()
            }
        case .topUp, .limits, .close, .open:
            f.mustDrain = true
            do throws(Failure) { try configure(op, f.process.runtime) } catch {}
        case .recount:
            f.mustDrain = true
            f.process.runtime.recount()
        }
    }

    private func configure(_ op: Op, _ runtime: Runtime) throws(Failure) {
        switch op {
        case .topUp(let budget, let text):
            try runtime.topUp(budgets[budget], [UInt8](text.utf8), for: 0, reason: [])
        case .limits(let budget, let text): try runtime.limitsSet(budgets[budget], [UInt8](text.utf8))
        case .close(let session): try runtime.sessionClose(sessions[session])
        case .open(let session, let path, let limits):
            var options = SessionOptions()
            options.path = [UInt8](path.utf8)
            options.limits = [UInt8](limits.utf8)
            sessions[session] = try runtime.sessionOpen(options)
        default: break
        }
    }

    private func recover(_ slot: UInt32, by process: Process) {
        let byte = LockByte.slot(slot)
        if slot == process.slot {
            process.runtime.recover(slot: slot)
        } else if process.runtime.attachment.locks.tryLock(byte) {
            process.runtime.recover(slot: slot)
            process.runtime.attachment.locks.unlock(byte)
        }
    }

    func handleBeingSettled(by f: Fiber) -> Int64? {
        guard case .settle(let step, _) = op(f), judge.truth.handles[step] != 0 else { return nil }
        return judge.truth.handles[step]
    }

    /// One attempt, without the explanations that a refusal gets.
    private func reserve(_ core: Core, _ step: Int, _ session: Int64, _ amount: Int64, isHeld: Bool) {
        guard let leaf = core.index(of: session) else { return }
        var q = Request()
        q.extraNanos = amount
        q.flags = isHeld ? Request.hold : 0
        var d = Decision()
        withUnsafePointer(to: q) { q in
            withUnsafeTemporaryAllocation(byteCount: Route.bytes, alignment: 16) { room in
                guard let t = core.prepare(q, model: 0, output: 0) else { return }
                _ = core.attempt(
                    session, leaf, q, t, asked: 0, machine.steady, room.baseAddress!, &d)
            }
        }
    }

    private func settle(_ core: Core, _ step: Int, _ amount: Int64) {
        let handle = judge.truth.handles[step]
        if handle == 0 { return }
        var report = Report()
        report.flags = Report.cost
        report.costNanos = amount
        var receipt = Receipt()
        let status = core.settle(handle, report, &receipt)
        guard status == .ok else { return }
        // Acknowledged: from here on it must be what the ledger gets.
        let row = judge.truth.rows[step]
        let said = row.said
        if said != amount { judge.truth.fail("I4: settle of \(amount) acknowledged, \(said ?? -1) kept") }
    }

    /// A process takes its slot.
    func spawn(_ process: Process) {
        process.isAlive = true
        machine.give(byte: LockByte.slot(process.slot), to: process.id)
        for f in machine.fibers where f.process === process { start(f) }
    }

    var isDone: Bool { machine.fibers.allSatisfy { $0.state != .ready } }

    // MARK: - Choices

    /// What may happen next, of kills and stops at most so many.
    func choices(kills: Int, stops: Int) -> [Choice] {
        var list: [Choice] = []
        for f in machine.fibers where machine.isRunnable(f) || mayGiveUp(f) { list.append(.step(f.id)) }
        for process in processes.dropLast() {
            let program = programOf[machine.fibers.first { $0.process === process }!.id]
            let isBusy = machine.fibers.contains { $0.process === process && $0.state == .ready }
            if process.isAlive {
                if program.mayBeKilled, kills > 0 { list.append(.kill(process.id)) }
                if isBusy, program.mayBeStopped, stops > 0, !process.isStopped {
                    list.append(.stop(process.id))
                }
                if process.isStopped { list.append(.go(process.id)) }
            } else if let former = program.successorOf, !processes[former].isAlive,
                isNew(process), machine.holder(byte: LockByte.slot(process.slot)) == nil
            {
                list.append(.spawn(process.id))
            }
        }
        if list.isEmpty {
            // They wait for each other: time passes.
            for f in machine.fibers where f.state == .ready && f.process.isAlive && !f.isStuck {
                list.append(.step(f.id))
            }
        }
        return list
    }

    /// A spin may end before anybody else moves.
    private func mayGiveUp(_ f: Fiber) -> Bool {
        f.state == .ready && f.isWaiting && f.spins && f.process.isAlive && !f.process.isStopped
            && !f.isStuck
    }

    private func isNew(_ process: Process) -> Bool {
        machine.fibers.allSatisfy { $0.process !== process || ($0.state == .finished && opOf[$0.id] == 0) }
    }

    func apply(_ choice: Choice) {
        switch choice {
        case .step(let id):
            let f = machine.fibers[id]
            f.isAlone = !machine.isRunnable(f)
            machine.step(f)
        case .kill(let id):
            if losesLocks { machine.freeBytes(of: processes[id]) } else { machine.kill(processes[id]) }
        case .spawn(let id): spawn(processes[id])
        case .stop(let id): processes[id].isStopped = true
        case .go(let id): processes[id].isStopped = false
        }
    }

    var identity: UInt64 {
        var h = machine.hash
        for f in machine.fibers {
            h = Machine.mixed(h, Int64(opOf[f.id]))
            h = Machine.mixed(h, Int64(bitPattern: f.history))
            h = Machine.mixed(h, Int64(bitPattern: f.results))
            var bits = Int64(f.hint) << 8
            if f.state == .ready { bits |= 1 }
            if f.state == .dead { bits |= 2 }
            if f.process.isAlive { bits |= 4 }
            if f.process.isStopped { bits |= 8 }
            if f.isWaiting { bits |= 16 }
            if machine.isRunnable(f) { bits |= 32 }
            h = Machine.mixed(h, bits)
        }
        h = Machine.mixed(h, (machine.unix - Stage.clocks.unix) / dollar)
        for id in sessions { h = Machine.mixed(h, id) }
        return Machine.mixed(h, Int64(bitPattern: judge.truth.hash))
    }

    /// Kills everything, recovers, counts, folds, checks; then all is as before.
    func checkRest(hook: (() -> Void)? = nil) {
        let truth = judge.truth
        let mark = machine.mark
        let alive = processes.map { $0.isAlive }
        let hadSaboteur = machine.saboteur
        machine.saboteur = nil
        machine.acting = finisher.id
        for process in processes.dropLast() { machine.freeBytes(of: process) }
        let runtime = finisher.runtime
        forget(finisher)
        recoverAll(runtime)
        for _ in 0..<4 { runtime.fold() }
        runtime.recount()
        judge.check(runtime.ledger)
        judge.check()
        judge.checkRest()
        machine.acting = 0
        machine.saboteur = hadSaboteur
        let failure = judge.truth.failure
        judge.truth = truth
        if let failure, truth.failure == nil { judge.truth.failure = "(after kill of all and recovery) " + failure }
        machine.undo(to: mark)
        for (k, process) in processes.enumerated() { process.isAlive = alive[k] }
    }

    private func recoverAll(_ runtime: Runtime) {
        for slot in Set(processes.dropLast().map { $0.slot }).sorted() { runtime.recover(slot: slot) }
        runtime.recount()
    }

    /// A process keeps nothing of a run that was set back.
    private func forget(_ process: Process) {
        process.runtime.windowed = WindowedLimits()
        process.runtime.eventsTaken = process.runtime.attachment.eventRing?.sent.value ?? 0
        process.runtime.ledger = Ledger(
            path: process.runtime.attachment.ledgerPath,
            segment: process.core.statistic(Header.segmentID).value)
    }

    func describe(_ choice: Choice) -> String {
        switch choice {
        case .step(let id):
            let f = machine.fibers[id]
            return "fiber \(id) \(op(f).map { "\($0)" } ?? "end"): \(f.next.kind.rawValue) \(placeName(f.next.place))"
        default: return "\(choice)"
        }
    }

    func placeName(_ place: Int) -> String {
        if place < 0 { return "start" }
        if let byte = machine.lockByte(place: place) { return "byte \(byte)" }
        if machine.isLock(place: place) { return "mutex \(place)" }
        let offset = place << 2
        func at(_ start: Int, _ size: Int, _ name: String, _ fields: [Int: String]) -> String {
            let i = (offset - start) / size
            let field = (offset - start) % size
            return "\(name)\(i).\(fields[field] ?? "\(field)")"
        }
        if offset < places.nodesAt { return offset == Header.batch ? "batch" : "header \(offset)" }
        if offset < places.cellsAt {
            return at(places.nodesAt, Node.size, "node", [0: "state", 68: "dirty", 72: "clean"])
        }
        if offset < places.limitsAt {
            return at(
                places.cellsAt, Cell.size, "cell",
                [0: "committed", 8: "ceiling", 24: "spent0", 32: "spent1", 40: "stamp0", 48: "stamp1"])
        }
        if offset < places.recordsAt {
            return at(
                places.limitsAt, LimitSlot.size, "limit",
                [0: "amount", 8: "base0", 16: "base1", 24: "window", 32: "extra"])
        }
        return at(places.recordsAt, Record.size, "record", [0: "word", 8: "node"])
    }
}

enum Choice: Equatable {
    case step(Int)
    case kill(Int)
    case spawn(Int)
    case stop(Int)
    case go(Int)
}
