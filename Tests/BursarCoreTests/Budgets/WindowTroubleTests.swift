// Windows when something is wrong: a zone that one process cannot read, a clock that was
// ahead, figures in the segment that there cannot be.

import Testing

@testable import BursarCore

@Suite struct WindowTroubleTests {
    @Test func aProcessThatCannotReadAZoneLeavesItsWindowsToOthers() throws {
        let segment = try Segment.shared()
        let one = try Process(segment, slot: 1)
        let id = try one.budget("acme", "$5/day@Europe/Berlin")
        let session = try one.session("acme")
        var limit = try one.runtime.limitRead(id, 0)
        // Another, in whose image there is no such zone.
        one.runtime.config.lock()
        let text = try one.runtime.intern([UInt8]("Europe/Nowhere".utf8))
        one.runtime.config.unlock()
        let other = try Process(segment, slot: 2)
        _ = try other.runtime.eventsDescriptor()
        let number = other.core.limit(1).spec.value
        Half(segment.base + segment.places.windowsAt + Int(number) * WindowTable.entrySize + 4).value =
            text
        #expect(try one.runtime.limitRead(id, 0).endUnixNanos == limit.endUnixNanos)
        for process in [one, other] {
            process.runtime.clock.shiftUnix(by: 2 * day)
            process.runtime.clock.shiftSteady(by: 2 * day)
        }
        for _ in 0..<3 {
            _ = other.runtime.attendToAll()
            #expect(!other.core.isKeeper)
            #expect(segment.base.load(fromByteOffset: Header.rollAt, as: Int64.self) <= other.runtime.clock.unix)
            other.runtime.clock.shiftSteady(by: 2 * second)
        }
        var told = 0
        while let event = other.runtime.takeEvent() { if event.type == .home { told += 1 } }
        #expect(told == 1)
        _ = one.runtime.attendToAll()
        #expect(one.core.isKeeper)
        let start = limit.startUnixNanos
        limit = try one.runtime.limitRead(id, 0)
        #expect(limit.startUnixNanos > start)
        #expect(segment.base.load(fromByteOffset: Header.rollAt, as: Int64.self) == limit.endUnixNanos)
        // It does not undo what was done.
        other.runtime.fold()
        #expect(segment.base.load(fromByteOffset: Header.rollAt, as: Int64.self) == limit.endUnixNanos)
        #expect(try other.runtime.limitRead(id, 0).startUnixNanos == limit.startUnixNanos)
        _ = session
    }

    @Test func aClockThatWasAheadIsToldAndTheLimitCanBeSetAnew() throws {
        let t = try TestRuntime()
        try t.listen()
        let id = try t.budget("acme", "$5 per day, $50 per month")
        let session = try t.session("acme")
        t.passEverywhere(minute)
        t.runtime.clock.shiftUnix(by: 400 * day)
        t.spend(session, 5 * dollar)
        t.attend()
        _ = t.events()
        t.runtime.clock.shiftUnix(by: -400 * day)
        #expect(t.events(.window).filter { !$0.text.isEmpty }.map(\.limit) == [5 * dollar, 50 * dollar])
        #expect(t.events(.window).isEmpty, "once")
        t.passEverywhere(2 * day)
        _ = t.refused(session, dollar)
        try t.setLimits(id, "$5 per day, $50 per month")
        t.spend(session, 5 * dollar)
        _ = t.refused(session, 1)
        t.passEverywhere(day)
        t.spend(session, 5 * dollar)
        // A small step back, over a window's start, is none.
        t.moveToMidnight(plus: second)
        _ = t.events()
        t.runtime.clock.shiftUnix(by: -minute)
        #expect(t.events(.window).isEmpty)
        t.expectIdentity()
    }

    @Test func limitsWithFiguresThatThereCannotBeNeitherTrapNorSpin() throws {
        let segment = try Segment.shared()
        let process = try Process(segment)
        let runtime = process.runtime
        let id = try process.budget(
            "acme", "$5 per day alert 50% downgrade 80%, $1/1h, 60 steps/min, 1h wall, 9 tokens per month")
        let session = try process.session("acme", "$1")
        var random = SystemRandomNumberGenerator()
        let worst: [Int64] = [.min, .min + 1, -1, 0, 1, .max - 1, .max]
        for round in 0..<400 {
            runtime.eachLimit(Int(id & 0xFFFF_FFFF)) { _, limit in
                for word in [
                    limit.amount, limit.base(0), limit.base(1), limit.window, limit.extra,
                ] where Bool.random() { word.value = worst.randomElement(using: &random)! }
                if Bool.random() { limit.alerts.value = .max }
                if Bool.random() { limit.kind.value |= 0xFF00_0000 }
            }
            for word in [process.core.rollAt, process.core.rollingAt, process.core.topUpAt] {
                word.value = worst.randomElement(using: &random)!
            }
            for node in [0, Int(id & 0xFFFF_FFFF), Int(session & 0xFFFF_FFFF)] {
                process.core.node(node).dueAt.value = worst.randomElement(using: &random)!
                process.core.node(node).opened.value = worst.randomElement(using: &random)!
                process.core.node(node).flags.update(setting: NodeFlag.marked)
            }
            process.core.attend(to: Int(id & 0xFFFF_FFFF))
            _ = runtime.attendToAll()
            for k in 0..<UInt32(5) { _ = try? runtime.limitRead(id, k) }
            _ = try? runtime.read(id)
            _ = try? process.text(id, .limits)
            var d = Decision()
            var request = Request()
            request.extraNanos = Int64(round)
            _ = process.core.reserve(session, request, &d)
        }
    }
}
