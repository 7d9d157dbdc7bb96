// What the outbox says, and its files.

import Glibc
import Testing

@testable import BursarCore

@Suite(.serialized) struct OutboxTests {
    let home: TestHome
    let one: TestRuntime
    init() throws {
        home = try TestHome()
        one = try home.process(1)
    }

    private func outbox() throws -> Outbox {
        let outbox = Outbox([UInt8](home.prefix.utf8), segment: 0x5EED)
        try outbox.seek(after: 0)
        return outbox
    }

    /// All blocks after a batch.
    private func blocks(after batch: Int64 = 0) throws -> [LedgerBlock] {
        let outbox = Outbox([UInt8](home.prefix.utf8), segment: 0x5EED)
        try outbox.seek(after: batch)
        var blocks: [LedgerBlock] = []
        while let block = try outbox.nextBlock(after: batch + Int64(blocks.count)) {
            #expect(block.segment == 0x5EED && block.batch == batch + Int64(blocks.count) + 1)
            blocks.append(block)
        }
        return blocks
    }

    /// What somebody knows who has read every block.
    private struct Reader {
        var names: [String: [UInt8]] = [:]
        var nodes: [Int64: NodeEntry] = [:]
        var states: [Int64: BudgetStateEntry] = [:]
        var steps: [Int64: StepEntry] = [:]
        var order: [StepEntry] = []
        var spent: [String: Int64] = [:]

        init(_ blocks: [LedgerBlock], all: Bool = true) {
            for block in blocks {
                for name in block.names { names["\(name.kind) \(name.number)"] = name.name }
                for node in block.nodes { nodes[node.id] = node }
                for state in block.states { states[state.id] = state }
                for step in block.steps {
                    // What a step names was described before, or is in the same block.
                    #expect(!all || nodes[step.session] != nil)
                    if step.asked != 0 { #expect(names["model \(step.asked)"] != nil) }
                    if step.tool != 0 { #expect(names["tool \(step.tool)"] != nil) }
                    if step.price != 0 { #expect(names["price \(step.price)"] != nil) }
                    if step.meter != 0 { #expect(names["meter \(step.meter)"] != nil) }
                    #expect(steps[step.handle] == nil)
                    steps[step.handle] = step
                    order.append(step)
                }
                for late in block.corrections {
                    #expect((steps[late.step.handle]?.flags ?? 0) & StepFlag.estimated != 0)
                    steps[late.step.handle] = late.step
                }
                for change in block.spent {
                    #expect(!all || nodes[change.budget]?.kind == .budget)
                    spent["\(change.budget) \(change.meter)", default: 0] += change.change
                }
            }
        }
        func text(_ bytes: [UInt8]?) -> String { String(decoding: bytes ?? [], as: UTF8.self) }
    }

    @Test func aStepsRowSaysAllThatItWas() throws {
        let team = try one.budget("acme/team", "$100, 1000 tokens") {
            $0.owner = [UInt8]("ann".utf8)
        }
        let session = try one.session("acme/team", "$20") {
            $0.agent = [UInt8]("agent".utf8)
            $0.labels = [([UInt8]("customer".utf8), [UInt8]("c1".utf8))]
            $0.complexity = 1
        }
        let model = try one.model("m", input: 0, output: 1_000_000)
        let tool = try one.tool("search", price: 7)
        let unit = try one.meter("credits")
        let before = one.runtime.clock.unix
        let d = one.granted(session) {
            $0.model = model
            $0.tool = tool
            $0.maxOutput = 100
            $0.attempt = 2
            $0.complexity = 3
            $0.parent = 99
            $0.units = 5
            $0.meter = unit
        }
        one.settle(d.reservation, input: 60, output: 70) {
            $0.usage.cacheReadInputTokens = 10
            $0.usage.cacheWriteInputTokens = 11
            $0.usage.cacheWrite1hInputTokens = 2
            $0.usage.reasoningOutputTokens = 13
            $0.usage.audioInputTokens = 14
            $0.usage.cacheReadAudioInputTokens = 5
            $0.usage.audioOutputTokens = 16
            $0.usage.imageInputTokens = 17
            $0.usage.imageOutputTokens = 18
            $0.usage.extraNanos = 19
            $0.units = 4
        }
        one.runtime.fold()
        let reader = Reader(try blocks())
        let step = try #require(reader.steps[d.reservation])
        #expect(step.session == session && step.parent == 99 && step.attempt == 2)
        #expect(step.complexity == 3 && step.asked == UInt32(model) && step.granted == UInt32(model))
        #expect(step.input == 60 && step.cacheRead == 10 && step.cacheWrite == 11)
        #expect(step.cacheWrite1h == 2 && step.output == 70 && step.reasoning == 13)
        #expect(step.audioInput == 14 && step.cacheReadAudio == 5 && step.audioOutput == 16)
        #expect(step.imageInput == 17 && step.imageOutput == 18 && step.extraNanos == 19)
        #expect(step.units == 4 && Int32(step.meter) == unit && step.tool == UInt32(tool))
        #expect(step.cost == step.askedCost && step.cost > 7 && step.reserved > 0)
        #expect(step.steps == 1 && step.toolCalls == 1)
        #expect(step.started >= before - second && step.settled >= step.started)
        #expect(step.settled <= one.runtime.clock.unix)
        #expect(reader.text(reader.names["model \(model)"]) == "m")
        #expect(reader.text(reader.names["tool \(tool)"]) == "search")
        #expect(reader.text(reader.names["meter \(unit)"]) == "credits")
        #expect(reader.text(reader.names["price \(step.price)"]) == "set by the program")
        let told = try blocks().flatMap(\.nodes).map(\.id)
        #expect(told == told.sorted { (a, b) in one.core.node(Int(a & 0xFFFF)).depth < one.core.node(Int(b & 0xFFFF)).depth })
        // Whom it names, up to the root.
        let node = try #require(reader.nodes[session])
        #expect(node.kind == .session && node.parent == team && reader.text(node.path) == "acme/team")
        #expect(reader.text(node.agent) == "agent" && reader.text(node.owner) == "ann")
        #expect(node.labels.count == 1 && node.complexity == 1 && node.closed == 0)
        #expect(node.opened >= before - second && node.opened <= one.runtime.clock.unix)
        #expect(reader.text(reader.nodes[team]?.path) == "acme/team")
        #expect(reader.nodes[0]?.path == [])
        for meter in [0, 1, 2, 3, 4, 5, 6, Int(unit)] {
            let wanted: Int64 = meter < 7 ? [step.cost, 130, 60, 70, 120, 1, 1][meter] : 4
            for budget in [0, reader.nodes[team]?.parent ?? -1, team] {
                #expect(reader.spent["\(budget) \(meter)"] == wanted, "\(budget) \(meter)")
            }
        }
        // A plain step, and a charge, in the same place of the journal.
        let plain = one.granted(session, 9)
        one.settle(plain.reservation, cost: 8)
        #expect(one.charge(session, 3).status == .ok)
        one.runtime.fold()
        let after = Reader(try blocks())
        let second = try #require(after.steps[plain.reservation])
        #expect(second.cost == 8 && second.askedCost == 8 && second.reserved == 9)
        #expect(second.parent == 0 && second.attempt == 0 && second.cacheWrite == 0)
        let charge = try #require(after.order.last { $0.flags & StepFlag.charge != 0 })
        #expect(charge.cost == 3 && charge.steps == 0 && charge.flags & StepFlag.direct != 0)
        #expect(after.spent["0 0"] == step.cost + 11)
    }

    @Test func aLateSettleIsACorrectionOfItsStep() throws {
        try one.budget("acme", "$100")
        let session = try one.session("acme", "$20")
        let handle = one.granted(session, 100) { $0.timeToLive = 1 }.reservation
        one.runtime.clock.shiftSteady(by: second)
        _ = one.runtime.scan()
        one.runtime.fold()
        let flags = Reader(try blocks()).steps[handle]?.flags
        #expect((flags ?? 0) & StepFlag.estimated != 0)
        #expect(one.settle(handle, cost: 30).status == .ok)
        one.runtime.fold()
        let all = try blocks()
        #expect(all.map(\.corrections.count).reduce(0, +) == 1)
        let reader = Reader(all)
        #expect(reader.steps[handle]?.cost == 30 && reader.steps[handle]?.session == session)
        #expect((reader.steps[handle]?.flags ?? 1) & StepFlag.estimated == 0)
        #expect(reader.spent["0 0"] == 30)
    }

    @Test func aBaseThatFallsIsToldWithTheCorrectionThatLowersIt() throws {
        let id = try one.budget("acme", "$10 per day, $10/5h")
        let session = try one.session("acme")
        one.moveToMidnight(plus: 23 * hour)
        let handle = one.granted(session, 4 * dollar) { $0.timeToLive = 1 }.reservation
        one.runtime.clock.shiftSteady(by: second)
        _ = one.runtime.scan()
        one.runtime.fold()
        one.passEverywhere(2 * hour)
        one.runtime.fold()
        one.settle(handle, cost: dollar)
        one.runtime.fold()
        let block = try #require(try blocks().first { !$0.corrections.isEmpty })
        let state = try #require(block.states.first { $0.id == id })
        #expect(state.limits[0].spent == dollar && state.limits[0].base == dollar)
        #expect(state.limits[1].spent == dollar && state.limits[1].ring.allSatisfy { $0 == -3 * dollar || $0 == dollar })
        var now: [Int64] = []
        one.runtime.eachLimit(Int(id & 0xFFFF_FFFF)) { _, limit in now.append(limit.floor) }
        #expect(state.limits.map(\.base) == now)
    }

    @Test func aLimitsMeterIsToldByName() throws {
        let unit = try one.meter("credits")
        try one.budget("acme", "9 credits, 2 calls(search)/day")
        one.runtime.fold()
        let reader = Reader(try blocks())
        #expect(reader.text(reader.names["meter \(unit)"]) == "credits")
        #expect(reader.text(reader.names["meter \(unit + 1)"]) == "calls(search)")
    }

    @Test func nodesAreToldOnceAndAgainWhenTheyChangeAndBeforeTheyAreFreed() throws {
        let budget = try one.budget("acme", "$100/day alert 50%, 1h wall")
        one.runtime.fold()
        var known = try blocks()
        var reader = Reader(known)
        #expect(reader.nodes[budget] != nil && reader.states[budget] != nil)
        func next() throws -> Reader {
            one.runtime.fold()
            let new = try blocks(after: Int64(known.count))
            known += new
            reader = Reader(known)
            return Reader(new, all: false)
        }
        #expect(try next().nodes.isEmpty && one.core.batch.value == Int64(known.count))
        // No step: the batch has no records.
        let session = try one.session("acme", "$1")
        let child = try one.child(of: session)
        #expect(Set(try next().nodes.keys) == [session, child])
        one.spend(session, 5)
        #expect(try next().nodes.isEmpty)
        try one.control(.kill, session, "ran away")
        try one.runtime.sessionClose(session)
        #expect(Set(try next().nodes.keys) == [session, child])
        let node = try #require(reader.nodes[session])
        #expect(node.closed >= node.opened && reader.text(node.reason) == "ran away")
        #expect(reader.nodes[child]?.reason == [] && one.core.index(of: session) == nil)
        // What a budget has: limits, top-ups, who stopped it and why.
        try one.topUp(budget, "$5", for: hour)
        try one.control(.pause, budget, "lunch")
        #expect(Set(try next().states.keys) == [budget])
        var state = try #require(reader.states[budget])
        #expect(state.state == StateBit.paused && reader.text(state.why) == "lunch")
        #expect(reader.text(state.who).hasPrefix("uid ") && state.when > 0)
        #expect(reader.text(state.limitText) == "$100/day alert 50%, 1h wall")
        #expect(state.limits.count == 2 && state.limits[0].extra == 5 * dollar)
        #expect(state.limits[0].spent == 5 && state.limits[0].windowStart > 0)
        #expect(state.topUps.count == 1 && state.topUps[0].amount == 5 * dollar)
        #expect(state.flags == Int64(NodeFlag.declared))
        try one.control(.resume, budget)
        try one.setLimits(budget, "$7")
        try one.runtime.observe(0, true)
        #expect(Set(try next().states.keys).isSuperset(of: [0, budget]))
        state = try #require(reader.states[budget])
        #expect(state.state == 0 && reader.text(state.limitText) == "$7")
        #expect(reader.states[0]?.flags == Int64(NodeFlag.observed))
        // A new owner is told of what is below, too.
        let below = try one.session("acme")
        _ = try next()
        try one.budget("acme", "$7") {
            $0.replaces = true
            $0.owner = [UInt8]("bob".utf8)
        }
        #expect(try next().text(reader.nodes[below]?.owner) == "bob")
        try one.runtime.sessionClose(below)
        try one.runtime.budgetRemove(budget)
        _ = try next()
        #expect(try #require(reader.nodes[budget]).closed > 0)
        // The sessions of a process that died.
        let two = try home.process(2)
        try two.budget("acme", "$7")
        let orphan = try two.session("acme")
        one.runtime.endSessions(ofSlot: 2)
        _ = try next()
        #expect(reader.text(reader.nodes[orphan]?.reason) == "its process has ended")
    }

    @Test func aChangeWhileTheBlockIsWrittenIsToldInTheNext() throws {
        let budget = try one.budget("acme", "$1")
        one.runtime.folding.lock()
        let block = try #require(one.runtime.ledger.block)
        block.begin(BlockHead())
        one.runtime.foldSums.begin(meters: MeterIndex.end)
        let told = one.runtime.tell(block, one.runtime.findUntold(), epoch: 0, from: 0).nodes
        #expect(told.contains(UInt32(budget & 0xFFFF_FFFF)))
        try one.runtime.configuring { () throws(Failure) in
            one.core.untell(Int(budget & 0xFFFF_FFFF))
        }
        one.runtime.confirm(told)
        one.runtime.folding.unlock()
        #expect(one.runtime.hasUntold)
        one.runtime.fold()
        let reader = Reader(try blocks())
        #expect(one.runtime.findUntold().isEmpty && reader.states[budget] != nil)
    }

    @Test func whatAFullDiskKeptBackIsToldLater() throws {
        one.runtime.fold()
        one.runtime.ledger.limit(to: 0)
        let model = try one.model("m", input: 0, output: 1_000_000)
        let budget = try one.budget("acme", "$100")
        let session = try one.session("acme")
        let d = one.granted(session) { $0.model = model }
        one.settle(d.reservation, input: 0, output: 0)
        try one.runtime.sessionClose(session)
        for _ in 0..<3 { one.runtime.fold() }
        #expect(one.core.index(of: session) != nil)  // it has to be told before
        one.runtime.ledger.limit(to: .max)
        one.runtime.fold()
        let reader = Reader(try blocks())
        #expect(reader.nodes[session]?.closed ?? 0 > 0 && reader.states[budget] != nil)
        #expect(reader.text(reader.names["model \(model)"]) == "m")
        #expect(one.core.index(of: session) == nil)
    }

    @Test func filesEndAndTheLastIsEnoughForWhoComesAnew() throws {
        try one.budget("acme", "$1000")
        let session = try one.session("acme")
        let handle = one.granted(session, 100) { $0.timeToLive = 1 }.reservation
        one.runtime.clock.shiftSteady(by: second)
        _ = one.runtime.scan()
        one.runtime.ledger.limit(to: .max, file: 2000)
        for _ in 0..<30 {
            one.spend(session, 10)
            one.runtime.fold()
        }
        func exists(_ n: Int) -> Bool { access("\(home.prefix).\(n).log", F_OK) == 0 }
        let files = (1...40).filter(exists)
        #expect(files.count > 3 && files == Array(1...files.count))
        let all = try blocks()
        #expect(one.core.batch.value == Int64(all.count))
        #expect(try blocks(after: 11).first?.batch == 12)
        // Another process has seen nothing; one that has been here reads on; and one reads
        // while files go.
        let slow = try outbox()
        let first = try #require(try slow.nextBlock(after: 0))
        #expect(first.batch == 1)
        let two = try home.process(2)
        #expect(try two.expectSettled("read by another") == 400)
        try one.runtime.ledger.remove(through: 12)
        #expect(!exists(1) && exists(files.count))
        #expect(try blocks(after: 12).first?.batch == 13)
        try one.runtime.ledger.remove(through: one.core.batch.value)
        #expect((1...40).filter(exists) == [files.count])
        // The estimate is carried on: its correction counts.
        let three = try home.process(3)
        #expect(three.settle(handle, cost: 40).r.has(Receipt.late))
        #expect(try three.expectSettled("after removal") == 340)
        #expect(try one.expectSettled("by who was there") == 340)
        // Who still reads the removed file comes to its end, and then misses what is gone.
        #expect(throws: Failure.self) {
            var batch: Int64 = 1
            while try slow.nextBlock(after: batch) != nil { batch += 1 }
        }
        // Torn in the last file, by a death right after it was begun.
        let last = "\(home.prefix).\(files.count).log"
        let fd = open(last, O_WRONLY | O_APPEND)
        _ = write(fd, [UInt8](repeating: 0, count: 5000), 5000)
        close(fd)
        let four = try home.process(4)
        four.spend(session, 1)
        four.runtime.fold()
        #expect(try four.expectSettled("zeros cut off") == 341)
    }
}
