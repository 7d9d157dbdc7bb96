// Every configuration call is cut off before each of its stores, as kill -9 does; the
// next holder of the lock finds all of it or nothing, and the call can be made again.

import Testing

@testable import BursarCore

@Suite struct UndoTests {
    /// A home with something in it. Returns its segment.
    private func home(_ prepare: (Process) throws -> Void) throws -> Segment {
        let segment = try Segment.shared()
        let process = try Process(segment)
        // Places that were used before, so that free lists are not empty.
        try process.budget("old", "$5/day, $1/1h") { $0.owner = [UInt8]("nobody".utf8) }
        for _ in 0..<3 {
            try process.runtime.sessionClose(
                try process.session("old", "$1, $1/2h, 9 steps, 1h wall") {
                    $0.labels = [([UInt8]("was".utf8), [UInt8]("here".utf8))]
                    $0.ladder = [UInt8]("gpt-4o".utf8)
                })
        }
        process.runtime.reclaim()
        try process.runtime.budgetRemove(try process.find("old"))
        process.runtime.reclaim()
        try prepare(process)
        return segment
    }

    /// Cuts `call` off before each store.
    private func cutEverywhere(
        _ segment: Segment, compare: Detail = .timeless, again: Bool = true,
        at place: SourceLocation = #_sourceLocation, _ call: (Process) throws -> Void
    ) throws {
        var start = segment.image
        var before: [String] = []
        var beforeLoosely: [String] = []
        var after: [String] = []
        var stores = 0
        var due = (steady: Int64.max, unix: Int64.max)  // when a window opens next
        /// What there is before and after the call, with every window open that is due.
        func look() throws {
            segment.image = start
            let opener = try Process(segment)
            opener.runtime.config.lock()
            opener.runtime.rollDue()
            opener.runtime.config.unlock()
            start = segment.image
            let process = try Process(segment)
            due = (process.core.rollingAt.value, process.core.rollAt.value)
            before = process.dump()
            beforeLoosely = process.dump(compare)
            stores = 0
            segment.edit.probe = { stores += 1 }
            try call(try Process(segment))
            segment.edit.probe = nil
            after = try Process(segment).dump(compare)
        }
        try look()
        #expect(after != beforeLoosely && stores > 0, "the call does something", sourceLocation: place)
        var undone = 0
        var done = 0
        var cut = 0
        while cut < stores {
            segment.image = start
            var image: [UInt8] = []
            var k = 0
            segment.edit.probe = {
                if k == cut { image = segment.image }
                k += 1
            }
            try call(try Process(segment))
            segment.edit.probe = nil
            segment.image = image
            let successor = try Process(segment)
            successor.succeed()
            segment.expectWholeLists("cut \(cut) of \(stores)", at: place)
            let found = successor.dump()
            let foundLoosely = successor.dump(compare)
            let isUndone = foundLoosely != after
            if isUndone, again { try call(successor) }
            let foundAgain = successor.dump(compare)
            let present = try Process(segment)  // whose clock no call has set on
            if present.runtime.clock.steady >= due.steady || present.runtime.clock.unix >= due.unix {
                try look()  // a window opened meanwhile, which is no part of the call
                continue
            }
            if isUndone {
                undone += 1
                if compare == .limited {
                    #expect(foundLoosely == beforeLoosely, "cut \(cut)", sourceLocation: place)
                } else {
                    let differences = found.difference(from: before)
                    #expect(differences.isEmpty, "cut \(cut) of \(stores)", sourceLocation: place)
                }
                if again { #expect(foundAgain == after, "again after cut \(cut)", sourceLocation: place) }
            } else {
                done += 1
            }
            cut += 1
        }
        #expect(undone > 0, sourceLocation: place)
    }

    @Test func aDeclarationIsAllOrNothing() throws {
        let segment = try home { try $0.budget("acme", "$5 per day") }
        try cutEverywhere(segment) { p in
            _ = try p.budget(
                "acme/support/triage", "$5 per day, $2/1h, 1M tokens, 100 calls(search), $1/session, 60 steps/min"
            ) {
                $0.owner = [UInt8]("somebody".utf8)
                $0.costCenter = [UInt8]("4711".utf8)
                $0.purpose = [UInt8]("to answer whoever asks".utf8)
                $0.complexity = 2
            }
        }
    }

    @Test func replacingADeclarationIsAllOrNothing() throws {
        let segment = try home {
            try $0.budget("acme", "$5 per day, $2/1h alert 50%") {
                $0.owner = [UInt8]("somebody".utf8)
            }
        }
        try cutEverywhere(segment) { p in
            _ = try p.budget("acme", "$7 per day, $9 per month, $1/2h") {
                $0.replaces = true
                $0.owner = [UInt8]("another".utf8)
                $0.purpose = [UInt8]("something".utf8)
            }
        }
    }

    @Test func aLimitOnANewMeterOfAnOpenSessionIsAllOrNothing() throws {
        let segment = try home {
            try $0.budget("acme", "$5")
            _ = try $0.session("acme", "$1")
        }
        let process = try Process(segment)
        var ids: [Int64] = []
        _ = try process.runtime.children(try process.find("acme")) { ids.append($0) }
        try cutEverywhere(segment, compare: .limited) { p in
            try p.runtime.limitsSet(ids[0], [UInt8]("$2, 5000 tokens, 10 steps".utf8))
        }
    }

    @Test func aSessionIsOpenedOrNot() throws {
        let segment = try home { try $0.budget("acme", "$5, $1/session") }
        try cutEverywhere(segment) { p in
            _ = try p.session("acme/new", "5000 tokens, 1h wall, 10m idle, $1/1h") {
                $0.agent = [UInt8]("researcher".utf8)
                $0.ladder = [UInt8]("gpt-4o,gpt-4o-mini".utf8)
                $0.holdbackNanos = cent
                $0.labels = [
                    ([UInt8]("customer".utf8), [UInt8]("c1".utf8)),
                    ([UInt8]("feature".utf8), [UInt8](repeating: 65, count: 200)),
                ]
            }
        }
    }

    @Test func aTopUpIsMadeOrNot() throws {
        let segment = try home { try $0.budget("acme", "$5 per day, $9 per month") }
        try cutEverywhere(segment) { p in
            try p.runtime.topUp(
                try p.find("acme"), [UInt8]("$3".utf8), for: hour, reason: [UInt8]("why not".utf8))
        }
    }

    @Test func aTopUpEndsOrNot() throws {
        let segment = try home {
            try $0.budget("acme", "$5 per day")
            try $0.runtime.topUp(try $0.find("acme"), [UInt8]("$3".utf8), for: hour, reason: [])
        }
        try cutEverywhere(segment, compare: .timeless) { p in
            p.runtime.clock.shiftSteady(by: 2 * hour)
            p.runtime.config.lock()
            p.runtime.endTopUps()
            p.runtime.config.unlock()
        }
    }

    @Test func killAndPauseHappenOrNot() throws {
        let segment = try home { try $0.budget("acme", "$5, 1h wall") }
        let reason = [UInt8]("it ran away".utf8)
        for what in [Runtime.Control.kill, .pause] {
            let start = segment.image
            try cutEverywhere(segment) { p in
                try p.runtime.control(what, try p.find("acme"), reason: reason)
            }
            segment.image = start
            let process = try Process(segment)
            try process.runtime.control(what, try process.find("acme"), reason: reason)
        }
        for what in [Runtime.Control.revive, .resume] {
            try cutEverywhere(segment) { p in
                try p.runtime.control(what, try p.find("acme"), reason: [])
            }
        }
    }

    @Test func metersToolsAndModelsAreAddedOrNot() throws {
        let segment = try home { _ = try $0.budget("acme", "$5") }
        try cutEverywhere(segment) { p in _ = try p.runtime.meterDefine([UInt8]("credits".utf8)) }
        try cutEverywhere(segment) { p in _ = try p.runtime.toolFind([UInt8]("search".utf8)) }
        try cutEverywhere(segment) { p in
            try p.runtime.toolPriceSet(try p.runtime.toolFind([UInt8]("search".utf8)), nanos: cent)
        }
        try cutEverywhere(segment) { p in _ = try p.model("nobody-knows-this-1") }
    }

    @Test func aSessionIsClosedOrNotAndFreedOrNot() throws {
        let segment = try home {
            try $0.budget("acme", "$5")
            _ = try $0.session("acme", "$1, 1h wall, $1/1h") {
                $0.labels = [([UInt8]("customer".utf8), [UInt8]("c1".utf8))]
                $0.ladder = [UInt8]("gpt-4o".utf8)
            }
        }
        var ids: [Int64] = []
        let process = try Process(segment)
        _ = try process.runtime.children(try process.find("acme")) { ids.append($0) }
        let start = segment.image
        try cutEverywhere(segment) { p in try p.runtime.sessionClose(ids[0]) }
        segment.image = start
        try Process(segment).runtime.sessionClose(ids[0])
        try cutEverywhere(segment) { p in p.runtime.reclaim() }
    }

    @Test func aSubtreeIsClosedFromItsLeavesAndACutCallGoesOn() throws {
        let segment = try home {
            try $0.budget("acme", "$5")
            let parent = try $0.session("acme")
            for _ in 0..<3 { _ = try $0.child(of: try $0.child(of: parent)) }
        }
        let process = try Process(segment)
        var ids: [Int64] = []
        _ = try process.runtime.children(try process.find("acme")) { ids.append($0) }
        let start = segment.image
        var stores = 0
        segment.edit.probe = { stores += 1 }
        try process.runtime.sessionClose(ids[0])
        segment.edit.probe = nil
        for cut in 0..<stores {
            segment.image = start
            var image: [UInt8] = []
            var k = 0
            segment.edit.probe = {
                if k == cut { image = segment.image }
                k += 1
            }
            try Process(segment).runtime.sessionClose(ids[0])
            segment.edit.probe = nil
            segment.image = image
            let successor = try Process(segment)
            successor.succeed()
            try? successor.runtime.sessionClose(ids[0])
            successor.runtime.reclaim()
            #expect(successor.runtime.segment.freeNodes.inUse == 2, "cut \(cut)")
            #expect(successor.core.header(Header.closingFirst).value == 0)
        }
    }

    @Test func aWindowOpensOrNotAndNoCeilingRisesBeforeTheCommit() throws {
        let segment = try home {
            try $0.budget("acme", "$5 per day")
            // Somebody spent four dollars.
            let i = Int(truncatingIfNeeded: try $0.find("acme") & 0xFFFF_FFFF)
            let cell = $0.core.cell(of: MeterIndex.cost, at: i)!
            cell.committed.value = 4 * dollar
            cell.spent(0).value = 4 * dollar
        }
        try cutEverywhere(segment) { p in
            let start = segment.image
            p.runtime.clock.shiftUnix(by: day)
            p.runtime.clock.shiftSteady(by: day)
            p.runtime.config.lock()
            p.runtime.rollDue()
            p.runtime.config.unlock()
            #expect(segment.image != start)
        }
        // With the log taken back, the ceiling never was above what it was.
        let process = try Process(segment)
        process.succeed()
        let i = Int(truncatingIfNeeded: try process.find("acme") & 0xFFFF_FFFF)
        let cell = process.core.cell(of: MeterIndex.cost, at: i)!
        #expect(cell.ceiling.value == 9 * dollar)
        let words: (Half, Half) = (
            process.core.header(Header.undoCount), process.core.header(Header.raised)
        )
        var isEarly = false
        segment.edit.probe = {
            if words.0.value > 0, cell.ceiling.value > 9 * dollar { isEarly = true }
        }
        try process.runtime.topUp(try process.find("acme"), [UInt8]("$3".utf8), for: 0, reason: [])
        segment.edit.probe = nil
        #expect(cell.ceiling.value == 12 * dollar)
        #expect(!isEarly)
        #expect(words.0.value == 0 && words.1.value == 0)
    }

    @Test func observingAndHandingHappenOrNot() throws {
        let segment = try home {
            try $0.budget("acme", "$5")
            _ = try $0.session("acme")
        }
        let process = try Process(segment)
        var ids: [Int64] = []
        _ = try process.runtime.children(try process.find("acme")) { ids.append($0) }
        try cutEverywhere(segment) { p in try p.runtime.observe(try p.find("acme"), true) }
        try cutEverywhere(segment) { p in try p.runtime.hand(ids[0]) }
        try cutEverywhere(segment) { p in try p.runtime.observe(0, true) }
    }

    @Test func aLogThatNamesWrongPlacesIsHarmless() throws {
        let segment = try home { _ = try $0.budget("acme", "$5") }
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let log = segment.base + segment.places.undoAt
            for k in 0..<64 {
                Word(log + k * 16).value = Int64.random(in: .min ... .max, using: &random)
                Word(log + k * 16 + 8).value = Int64.random(in: .min ... .max, using: &random)
            }
            Half(segment.base + Header.undoCount).value = 64
            Half(segment.base + Header.raised).value = UInt32.random(in: 0...300, using: &random)
            let process = try Process(segment)
            process.succeed()
            #expect(process.core.header(Header.undoCount).value == 0)
        }
    }
}
