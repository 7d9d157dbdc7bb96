// The ledger from Swift: rows by name, and outcomes.

import Bursar
import Testing

@Suite struct LedgerTests {
    @Test func aQueryGivesRowsByName() throws {
        let place = try Place()
        let runtime = try Runtime(place.options)
        try runtime.declare("acme", "$10", owner: "ada")
        let session = try runtime.openSession("acme/support")
        try session.charge(.cents(10))
        let rows = try runtime.query(
            "SELECT owner, sum(cost_nanos) cost, NULL unknown, 0.5 half FROM v_steps WHERE workflow = ? AND cost_nanos > ?",
            "acme/support", 5)
        #expect(rows == [["owner": "ada", "cost": .integer(100_000_000), "unknown": nil, "half": .real(0.5)]])
        #expect(rows[0]["cost"]?.money == .cents(10))
        do throws(BursarError) {
            _ = try runtime.query("SELECT 1,\n nope FROM v_steps")
            Issue.record("no error")
        } catch {
            guard case .failed(let failure) = error else { throw error }
            #expect(failure.code == .query && failure.line == 2 && failure.column == 2)
        }
        #expect(code { () throws(BursarError) in _ = try Runtime().query("SELECT 1") } == .unsupported)
    }

    @Test func anOutcomeIsVerifiedBySomebodyElse() throws {
        let place = try Place()
        let runtime = try Runtime(place.options)
        try runtime.declare("acme", "$10")
        let session = try runtime.openSession("acme/support")
        try session.record(Outcome("paid", id: "1", value: .cents(320)))
        #expect(code { () throws(BursarError) in
            try session.record(Outcome("paid", id: "1", value: .cents(400)))
        } == .conflict)
        var verified = Outcome("paid", id: "1")
        verified.state = .verified
        #expect(code { () throws(BursarError) in try runtime.record(verified) } == .role)
        verified.by = "ada"
        verified.reworkTime = .seconds(60)
        try runtime.record(verified)
        #expect(try runtime.query("SELECT state, value_nanos v, rework_ns r, who FROM v_outcomes") == [
            ["state": "verified", "v": .integer(3_200_000_000), "r": .integer(60_000_000_000), "who": "ada"],
        ])
    }
}
