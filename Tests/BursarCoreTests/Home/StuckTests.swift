// Homes one of whose locks is held by a process that does not go on, from inside: what is
// left undone is undone in the right order. What must end at all is in Tests/c/home_stuck.c.

import Testing

@testable import BursarCore
@testable import CPlatform

@Suite struct StuckTests {
    private func charge(_ runtime: Runtime, _ session: Int64, _ nanos: Int64) {
        var c = DirectCharge()
        c.nanos = nanos
        var d = Decision()
        var r = Receipt()
        #expect(runtime.core.charge(session, c, &d, &r) == .ok)
    }

    @Test func whatSettledInAWindowIsNotFoldedBeforeThatCouldBeOpened() throws {
        let home = try TestFolder()
        let runtime = try home.open()
        let other = home.stranger(runtime)
        defer { other.close() }
        let theirs = SharedLock(other, LockByte.config)
        var budget = BudgetOptions()
        budget.limits = [UInt8]("$10/day".utf8)
        let team = try runtime.budgetDeclare([UInt8]("acme".utf8), budget)
        var options = SessionOptions()
        options.path = [UInt8]("acme".utf8)
        let session = try runtime.sessionOpen(options)
        charge(runtime, session, 3 * dollar)
        #expect(runtime.fold())
        theirs.lock()
        let batch = runtime.core.batch.value
        let now = runtime.clock.unix
        let ahead = (now / day + 1) * day - now + hour
        runtime.clock.shiftUnix(by: ahead)
        runtime.clock.shiftSteady(by: ahead)
        charge(runtime, session, 4 * dollar)
        #expect(runtime.fold())
        #expect(runtime.core.batch.value == batch)
        theirs.unlock()
        #expect(runtime.fold())
        #expect(runtime.core.batch.value > batch)
        #expect(try runtime.limitRead(team, 0).spent == 4 * dollar)
        #expect(runtime.verify() == nil)
    }

    @Test func aHandleThatComesWhileTheLastOneClosesAttachesAnew() throws {
        let home = try TestFolder()
        let runtime = try home.open()
        let former = runtime.attachment
        let other = home.stranger(runtime)
        defer { other.close() }
        let theirs = SharedLock(other, LockByte.config)
        theirs.lock()
        nonisolated(unsafe) let page = runtime.core.page
        let path = home.path
        hammer(threads: 3, iterations: 1) { thread, _, _ in
            switch thread {
            case 0: #expect(Runtime.close(page) == .ok)
            case 1:
                while former.slots[former.slot].flags.value & Slot.ending == 0 { sleepBriefly() }
                do throws(BursarCore.Failure) {
                    var options = OpenOptions()
                    options.home = path
                    options.mustExist = true
                    let next = try Runtime.open(options)
                    let attachment = Core(page: next).runtime.attachment
                    #expect(attachment !== former)
                    #expect(attachment.slots[attachment.slot].flags.value & Slot.ending == 0)
                    #expect(Runtime.close(next) == .ok)
                } catch {
                    Issue.record("\(error.text)")
                }
            default:
                // Longer than a close waits.
                for _ in 0..<2_500 { sleepBriefly() }
                theirs.unlock()
            }
        }
    }
}
