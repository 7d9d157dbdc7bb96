// What one process configures, the others on its segment have.

import Testing

@testable import BursarCore

@Suite struct SharedConfigTests {
    @Test func budgetsNamesAndLimitsAreEverybodys() throws {
        let segment = try Segment.shared()
        let one = try Process(segment, slot: 1)
        let two = try Process(segment, slot: 2)
        let text = "$5/day@Europe/Berlin, $2/1h, 100 calls(search), 60 steps/min"
        let id = try one.budget("acme/support", text) { $0.owner = [UInt8]("somebody".utf8) }
        #expect(try two.find("acme/support") == id)
        #expect(try two.text(id, .limits) == one.text(id, .limits))
        #expect(try two.text(id, .path) == "acme/support")
        #expect(try two.text(id, .owner) == "somebody")
        try two.runtime.limitsSet(id, [UInt8]("$7/week@Asia/Tokyo".utf8))
        #expect(try one.text(id, .limits) == two.text(id, .limits))
        #expect(try one.runtime.limitRead(id, 0).amount == 7 * dollar)
        try two.runtime.budgetRemove(id)
        two.runtime.reclaim()
        #expect(throws: Failure.self) { try one.find("acme/support") }
        let again = try one.budget("acme/support", "$1")
        #expect(again != id)
        #expect(try two.find("acme/support") == again)
    }

    @Test func metersToolsAndModelsHaveOneNumber() throws {
        let segment = try Segment.shared()
        let one = try Process(segment, slot: 1)
        let two = try Process(segment, slot: 2)
        let meter = try one.runtime.meterDefine([UInt8]("credits".utf8))
        #expect(try two.runtime.meterDefine([UInt8]("gpu_seconds".utf8)) == meter + 1)
        #expect(try two.runtime.meterDefine([UInt8]("credits".utf8)) == meter)
        #expect(try one.text(Int64(meter + 1), .meter) == "gpu_seconds")
        let tool = try one.runtime.toolFind([UInt8]("search".utf8))
        #expect(try two.runtime.toolFind([UInt8]("fetch".utf8)) == tool + 1)
        #expect(try two.runtime.toolFind([UInt8]("search".utf8)) == tool)
        #expect(try one.text(Int64(tool + 1), .tool) == "fetch")
        let names = (0..<20).map { "in-house-\($0)" }
        for (k, name) in names.enumerated() { _ = try (k % 2 == 0 ? one : two).model(name) }
        for name in names {
            let number = try one.model(name)
            #expect(try two.model(name) == number)
            #expect(two.runtime.modelName(number) == [UInt8](name.utf8))
        }
        let three = try Process(segment, slot: 3)
        #expect(try three.model(names[7]) == one.model(names[7]))
        #expect(try three.model("gpt-4o") == one.model("gpt-4o"))
    }

    @Test func pausesTopUpsAndTimersAreEverybodys() throws {
        let segment = try Segment.shared()
        let one = try Process(segment, slot: 1)
        let two = try Process(segment, slot: 2)
        let id = try one.budget("acme", "$5 per day, 1h wall")
        try one.runtime.control(.pause, id, reason: [UInt8]("a while".utf8))
        #expect(try two.runtime.read(id).state == 1)
        #expect(try two.text(id, .reason) == "a while")
        for p in [one, two] { p.runtime.clock.shiftSteady(by: 30 * minute) }
        try two.runtime.control(.resume, id, reason: [])
        // Thirty minutes did not count, of which both know.
        for p in [one, two] { #expect(try p.runtime.limitRead(id, 1).spent < minute) }
        try one.runtime.topUp(id, [UInt8]("$3".utf8), for: hour, reason: [])
        #expect(try two.runtime.limitRead(id, 0).extra == 3 * dollar)
        two.runtime.config.lock()
        two.runtime.rebuildTimers()
        #expect(two.runtime.timers.count == 1)
        two.runtime.clock.shiftSteady(by: 2 * hour)
        two.runtime.endTopUps()
        two.runtime.config.unlock()
        #expect(try one.runtime.limitRead(id, 0).extra == 0)
    }

    @Test func whoeverIsFirstOpensAWindowForAll() throws {
        let segment = try Segment.shared()
        let one = try Process(segment, slot: 1)
        let two = try Process(segment, slot: 2)
        let id = try one.budget("acme", "$5 per day, $4/1h")
        let session = try one.session("acme")
        let i = Int(truncatingIfNeeded: id & 0xFFFF_FFFF)
        let cell = try #require(one.core.cell(of: MeterIndex.cost, at: i))
        cell.committed.value = 3 * dollar
        cell.spent(0).value = 3 * dollar
        #expect(cell.ceiling.value == 4 * dollar)
        // What was spent at a time that nobody knows leaves a rolling window late.
        for _ in 0..<2 {
            for p in [one, two] {
                p.runtime.clock.shiftSteady(by: day)
                p.runtime.clock.shiftUnix(by: day)
            }
            two.runtime.rollPath(leaf: Int(truncatingIfNeeded: session & 0xFFFF_FFFF))
        }
        #expect(cell.ceiling.value == 7 * dollar)
        #expect(try one.runtime.limitRead(id, 0).spent == 0)
        #expect(try one.runtime.limitRead(id, 1).spent == 0)
        // The other finds nothing to do, and when to come again.
        one.runtime.config.lock()
        one.runtime.rollDue()
        one.runtime.config.unlock()
        #expect(cell.ceiling.value == 7 * dollar)
        #expect(one.core.rollAt.value > one.runtime.clock.unix)
        #expect(two.core.rollingAt.value > one.runtime.clock.steady)
    }

    @Test func theSessionsOfADeadProcessAreClosedButThoseItHandedOn() throws {
        let segment = try Segment.shared()
        let one = try Process(segment, slot: 1)
        let two = try Process(segment, slot: 2)
        try one.budget("acme", "$5")
        let own = try one.session("acme")
        let handed = try one.session("acme")
        let others = try two.session("acme")
        let child = try two.child(of: own)
        try one.runtime.hand(handed)
        two.runtime.endSessions(ofSlot: 1)
        for id in [own, child] {
            let state = two.core.node(Int(truncatingIfNeeded: id & 0xFFFF_FFFF)).state.value
            #expect(state & StateBit.closed != 0)
        }
        #expect(try two.runtime.read(handed).state == 0)
        #expect(try two.runtime.read(others).state == 0)
    }

    @Test func aFullSlabRefusesAPauseAndADeadlineHoldsAllTheSame() throws {
        let segment = try Segment.shared()
        let one = try Process(segment)
        let id = try one.budget("acme", "1h wall then pause")
        one.runtime.config.lock()
        while one.runtime.slab.allocate(bytes: 64) != nil {}
        one.runtime.config.unlock()
        #expect(throws: Failure.self) { try one.runtime.control(.pause, id, reason: []) }
        #expect(try one.runtime.read(id).state == 0)
        one.runtime.clock.shiftSteady(by: 2 * hour)
        one.runtime.checkTimeLimits(Int(truncatingIfNeeded: id & 0xFFFF_FFFF))
        #expect(try one.runtime.read(id).state == 1)
    }

    @Test func theDefaultHomeTakesAtMostSixteenMebibytes() throws {
        let places = Geometry(try Capacity(nodes: 0, records: 0, textBytes: 0, isShared: true))
        print("the default home: \(places.nodesMax) nodes, \(places.recordsMax) records, \(places.bytes) bytes")
        #expect(places.bytes <= 16 << 20)
        #expect(places.nodesMax > 10_000)
        // Ten thousand sessions with two limited meters, a deadline and a label fit.
        let segment = try Segment(Capacity(nodes: 0, records: 0, textBytes: 0, isShared: true))
        let one = try Process(segment)
        try one.budget("acme", "$5")
        for k in 0..<10_000 {
            _ = try one.session("acme", "$1, 5000 tokens, 1h wall") {
                $0.labels = [([UInt8]("customer".utf8), [UInt8]("customer \(k)".utf8))]
            }
        }
        let used = one.core.header(Header.slabFresh).value
        // A node, two cells, three limits, and its texts.
        let each = Node.size + 2 * Cell.size + 3 * LimitSlot.size + Int(used) * Slab.unit / 10_000
        print("10,000 sessions: \(each) bytes each")
        #expect(each <= 512)
    }
}
