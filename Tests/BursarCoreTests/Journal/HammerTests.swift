// Every call from many threads at once, in random order, over a tree that
// changes. At the end everything must add up; meanwhile no grant may pass a limit.
//
// The shadow: for each node with a limit on money the test keeps what is granted
// there, raised after a grant and lowered before the call that gives back. So it
// is never above what the runtime has truly let through, and must never be above
// the limit in force plus overruns, forced charges and reductions by an operator,
// which the test adds to `allowed` before they happen.

import Glibc
import Testing

@testable import BursarCore

@Suite(.serialized) struct HammerTests {
    @Test(arguments: [1, 2, 4, 2 * max(4, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))])
    func everyCallFromManyThreadsAddsUp(threads: Int) throws {
        let seed = runSeed &+ UInt64(threads)
        let world = try World()
        hammer(threads: threads, iterations: 24_000 * effort / threads, seed: seed) {
            thread, iteration, random in
            let actor = world.actor(thread)
            actor.random = random
            actor.act()
            random = actor.random
        }
        let place = "BURSAR_SEED=\(runSeed), \(threads) threads"
        #expect(world.wrongs.value == 0, "a grant passed a limit; \(place)")
        try world.finish(place)
    }

    @Test(arguments: [1, 2, 4, 2 * max(4, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))])
    func aSmallJournalAndTableAddUpToo(threads: Int) throws {
        let world = try World { $0.reservationsMax = 64; $0.sessionsMax = 128 }
        hammer(threads: threads, iterations: 8_000 * effort / threads, seed: runSeed) {
            thread, iteration, random in
            let actor = world.actor(thread)
            actor.random = random
            actor.act()
            random = actor.random
        }
        let place = "BURSAR_SEED=\(runSeed), \(threads) threads"
        #expect(world.wrongs.value == 0, "a grant passed a limit; \(place)")
        try world.finish(place)
    }
}

/// Threads that meet at a ceiling all the time: nothing but the compare-and-swap
/// or the undone add stands between them and one step too many.
@Suite struct CeilingTests {
    @Test(arguments: ["", ", 1B steps/min"], ["$1", "10 in_flight", "10 steps", "10 tokens"])
    func aCeilingHoldsHoweverManyMeetAtIt(other: String, limit: String) throws {
        for isPlainCharge in [false, true] {
            let t = try TestRuntime {
                $0.policy.plainCharge = isPlainCharge
                $0.reservationsMax = 128
            }
            let model = try t.model("m", input: 100_000_000_000, output: 0)  // 10 cents a token
            try t.budget("acme", limit + other)
            let sessions = try (0..<4).map { _ in try t.session("acme/team") }
            let held = Counters(2)
            hammer(threads: 4, iterations: 10_000 * effort) { thread, _, random in
                var handles: [Int64] = []
                for _ in 0...random.below(5) {
                    var q = Request()
                    q.model = model
                    q.input = 1
                    var d = Decision()
                    if t.core.reserve(sessions[thread], q, &d) == .ok {
                        handles.append(d.reservation)
                        if held[0].add(1) > 10 { held[1].value = 1 }
                    } else {
                        break
                    }
                }
                for handle in handles {
                    held[0].subtract(1)
                    _ = t.release(handle)
                }
            }
            #expect(held[1].value == 0, "more than ten; plain: \(isPlainCharge)")
            try t.expectNothingLeft()
        }
    }
}

extension CeilingTests {
    /// One place and two threads: whoever finds it free races the other for it.
    @Test(arguments: ["", ", 1B steps/min"])
    func theLastPlaceIsGivenOnce(other: String) throws {
        let t = try TestRuntime { $0.reservationsMax = 64 }
        try t.budget("acme", "1 in_flight" + other)
        let sessions = try (0..<2).map { _ in try t.session("acme") }
        let held = Counters(3)
        hammer(threads: 2, iterations: 40_000 * effort) { thread, iteration, _ in
            // Both come at once, as far as that can be had.
            _ = held[2].add(1)
            var spins = 0
            while held[2].value < 2 * (iteration + 1), spins < 2000 { spins += 1 }
            var d = Decision()
            if t.core.reserve(sessions[thread], Request(), &d) == .ok {
                // Long enough for the other to be seen.
                for _ in 0..<500 where held[0].add(1) > 500 { held[1].value = 1 }
                held[0].subtract(500)
                _ = t.release(d.reservation)
            }
        }
        #expect(held[1].value == 0, "two at once")
        try t.expectNothingLeft()
    }

    /// Two threads settle one step at the same instant, at different amounts.
    @Test func oneOfTwoSettlesWins() throws {
        let t = try TestRuntime { $0.reservationsMax = 64 }
        let team = try t.budget("acme", "$1000000")
        let session = try t.session("acme")
        let rounds = 10_000 * effort
        let words = Counters(4)  // handle, round, done, sum of what won
        let wins = Counters(1)
        hammer(threads: 2, iterations: rounds) { thread, iteration, _ in
            if thread == 0 {
                while words[2].loadAcquiring() < Int64(2 * iteration) { sched_yield() }
                words[0].value = t.granted(session, 100).reservation
                words[1].storeReleasing(Int64(iteration + 1))
            } else {
                while words[1].loadAcquiring() <= Int64(iteration) { sched_yield() }
            }
            let (status, r) = t.settle(words[0].value, cost: thread == 0 ? 10 : 130)
            if status == .ok {
                _ = wins[0].add(1)
                _ = words[3].add(r.costNanos)
            }
            _ = words[2].add(1)
        }
        #expect(wins[0].value == Int64(rounds))
        #expect(try t.spent(team) == words[3].value && t.committed(team) == words[3].value)
        try t.expectNothingLeft()
    }
}

/// A node of the tree with a limit on money, and its shadow.
struct Ground {
    var id: Int64
    /// Where its counters lie; its ancestors' too.
    var slots: [Int]
}

/// What all threads share.
final class World: @unchecked Sendable {  // Sendable: set up before the threads start.
    let t: TestRuntime
    let granted = Counters(1 << 17)
    let allowed = Counters(1 << 17)
    private let made = Counters(2)
    var wrongs: Word { made[1] }
    var teams: [Ground] = []
    var orgs: [Int64] = []
    var loose: [Int64] = []
    private var actors: [Actor] = []
    let models: [Int32]
    let tool: Int32
    let credits: Int32

    init(_ configure: (inout OpenOptions) -> Void = { _ in }) throws {
        t = try TestRuntime {
            $0.policy.unknownModel = .free
            $0.eventsMax = 256
            $0.reservationsMax = 2048
            $0.timeToLive = 1000 * hour  // nothing in the shadow expires
            configure(&$0)
        }
        try t.listen()
        t.runtime.setCallback { _ in }
        models = [
            try t.model("dear", input: 3_000_000, output: 15_000_000),
            try t.model("fair", input: 300_000, output: 1_500_000),
            try t.model("free", input: 0, output: 0), try t.model("nobody-knows-me"),
        ]
        tool = try t.tool("search", price: 1_000_000)
        credits = try t.meter("credits")
        for o in 0..<2 {
            let limit = 400 * dollar
            // Below the first, steps take the short route; below the second, the walk.
            let rate = o == 0 ? "" : ", 2000 steps/min burst 500"
            let org = try t.budget("org\(o)", "$400 alert 50%, 50 in_flight" + rate)
            orgs.append(org)
            let slot = newSlot(allowed: limit)
            for k in 0..<3 {
                let text = ["$200 downgrade 60%", "$150, 1M tokens/day, $30/1h", "$100 then pause, 500 credits"][k]
                let team = try t.budget("org\(o)/team\(k)", text + ", $5/session, 400 calls(search)")
                teams.append(
                    Ground(id: team, slots: [slot, newSlot(allowed: Int64([200, 150, 100][k]) * dollar)]))
            }
        }
        for k in 0..<3 { loose.append(try t.budget("loose/b\(k)", "$5/day, $2/1h, 100 steps")) }
        for k in 0..<64 { actors.append(Actor(self, k)) }
    }

    func actor(_ thread: Int) -> Actor { actors[thread] }

    func newSlot(allowed amount: Int64) -> Int {
        let slot = Int(made[0].add(1) - 1) % (1 << 17)
        allowed[slot].value = amount
        granted[slot].value = 0
        return slot
    }

    /// After a grant.
    func grant(_ amount: Int64, _ slots: [Int]) {
        for slot in slots where granted[slot].add(amount) > allowed[slot].value { wrongs.value = 1 }
    }

    /// Before what may pass a limit.
    func allow(_ amount: Int64, _ slots: [Int]) {
        for slot in slots { _ = allowed[slot].add(amount) }
    }

    func finish(_ place: String) throws {
        for actor in actors { actor.settleAll() }
        for id in orgs + loose + teams.map(\.id) + [0] {
            try? t.control(.revive, id)
            try? t.control(.resume, id)
        }
        t.pass(1001 * hour)  // what was left to expire
        t.runtime.fold()
        let failure = t.runtime.verify()
        #expect(failure == nil, "id \(failure?.id ?? 0) has \(failure?.values.0 ?? 0), not \(failure?.values.1 ?? 0); \(place)")
        for ground in teams {
            let committed = try t.committed(ground.id)
            #expect(committed == (try t.spent(ground.id)), "\(place)")
            #expect(committed <= allowed[ground.slots[1]].value, "\(place)")
        }
        for id in orgs { #expect(try t.committed(id, 7) == 0, "\(place)") }
        let health = t.runtime.health()
        #expect(health.reservations == 0, "\(place)")
        #expect(health.timers < 5000, "\(place)")
        print(
            "\(place): \(health.settledSteps) settled, \(health.refusals) refused",
            "(\(health.transientRefusals) transient), \(health.estimatedSteps) estimated,",
            "\(health.lateSettles) late, \(health.overrunNanos / cent) cents overrun,",
            "\(health.folds) folds")
        t.runtime.setCallback(nil)
        try t.expectNothingLeft()
    }
}

/// One thread's sessions and steps.
final class Actor: @unchecked Sendable {  // Sendable: each is one thread's.
    struct Held {
        var handle: Int64
        var nanos: Int64
        var slots: [Int]
        var isCounted: Bool
    }
    struct Open {
        var id: Int64
        var slots: [Int]
    }

    unowned let world: World
    var random = Random(seed: 0)
    private var held: [Held] = []
    private var done: [Int64] = []
    private var expiring: [Held] = []
    private var open: [Open] = []

    init(_ world: World, _ thread: Int) { self.world = world }

    private var t: TestRuntime { world.t }

    func act() {
        switch random.below(100) {
        case 0..<35: reserve()
        case 35..<60: settle()
        case 60..<64: release()
        case 64..<67: beginOrStream()
        case 67..<71: charge()
        case 71..<75: openSession()
        case 75..<77: closeSession()
        case 77..<80: settleAgain()
        case 80..<84: read()
        case 84..<87: control()
        case 87..<89: changeLimits()
        case 89..<91: changeLoose()
        case 91..<92: moveTime()
        case 92..<94: settleLate()
        case 94..<95: t.runtime.fold()
        case 95..<96: nonsense()
        case 96..<97: names()
        default: reserve()
        }
    }

    private func anySession() -> Open? {
        if open.isEmpty { openSession() }
        return open.isEmpty ? nil : open[random.below(open.count)]
    }

    private func reserve() {
        guard let session = anySession() else { return }
        var q = Request()
        q.flags = UInt32(random.below(64))
        switch random.below(6) {
        case 0: q.extraNanos = random.amount(0...dollar / 4)
        case 1: q.tool = world.tool
        case 2:
            q.meter = world.credits
            q.units = random.amount(1...20)
        default:
            q.model = random.chance(3) ? 0 : world.models[random.below(4)]
            q.input = random.amount(0...20_000)
            q.inputUpper = random.chance(2) ? q.input + 100 : 0
            q.maxOutput = random.amount(0...20_000)
            q.choices = Int32(random.below(3))
        }
        q.complexity = Int32(random.below(4))
        if random.chance(50) { q.extraNanos = 300 * dollar }
        let expires = random.chance(20)
        if expires { q.timeToLive = random.amount(1...2_000_000) }
        if let first = held.first { q.parent = first.handle }
        var d = Decision()
        let status = t.core.reserve(session.id, q, &d)
        if status != .ok {
            if status == .refused, random.chance(10) { _ = t.runtime.explain(d) }
            return
        }
        let step = Held(
            handle: d.reservation, nanos: d.reservedNanos, slots: session.slots, isCounted: !expires)
        if expires {
            expiring.append(step)
        } else {
            world.grant(d.reservedNanos, session.slots)
            held.append(step)
        }
        if held.count > 40 { settle() }
    }

    private func finish(_ step: Held) {
        var report = Report()
        report.flags = Report.cost
        report.key = (random.chance(3) ? random.next() : 0, 0)
        if random.chance(8) {
            // An overrun.
            report.costNanos = step.nanos + random.amount(1...dollar / 10)
        } else {
            report.costNanos = random.amount(0...step.nanos)
        }
        if random.chance(6) { report.flags |= UInt32(random.below(8)) }
        if report.flags & (Report.incomplete | Report.worst) != 0 { report.costNanos = step.nanos }
        report.usage.inputTokens = random.amount(0...30_000)
        report.usage.outputTokens = random.amount(0...30_000)
        report.units = random.amount(0...30)
        if report.flags & Report.cost == 0 { report.usage = Usage() }
        let known = report.flags & Report.cost != 0
        let cost = known ? report.costNanos : step.nanos
        let overrun = max(cost - step.nanos, 0)
        if step.isCounted {
            world.allow(overrun, step.slots)
            for slot in step.slots { world.granted[slot].subtract(step.nanos) }
        }
        var receipt = Receipt()
        let status = t.core.settle(step.handle, report, &receipt)
        if status == .ok, step.isCounted { world.grantSettled(receipt.costNanos, step.slots) }
        done.append(step.handle)
        if done.count > 100 { done.removeFirst(50) }
    }

    private func settle() {
        if held.isEmpty { return }
        finish(held.remove(at: random.below(held.count)))
    }

    private func release() {
        if held.isEmpty { return }
        let step = held.remove(at: random.below(held.count))
        for slot in step.slots { world.granted[slot].subtract(step.nanos) }
        _ = t.core.release(step.handle)
        done.append(step.handle)
    }

    private func beginOrStream() {
        guard let step = held.randomElement(using: &random) else { return }
        if random.chance(2) {
            _ = t.core.begin(step.handle)
        } else {
            _ = t.stream(step.handle, random.amount(0...30_000))
        }
    }

    private func charge() {
        guard let session = anySession() else { return }
        let isForced = random.chance(4)
        let nanos = random.amount(0...dollar / 10)
        if isForced { world.allow(nanos + 1_000_000, session.slots) }
        let (status, _, r) = t.charge(session.id, nanos) {
            if isForced { $0.flags = DirectCharge.force }
            if random.chance(3) { $0.tool = world.tool }
            if random.chance(3) {
                $0.meter = world.credits
                $0.units = random.amount(1...3)
            }
            if random.chance(3) { $0.key = (UInt64(random.below(100) + 1), 0) }
        }
        if status == .ok, !r.has(Receipt.replay) { world.grant(r.costNanos, session.slots) }
    }

    private func openSession() {
        if open.count > 12 { return closeSession() }
        if let parent = open.randomElement(using: &random), random.chance(3) {
            if let id = try? t.child(of: parent.id, random.chance(2) ? "$1" : "") {
                open.append(Open(id: id, slots: parent.slots))
            }
            return
        }
        if random.chance(5) {
            let k = random.below(world.loose.count)
            if let id = try? t.session("loose/b\(k)", "1h wall, 5m idle, $1/day") {
                open.append(Open(id: id, slots: []))
            }
            return
        }
        let k = random.below(world.teams.count)
        var slots = world.teams[k].slots
        let own = random.chance(2)
        if own { slots.append(world.newSlot(allowed: 3 * dollar)) }
        let ladder = random.chance(2) ? "dear,fair,free" : ""
        if let id = try? t.session(
            "org\(k / 3)/team\(k % 3)", own ? "$3, 60 steps, 8 in_flight" : "", ladder: ladder,
            holdback: k / 3 == 1 && random.chance(3) ? dollar / 20 : 0)
        {
            open.append(Open(id: id, slots: slots))
        }
    }

    private func closeSession() {
        if open.isEmpty { return }
        let session = open.remove(at: random.below(open.count))
        try? t.runtime.sessionClose(session.id)
        if random.chance(3) { open.append(session) }  // and used all the same
    }

    private func settleAgain() {
        guard let handle = done.randomElement(using: &random) else { return }
        switch random.below(4) {
        case 0: _ = t.core.release(handle)
        case 1: _ = t.core.begin(handle)
        case 2: _ = t.stream(handle, 5)
        default: _ = t.settle(handle, input: 0, output: 0) { $0.flags = Report.cost }
        }
    }

    private func settleLate() {
        if expiring.isEmpty { return }
        let step = expiring.remove(at: random.below(expiring.count))
        if random.chance(3) { return }  // never
        if random.chance(2) { t.runtime.clock.shiftSteady(by: 3_000_000) }
        world.allow(step.nanos + dollar / 10, step.slots)
        for _ in 0...random.below(3) { finish(step) }
    }

    private func read() {
        let ids = world.orgs + world.teams.map(\.id) + world.loose + open.map(\.id) + [0]
        let id = ids[random.below(ids.count)]
        switch random.below(9) {
        case 0: _ = try? t.runtime.read(id)
        case 1: _ = try? t.runtime.meterRead(id, Int32(random.below(12)))
        case 2: _ = try? t.runtime.limitRead(id, UInt32(random.below(5)))
        case 3: _ = try? t.runtime.textRead(id, TextKind(rawValue: Int32(1 + random.below(11)))!)
        case 4: _ = try? t.runtime.children(id) { _ in }
        case 5: _ = t.runtime.spendRead(random.below(4))
        case 6: _ = t.runtime.health()
        case 7: while t.runtime.takeEvent() != nil {}
        default: _ = try? t.runtime.attend(id, who: [])
        }
    }

    private func control() {
        let ids = world.teams.map(\.id) + world.loose + open.map(\.id)
        let id = random.chance(20) ? 0 : ids[random.below(ids.count)]
        let isKill = random.chance(2)
        try? t.control(isKill ? .kill : .pause, id, "why")
        if let session = open.first { _ = t.reserve(session.id, 0) }
        try? t.control(isKill ? .revive : .resume, id)
    }

    /// A limit of a team goes up, then down again, or is topped up.
    private func changeLimits() {
        let k = random.below(world.teams.count)
        let slots = [world.teams[k].slots[1]]
        let id = world.teams[k].id
        switch random.below(3) {
        case 0:
            world.allow(dollar, slots)
            try? t.topUp(id, "$1", for: random.chance(2) ? random.amount(1...hour) : 0)
        case 1:
            // Any text of limits whose money is not above what `allowed` began with.
            let texts = ["$200", "$150", "$100"]
            try? t.setLimits(id, texts[k % 3] + [", 300 steps/hour", "", ", 2M tokens, 9 in_flight"][random.below(3)])
        default:
            try? t.setLimits(id, ["$40", "$20/day, $50", "$90, 5000 steps"][random.below(3)])
        }
    }

    /// Where nothing is counted in the shadow, everything may happen.
    private func changeLoose() {
        let k = random.below(world.loose.count)
        let id = world.loose[k]
        switch random.below(6) {
        case 0: try? t.runtime.observe(id, random.chance(2))
        case 1: try? t.setLimits(id, "$\(random.below(50))/day, $2/1h, 10 in_flight, 60 steps/min")
        case 2: try? t.setLimits(id, "unlimited")
        case 3: _ = try? t.budget("loose/b\(k)", "$5") { $0.replaces = random.chance(2) }
        case 4:
            let name = "loose/new\(random.below(5))"
            _ = try? t.budget(name, "$3, 5 credits")
            if let new = try? t.runtime.budgetFind([UInt8](name.utf8)) {
                try? t.runtime.budgetRemove(new)
            }
        default: try? t.topUp(id, "$1")
        }
    }

    private func moveTime() {
        t.runtime.clock.shiftSteady(by: random.amount(0...minute))
        t.runtime.clock.shiftUnix(by: random.amount(-2...2) * hour + hour / 2)
        if random.chance(4) { t.attend() }
    }

    private func nonsense() {
        let handle = Int64(bitPattern: random.next() >> UInt64(random.below(40)))
        _ = t.settle(handle, cost: 5)
        _ = t.core.release(handle)
        _ = t.core.begin(handle)
        _ = t.stream(handle, 5)
        _ = t.reserve(handle, 5)
        _ = t.charge(handle, 5)
        _ = try? t.runtime.read(handle)
        try? t.setLimits(handle, "$5")
        try? t.control(.kill, handle | 1 << 62)
    }

    private func names() {
        _ = try? t.meter("m\(random.below(10))")
        _ = try? t.tool("tool\(random.below(10))", price: random.amount(0...1000))
        _ = try? t.model("model\(random.below(20))", input: random.chance(2) ? 5 : -1, output: 5)
    }

    func settleAll() {
        while let step = held.popLast() {
            if random.chance(2) { finish(step) } else { _ = t.core.release(step.handle) }
        }
        for step in expiring { _ = t.settle(step.handle, cost: 0) }
        expiring = []
        for session in open { try? t.runtime.sessionClose(session.id) }
    }
}

extension World {
    /// After a settle: what it cost stays. No check: an overrun is no grant.
    func grantSettled(_ amount: Int64, _ slots: [Int]) {
        for slot in slots { _ = granted[slot].add(amount) }
    }
}

extension Random: RandomNumberGenerator {}
