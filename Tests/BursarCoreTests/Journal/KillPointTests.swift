// Every operation of the journal is cut off before each of its stores, as kill -9
// does. At that instant no counter shows too little; and when another process has
// recovered, folded and counted again, everything is exact, nothing is held, and what
// was spent is what it was, or what the operation would have made of it.

import Testing

@testable import BursarCore

@Suite(.serialized) struct KillPointTests {
    /// A home with a budget, a team and a session, all limited; by slot 1.
    private struct Scene {
        let home: TestHome
        let session: Int64

        init() throws {
            home = try TestHome()
            let p = try home.process(1)
            try p.budget("acme", "$100, 100 steps, 1M tokens, 10 in_flight")
            try p.budget("acme/team", "$50, 50 steps/day")
            session = try p.session("acme/team", "$20")
        }
    }

    /// Cuts `call` of process 1 off before each store. `spent` are the totals that may
    /// come of it; `then` is done before all is ended.
    private func cutEverywhere(
        _ scene: Scene, spent: Set<Int64>, at place: SourceLocation = #_sourceLocation,
        then: (TestRuntime) -> Void = { _ in }, _ call: (TestRuntime) -> Void
    ) throws {
        let start = scene.home.image
        defer { scene.home.image = start }
        let stores = scene.home.cut(-1) { [p = try scene.home.process(1)] in call(p) }.stores
        guard stores >= 0 else { return }  // not on this machine
        #expect(stores > 2, sourceLocation: place)
        var totals: Set<Int64> = []
        for cut in 0..<stores {
            scene.home.image = start
            let image = try { () throws in
                let p = try scene.home.process(1)
                return scene.home.cut(cut) { call(p) }.image
            }()
            scene.home.image = image
            let p = try scene.home.process(2)
            p.expectEnough("cut \(cut) of \(stores)", at: place)
            then(p)
            p.succeed([1])
            totals.insert(try p.expectSettled("cut \(cut) of \(stores)", at: place))
            scene.home.segment.expectWholeLists("cut \(cut) of \(stores)", at: place)
        }
        #expect(totals.isSubset(of: spent), "\(totals)", sourceLocation: place)
    }

    private func begun(
        _ scene: Scene, _ nanos: Int64, hold: Bool = false, for time: Int64 = 0, by slot: UInt32 = 1
    ) throws -> Int64 {
        let p = try scene.home.process(slot)
        return p.granted(scene.session, nanos) {
            if hold { $0.flags = Request.hold }
            $0.timeToLive = time
        }.reservation
    }

    @Test func openingAndClosingSessionsAndTheirMeters() throws {
        let scene = try Scene()
        let p = try scene.home.process(1)
        // Places that were used before: the lists of free ones are not empty.
        for _ in 0..<3 {
            let id = try p.session("acme/team", "$1, 9 steps, 1h wall, $1/2h") { $0.agent = [65] }
            try p.runtime.sessionClose(id)
        }
        p.runtime.reclaim()
        try cutEverywhere(scene, spent: [0]) {
            _ = try? $0.session("acme/team", "$1, 9 steps, $1/2h") { $0.agent = [66] }
        }
        // Cells of an open session.
        try cutEverywhere(scene, spent: [0]) { try? $0.setLimits(scene.session, "$20, 100 tokens") }
        try cutEverywhere(scene, spent: [0]) { try? $0.runtime.sessionClose(scene.session) }
    }

    @Test func reserve() throws {
        let scene = try Scene()
        let q = scene.session
        try cutEverywhere(scene, spent: [0, 700]) { _ = $0.reserve(q, 700) }
        try cutEverywhere(scene, spent: [0]) { _ = $0.reserve(q, 700) { $0.flags = Request.hold } }
        // Refused by the session itself.
        try cutEverywhere(scene, spent: [0]) { _ = $0.reserve(q, 30 * dollar) }
    }

    @Test func reserveThatAHigherLevelRefuses() throws {
        let scene = try Scene()
        let p = try scene.home.process(1)
        try p.setLimits(try p.runtime.budgetFind([UInt8]("acme".utf8)), "$5, 100 steps")
        try cutEverywhere(scene, spent: [0]) { _ = $0.reserve(scene.session, 10 * dollar) }
    }

    @Test func settle() throws {
        let scene = try Scene()
        let handle = try begun(scene, 700)
        // Less, the same, more; from HELD too; and by whom it was handed to.
        for cost: Int64 in [300, 700, 1100] {
            try cutEverywhere(scene, spent: [700, cost]) { $0.settle(handle, cost: cost) }
        }
        let held = try begun(scene, 500, hold: true)
        try cutEverywhere(scene, spent: [700, 800, 1200]) { $0.settle(held, cost: 100) }
    }

    @Test func beginAndRelease() throws {
        let scene = try Scene()
        let held = try begun(scene, 500, hold: true)
        let sent = try begun(scene, 300)
        try cutEverywhere(scene, spent: [300, 800]) {
            _ = $0.core.begin(held)
            _ = $0.release(held)
        }
        try cutEverywhere(scene, spent: [0, 300]) { _ = $0.release(sent) }
    }

    @Test func charge() throws {
        let scene = try Scene()
        try cutEverywhere(scene, spent: [0, 70]) { _ = $0.charge(scene.session, 70) }
        try cutEverywhere(scene, spent: [0, 70 * dollar]) {
            _ = $0.charge(scene.session, 70 * dollar) { $0.flags = DirectCharge.force }
        }
    }

    @Test func expiry() throws {
        let scene = try Scene()
        // Of a process that lives: the expirer is responsible for what it began.
        _ = try begun(scene, 700, for: 1, by: 5)
        _ = try begun(scene, 200, hold: true, for: 1, by: 5)
        // Whoever dies in the middle of expiring a hold leaves no word that it was one.
        try cutEverywhere(scene, spent: [700, 900]) { _ = $0.runtime.scan() }
    }

    @Test func aLateSettle() throws {
        let scene = try Scene()
        let handle = try begun(scene, 700, for: 1)
        _ = try scene.home.process(1).runtime.scan()
        // Before the estimate is folded, and after.
        try cutEverywhere(scene, spent: [700, 300]) { $0.settle(handle, cost: 300) }
        try scene.home.process(3).runtime.fold()
        try cutEverywhere(scene, spent: [700, 1300]) { $0.settle(handle, cost: 1300) }
    }

    @Test func fold() throws {
        let scene = try Scene()
        do {
            let p = try scene.home.process(1)
            for k: Int64 in 1...3 { p.spend(scene.session, 100 * k) }
            _ = p.charge(scene.session, 50)
            let handle = p.granted(scene.session, 700) { $0.timeToLive = 1 }.reservation
            _ = p.granted(scene.session, 90) { $0.timeToLive = 1 }
            _ = p.runtime.scan()
            p.settle(handle, cost: 300)
        }
        // 600 + 50 + 300 + 90, whoever folds what and however often.
        try cutEverywhere(scene, spent: [1040]) { p in for _ in 0..<3 { p.runtime.fold() } }
    }

    @Test func aRecountOfWhatWasLeft() throws {
        let scene = try Scene()
        let start = scene.home.image
        // Before which stores of a reserve there is something to count.
        var found = 0
        for cut in stride(from: 2, to: 40, by: 3) {
            scene.home.image = start
            let image = try { () throws in
                let p = try scene.home.process(1)
                return scene.home.cut(cut) { _ = p.reserve(scene.session, 700) }.image
            }()
            scene.home.image = image
            let p = try scene.home.process(3)
            p.runtime.recover(slot: 1)
            let marks = p.core.statistic(Header.dirt).value
            if marks == p.core.statistic(Header.dirtSeen).value { continue }
            let before = p.core.statistic(Header.recountLowered).value
            try cutEverywhere(scene, spent: [0, 700]) { $0.runtime.recount() }
            p.runtime.recount()
            if p.core.statistic(Header.recountLowered).value > before { found += 1 }
        }
        #expect(found > 1)
    }

    @Test func aRecoverer() throws {
        let scene = try Scene()
        let handle = try begun(scene, 700)
        try cutTwice(scene, spent: [700, 1100]) { $0.settle(handle, cost: 1100) }
        try cutTwice(scene, spent: [0, 700]) { _ = $0.release(handle) }
        try cutTwice(scene, spent: [700, 800]) { _ = $0.reserve(scene.session, 100) }
    }

    /// Process 1 is killed in the middle of a call, and who recovers it in turn.
    private func cutTwice(
        _ scene: Scene, spent: Set<Int64>, at place: SourceLocation = #_sourceLocation,
        _ call: (TestRuntime) -> Void
    ) throws {
        let start = scene.home.image
        defer { scene.home.image = start }
        let stores = scene.home.cut(-1) { [p = try scene.home.process(1)] in call(p) }.stores
        for cut in 0..<max(stores, 0) {
            scene.home.image = start
            scene.home.image = try { () throws in
                let p = try scene.home.process(1)
                return scene.home.cut(cut) { call(p) }.image
            }()
            let middle = scene.home.image
            let all = scene.home.cut(-1) { [p = try scene.home.process(4)] in
                p.runtime.recover(slot: 1)
            }.stores
            for second in 0..<max(all, 0) {
                scene.home.image = middle
                scene.home.image = try { () throws in
                    let p = try scene.home.process(4)
                    return scene.home.cut(second) { p.runtime.recover(slot: 1) }.image
                }()
                let p = try scene.home.process(2)
                p.succeed([4, 1])
                let total = try p.expectSettled("cut \(cut), then \(second)", at: place)
                #expect(spent.contains(total), "cut \(cut), then \(second)", sourceLocation: place)
            }
        }
    }
}
