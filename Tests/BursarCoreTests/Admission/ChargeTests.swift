// Charges: tools and other priced things, with and without a key.

import Testing

@testable import BursarCore

@Suite struct ChargeTests {
    let t: TestRuntime
    init() throws { t = try TestRuntime() }

    @Test func aChargeCountsAtOnceAndIsRefusedPastTheLimit() throws {
        let team = try t.budget("acme", "$1")
        let session = try t.session("acme")
        let (status, d, r) = t.charge(session, 70 * cent)
        #expect(status == .ok && r.costNanos == 70 * cent && d.reservation == 0)
        #expect(try t.committed(team) == 70 * cent)
        let refusal = t.charge(session, 31 * cent)
        #expect(refusal.status == .refused && refusal.d.reason == .limit)
        #expect(refusal.d.requested == 31 * cent && refusal.d.remaining == 30 * cent)
        #expect(t.charge(session, 30 * cent).status == .ok)
        #expect(try t.spent(team) == dollar)
        try t.expectNothingLeft()
    }

    @Test func aForcedChargeIsRecordedPastALimitAndInAKilledOrClosedSession() throws {
        let team = try t.budget("acme", "$1")
        let session = try t.session("acme")
        #expect(t.charge(session, 5 * dollar) { $0.flags = DirectCharge.force }.status == .ok)
        try t.control(.kill, session)
        #expect(t.charge(session, 1).d.reason == .killed)
        #expect(t.charge(session, dollar) { $0.flags = DirectCharge.force }.status == .ok)
        let held = t.granted(try t.session("other"))
        _ = t.release(held.reservation)
        #expect(try t.spent(team) == 6 * dollar)
        try t.expectNothingLeft()
    }

    @Test func aToolHasAPriceAndItsOwnLimit() throws {
        let tool = try t.tool("web_search", price: cent)
        try t.budget("acme", "2 calls(web_search)/session, $1, 5 tool_calls")
        let session = try t.session("acme")
        for _ in 0..<2 {
            let (status, _, r) = t.charge(session, 0) { $0.tool = tool }
            #expect(status == .ok && r.costNanos == cent)
        }
        let refusal = t.charge(session, 0) { $0.tool = tool }
        #expect(refusal.status == .refused && refusal.d.budget == session)
        #expect(refusal.d.limit == 2 && refusal.d.meter >= 8)
        // A reserved tool step counts the same; another tool and session are free.
        #expect(t.refused(session) { $0.tool = tool }.meter == refusal.d.meter)
        let other = try t.tool("ocr")
        #expect(t.charge(session, 5) { $0.tool = other }.r.costNanos == 5)
        let second = try t.session("acme")
        let d = t.granted(second) { $0.tool = tool }
        #expect(d.reservedNanos == cent)
        #expect(t.settle(d.reservation, input: 0, output: 0).r.costNanos == cent)
        #expect(t.charge(second, 0) { $0.tool = tool }.status == .ok)
        #expect(t.refused(second) { $0.tool = other }.meter == 6)
        try t.expectNothingLeft()
    }

    @Test func aKeyChargesOnce() throws {
        let session = try t.session("acme", "$1")
        func charge(_ nanos: Int64, key: UInt64) -> (status: Status, d: Decision, r: Receipt) {
            t.charge(session, nanos) { $0.key = (key, 0) }
        }
        #expect(charge(50 * cent, key: 7).status == .ok)
        for _ in 0..<3 {
            let again = charge(50 * cent, key: 7)
            #expect(again.status == .ok && again.r.has(Receipt.replay))
            #expect(again.r.costNanos == 50 * cent)
        }
        #expect(charge(51 * cent, key: 7).status == .conflict)
        #expect(charge(50 * cent, key: 8).status == .ok)
        // A refused charge leaves its key free.
        #expect(charge(1, key: 9).status == .refused)
        try t.topUp(session, "$1")
        let fresh = charge(1, key: 9)
        #expect(fresh.status == .ok && !fresh.r.has(Receipt.replay))
        #expect(try t.spent(session) == dollar + 1)
        // The same key in another session is another charge.
        let other = try t.session("acme")
        #expect(!t.charge(other, 50 * cent) { $0.key = (7, 0) }.r.has(Receipt.replay))
    }

    @Test func aKeyChargesOnceFromManyThreads() throws {
        let session = try t.session("acme")
        hammer(threads: 8, iterations: 200) { _, iteration, _ in
            _ = t.charge(session, 5) { $0.key = (UInt64(iteration + 1), 0) }
        }
        #expect(try t.spent(session) == 1000)
        try t.expectNothingLeft()
    }

    @Test func aNamedMeterIsChargedInItsUnit() throws {
        let credits = try t.meter("credits")
        let session = try t.session("acme", "10 credits")
        #expect(
            t.charge(session, 0) {
                $0.meter = credits
                $0.units = 8
            }.status == .ok)
        #expect(
            t.charge(session, 0) {
                $0.meter = credits
                $0.units = 3
            }.d.meter == credits)
        #expect(try t.committed(session, credits) == 8)
    }

    @Test func wrongChargesAreInvalid() throws {
        let session = try t.session("acme")
        let wrong: [(inout DirectCharge) -> Void] = [
            { $0.nanos = -1 }, { $0.nanos = .max }, { $0.units = -1 }, { $0.tool = 3 },
            { $0.tool = -1 }, { $0.flags = 2 }, { $0.units = 1; $0.meter = 7 },
        ]
        for (k, change) in wrong.enumerated() {
            #expect(t.charge(session, 1, change).status == .invalid, "case \(k)")
        }
        #expect(t.charge(0, 1).status == .notFound)
        #expect(t.charge(try t.budget("acme"), 1).status == .invalid)
    }
}
