// What the tests of the core share: a runtime that closes itself, calls in one
// line each, and what must hold when nothing is in the middle of a call.

import Testing

@testable import BursarCore

let dollar: Int64 = 1_000_000_000
let cent: Int64 = 10_000_000
let second: Int64 = 1_000_000_000
let minute = 60 * second
let hour = 60 * minute
let day = 24 * hour

/// A private runtime that closes itself. Any method from any thread.
final class TestRuntime: @unchecked Sendable {
    let page: UnsafeMutableRawPointer
    let core: Core
    let runtime: Runtime

    init(_ configure: (inout OpenOptions) -> Void = { _ in }) throws {
        var options = OpenOptions()
        configure(&options)
        page = try Runtime.open(options)
        core = Core(page: page)
        runtime = core.runtime
    }

    /// A runtime of another process on a segment, without a loop of its own.
    init(on segment: Segment, slot: UInt32, ledger: String) throws {
        let attachment = Attachment(segment, ProcessLocks(), slot: slot)
        attachment.ledgerPath = [UInt8](ledger.utf8)
        page = try Runtime.open(OpenOptions(), on: attachment)
        core = Core(page: page)
        runtime = core.runtime
        runtime.loop.stop()
        isShared = true
    }
    private var isShared = false

    /// One of several is gone as if killed: nothing is closed.
    deinit {
        if isShared {
            Unmanaged<Runtime>.fromOpaque(core.engine.pointee.runtime).release()
        } else {
            _ = Runtime.close(page)
        }
    }

    // MARK: - Time

    /// Moves the steady clock, and does what is due.
    func pass(_ nanos: Int64) {
        runtime.clock.shiftSteady(by: nanos)
        attend()
    }

    /// Moves both clocks, as time does.
    func passEverywhere(_ nanos: Int64) {
        runtime.clock.shiftUnix(by: nanos)
        pass(nanos)
    }

    /// Moves the unix clock to `nanos` after midnight (UTC) of a later day.
    func moveToMidnight(plus nanos: Int64) {
        let now = runtime.clock.unix
        let midnight = (now / day + 1) * day
        passEverywhere(midnight + nanos - now)
    }

    /// One turn of the loop's duties, on the calling thread.
    func attend() {
        runtime.loop.turning.lock()
        _ = runtime.attendToAll()
        runtime.loop.turning.unlock()
    }

    // MARK: - Budgets and sessions

    @discardableResult
    func budget(
        _ path: String, _ limits: String = "", _ configure: (inout BudgetOptions) -> Void = { _ in }
    ) throws -> Int64 {
        var options = BudgetOptions()
        options.limits = [UInt8](limits.utf8)
        configure(&options)
        return try runtime.budgetDeclare([UInt8](path.utf8), options)
    }

    func session(
        _ path: String, _ limits: String = "", ladder: String = "", holdback: Int64 = 0,
        _ configure: (inout SessionOptions) -> Void = { _ in }
    ) throws -> Int64 {
        var options = SessionOptions()
        options.path = [UInt8](path.utf8)
        options.limits = [UInt8](limits.utf8)
        options.ladder = [UInt8](ladder.utf8)
        options.holdbackNanos = holdback
        configure(&options)
        return try runtime.sessionOpen(options)
    }

    func child(of parent: Int64, _ limits: String = "") throws -> Int64 {
        var options = SessionOptions()
        options.parent = parent
        options.limits = [UInt8](limits.utf8)
        return try runtime.sessionOpen(options)
    }

    func setLimits(_ id: Int64, _ limits: String) throws {
        try runtime.limitsSet(id, [UInt8](limits.utf8))
    }

    func topUp(_ id: Int64, _ amount: String, for time: Int64 = 0) throws {
        try runtime.topUp(id, [UInt8](amount.utf8), for: time, reason: [])
    }

    func control(_ what: Runtime.Control, _ id: Int64, _ reason: String = "") throws {
        try runtime.control(what, id, reason: [UInt8](reason.utf8))
    }

    func meter(_ name: String) throws -> Int32 { try runtime.meterDefine([UInt8](name.utf8)) }
    func tool(_ name: String, price: Int64 = 0) throws -> Int32 {
        let tool = try runtime.toolFind([UInt8](name.utf8))
        try runtime.toolPriceSet(tool, nanos: price)
        return tool
    }

    /// A model of that name; rates in pico-dollars per token.
    @discardableResult
    func model(_ name: String, input: Int64 = -1, output: Int64 = 0) throws -> Int32 {
        if input >= 0 {
            var rates = Rates()
            rates.inputPicos = input
            rates.outputPicos = output
            try name.withBytes { bytes throws(Failure) in try runtime.priceSet(bytes, rates) }
        }
        return try name.withBytes { bytes throws(Failure) in try runtime.modelFind(bytes) }
    }

    // MARK: - Steps

    func reserve(
        _ session: Int64, _ nanos: Int64 = 0, _ configure: (inout Request) -> Void = { _ in }
    ) -> (status: Status, d: Decision) {
        var q = Request()
        q.extraNanos = nanos
        configure(&q)
        var d = Decision()
        let status = core.reserve(session, q, &d)
        return (status, d)
    }

    /// A step that is expected to be granted.
    func granted(
        _ session: Int64, _ nanos: Int64 = 0, _ configure: (inout Request) -> Void = { _ in },
        at place: SourceLocation = #_sourceLocation
    ) -> Decision {
        let (status, d) = reserve(session, nanos, configure)
        #expect(status == .ok && d.reservation != 0, "\(d)", sourceLocation: place)
        return d
    }

    /// A step that is expected to be refused.
    func refused(
        _ session: Int64, _ nanos: Int64 = 0, _ configure: (inout Request) -> Void = { _ in },
        at place: SourceLocation = #_sourceLocation
    ) -> Decision {
        let (status, d) = reserve(session, nanos, configure)
        #expect(status == .refused && d.reservation == 0, "\(d)", sourceLocation: place)
        return d
    }

    /// Settles at a cost that somebody billed.
    @discardableResult
    func settle(_ handle: Int64, cost: Int64, units: Int64 = 0) -> (status: Status, r: Receipt) {
        var report = Report()
        report.flags = Report.cost
        report.costNanos = cost
        report.units = units
        var receipt = Receipt()
        let status = core.settle(handle, report, &receipt)
        return (status, receipt)
    }

    @discardableResult
    func settle(
        _ handle: Int64, input: Int64, output: Int64, _ configure: (inout Report) -> Void = { _ in }
    ) -> (status: Status, r: Receipt) {
        var report = Report()
        report.usage.inputTokens = input
        report.usage.outputTokens = output
        configure(&report)
        var receipt = Receipt()
        let status = core.settle(handle, report, &receipt)
        return (status, receipt)
    }

    /// A step reserved and settled at one cost.
    func spend(_ session: Int64, _ nanos: Int64, at place: SourceLocation = #_sourceLocation) {
        let d = granted(session, nanos, at: place)
        #expect(settle(d.reservation, cost: nanos).status == .ok, sourceLocation: place)
    }

    func charge(
        _ session: Int64, _ nanos: Int64, _ configure: (inout DirectCharge) -> Void = { _ in }
    ) -> (status: Status, d: Decision, r: Receipt) {
        var c = DirectCharge()
        c.nanos = nanos
        configure(&c)
        var d = Decision()
        var r = Receipt()
        let status = core.charge(session, c, &d, &r)
        return (status, d, r)
    }

    func stream(_ handle: Int64, _ tokens: Int64) -> (status: Status, reason: Reason) {
        var reason = Reason.none
        let status = core.stream(handle, tokens, &reason)
        return (status, reason)
    }

    // MARK: - What is on the counters

    func committed(_ id: Int64, _ meter: Int32 = 0) throws -> Int64 {
        try runtime.meterRead(id, meter).committed
    }

    func spent(_ id: Int64, _ meter: Int32 = 0) throws -> Int64 {
        try runtime.meterRead(id, meter).spent
    }

    func remaining(_ id: Int64) throws -> Int64 { try runtime.read(id).remainingNanos }

    /// Events are kept from here on.
    func listen() throws { _ = try runtime.eventsDescriptor() }

    /// Does what is due, and takes all events that wait.
    func events(_ type: EventType? = nil) -> [Event] {
        attend()
        var all: [Event] = []
        while let event = runtime.takeEvent() { all.append(event) }
        return type == nil ? all : all.filter { $0.type == type }
    }

    // MARK: - At rest

    /// committed = spent + held + settled and not folded, before a fold and after it.
    func expectIdentity(at place: SourceLocation = #_sourceLocation) {
        for isFolded in [false, true] {
            if isFolded { runtime.fold() }
            let failure = runtime.verify()
            #expect(
                failure == nil,
                "id \(failure?.id ?? 0), committed \(failure?.values.0 ?? 0), counted \(failure?.values.1 ?? 0), folded: \(isFolded)",
                sourceLocation: place)
        }
    }

    /// The journal is empty, the identity holds, and closing everything leaves no node.
    func expectNothingLeft(at place: SourceLocation = #_sourceLocation) throws {
        expectIdentity(at: place)
        #expect(runtime.health().reservations == 0, sourceLocation: place)
        try removeAll(below: 0)
        runtime.fold()
        #expect(runtime.health().nodes == 0, sourceLocation: place)
        #expect(runtime.segment.freeCells.inUse == 1, "cells", sourceLocation: place)
        #expect(runtime.segment.freeLimits.inUse == 1, "limits", sourceLocation: place)
    }

    private func removeAll(below id: Int64) throws {
        var children: [Int64] = []
        _ = try runtime.children(id) { children.append($0) }
        for child in children {
            if try runtime.read(child).isSession {
                try runtime.sessionClose(child)
            } else {
                try removeAll(below: child)
                try runtime.budgetRemove(child)
            }
        }
    }
}

extension Decision {
    func has(_ flag: UInt32) -> Bool { flags & flag != 0 }
}

extension Receipt {
    func has(_ flag: UInt32) -> Bool { flags & flag != 0 }
}
