// Sessions: children, closing with steps in every state, places used again.

import Testing

@testable import BursarCore

@Suite struct SessionTests {
    let t: TestRuntime
    init() throws { t = try TestRuntime() }

    @Test func siblingsTogetherNeverExceedTheirParent() throws {
        let parent = try t.session("acme", "$1")
        let children = try (0..<4).map { _ in try t.child(of: parent, "$1") }
        let granted = Counters(1)
        hammer(threads: 4, iterations: 100) { thread, _, _ in
            let (status, d) = t.reserve(children[thread], cent)
            if status == .ok {
                _ = granted[0].add(1)
                t.settle(d.reservation, cost: cent)
            }
        }
        #expect(granted[0].value == 100)
        #expect(try t.spent(parent) == dollar)
        #expect(try children.map { try t.spent($0) }.reduce(0, +) == dollar)
        // In the parent at once, not only at the child's end.
        _ = t.refused(parent, 1)
        try t.expectNothingLeft()
    }

    @Test func aClosedSessionAdmitsNothingAndLetsItsStepsSettle() throws {
        let team = try t.budget("acme", "$100, 100 steps, 50 in_flight")
        let session = try t.session("acme", "$50")
        let child = try t.child(of: session)
        let inFlight = t.granted(session, dollar)
        let held = t.granted(child, dollar) { $0.flags = Request.hold }
        let settled = t.granted(session, dollar)
        t.settle(settled.reservation, cost: dollar)
        let released = t.granted(child, dollar)
        _ = t.release(released.reservation)
        let expired = t.granted(child, dollar) { $0.timeToLive = second }
        t.pass(2 * second)

        try t.runtime.sessionClose(session)
        try t.runtime.sessionClose(session)
        #expect(t.refused(session, 1).reason == .closed)
        #expect(t.refused(child, 1).reason == .closed)
        #expect(throws: Failure.self) { try t.child(of: session) }
        t.runtime.fold()
        #expect(try t.runtime.read(session).state == 4)
        #expect(t.core.begin(held.reservation) == .ok)
        #expect(t.settle(held.reservation, cost: 5).status == .ok)
        #expect(t.settle(inFlight.reservation, cost: 7).status == .ok)
        t.runtime.fold()
        #expect(throws: Failure.self) { try t.runtime.read(session) }
        #expect(t.reserve(session, 1).status == .notFound)
        #expect(t.settle(expired.reservation, cost: 1).status == .ok)
        t.runtime.fold()
        #expect(try t.spent(team) == dollar + 5 + 7 + 1)
        try t.expectNothingLeft()
    }

    @Test func aPlaceThatIsUsedAgainStartsFromNothing() throws {
        var ids: Set<Int64> = []
        for round in 0..<50 {
            let session = try t.session("acme", "$1, 3 steps, \(round + 1)m wall")
            #expect(ids.insert(session).inserted)
            #expect(try t.committed(session) == 0 && t.remaining(session) == dollar)
            let d = t.granted(session, dollar)
            t.settle(d.reservation, cost: round % 2 == 0 ? dollar : 2 * dollar)
            try t.control(.kill, session, "round")
            try t.runtime.sessionClose(session)
            t.runtime.fold()
        }
        #expect(Set(ids.map { $0 & 0xFFFF_FFFF }).count < 10)
        try t.expectNothingLeft()
    }

    @Test func aFullTableFreesClosedSessionsAndSaysSoWhenThereAreNone() throws {
        let t = try TestRuntime { $0.sessionsMax = 64 }
        var open: [Int64] = []
        while let id = try? t.session("acme") { open.append(id) }
        #expect(open.count > 50)
        #expect { try t.session("acme") } throws: { ($0 as? Failure)?.status == .capacity }
        for _ in 0..<500 {
            try t.runtime.sessionClose(open.removeFirst())
            open.append(try t.session("acme"))
        }
        try t.expectNothingLeft()
    }

    @Test func aPathTakesAllItsPlacesOrNone() throws {
        let t = try TestRuntime { $0.sessionsMax = 64 }
        var open: [Int64] = []
        while let id = try? t.session("acme") { open.append(id) }
        try t.runtime.sessionClose(open.removeLast())
        #expect { try t.session("x/y/z") } throws: { ($0 as? Failure)?.status == .capacity }
        open.append(try t.session("acme"))
        for _ in 0..<4 { try t.runtime.sessionClose(open.removeLast()) }
        let deep = try t.session("x/y/z")
        try t.runtime.sessionClose(deep)
        for id in open { try t.runtime.sessionClose(id) }
        for name in 0..<40 { _ = try t.budget("b\(name)", "$1") }
        try t.expectNothingLeft()
    }

    @Test func whatIsRefusedTakesNoPlaces() throws {
        let t = try TestRuntime { $0.sessionsMax = 16 }
        for n in 0..<40 {
            #expect(throws: Failure.self) { try t.session("typo\(n)/x", "1 dolar") }
        }
        var open: [Int64] = []
        while let id = try? t.session("acme") { open.append(id) }
        #expect(open.count > 8)
        try t.runtime.sessionClose(open.removeLast())
        #expect { try t.budget("p/q/r", "$1") } throws: { ($0 as? Failure)?.status == .capacity }
        open.append(try t.session("acme"))
        for id in open { try t.runtime.sessionClose(id) }
        try t.expectNothingLeft()
    }

    @Test func aFullTableFreesClosedSessionsWhileOthersWork() throws {
        let t = try TestRuntime { $0.sessionsMax = 64 }
        let failed = Counters(1), stop = Counters(1)
        hammer(threads: 4, iterations: 1) { thread, _, random in
            if thread > 0 {
                guard let id = try? t.session("w\(thread)") else { return }
                while stop[0].value == 0 {
                    for _ in 0..<100 { t.settle(t.reserve(id, 5).d.reservation, cost: 5) }
                }
                return
            }
            for _ in 0..<2000 * effort {
                guard let id = try? t.session("acme", "$1, 3 steps") else {
                    _ = failed[0].add(1)
                    continue
                }
                if !random.chance(4) { t.settle(t.reserve(id, 5).d.reservation, cost: 5) }
                try? t.runtime.sessionClose(id)
            }
            stop[0].value = 1
        }
        #expect(failed[0].value == 0)
        try t.expectNothingLeft()
    }

    @Test func badOptionsAreRefusedAndLeaveNothing() throws {
        func options(_ change: (inout SessionOptions) -> Void) -> SessionOptions {
            var o = SessionOptions()
            o.path = [UInt8]("acme".utf8)
            change(&o)
            return o
        }
        let many = (0..<17).map { (key: [UInt8]("k\($0)".utf8), value: [UInt8]("v".utf8)) }
        let bad: [(inout SessionOptions) -> Void] = [
            { $0.path = [] }, { $0.path = [UInt8]("a//b".utf8) }, { $0.path = [UInt8]("/a".utf8) },
            { $0.path = [UInt8]("1/2/3/4/5/6/7/8/9".utf8) }, { $0.parent = 99 },
            { $0.limits = [UInt8]("$".utf8) }, { $0.holdbackNanos = -1 }, { $0.complexity = 4 },
            { $0.labels = many }, { $0.labels = [many[0], many[0]] },
            { $0.ladder = [UInt8]("a,,b".utf8) },
            { $0.ladder = [UInt8]("a,b,c,d,e,f,g,h,i".utf8) },
            { $0.agent = [0xFF, 0xFE] }, { $0.limits = [UInt8]("5 nosuchmeter".utf8) },
            { $0.limits = [UInt8]("$5/day@Nowhere/Land".utf8) },
        ]
        for (k, change) in bad.enumerated() {
            #expect(throws: Failure.self, "case \(k)") { try t.runtime.sessionOpen(options(change)) }
        }
        try t.expectNothingLeft()
    }

    @Test func textsComeBackAsTheyWereGiven() throws {
        let session = try t.session("acme/team", "$2,10m wall", ladder: "gpt-4o, o3") {
            $0.agent = [UInt8]("extractor".utf8)
            $0.labels = [
                (key: [UInt8]("z".utf8), value: [UInt8]("1".utf8)),
                (key: [UInt8]("a".utf8), value: [UInt8]("ü".utf8)),
            ]
        }
        func text(_ kind: TextKind) throws -> String {
            String(decoding: try t.runtime.textRead(session, kind), as: UTF8.self)
        }
        #expect(try text(.path) == "acme/team" && text(.agent) == "extractor")
        #expect(try text(.labels) == "a=ü\nz=1\n" && text(.ladder) == "gpt-4o,o3")
        #expect(try text(.limits) == "$2, 10m wall")
    }
}
