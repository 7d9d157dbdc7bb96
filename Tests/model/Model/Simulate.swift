// Seeds: several processes with random programs of everything that can be done, deaths,
// stops, clocks that move. A seed gives the same run every time.

@testable import BursarCore

final class Simulation {
    private let machine: Machine
    private let segment: Segment
    private var judge: Judge!
    private var random: SplitMix
    private let seed: UInt64
    private var processes: [Process] = []
    private var free: [Fiber]
    private var budgets: [Int64] = []

    /// What the programs know of each other.
    private struct Session {
        var id: Int64
        var isClosed = false
    }
    private struct Step {
        var held: Int64
        /// What it will say, always the same.
        var actual: Int64
        var isOpen = true
    }
    private var sessions: [Session] = []
    private var steps: [Step] = []
    private var inHand: [Int: (step: Int, forced: Bool)] = [:]
    private var doing: [Int: String] = [:]
    /// Programs end at their next operation.
    private var isEnding = false
    private var left: [Int: Int] = [:]

    private(set) var counts = Counts()
    struct Counts {
        var operations = 0, kills = 0, stops = 0, quiets = 0, grants = 0, settles = 0, lates = 0
        mutating func add(_ other: Counts) {
            operations += other.operations
            kills += other.kills
            stops += other.stops
            quiets += other.quiets
            grants += other.grants
            settles += other.settles
            lates += other.lates
        }
    }
    var trace: [String] = []
    private let traces: Bool
    private static let slots = 6
    private static let finisher = 28

    init(seed: UInt64, machine: Machine, segment: Segment, fibers: [Fiber], traces: Bool) {
        self.seed = seed
        self.machine = machine
        self.segment = segment
        self.traces = traces
        free = fibers
        random = SplitMix(seed)
    }

    private func note(_ text: @autoclosure () -> String) {
        if traces { trace.append(text()) }
    }
    private func fail(_ text: String) { judge.truth.fail(text) }

    // MARK: - Processes

    private func open(slot: Int) throws -> Process {
        let process = Process(id: processes.count, machine: machine)
        process.slot = UInt32(slot)
        let attachment = Attachment(segment, ProcessLocks(), slot: UInt32(slot))
        attachment.ledgerPath = [46]
        var options = OpenOptions()
        options.policy.plainCharge = slot % 2 == 0
        machine.acting = process.id
        process.page = try Runtime.open(options, on: attachment)
        process.core.engine.pointee.forcedFrom = forcedFrom
        process.core.engine.pointee.recordsMax = recordsMax
        processes.append(process)
        machine.acting = 0
        return process
    }

    private var forcedFrom: UInt32 = 0
    private var recordsMax: UInt32 = 0

    private func spawn() throws {
        let taken = Set(processes.filter { $0.isAlive }.map { Int($0.slot) })
        let slots = (1...Simulation.slots).filter {
            !taken.contains($0) && machine.holder(byte: LockByte.slot(UInt32($0))) == nil
        }
        guard !slots.isEmpty, free.count >= 2 else { return }
        let slot = slots[random.below(slots.count)]
        let process = try open(slot: slot)
        machine.give(byte: LockByte.slot(UInt32(slot)), to: process.id)
        note("process \(process.id) on slot \(slot)")
        for isFirst in [true, false] {
            let fiber = free.removeLast()
            fiber.process = process
            machine.fibers.append(fiber)
            run(fiber, operations: 20 + random.below(30), isNew: isFirst)
        }
    }

    private func run(_ fiber: Fiber, operations: Int, isNew: Bool) {
        var own = SplitMix(random.next())
        left[fiber.id] = operations
        machine.start(fiber) { [unowned self, unowned fiber] in
            if isNew {
                // The slot's former records are this process's to recover.
                self.recover(fiber.process.slot, fiber.process.runtime)
                fiber.process.isReady = true
            }
            while !fiber.process.isReady { self.machine.wait(1) }
            while !self.isEnding, self.left[fiber.id]! > 0 {
                self.left[fiber.id]! -= 1
                self.operate(fiber, &own)
                self.counts.operations += 1
            }
        }
    }

    private func kill(_ process: Process) {
        note("KILL process \(process.id) in \(doings(process))")
        machine.kill(process)
        let fibers = machine.fibers.filter { $0.process === process }
        machine.fibers.removeAll { $0.process === process }
        for f in fibers { inHand[f.id] = nil }
        free += fibers
        counts.kills += 1
    }

    private func doings(_ process: Process) -> String {
        machine.fibers.filter { $0.process === process }.map {
            "\($0.state == .ready ? doing[$0.id] ?? "-" : "-") before \($0.next.kind.rawValue) of \($0.next.place)"
        }.joined(separator: ", ")
    }

    // MARK: - Operations

    private func recover(_ slot: UInt32, _ runtime: Runtime) {
        runtime.recover(slot: slot)
        runtime.endSessions(ofSlot: slot)
        runtime.recount()
    }

    private func recoverOthers(_ process: Process) {
        for slot in 1...UInt32(Simulation.slots) where slot != process.slot {
            let locks = process.runtime.attachment.locks
            let byte = LockByte.slot(slot)
            guard process.runtime.attachment.search.tryLock() else { return }
            if locks.tryLock(byte) {
                recover(slot, process.runtime)
                locks.unlock(byte)
            }
            process.runtime.attachment.search.unlock()
        }
    }

    private func operate(_ f: Fiber, _ r: inout SplitMix) {
        let process = f.process
        let kind = r.below(100)
        let name: String
        do throws(Failure) {
            switch kind {
            case ..<8: name = "open"; doing[f.id] = name; try openSession(process, &r)
            case ..<12: name = "close"; doing[f.id] = name; try closeSession(process, &r)
            case ..<40: name = "reserve"; doing[f.id] = name; reserve(f, &r)
            case ..<62: name = "settle"; doing[f.id] = name; settle(f, &r)
            case ..<66: name = "release"; doing[f.id] = name; release(process, &r)
            case ..<70: name = "charge"; doing[f.id] = name; charge(f, forced: false, &r)
            case ..<73: name = "forced charge"; doing[f.id] = name; charge(f, forced: true, &r)
            case ..<76: name = "top-up"; doing[f.id] = name
                try process.runtime.topUp(budget(&r), text("$\(1 + r.below(3))"), for: 0, reason: [])
            case ..<78: name = "limits"; doing[f.id] = name
                try process.runtime.limitsSet(budget(&r), text(limits(&r)))
            case ..<80: name = "control"; doing[f.id] = name
                // What stops all of a budget is soon taken back.
                let isBudget = r.below(3) == 0
                let what: Runtime.Control = isBudget
                    ? [.pause, .resume, .resume][r.below(3)] : [.pause, .kill, .revive, .resume][r.below(4)]
                try process.runtime.control(what, isBudget ? budget(&r) : session(&r), reason: [])
            case ..<87: name = "fold"; doing[f.id] = name; process.runtime.fold()
            case ..<90: name = "recount"; doing[f.id] = name; process.runtime.recount()
            case ..<94: name = "recover"; doing[f.id] = name; recoverOthers(process)
            case ..<96: name = "roll"; doing[f.id] = name
                process.runtime.config.lock()
                process.runtime.rollDue()
                process.runtime.config.unlock()
            default: name = "time"; doing[f.id] = name
                machine.pass(
                    [dollar / 1000, dollar, 30 * dollar, 1000 * dollar, 12 * 3600 * dollar][r.below(5)])
            }
            note("fiber \(f.id) of process \(process.id): \(name) \(steps.count)")
        } catch {
            note("fiber \(f.id) of process \(process.id): \(doing[f.id] ?? ""): \(error.status)")
        }
        doing[f.id] = nil
    }

    private func text(_ s: String) -> [UInt8] { [UInt8](s.utf8) }
    private func budget(_ r: inout SplitMix) -> Int64 { budgets[r.below(budgets.count)] }
    private func session(_ r: inout SplitMix) -> Int64 {
        sessions.isEmpty ? 0 : sessions[max(sessions.count - 1 - r.below(6), 0)].id
    }
    private func limits(_ r: inout SplitMix) -> String {
        ["$16", "$40", "$14/day", "$20/day", "$19, 18 steps", "$60, $20/day", "5 in_flight, $35"][r.below(7)]
    }

    private func openSession(_ process: Process, _ r: inout SplitMix) throws(Failure) {
        var options = SessionOptions()
        options.path = text(["b", "b/c", "d"][r.below(3)])
        if r.below(5) == 0, !sessions.isEmpty { options.parent = session(&r) }
        options.limits = text(["", "", "$8", "$5, 6 steps"][r.below(4)])
        sessions.append(Session(id: try process.runtime.sessionOpen(options)))
    }

    private func closeSession(_ process: Process, _ r: inout SplitMix) throws(Failure) {
        guard !sessions.isEmpty else { return }
        let k = r.below(sessions.count)
        sessions[k].isClosed = true
        try process.runtime.sessionClose(sessions[k].id)
    }

    private func newStep(_ held: Int64, _ r: inout SplitMix, _ f: Fiber, forced: Bool) -> Int {
        let actual = max(held + (Int64(r.below(5)) - 3) * dollar / 2, 0)
        steps.append(Step(held: held, actual: actual))
        judge.truth.handles.append(0)
        judge.truth.rows.append(Row())
        inHand[f.id] = (steps.count - 1, forced)
        return steps.count - 1
    }

    private func reserve(_ f: Fiber, _ r: inout SplitMix) {
        var q = Request()
        q.extraNanos = Int64(1 + r.below(5)) * dollar / 2
        q.flags = r.below(6) == 0 ? Request.hold : 0
        let step = newStep(q.extraNanos, &r, f, forced: false)
        var d = Decision()
        let status = f.process.core.reserve(session(&r), q, &d)
        inHand[f.id] = nil
        if status == .ok {
            counts.grants += 1
            if d.reservation != judge.truth.handles[step] { fail("step \(step): handle \(Handle.index(d.reservation)) \(Handle.gen(d.reservation)) was given, \(Handle.index(judge.truth.handles[step])) \(Handle.gen(judge.truth.handles[step])) granted") }
            if q.flags != 0, r.below(3) != 0 { _ = f.process.core.begin(d.reservation) }
        } else {
            steps[step].isOpen = false
        }
    }

    /// A step that was granted, mostly a young one.
    private func granted(_ r: inout SplitMix) -> Int? {
        for _ in 0..<8 {
            guard !steps.isEmpty else { return nil }
            let near = r.below(4) != 0
            let k = near ? max(steps.count - 1 - r.below(8), 0) : r.below(steps.count)
            if judge.truth.handles[k] != 0 { return k }
        }
        return nil
    }

    private func settle(_ f: Fiber, _ r: inout SplitMix) {
        guard let step = granted(&r) else { return }
        var report = Report()
        report.flags = Report.cost
        report.costNanos = steps[step].actual
        var receipt = Receipt()
        let status = f.process.core.settle(judge.truth.handles[step], report, &receipt)
        note("    settle of step \(step): \(status)")
        guard status == .ok else { return }
        counts.settles += 1
        if receipt.flags & Receipt.late != 0 { counts.lates += 1 }
        let row = judge.truth.rows[step]
        let said = row.said
        if said != steps[step].actual {
            fail("I4: step \(step), handle \(Handle.index(judge.truth.handles[step])) \(Handle.gen(judge.truth.handles[step])): settle of \(steps[step].actual) acknowledged (\(receipt.flags)), \(said ?? -1) kept, \(row)")
        }
    }

    private func release(_ process: Process, _ r: inout SplitMix) {
        guard let step = granted(&r) else { return }
        _ = process.core.release(judge.truth.handles[step])
    }

    private func charge(_ f: Fiber, forced: Bool, _ r: inout SplitMix) {
        var c = DirectCharge()
        c.nanos = Int64(1 + r.below(3)) * dollar / 2
        c.flags = forced ? DirectCharge.force : 0
        let step = newStep(c.nanos, &r, f, forced: forced)
        var d = Decision()
        var receipt = Receipt()
        let status = f.process.core.charge(session(&r), c, &d, &receipt)
        inHand[f.id] = nil
        if (status == .ok) != judge.truth.rows[step].isCommitted {
            fail("I4: a charge was told \(status), and is \(judge.truth.rows[step].isCommitted ? "" : "not ")booked")
        }
    }

    // MARK: - The run

    func run() throws -> String? {
        machine.undo(to: 0)
        machine.fibers = []
        machine.observer = nil
        (machine.steady, machine.unix) = (1_000_000 * dollar, 1_767_225_600 * dollar + 3600 * dollar)
        machine.tearsFile = true
        recordsMax = random.below(3) == 0 ? 20 : 64
        forcedFrom = recordsMax == 20 ? 14 : 56
        let maker = try open(slot: Simulation.finisher)
        for (path, limits) in [("b", "$40"), ("b/c", "$15/day"), ("d", "$25, 15 steps")] {
            var options = BudgetOptions()
            options.limits = text(limits)
            budgets.append(try maker.runtime.budgetDeclare(text(path), options))
        }
        judge = Judge(
            maker.core, machine, nodes: 64, cells: Int(segment.places.cellsMax), limits: Int(segment.places.limitsMax),
            records: Int(recordsMax), steps: 0)
        machine.observer = { [unowned judge] in judge!.saw($0, $1, $2, $3) }
        judge.stepInHand = { [unowned self] in $0.flatMap { self.inHand[$0.id]?.step } ?? -1 }
        judge.isForced = { [unowned self] in $0.flatMap { self.inHand[$0.id]?.forced } ?? false }
        judge.isLoose = true
        if traces { judge.tell = { [unowned self] in self.trace.append($0) } }
        for _ in 0..<3 { try spawn() }
        for round in 0..<3 {
            isEnding = false
            if round > 0 {
                for f in machine.fibers where f.process.isAlive {
                    run(f, operations: 15 + random.below(30), isNew: false)
                }
            }
            try play(moves: 3000 + random.below(6000))
            if judge.truth.failure == nil { try quiet() }
            if judge.truth.failure != nil { break }
            note("quiet: \(judge.summary)")
        }
        if judge.truth.failure == nil { finish() }
        return judge.truth.failure
    }

    private func play(moves: Int) throws {
        var running: Fiber?
        for move in 0..<moves {
            if judge.truth.failure != nil { return }
            let dice = random.below(5000)
            if dice < 2 {
                let alive = processes.filter { $0.isAlive && $0.slot != UInt32(Simulation.finisher) }
                if !alive.isEmpty { kill(alive[random.below(alive.count)]) }
            } else if dice < 6 {
                try spawn()
            } else if dice < 10 {
                let alive = processes.filter { $0.isAlive && !$0.isStopped && $0.slot != UInt32(Simulation.finisher) }
                if !alive.isEmpty {
                    alive[random.below(alive.count)].isStopped = true
                    counts.stops += 1
                }
            } else if dice < 60 {
                let stopped = processes.filter { $0.isStopped }
                if !stopped.isEmpty { stopped[random.below(stopped.count)].isStopped = false }
            }
            if running == nil || random.below(6) == 0 || !machine.isRunnable(running!) {
                running = pick()
            }
            guard let f = running else { continue }
            machine.step(f)
            if move % 16 == 0 { judge.check() }
        }
    }

    private func pick() -> Fiber? {
        let able = machine.fibers.filter { machine.isRunnable($0) }
        if !able.isEmpty, random.below(50) != 0 { return able[random.below(able.count)] }
        // Sleeps end.
        let all = machine.fibers.filter {
            $0.state == .ready && $0.process.isAlive && !$0.process.isStopped
        }
        return all.isEmpty ? nil : all[random.below(all.count)]
    }

    /// Everybody finishes what he is in; the dead are recovered; all is counted.
    private func quiet() throws {
        isEnding = true
        for process in processes { process.isStopped = false }
        var moves = 0
        while let f = pick() {
            machine.step(f)
            moves += 1
            if moves % 16 == 0 { judge.check() }
            if judge.truth.failure != nil { return }
            if moves > 400_000 {
                fail("somebody waits for ever: \(machine.fibers.map { "\($0.id) \(doing[$0.id] ?? "-") \($0.next)" })")
                return
            }
        }
        counts.quiets += 1
        atRest(strict: false)
    }

    private func atRest(strict: Bool) {
        let maker = processes[0]
        machine.acting = maker.id
        machine.give(byte: LockByte.slot(maker.slot), to: maker.id)
        recoverOthers(maker)
        maker.runtime.recount()
        maker.runtime.fold()
        maker.runtime.fold()
        maker.runtime.recount()
        judge.check()
        judge.checkExact(isEmpty: strict)
        judge.check(maker.runtime.ledger)
        machine.acting = 0
    }

    private func finish() {
        for process in processes.dropFirst() where process.isAlive { machine.kill(process) }
        machine.steady += 2000 * dollar
        machine.unix += 2000 * dollar
        atRest(strict: true)
    }
}

/// Of a failing seed's trace, from the end.
let traceLines = environment("LINES") ?? 80

/// Runs seeds; the first that fails is told with its trace.
func simulate(seeds: Int, from: UInt64) throws -> Bool {
    let machine = Machine()
    Seam.world = machine
    let segment = try Segment(try Capacity(nodes: 64, records: 64, textBytes: 1 << 16, isShared: true))
    let places = segment.places
    machine.attach(segment: segment.base, bytes: segment.bytes) { place in
        let offset = place << 2
        if offset >= places.recordsAt, offset < places.recordsAt + 64 * Record.size {
            return (offset - places.recordsAt) % Record.size < 24
        }
        return offset < places.slabAt
    }
    machine.makeEverythingPoint()
    let owner = Process(id: -1, machine: machine)
    let fibers = (0..<24).map { Fiber(id: $0, process: owner) }
    machine.settle()
    var counts = Simulation.Counts()
    let began = ContinuousClock.now
    for k in 0..<seeds {
        let seed = from + UInt64(k)
        let simulation = Simulation(seed: seed, machine: machine, segment: segment, fibers: fibers, traces: false)
        let failure = try simulation.run()
        counts.add(simulation.counts)
        guard let failure else { continue }
        say("seed \(seed): \(failure)")
        let again = Simulation(seed: seed, machine: machine, segment: segment, fibers: fibers, traces: true)
        let second = try again.run()
        if second != failure { say("    (run again it says: \(second ?? "nothing"))") }
        for line in again.trace.suffix(traceLines) { say("    " + line) }
        return false
    }
    say(
        "\(seeds) seeds from \(from): \(counts.operations) operations, \(counts.grants) grants, "
            + "\(counts.settles) settles (\(counts.lates) late), \(counts.kills) kills, \(counts.stops) stops, "
            + "\(counts.quiets) times at rest, \(seconds(ContinuousClock.now - began))")
    return true
}
