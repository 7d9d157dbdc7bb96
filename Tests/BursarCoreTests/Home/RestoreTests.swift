// A home whose segment is gone: what its ledger knows comes back, whenever somebody is
// killed while that happens, or not at all, with a sentence.

import Glibc
import Testing

@testable import BursarCore
@testable import CPlatform

/// A home that reboots.
private final class RestoredHome {
    let folder: TestFolder
    init() throws { folder = try TestFolder() }
    deinit {
        guard let folder = try? Folder(path, mustExist: true), let record = try? HomeRecord(of: folder)
        else { return }
        _ = bursar__unlink(record.segment + [0])
        _ = bursar__unlink(record.segment + bytes(".new") + [0])  // of one that was killed
    }

    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
    var path: [UInt8] { folder.path }
    var record: HomeRecord {
        get throws { try #require(try HomeRecord(of: try Folder(path))) }
    }

    func open() throws -> TestRuntime {
        let path = path
        return try TestRuntime { $0.home = path }
    }

    /// Nobody has it open: the segment is gone, and the machine was started anew.
    func reboot() throws { try RestoredHome.reboot(path) }

    static func reboot(_ path: [UInt8]) throws {
        let folder = try Folder(path)
        guard let record = try HomeRecord(of: folder) else { return }
        _ = bursar__unlink(record.segment + [0])
        record.boot = [UInt8]("00000000-0000-0000-0000-000000000000".utf8)
        try record.write(to: folder)
    }

    func query(_ sql: String) throws -> [[String]] {
        try Reader(Database.path(in: path)).rows(sql)
    }
}

extension TestRuntime {
    /// All that can be read of the budgets, but for what only a process can know.
    fileprivate func readings() throws -> [String] {
        var lines: [String] = []
        try read(0, "", &lines)
        return lines.sorted()
    }

    private func read(_ id: Int64, _ path: String, _ lines: inout [String]) throws {
        func text(_ kind: TextKind) throws -> String {
            RestoredHome.text(try runtime.textRead(id, kind))
        }
        let view = try runtime.read(id)
        #expect(view.reservedNanos == 0)
        let i = Int(id & 0xFFFF_FFFF)
        let words = runtime.words(of: i)
        lines.append(
            "\(path): state \(view.state) \(view.effectiveState) \(view.reason) flags \(view.flags) spent \(view.spentNanos) left \(view.remainingNanos) steps \(view.steps) calls \(view.toolCalls) in \(view.inputTokens) out \(view.outputTokens) limits \(view.limits)"
        )
        lines.append(
            "\(path): \(try text(.owner)) | \(try text(.costCenter)) | \(try text(.purpose)) | \(try text(.limits)) | \(try text(.reason)) | \(RestoredHome.text(words.who)) | \(words.when) | \(core.node(i).complexity) | \(i == 0 ? 0 : core.node(i).rungs.value)"
        )
        for meter in Int32(0)..<32 {
            guard let view = try? runtime.meterRead(id, meter) else { continue }
            let name = meter < 8 ? "\(meter)" : RestoredHome.text(try runtime.textRead(Int64(meter), .meter))
            lines.append("\(path): meter \(name) \(view)")
        }
        var slots: [LimitSlot] = []
        runtime.eachLimit(i) { _, limit in slots.append(limit) }
        for k in slots.indices {
            let limit = try runtime.limitRead(id, UInt32(k))
            let isRolling = slots[k].windowKind == WindowCode.rolling
            var line = "\(path): limit \(RestoredHome.text(limit.text)) \(limit.amount) \(limit.extra) \(slots[k].end)"
            // A clock that goes on is compared by itself.
            if limit.meter < 32, !slots[k].isRate {
                line += " spent \(limit.spent) \(limit.committed) \(limit.remaining)"
                if !isRolling { line += " \(limit.startUnixNanos) \(limit.endUnixNanos)" }
            }
            if slots[k].fired.value & LimitFlag.midway != 0 {
                line += " since \(slots[k].base(Int(slots[k].window.value & 1) ^ 1).value)"
            }
            // That it refuses is told again at worst.
            lines.append(line + " told \(slots[k].fired.value & (limit.meter < 32 ? 31 : LimitFlag.told))")
        }
        runtime.eachTopUp(of: core.id(of: i)) { l, amount, _ in lines.append("\(path): top-up \(amount)") }
        var children: [Int64] = []
        _ = try runtime.children(id) { children.append($0) }
        for child in children where !core.node(Int(child & 0xFFFF_FFFF)).isSession {
            try read(child, RestoredHome.text(try runtime.textRead(child, .path)), &lines)
        }
    }

    func find(_ path: String) throws -> Int64 { try runtime.budgetFind([UInt8](path.utf8)) }
}

@Suite(.serialized) struct RestoreTests {
    private let home: RestoredHome
    init() throws { home = try RestoredHome() }

    /// Budgets with all that a budget can have, and steps of every kind.
    private func work(_ t: TestRuntime) throws {
        let credits = try t.meter("credits")
        try t.budget("acme", "$1000/month, 5M tokens/day alert 1% 50%, 900 credits") {
            $0.owner = [UInt8]("ann".utf8)
            $0.costCenter = [UInt8]("cc-7".utf8)
            $0.purpose = [UInt8]("all of it".utf8)
            $0.topRungs = (1, 2, 3, 4)
        }
        try t.budget("acme/support", "$50/day downgrade 80%, $40/5h, 9 in_flight, 10 calls(search)/day") {
            $0.owner = [UInt8]("bob".utf8)
            $0.complexity = 2
        }
        try t.budget("acme/support/triage", "$20, 1h wall, $1 per session, 60 steps/min")
        try t.budget("acme/quiet", "2h wall")
        let watched = try t.budget("watched", "$3/day then observe") { $0.isObserved = true }
        let gone = try t.budget("acme/gone", "$5")
        let model = try t.model("m", input: 3_000, output: 15_000)
        let tool = try t.tool("search", price: 7)
        var sessions: [Int64] = []
        for path in ["acme/support/triage", "acme/support", "acme", "acme/gone", "beta/undeclared/x", "watched"] {
            try t.budget("beta", "$9")
            sessions.append(try t.session(path))
        }
        sessions.append(try t.child(of: sessions[0]))
        for (k, session) in sessions.enumerated() {
            for n in 0..<5 {
                let d = t.granted(session) {
                    $0.model = model
                    $0.input = 2_000 + Int64(n)
                    $0.maxOutput = 1_000
                    if n == 2 { $0.tool = tool }
                    if n == 3 {
                        $0.units = 4
                        $0.meter = credits
                    }
                }
                t.settle(d.reservation, input: 1_000 + Int64(k * n), output: 500 + Int64(n)) {
                    $0.usage.cacheReadInputTokens = Int64(100 * n)
                    $0.usage.reasoningOutputTokens = 50
                    if n == 3 { $0.units = 3 }
                }
            }
            t.spend(session, 12_345_678)
        }
        t.spend(sessions[5], 4 * dollar)
        try t.runtime.sessionClose(sessions[3])
        try t.runtime.budgetRemove(gone)
        try t.topUp(try t.find("acme/support"), "$7")
        try t.topUp(try t.find("acme/support"), "$2", for: hour)
        try t.control(.kill, watched, "ran away")
        try t.control(.pause, try t.find("acme/quiet"), "lunch")
        // An operator's cut.
        try t.setLimits(try t.find("acme/support/triage"), "$15, 1h wall, 60 steps/min")
        // One that is settled at its worst, and corrected.
        let lost = t.granted(sessions[2], 100) { $0.timeToLive = 1 }
        usleep(2000)
        _ = t.runtime.scan()
        t.attend()
        t.runtime.fold()
        #expect(t.settle(lost.reservation, cost: 40).r.has(Receipt.late))
        t.runtime.fold()
        t.attend()
        try t.runtime.sessionClose(sessions[2])
        #expect(t.runtime.verify() == nil)
    }

    /// The counters say what the views say.
    private func expectSameInSQL(_ t: TestRuntime, at place: SourceLocation = #_sourceLocation) throws {
        for row in try home.query(
            "SELECT path, cost_nanos, steps, tool_calls, state, owner FROM v_budgets WHERE closed_at IS NULL AND path<>''")
        {
            let id = try t.find(row[0])
            let view = try t.runtime.read(id)
            #expect(row[1...3] == ["\(view.spentNanos)", "\(view.steps)", "\(view.toolCalls)"], "\(row)", sourceLocation: place)
            #expect((row[4] == "killed") == (view.state == 3) && (row[4] == "paused") == (view.state == 1), "\(row)", sourceLocation: place)
        }
        for row in try home.query(
            "SELECT b.path, meter, spent FROM v_meters JOIN budgets b ON b.id=budget WHERE b.closed_at IS NULL AND b.path<>''")
        {
            let id = try t.find(row[0])
            let names = ["cost", "tokens", "input_tokens", "output_tokens", "fresh_tokens", "steps", "tool_calls"]
            let known = names.firstIndex(of: row[1]).map { Int32($0) }
            guard let meter = try known ?? t.runtime.configuring({ t.runtime.meter(named: [UInt8](row[1].utf8)).map { Int32($0) } }),
                let view = try? t.runtime.meterRead(id, meter)
            else { continue }
            #expect("\(view.spent)" == row[2], "\(row)", sourceLocation: place)
        }
        #expect(try Database(Database.path(in: home.path)).connection.verify().isEmpty, sourceLocation: place)
        let steps = try home.query("SELECT total(cost_nanos), coalesce(sum(steps),0), coalesce(sum(input_tokens),0), coalesce(sum(output_tokens),0) FROM v_steps")[0]
        let all = try t.runtime.read(0)
        #expect(steps[1...3] == ["\(all.steps)", "\(all.inputTokens)", "\(all.outputTokens)"], sourceLocation: place)
        #expect(try home.query("SELECT count(*) FROM sessions WHERE closed_at IS NULL") == [["0"]], sourceLocation: place)
    }

    @Test func allComesBackAfterAReboot() throws {
        var t: TestRuntime? = try home.open()
        try work(t!)
        let before = try t!.readings()
        t = nil
        for _ in 0..<3 {
            try home.reboot()
            t = try home.open()
            expectEqual(try t!.readings(), before)
            try expectSameInSQL(t!)
            #expect(t!.runtime.verify() == nil)
            #expect(try home.query("SELECT count(*) FROM segments WHERE batch=0") == [["0"]])
            t = nil
        }
        // And it works on: limits hold, kills stand until they are undone.
        t = try home.open()
        let s = try t!.session("watched")
        #expect(t!.refused(s, 1).reason == .killed)
        try t!.control(.revive, try t!.find("watched"))
        try t!.setLimits(try t!.find("acme/support/triage"), "$15, 1h wall")
        let triage = try t!.session("acme/support/triage")
        let spent = try t!.spent(try t!.find("acme/support/triage"))
        #expect(t!.refused(triage, 15 * dollar - spent + 1).limit == 15 * dollar)
        t!.spend(triage, 15 * dollar - spent)
        t!.runtime.fold()
        #expect(try t!.remaining(try t!.find("acme/support/triage")) == 0)
        let now = try t!.readings()
        t = nil
        try home.reboot()
        t = try home.open()
        expectEqual(try t!.readings(), now)
        try expectSameInSQL(t!)
    }

    @Test func whatWasSentAndNeverSettledIsCountedAtItsWorstAndHoldsAreGivenBack() throws {
        var t: TestRuntime? = try home.open()
        let id = try t!.budget("acme", "$10")
        let session = try t!.session("acme")
        t!.spend(session, dollar)
        _ = t!.granted(session, 2 * dollar)
        _ = t!.granted(session, 4 * dollar) { $0.flags = Request.hold }
        #expect(try t!.remaining(id) == 3 * dollar)
        t = nil
        try home.reboot()
        t = try home.open()
        #expect(try t!.spent(try t!.find("acme")) == 3 * dollar)
        #expect(try t!.remaining(try t!.find("acme")) == 7 * dollar)
        #expect(try home.query("SELECT cost_nanos, estimated FROM v_steps WHERE cost_nanos>0 ORDER BY 1") == [["1000000000", "0"], ["2000000000", "1"]])
        try expectSameInSQL(t!)
    }

    /// A process sends three steps, settles and releases one each, and is killed.
    private static func sendAndDie(_ path: [UInt8], settles: Bool) throws {
        let t = try TestRuntime { $0.home = path }
        t.runtime.loop.stop()
        try t.budget("acme", "$50, 9k tokens/day")
        let session = try t.session("acme")
        let model = try t.model("m", input: 1_000_000_000, output: 0)
        t.spend(session, dollar)
        let sent = t.granted(session) {
            $0.model = model
            $0.input = 2_000
            $0.maxOutput = 10
        }
        let settled = t.granted(session, 4 * dollar)
        let released = t.granted(session, 8 * dollar)
        _ = t.granted(session, 16 * dollar) { $0.flags = Request.hold }
        t.runtime.clock.shiftSteady(by: 2 * second)
        t.runtime.fold()
        if settles {
            t.settle(settled.reservation, cost: 3 * dollar)
            #expect(t.core.release(released.reservation) == .ok)
            t.runtime.clock.shiftSteady(by: 2 * second)
            t.runtime.fold()
        }
        #expect(sent.reservedNanos == 2 * dollar)
        kill(getpid(), SIGKILL)
    }

    @Test func whatIsInFlightWhenEverybodyIsKilledIsCountedAtItsWorst() async throws {
        for settles in [false, true] {
            let home = try RestoredHome()
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = home.path as [UInt8], settles = settles as Bool] in
                try RestoreTests.sendAndDie(path, settles: settles)
            }
            for _ in 0..<3 {
                try home.reboot()
                let t = try home.open()
                let spent = (settles ? 1 + 3 + 2 : 1 + 2 + 4 + 8) * dollar
                #expect(try t.spent(try t.find("acme")) == spent)
                #expect(try t.spent(try t.find("acme"), 1) == 2_010)
                #expect(try home.query("SELECT sum(estimated), sum(direct_cost_nanos) FROM v_sessions") == [[settles ? "1" : "3", "\(spent)"]])
                for line in try Database(Database.path(in: home.path)).connection.verify() {
                    Issue.record("\(RestoredHome.text(line.name)) \(RestoredHome.text(line.meter)) \(line.stored) \(line.computed)")
                }
                #expect(t.runtime.verify() == nil)
            }
        }
    }

    @Test func whatWasInFlightAndReleasedBeforeTheCloseIsNothing() throws {
        var t: TestRuntime? = try home.open()
        try t!.budget("acme", "$50")
        let d = t!.granted(try t!.session("acme"), 8 * dollar)
        t!.runtime.clock.shiftSteady(by: 2 * second)
        t!.runtime.fold()
        #expect(t!.core.header(Header.flightsTold).value == 1)
        #expect(t!.core.release(d.reservation) == .ok)
        t = nil
        try home.reboot()
        t = try home.open()
        #expect(try t!.spent(try t!.find("acme")) == 0)
        try expectSameInSQL(t!)
    }

    @Test func whatABudgetHasEarnedComesBackAndCanBeTakenBack() throws {
        var t: TestRuntime? = try home.open()
        try t!.budget("acme", "$5, $9/day, $8/5h") {
            $0.earn = 2 * dollar
            $0.earnMost = 6 * dollar
            $0.earnOutcome = [UInt8]("paid".utf8)
        }
        let session = try t!.session("acme")
        for id in ["a", "b"] {
            try t!.outcome("paid", dollar, id: id, by: "agent") { $0.session = session }
            try t!.outcome("paid", id: id, .verified, by: "ada")
        }
        try t!.topUp(try t!.find("acme"), "$1", for: hour)
        for _ in 0..<3 {
            #expect(try (0..<3).map { try t!.runtime.limitRead(try t!.find("acme"), $0).earned } == [4 * dollar, 4 * dollar, 4 * dollar])
            #expect(try t!.runtime.limitRead(try t!.find("acme"), 0).extra == 5 * dollar)
            t = nil
            try home.reboot()
            t = try home.open()
        }
        try t!.outcome("paid", id: "a", .disputed, by: "bob")
        #expect(try (0..<3).map { try t!.runtime.limitRead(try t!.find("acme"), $0).earned } == [2 * dollar, 2 * dollar, 2 * dollar])
        #expect(t!.runtime.verify() == nil)
    }

    /// Verifies and disputes until somebody kills the process.
    private static func judgeUntilKilled(_ path: [UInt8], _ round: Int) throws {
        let t = try TestRuntime { $0.home = path }
        try t.budget("acme", "$5") {
            $0.earn = 2 * dollar
            $0.earnMost = 9 * dollar
        }
        let session = try t.session("acme")
        var thread = pthread_t()
        let time = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
        time.pointee = UInt32(2_000 + round * 7_919 % 40_000)
        pthread_create(&thread, nil, { time in
            usleep(time!.load(as: UInt32.self))
            kill(getpid(), SIGKILL)
            return nil
        }, time)
        var k = round
        while true {
            k += 1
            let id = "\(k % 7)"
            try? t.outcome("paid", dollar, id: id, by: "agent") { $0.session = session }
            try? t.outcome("paid", id: id, k % 3 == 0 ? .disputed : .verified, by: "p\(k)")
        }
    }

    @Test func whoIsKilledWhileItEarnsLeavesWhatTheLedgerSays() async throws {
        for round in 0..<12 {
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = home.path as [UInt8], round = round as Int] in
                try RestoreTests.judgeUntilKilled(path, round)
            }
            if round % 3 == 0 { try home.reboot() }
            let t = try home.open()
            for _ in 0..<500 {
                t.runtime.loop.ring()
                if !t.runtime.isEarningDue { break }
                usleep(10_000)
            }
            #expect(!t.runtime.isEarningDue)
            guard let id = try? t.find("acme") else { continue }  // killed before it was there
            let verified = try #require(Int64(try t.ask("SELECT count(*) FROM v_outcomes WHERE state='verified'")[0][0]))
            #expect(try t.runtime.limitRead(id, 0).earned == min(verified * 2 * dollar, 9 * dollar), "round \(round)")
            #expect(t.runtime.verify() == nil)
        }
    }

    @Test func aRateThatWasUsedUpIsUsedUpStill() throws {
        var t: TestRuntime? = try home.open()
        try t!.budget("acme", "3 steps/min")
        var session = try t!.session("acme")
        for _ in 0..<3 { t!.spend(session, 1) }
        #expect(t!.refused(session, 1).reason == .rate)
        t = nil
        try home.reboot()
        t = try home.open()
        session = try t!.session("acme")
        #expect(t!.refused(session, 1).reason == .rate)
    }

    @Test func everythingThatWasKilledStaysSoAndWhatIsInheritedIsInheritedStill() throws {
        var t: TestRuntime? = try home.open()
        try t!.budget("acme", "$10") { $0.owner = [UInt8]("ann".utf8) }
        try t!.budget("acme/own", "$10") { $0.owner = [UInt8]("ann".utf8) }
        try t!.budget("acme/heir", "$10")
        try t!.control(.kill, 0, "enough")
        try t!.runtime.observe(0, true)
        let before = try t!.readings()
        t = nil
        try home.reboot()
        t = try home.open()
        expectEqual(try t!.readings(), before)
        #expect(try t!.runtime.read(0).state == 3)
        try t!.control(.revive, 0)
        try t!.budget("acme", "$10") {
            $0.replaces = true
            $0.owner = [UInt8]("eve".utf8)
        }
        for (path, owner) in [("acme/own", "ann"), ("acme/heir", "eve")] {
            #expect(RestoredHome.text(try t!.runtime.textRead(try t!.find(path), .owner)) == owner)
        }
        t = nil
        try home.reboot()
        t = try home.open()
        #expect(try t!.runtime.read(0).state == 0)
        #expect(RestoredHome.text(try t!.runtime.textRead(try t!.find("acme/heir"), .owner)) == "eve")
    }

    @Test func aMeterThatIsYoungerThanItsBudgetCountsAllAndItsLimitOnlyItsOwn() throws {
        var t: TestRuntime? = try home.open()
        let credits = try t!.meter("credits")
        let id = try t!.budget("acme", "$10")
        let session = try t!.session("acme")
        func spend(_ units: Int64) {
            let d = t!.granted(session, 5) {
                $0.units = units
                $0.meter = credits
            }
            t!.settle(d.reservation, cost: 5, units: units)
        }
        spend(30)
        t!.runtime.fold()
        try t!.setLimits(id, "$10, 100 credits, 100 credits/day, 100 credits/5h")
        spend(7)
        t!.runtime.fold()
        for _ in 0..<2 {
            for k in 1..<4 { #expect(try t!.runtime.limitRead(try t!.find("acme"), UInt32(k)).remaining == 93) }
            t = nil
            try home.reboot()
            t = try home.open()
            let number = try #require(try t!.runtime.configuring { t!.runtime.meter(named: [UInt8]("credits".utf8)) })
            #expect(try t!.spent(try t!.find("acme"), Int32(number)) == 37)
            try expectSameInSQL(t!)
        }
    }

    @Test func timeGoesOnAndStandsWhereItStood() throws {
        var t: TestRuntime? = try home.open()
        let ids = [try t!.budget("runs", "1h wall"), try t!.budget("stands", "1h wall")]
        usleep(50_000)
        try t!.control(.pause, ids[0])
        usleep(30_000)
        try t!.control(.resume, ids[0])
        try t!.control(.pause, ids[1])
        usleep(20_000)
        let unix = t!.runtime.clock.unix
        let before = try ids.map { try t!.runtime.limitRead($0, 0).spent }
        t = nil
        try home.reboot()
        usleep(20_000)
        for _ in 0..<2 {
            t = try home.open()
            let passed = t!.runtime.clock.unix - unix
            let runs = try t!.runtime.limitRead(try t!.find("runs"), 0).spent
            #expect(abs(runs - before[0] - passed) < second / 4)
            #expect(abs(try t!.runtime.limitRead(try t!.find("stands"), 0).spent - before[1]) < second / 100)
            t = nil
            try home.reboot()
        }
    }

    @Test func aTopUpThatEndedMeanwhileIsGone() throws {
        var t: TestRuntime? = try home.open()
        let id = try t!.budget("acme", "$10")
        try t!.topUp(id, "$5", for: hour)
        try t!.topUp(id, "$3", for: 2 * hour)
        t = nil
        try home.drain()
        try home.sql("UPDATE top_ups SET ends_at=1 WHERE amount=5000000000")
        try home.reboot()
        t = try home.open()
        #expect(try t!.remaining(try t!.find("acme")) == 13 * dollar)
        t!.pass(3 * hour)
        #expect(try t!.remaining(try t!.find("acme")) == 10 * dollar)
    }

    @Test func aSegmentWhoseMakerDiedBeforeItsOtherNameWasGoneIsUsed() throws {
        do { try work(try home.open()) }
        let segment = try home.record.segment
        #expect(bursar__link(segment + [0], segment + bytes(".new") + [0]) == 0)
        let id = try home.record.segmentID
        _ = try home.open()
        #expect(try home.record.segmentID == id)
        #expect(bursar__unlink(segment + bytes(".new") + [0]) == -ENOENT)
    }

    @Test func theEventSaysWhatHappened() throws {
        do { try work(try home.open()) }
        try home.reboot()
        let t = try home.open()
        try t.listen()
        let event = try #require(t.events(.home).first)
        #expect(RestoredHome.text(event.text).contains("the machine was started anew: its budgets and what they spent are in it"))
    }

    @Test func whoeverIsKilledMeanwhileTheNextComesToTheSame() async throws {
        var t: TestRuntime? = try home.open()
        try work(t!)
        let before = try t!.readings()
        t = nil
        for k in 0..<(12 * effort) {
            try home.reboot()
            let micros = UInt32(k % 12) * 6_000 + UInt32(k * 7 % 1_000) + 500
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = home.path as [UInt8], micros = micros as UInt32] in
                try killAfter(micros) {
                    var options = OpenOptions()
                    options.home = path
                    _ = try Runtime.open(options)
                }
            }
            if k % 3 != 0 { continue }
            t = try home.open()
            expectEqual(try t!.readings(), before, "killed after \(micros) us")
            try expectSameInSQL(t!)
            t = nil
        }
    }

    @Test func whatStandsInTheWayIsSaid() throws {
        do { try work(try home.open()) }
        func refusal() throws -> String {
            try home.reboot()
            do throws(BursarCore.Failure) {
                var options = OpenOptions()
                options.home = home.path
                _ = Runtime.close(try Runtime.open(options))
                Issue.record("it was opened")
                return ""
            } catch {
                #expect(error.status == .home)
                return error.text
            }
        }
        let ledger = RestoredHome.text(Database.path(in: home.path))
        // Somebody else writes.
        do {
            _ = try home.open()
            let other = try Connection(Database.path(in: home.path), .write)
            try other.execute("BEGIN IMMEDIATE")
            let text = try refusal()
            #expect(text.contains(ledger) && text.contains("database is locked"), "\(text)")
            // Alone, if that was asked for.
            let path = home.path
            let alone = try TestRuntime {
                $0.home = path
                $0.onUnavailable = .private
            }
            try alone.listen()
            let event = try #require(alone.events(.home).first)
            #expect(RestoredHome.text(event.text).contains("`database is locked`; this runtime is private"))
            try other.execute("ROLLBACK")
        }
        let before = try home.open().readings()
        // It is gone, with what only it knew.
        try home.reboot()
        #expect(rename(ledger, ledger + ".away") == 0)
        #expect(try refusal().contains("is gone; put it back"))
        #expect(access(ledger, F_OK) != 0, "and nothing is left in its place")
        // It is no database.
        let fd = Glibc.open(ledger, O_RDWR | O_CREAT, 0o600)
        _ = write(fd, [UInt8](repeating: 7, count: 8192), 8192)
        close(fd)
        #expect(try refusal().contains("file is not a database"))
        #expect(rename(ledger + ".away", ledger) == 0)
        // A block that it does not have is gone.
        expectEqual(try home.open().readings(), before)
    }

    @Test func aDatabaseThatNeverWasIsMadeOfTheOutbox() throws {
        var t: TestRuntime? = try home.open()
        try work(t!)
        let before = try t!.readings()
        let first = access(RestoredHome.text(Outbox.path(of: try home.record.segmentID, in: home.path)) + ".1.log", F_OK)
        t = nil
        #expect(first == 0)
        for suffix in ["", "-wal", "-shm"] { unlink(RestoredHome.text(Database.path(in: home.path)) + suffix) }
        try home.reboot()
        t = try home.open()
        expectEqual(try t!.readings(), before)
        try expectSameInSQL(t!)
    }

    @Test func windowsThatOpenedMeanwhileAreNewAndOthersAreNot() throws {
        var t: TestRuntime? = try home.open()
        let id = try t!.budget("acme", "$10/day, $20/5h, 1h idle")
        t!.spend(try t!.session("acme"), 4 * dollar)
        t!.runtime.fold()
        let opened = try t!.runtime.read(id).openedUnixNanos
        t = nil
        // As if all that had been yesterday, and six hours ago.
        func shift(_ nanos: Int64) throws {
            try home.sql(
                """
                UPDATE steps SET id=id-\(nanos); UPDATE budgets SET opened_at=opened_at-\(nanos); \
                UPDATE limits SET window_start=window_start-\(day) WHERE position=0; \
                UPDATE limits SET window_start=window_start-\(nanos) WHERE position=1
                """)
        }
        try home.drain()
        try shift(day)
        try home.reboot()
        t = try home.open()
        let again = try t!.find("acme")
        #expect(try t!.spent(again) == 4 * dollar)
        #expect(try t!.runtime.limitRead(again, 0).remaining == 10 * dollar)
        #expect(try t!.runtime.limitRead(again, 1).remaining == 20 * dollar)
        #expect(abs(try t!.runtime.read(again).openedUnixNanos - opened + day) < second)
        #expect(t!.runtime.verify() == nil)
    }
}

extension RestoredHome {
    /// What a keeper's writer does.
    fileprivate func drain() throws {
        let id = try record.segmentID
        let database = try Database(inHome: path, mode: 0o600)
        let outbox = Outbox(Outbox.path(of: id, in: path), segment: id)
        var last = try database.last(of: id)
        try outbox.seek(after: last)
        while let block = try outbox.nextBlock(after: last) { last = try database.apply([block]) }
    }

    /// As somebody with the sqlite3 shell.
    fileprivate func sql(_ text: String) throws {
        let connection = try Connection(Database.path(in: path), .write)
        for part in text.split(separator: ";").map(String.init) {
            let (statement, _) = Array((String(part) + "\0").utf8CString).withUnsafeBufferPointer {
                connection.prepare($0.baseAddress!, -1)
            }
            try statement.run()
            statement.end()
        }
    }
}

/// Line by line, so that what differs is seen.
private func expectEqual(
    _ found: [String], _ wanted: [String], _ what: String = "", at place: SourceLocation = #_sourceLocation
) {
    for line in found where !wanted.contains(line) { Issue.record("\(what) now: \(line)", sourceLocation: place) }
    for line in wanted where !found.contains(line) { Issue.record("\(what) was: \(line)", sourceLocation: place) }
}

/// Runs `body`, and dies `micros` after its beginning; waits for that when it comes earlier to its end.
private func killAfter(_ micros: UInt32, _ body: () throws -> Void) throws {
    var thread = pthread_t()
    let box = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    box.pointee = micros
    pthread_create(&thread, nil, { argument in
        usleep(argument!.load(as: UInt32.self))
        kill(getpid(), SIGKILL)
        return nil
    }, box)
    try body()
    while true { pause() }
}
