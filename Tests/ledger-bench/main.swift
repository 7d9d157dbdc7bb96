// What the ledger's writer does on one core: ledger-bench FOLDER [SECONDS] [SESSIONS].
// Blocks as the fold makes them, with the steps of many sessions mixed; every second
// transaction by transaction, and what readers would see of it at the end.

import Glibc

@testable import BursarCore

func clock(_ id: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(id, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state ^ (state >> 33)) &* 0xff51_afd7_ed55_8ccd
    }
    mutating func upTo(_ most: Int64) -> Int64 { Int64(next() >> 33) % most }
}

let folder = CommandLine.arguments[1]
let seconds = CommandLine.arguments.count > 2 ? Double(CommandLine.arguments[2])! : 5
let sessions = CommandLine.arguments.count > 3 ? Int64(CommandLine.arguments[3])! : 10_000
let perBlock = 8192
let blocksAtOnce = 4
let path = Array("\(folder)/ledger.db".utf8)
for end in ["", "-wal", "-shm"] { unlink("\(folder)/ledger.db\(end)") }

var random = Random(state: 7)
let segment: Int64 = 1_790_000_000_000_000_000
var now = segment
var number: Int64 = 0

@MainActor func describe(_ block: inout LedgerBlock) {
    for (k, name) in ["large", "small", "tiny"].enumerated() {
        block.names.append(NameEntry(kind: .model, number: Int64(k + 1), name: Array(name.utf8)))
    }
    block.names.append(NameEntry(kind: .tool, number: 1, name: Array("search".utf8)))
    block.names.append(NameEntry(kind: .price, number: 1, name: Array("2026-11-01".utf8)))
    for (k, path) in ["", "acme", "acme/support", "acme/support/triage"].enumerated() {
        var node = NodeEntry()
        node.id = Int64(k + 1)
        node.parent = Int64(k)
        node.path = Array(path.utf8)
        block.nodes.append(node)
    }
    for k in 0..<sessions {
        var node = NodeEntry()
        node.kind = .session
        node.id = 1 << 32 | (k + 10)
        node.parent = 4
        node.opened = now
        node.agent = Array("agent-\(k % 20)".utf8)
        node.labels = [(Array("customer".utf8), Array("c\(k % 500)".utf8))]
        block.nodes.append(node)
    }
}

@MainActor func makeBlock() -> LedgerBlock {
    number += 1
    var block = LedgerBlock(segment: segment, batch: number)
    if number == 1 { describe(&block) }
    block.steps.reserveCapacity(perBlock)
    var cost: Int64 = 0
    for k in 0..<perBlock {
        var step = StepEntry()
        step.handle = Int64(k) << 44 | number
        step.session = 1 << 32 | (random.upTo(sessions) + 10)
        now += 4_000
        step.settled = now / 4_000_000 * 4_000_000  // a coarse clock
        step.started = step.settled - 800_000_000
        step.input = random.upTo(3000)
        step.cacheRead = random.upTo(step.input + 1)
        step.output = random.upTo(700)
        step.reasoning = random.upTo(step.output + 1)
        step.cost = random.upTo(20_000_000)
        step.askedCost = step.cost * 2
        step.reserved = step.cost + 99_999
        step.asked = 1
        step.granted = UInt32(random.upTo(3) + 1)
        step.price = 1
        if random.upTo(100) == 0 { step.flags = StepFlag.estimated }
        if random.upTo(20) == 0 { step.attempt = 1 }
        cost += step.cost
        block.steps.append(step)
    }
    for budget in 1...4 {
        for meter in 0..<6 {
            block.spent.append(SpentEntry(budget: Int64(budget), meter: Int64(meter), change: cost))
        }
    }
    return block
}

func report(_ failure: Failure) -> Never {
    print(String(decoding: failure.sentence, as: UTF8.self))
    exit(1)
}

do throws(Failure) {
    let database = try Database(path)
    // The blocks are made before the clocks run.
    var cpu = 0.0
    var wall = 0.0
    var slowest = 0.0
    var rows = 0
    while wall < seconds {
        let blocks = (0..<blocksAtOnce).map { _ in makeBlock() }
        let cpuBefore = clock(CLOCK_PROCESS_CPUTIME_ID)
        let wallBefore = clock(CLOCK_MONOTONIC)
        try database.apply(blocks)
        cpu += clock(CLOCK_PROCESS_CPUTIME_ID) - cpuBefore
        let took = clock(CLOCK_MONOTONIC) - wallBefore
        wall += took
        slowest = max(slowest, took)
        rows += blocksAtOnce * perBlock
    }
    let size = try database.size()
    print(
        "ledger writer: \(Int(Double(rows) / cpu)) steps a second of one core (\(Int(Double(rows) / wall)) by the wall clock), \(rows) steps of \(sessions) sessions in transactions of \(blocksAtOnce * perBlock), slowest \(Int(slowest * 1000)) ms, \(size.file / Int64(rows)) bytes a step"
    )
    let before = clock(CLOCK_MONOTONIC)
    let reader = try Reader(path)
    for sql in [
        "SELECT team, model, sum(cost_nanos) FROM v_steps GROUP BY 1, 2",
        "SELECT customer, model, sum(cost_nanos) FROM v_steps GROUP BY 1, 2",
        "SELECT sum(inclusive_cost_nanos) FROM v_sessions",
    ] {
        let start = clock(CLOCK_MONOTONIC)
        let cursor = try reader.query(Array(sql.utf8))
        var count = 0
        while try cursor.next() { count += 1 }
        print("  \(Int((clock(CLOCK_MONOTONIC) - start) * 1000)) ms, \(count) rows: \(sql)")
    }
    _ = before
    let start = clock(CLOCK_MONOTONIC)
    while try database.compactSome(before: now + 2 * Database.hour) {}
    let after = try database.size()
    print(
        "  \(Int((clock(CLOCK_MONOTONIC) - start) * 1000)) ms: compaction, \(size.used) bytes in use before, \(after.used) after"
    )
} catch {
    report(error)
}
