// Outcomes: who may say what, what is said twice, and where it ends up.

import Glibc
import Testing

@testable import BursarCore

extension TestRuntime {
    func outcome(
        _ name: String, _ value: Int64? = nil, id: String = "", _ state: OutcomeEntry.State = .stated,
        by: String = "", _ configure: (inout Outcome) -> Void = { _ in }
    ) throws {
        var outcome = Outcome()
        outcome.name = Array(name.utf8)
        outcome.value = value
        outcome.id = Array(id.utf8)
        outcome.state = Int32(state.rawValue)
        outcome.by = Array(by.utf8)
        configure(&outcome)
        let failures = try outcomes([outcome])
        if let failure = failures[0].failure { throw failure }
    }

    func outcomes(_ given: [Outcome]) throws -> [(result: Int32, failure: Failure?)] {
        var said = [(result: Int32, failure: Failure?)](repeating: (99, nil), count: given.count)
        try runtime.outcomes(given.count, { given[$0] }, { said[$0] = ($1, $2) })
        return said
    }
}

@Suite struct OutcomeTests {
    @Test func statingItAgainChangesNothingAndAnotherValueIsAConflict() throws {
        let home = try LedgerHome { $0.name = Array("worker".utf8) }
        let rt = home.one
        let session = try rt.session("acme/support")
        rt.spend(session, 7)
        for _ in 0..<3 { try rt.outcome("paid", 320, id: "a") { $0.session = session } }
        // A retried agent has another session, and may not know the value any more.
        let again = try rt.session("acme/support")
        try rt.outcome("paid", 320, id: "a", by: "retry") { $0.session = again }
        try rt.outcome("paid", nil, id: "a") { $0.session = again }
        let conflict = failure { try rt.outcome("paid", 999, id: "a") { $0.session = again } }
        #expect(conflict?.status == .conflict && conflict?.values.0 == 320 && conflict?.values.1 == 999)
        // The same id of another name is another outcome; one without an id is each time.
        try rt.outcome("sent", 1, id: "a") { $0.session = session }
        for _ in 0..<2 { try rt.outcome("seen", 5) { $0.session = session } }
        #expect(
            try rt.ask("SELECT name,coalesce(key,'-'),revision,state,value_nanos,who,workflow,cost_nanos FROM v_outcomes ORDER BY id")
                == [
                    ["paid", "a", "1", "stated", "320", "worker", "acme/support", "7"],
                    ["sent", "a", "1", "stated", "1", "worker", "acme/support", "7"],
                    ["seen", "-", "1", "stated", "5", "worker", "acme/support", "7"],
                    ["seen", "-", "1", "stated", "5", "worker", "acme/support", "7"],
                ])
    }

    @Test func nobodysAmountsAreTooLargeToBeAddedUp() throws {
        let home = try LedgerHome()
        let rt = home.one
        for value in [Int64.max, .min] {
            #expect(failure { try rt.outcome("deal", value) }?.status == .invalid)
            #expect(failure { try rt.outcome("deal", 1) { $0.reworkTime = .max } }?.status == .invalid)
        }
        let session = try rt.session("acme")
        for _ in 0..<9 { try rt.outcome("deal", Bound.amount) { $0.session = session } }
        #expect(try rt.ask("SELECT value_nanos FROM v_outcome_value") == [["\(9 * Bound.amount)"]])
    }

    @Test func onlySomebodyElseVerifies() throws {
        let home = try LedgerHome { $0.name = Array("worker".utf8) }
        let agent = try home.other { $0.policy.role = .agent }
        let rt = home.one
        let session = try rt.session("acme/support")
        try rt.outcome("paid", 320, id: "a") { $0.session = session }
        let refusal = failure { try rt.outcome("paid", id: "a", .verified) }
        #expect(refusal?.status == .role)
        #expect(refusal.map { String(decoding: $0.sentence, as: UTF8.self).contains("somebody else") } == true)
        #expect(failure { try rt.outcome("paid", id: "a", .verified, by: "worker") }?.status == .role)
        #expect(failure { try agent.outcome("paid", id: "a", .verified, by: "ada") }?.status == .role)
        #expect(failure { try agent.outcome("paid", id: "a", .withdrawn, by: "ada") }?.status == .role)
        #expect(failure { try rt.outcome("paid", 100, id: "a", .verified, by: "ada") }?.status == .conflict)
        for _ in 0..<2 { try rt.outcome("paid", id: "a", .verified, by: "ada") { $0.reason = Array("seen".utf8) } }
        // Stating it again takes nothing back.
        try rt.outcome("paid", 320, id: "a") { $0.session = session }
        // Who corrects has produced the value, and what nobody says stays.
        try rt.outcome("paid", 300, id: "a", .corrected, by: "ada") { $0.reworkTime = 9 }
        #expect(failure { try rt.outcome("paid", id: "a", .verified, by: "ada") }?.status == .role)
        try rt.outcome("paid", id: "a", .disputed, by: "ada")
        try rt.outcome("paid", id: "a", .verified, by: "bob") { $0.reworkNanos = 4 }
        try rt.outcome("paid", id: "a", .withdrawn, by: "ada")
        #expect(failure { try rt.outcome("paid", id: "a", .verified, by: "bob") }?.status == .conflict)
        #expect(
            try rt.ask("SELECT revision,state,value_nanos,rework_nanos,rework_ns,who,why FROM v_revisions ORDER BY id")
                == [
                    ["1", "stated", "320", "0", "0", "worker", "-"],
                    ["2", "verified", "320", "0", "0", "ada", "seen"],
                    ["3", "corrected", "300", "0", "9", "ada", "-"],
                    ["4", "disputed", "300", "0", "9", "ada", "-"],
                    ["5", "verified", "300", "4", "9", "bob", "-"],
                    ["6", "withdrawn", "300", "4", "9", "ada", "-"],
                ])
        #expect(try rt.ask("SELECT counts FROM v_outcomes") == [["0"]])
        #expect(try rt.ask("SELECT count(*) FROM v_revisions WHERE actor LIKE 'uid % pid % worker' AND at>0") == [["6"]])
        #expect(failure { try rt.outcome("paid", id: "b", .verified, by: "ada") }?.status == .notFound)
        #expect(failure { try rt.outcome("paid", id: "", .verified, by: "ada") }?.status == .invalid)
    }

    @Test func itIsCreditedToASessionAlsoAClosedOneOrAWorkflowOrALabel() throws {
        let home = try LedgerHome()
        let rt = home.one
        let session = try rt.session("acme/support") { $0.labels = [(Array("customer".utf8), Array("c1".utf8))] }
        rt.spend(session, 11)
        let child = try rt.child(of: session)
        rt.spend(child, 2)
        try rt.runtime.sessionClose(child)
        try rt.runtime.sessionClose(session)
        rt.runtime.fold()
        try rt.outcome("a", 1, id: "1") { $0.session = session }
        try rt.outcome("b", 2, id: "1") { $0.workflow = Array("acme/support".utf8) }
        try rt.outcome("c", 3, id: "1") { $0.label = Array("customer=c1".utf8) }
        #expect(
            try rt.ask("SELECT name,workflow,session IS NOT NULL,label_value,cost_nanos FROM v_outcomes ORDER BY id")
                == [
                    ["a", "acme/support", "1", "-", "13"], ["b", "acme/support", "0", "-", "-"],
                    ["c", "acme/support", "0", "c1", "13"],
                ])
        #expect(
            try rt.ask("SELECT outcomes,verified,unvalued,cost_nanos,value_nanos,net_value_nanos,cost_per_outcome_nanos FROM v_workflow_value WHERE workflow='acme/support'")
                == [["3", "0", "0", "13", "6", "-7", "4"]])
        for wrong in [
            { (o: inout Outcome) in }, { $0.session = 77 }, { $0.workflow = Array("acme/nope".utf8) },
            { $0.label = Array("customer".utf8) }, { $0.session = session; $0.workflow = Array("acme".utf8) },
            { $0.workflow = Array("acme".utf8); $0.name = [] }, { $0.workflow = Array("acme".utf8); $0.id = [10] },
            { $0.workflow = Array("acme".utf8); $0.reworkTime = -1 }, { $0.workflow = Array("acme".utf8); $0.state = 6 },
        ] as [(inout Outcome) -> Void] {
            let status = failure { try rt.outcome("x", 1, id: "2", .stated, by: "", wrong) }?.status
            #expect(status == .invalid || status == .notFound)
        }
        #expect(try rt.ask("SELECT count(*) FROM v_revisions") == [["3"]])
    }

    @Test func aSubAgentHasTheLabelsAboveItThatItDoesNotSetItself() throws {
        func labels(_ pairs: [(String, String)]) -> [(key: [UInt8], value: [UInt8])] {
            pairs.map { (Array($0.0.utf8), Array($0.1.utf8)) }
        }
        let home = try LedgerHome()
        let rt = home.one
        let session = try rt.session("acme/support") { $0.labels = labels([("customer", "c1"), ("feature", "mail")]) }
        let child = try rt.session("") {
            $0.parent = session
            $0.labels = labels([("customer", "c2"), ("run", "7")])
        }
        let grandchild = try rt.child(of: child)
        for (session, cost) in [(session, 1), (child, 20), (grandchild, 300)] as [(Int64, Int64)] {
            rt.spend(session, cost)
        }
        #expect(
            try rt.ask("SELECT customer,feature,sum(cost_nanos) FROM v_steps GROUP BY 1,2 ORDER BY 1")
                == [["c1", "mail", "1"], ["c2", "mail", "320"]])
        #expect(
            try rt.ask("SELECT key,value,sum(direct_cost_nanos) FROM labels JOIN v_sessions USING(label_set) GROUP BY 1,2 ORDER BY 1,2")
                == [["customer", "c1", "1"], ["customer", "c2", "320"], ["feature", "mail", "321"], ["run", "7", "320"]])
        #expect(try rt.ask("SELECT count(DISTINCT top_session),min(top_session)=min(session) FROM v_sessions") == [["1", "1"]])
    }

    @Test func anOutcomeOfABudgetIsHeldAgainstAllThatWasSpentBelowIt() throws {
        let home = try LedgerHome()
        let rt = home.one
        for path in ["acme/support", "acme/sales", "acme"] {
            let session = try rt.session(path) { $0.labels = [(Array("customer".utf8), Array("c1".utf8))] }
            rt.spend(session, 10)
        }
        try rt.outcome("a", 100) { $0.workflow = Array("acme".utf8) }
        try rt.outcome("b", 7) { $0.workflow = Array("acme/sales".utf8) }
        // A label's is of a workflow only where all its sessions are.
        try rt.outcome("c", 1) { $0.label = Array("customer=c1".utf8) }
        #expect(
            try rt.ask("SELECT workflow,outcomes,cost_nanos,net_value_nanos FROM v_workflow_value ORDER BY 1")
                == [
                    ["-", "1", "-", "-"], ["acme", "2", "30", "77"], ["acme/sales", "1", "10", "-3"],
                    ["acme/support", "-", "10", "-"],
                ])
    }

    @Test func aSessionThatEndsNeverMakesOneUp() throws {
        let home = try LedgerHome()
        let session = try home.one.session("acme/support")
        home.one.spend(session, 11)
        try home.one.runtime.sessionClose(session)
        #expect(try home.one.ask("SELECT count(*) FROM outcomes") == [["0"]])
        // A workflow without one has no value, rather than a value of 0.
        #expect(
            try home.one.ask("SELECT outcomes,value_nanos,net_value_nanos,value_per_dollar FROM v_workflow_value")
                == [["-", "-", "-", "-"]])
        try home.one.outcome("seen") { $0.workflow = Array("acme/support".utf8) }
        #expect(
            try home.one.ask("SELECT outcomes,unvalued,value_nanos,net_value_nanos FROM v_workflow_value")
                == [["1", "1", "-", "-"]])
    }

    @Test func whereTheOutboxTakesNothingItFailsAndIsNotThere() throws {
        let home = try LedgerHome()
        let rt = home.one
        let session = try rt.session("acme/support")
        rt.runtime.fold()
        rt.runtime.ledger.limit(to: 0)
        #expect(failure { try rt.outcome("paid", 1) { $0.session = session } }?.status == .home)
        rt.runtime.ledger.limit(to: .max)
        #expect(try rt.ask("SELECT count(*) FROM outcomes") == [["0"]])
        try rt.outcome("paid", 1, id: "a") { $0.session = session }
        #expect(try rt.ask("SELECT count(*) FROM outcomes") == [["1"]])
        #expect(rt.runtime.verify() == nil)
    }

    @Test func ofManyEachIsJudgedByWhatWasSaidBeforeIt() throws {
        let home = try LedgerHome { $0.name = Array("worker".utf8) }
        let rt = home.one
        _ = try rt.session("acme/support")
        func one(_ id: String, _ value: Int64?, _ state: OutcomeEntry.State = .stated, by: String = "") -> Outcome {
            var o = Outcome()
            o.name = Array("paid".utf8)
            o.id = Array(id.utf8)
            o.value = value
            o.state = Int32(state.rawValue)
            o.by = Array(by.utf8)
            if state == .stated { o.workflow = Array("acme/support".utf8) }
            return o
        }
        try rt.listen()
        let many = [
            one("a", 1), one("b", 2), one("a", 1), one("a", 9), one("a", nil, .verified),
            one("a", nil, .verified, by: "ada"), one("", 5), one("", 5), one("c", 3, .disputed), one("d", 4),
        ]
        #expect(
            try rt.outcomes(many).map { $0.failure?.status.rawValue ?? $0.result }
                == [1, 1, 0, Status.conflict.rawValue, Status.role.rawValue, 1, 1, 1, Status.notFound.rawValue, 1])
        let again = try rt.outcomes(many).map { $0.result }
        #expect(again == [0, 0, 0, Status.conflict.rawValue, Status.role.rawValue, 0, 1, 1, Status.notFound.rawValue, 0])
        #expect(
            try rt.ask("SELECT key,state,revision,value_nanos FROM v_outcomes WHERE key IS NOT NULL ORDER BY key")
                == [["a", "verified", "2", "1"], ["b", "stated", "1", "2"], ["d", "stated", "1", "4"]])
        #expect(try rt.ask("SELECT count(*) FROM outcomes WHERE key IS NULL") == [["4"]])
        #expect(try rt.outcomes([]).isEmpty)
        // Several are one event.
        #expect(rt.events(.outcome).map { String(decoding: $0.text, as: UTF8.self) } == ["2 outcomes", "4 outcomes", "2 outcomes"])
    }

    @Test func whatSaysWhenItWasSaidIsNotSaidAgain() throws {
        let home = try LedgerHome { $0.name = Array("crm".utf8) }
        let rt = home.one
        _ = try rt.session("acme/support")
        let then = rt.runtime.clock.unix - 5_000_000_000
        func file() throws {
            try rt.outcome("paid", 320, id: "a") { $0.workflow = Array("acme/support".utf8); $0.at = then }
            try rt.outcome("paid", 300, id: "a", .corrected) { $0.at = then + 1; $0.reworkTime = 5 }
            try rt.outcome("paid", 300, id: "a", .verified, by: "ada") { $0.at = then + 2 }
        }
        try file()
        try rt.outcome("paid", 200, id: "a", .corrected, by: "bob")
        try rt.outcome("paid", id: "a", .disputed, by: "eve")
        for _ in 0..<2 { try file() }
        #expect(
            try rt.ask("SELECT state,value_nanos,who FROM v_revisions ORDER BY revision")
                == [
                    ["stated", "320", "crm"], ["corrected", "300", "crm"], ["verified", "300", "ada"],
                    ["corrected", "200", "bob"], ["disputed", "200", "eve"],
                ])
        // At another time it is new.
        try rt.outcome("paid", id: "a", .verified, by: "ada") { $0.at = then + 3 }
        #expect(try rt.ask("SELECT state,revision,value_nanos FROM v_outcomes") == [["verified", "6", "200"]])
    }

    @Test func ofThousandsNoneIsLostWhenTheOutboxIsFullMidway() throws {
        let home = try LedgerHome()
        let rt = home.one
        _ = try rt.session("acme/support")
        let many = (0..<2600).map { k in
            var o = Outcome()
            o.name = Array("paid".utf8)
            o.id = Array("\(k)".utf8)
            o.value = Int64(k)
            o.workflow = Array("acme/support".utf8)
            return o
        }
        rt.runtime.fold()
        rt.runtime.ledger.limit(to: 400_000)
        var results = [Int32](repeating: 99, count: many.count)
        let refusal = failure { try rt.runtime.outcomes(many.count, { many[$0] }, { results[$0] = $1; _ = $2 }) }
        #expect(refusal?.status == .home)
        let there = results.filter { $0 == 1 }.count
        #expect(there > 0 && there % 1024 == 0 && results[there...].allSatisfy { $0 == Status.home.rawValue })
        rt.runtime.ledger.limit(to: .max)
        #expect(try rt.ask("SELECT count(*) FROM outcomes") == [["\(there)"]])
        let second = try rt.outcomes(many).map { $0.result }
        #expect(second.filter { $0 == 0 }.count == there && second.filter { $0 == 1 }.count == many.count - there)
        #expect(
            try rt.ask("SELECT count(*),count(DISTINCT key),sum(value_nanos),max(revision) FROM outcomes")
                == [["2600", "2600", "\(2600 * 2599 / 2)", "1"]])
        #expect(rt.runtime.verify() == nil)
    }

    @Test func itSaysWhenItCameAboutAndASessionIsNamedByTheLedgersKey() throws {
        let home = try LedgerHome()
        let rt = home.one
        let session = try rt.session("acme/support")
        rt.spend(session, 11)
        let key = Int64(try rt.ask("SELECT session FROM v_sessions")[0][0])!
        let now = rt.runtime.clock.unix
        let day: Int64 = 86_400_000_000_000
        try rt.outcome("a", 1, id: "1") { $0.session = key; $0.at = now - 30 * day }
        try rt.outcome("a", 1, id: "2") { $0.session = session; $0.at = now - day / 2 }
        try rt.outcome("a", 1, id: "3") { $0.session = key }
        #expect(
            try rt.ask("SELECT key,workflow,cost_nanos,session,at<said_at FROM v_outcomes ORDER BY key")
                == [
                    ["1", "acme/support", "11", "\(key)", "1"], ["2", "acme/support", "11", "\(key)", "1"],
                    ["3", "acme/support", "11", "\(key)", "0"],
                ])
        // An id of the time before a reboot, given out anew since.
        let old = failure { try rt.outcome("b", 1, id: "1") { $0.session = session; $0.at = now - 2 * day } }
        #expect(old?.status == .notFound && String(decoding: old!.sentence, as: UTF8.self).contains("reboot"))
        #expect(failure { try rt.outcome("b", 1, id: "1") { $0.session = key + 1 } }?.status == .notFound)
        #expect(failure { try rt.outcome("b", 1, id: "1") { $0.session = -1 } }?.status == .notFound)
        for wrong in [-1, now + 2 * day, .min, .max] as [Int64] {
            #expect(failure { try rt.outcome("b", 1, id: "1") { $0.session = key; $0.at = wrong } }?.status == .invalid)
        }
    }

    @Test func threadsThatStateTheSameMakeOne() async throws {
        let home = try LedgerHome()
        let rt = home.one
        let session = try rt.session("acme/support")
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for k in 0..<5 { try? rt.outcome("paid", 3, id: "\(k)") { $0.session = session } } }
            }
        }
        #expect(try rt.ask("SELECT count(*), max(revision) FROM outcomes") == [["5", "1"]])
    }

    @Test func aPrivateRuntimeTellsTheEventAndKeepsNothing() throws {
        let rt = try TestRuntime()
        let session = try rt.session("acme")
        try rt.listen()
        try rt.outcome("paid", 320, id: "a") { $0.session = session }
        let event = rt.events(.outcome).first
        #expect(event?.amount == 320 && event?.session == session && event?.text == Array("paid".utf8))
        #expect(failure { try rt.outcome("paid", id: "a", .verified, by: "ada") }?.status == .unsupported)
    }
}
