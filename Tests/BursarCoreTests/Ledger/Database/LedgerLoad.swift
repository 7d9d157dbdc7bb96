// Blocks as a fold would make them, from a seed; and the same sums a second time, in
// plain Swift, to hold the database against.

import Glibc

@testable import BursarCore

struct LedgerDice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func roll(_ sides: Int64) -> Int64 { Int64(next() >> 1) % sides }
    mutating func once(in sides: Int64) -> Bool { roll(sides) == 0 }
}

/// A folder of its own that goes when the test does.
final class LedgerFolder {
    let path: String
    init() throws {
        var name = Array("/tmp/bursar-ledger-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw Failure(.home, "no folder in /tmp") }
        path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    deinit {
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal", "link"] {
            unlink("\(path)/\(name)")
        }
        rmdir(path)
    }
    var ledger: [UInt8] { Array("\(path)/ledger.db".utf8) }
    var ledgerName: String { "\(path)/ledger.db" }

    func write(_ bytes: [UInt8], at offset: Int = 0) {
        let fd = open(ledgerName, O_RDWR | O_CREAT, 0o600)
        defer { close(fd) }
        _ = bytes.withUnsafeBytes { pwrite(fd, $0.baseAddress, $0.count, offset) }
    }
}

extension Failure: CustomStringConvertible {
    public var description: String { "\(status): \(String(decoding: sentence, as: UTF8.self)) \(values)" }
}

extension Reader {
    /// All rows, as text; NULL is "-".
    func rows(_ sql: String) throws -> [[String]] {
        let cursor = try query(Array(sql.utf8))
        var rows: [[String]] = []
        while try cursor.next() {
            rows.append(
                (0..<cursor.columns).map {
                    switch cursor.value($0) {
                    case .null: "-"
                    case .integer(let value): "\(value)"
                    case .real(let value): "\(value)"
                    case .text(let bytes), .blob(let bytes): String(decoding: bytes, as: UTF8.self)
                    }
                })
        }
        return rows
    }
    func int(_ sql: String) throws -> Int64 { Int64(try rows(sql)[0][0]) ?? .min }
}

/// A random home at work: budgets, sessions with children, steps, corrections.
struct LedgerLoad {
    var dice: LedgerDice
    let segment: Int64
    var batch: Int64 = 0
    var now: Int64
    var pace: Int64
    /// What a reader should see, by handle; corrections are applied.
    private(set) var steps: [Int64: StepEntry] = [:]
    private(set) var estimates: [Int64: StepEntry] = [:]
    private(set) var sessions: [Int64: NodeEntry] = [:]
    private(set) var openEstimates: [Int64] = []
    private var nextNode: Int64 = 100
    private var handle: Int64 = 0

    static let paths = ["", "acme", "acme/support", "acme/support/triage", "acme/research", "beta", "beta/ops"]
    static let owners = ["", "ada", "", "grace", "alan", "", "edsger"]
    static let models = ["large", "small", "tiny"]
    static let tools = ["search", "browse"]

    init(seed: UInt64, segment: Int64 = 1_790_000_000_000_000_000, pace: Int64 = 40_000_000) {
        dice = LedgerDice(state: seed)
        self.segment = segment
        now = segment
        self.pace = pace
    }

    private static func node(_ path: Int) -> Int64 { 1 << 32 | Int64(path + 1) }

    /// The paths of a budget and all above it, by place in `paths`.
    static func above(_ path: Int) -> [Int] {
        paths.indices.filter { paths[$0].isEmpty || paths[path] == paths[$0] || paths[path].hasPrefix(paths[$0] + "/") }
    }

    private mutating func describe(_ block: inout LedgerBlock) {
        for (k, name) in LedgerLoad.models.enumerated() {
            block.names.append(NameEntry(kind: .model, number: Int64(k + 1), name: Array(name.utf8)))
        }
        for (k, name) in LedgerLoad.tools.enumerated() {
            block.names.append(NameEntry(kind: .tool, number: Int64(k + 1), name: Array(name.utf8)))
        }
        for (k, name) in ["credits", "calls(search)"].enumerated() {
            block.names.append(NameEntry(kind: .meter, number: Int64(k + 8), name: Array(name.utf8)))
        }
        block.names.append(NameEntry(kind: .price, number: 77, name: Array("book 1".utf8)))
        for (k, path) in LedgerLoad.paths.enumerated() {
            var node = NodeEntry()
            node.id = LedgerLoad.node(k)
            node.parent = LedgerLoad.above(k).filter { $0 != k }.last.map { LedgerLoad.node($0) } ?? 0
            node.path = Array(path.utf8)
            node.owner = Array(LedgerLoad.owners[k].utf8)
            node.opened = now
            block.nodes.append(node)
        }
    }

    private mutating func session() -> NodeEntry {
        var node = NodeEntry()
        node.kind = .session
        nextNode += 1
        node.id = 3 << 32 | nextNode
        let path = Int(dice.roll(Int64(LedgerLoad.paths.count - 1))) + 1
        node.path = Array(LedgerLoad.paths[path].utf8)
        node.parent = LedgerLoad.node(path)
        if dice.once(in: 3), let above = sessions.values.min(by: { $0.id < $1.id }) {
            node.parent = above.id
            node.path = above.path
        }
        let place = LedgerLoad.paths.firstIndex(of: String(decoding: node.path, as: UTF8.self))!
        node.owner = Array(LedgerLoad.owners[place].utf8)
        node.agent = dice.once(in: 4) ? [] : Array("agent-\(dice.roll(3))".utf8)
        node.user = Array("worker-\(dice.roll(2))".utf8)
        node.complexity = UInt8(dice.roll(4))
        node.opened = now
        if dice.once(in: 2) { node.labels.append((Array("customer".utf8), Array("c\(dice.roll(3))".utf8))) }
        if dice.once(in: 2) { node.labels.append((Array("feature".utf8), Array("f\(dice.roll(2))".utf8))) }
        return node
    }

    private mutating func step() -> StepEntry {
        var step = StepEntry()
        handle += 1
        step.handle = handle << 20 | dice.roll(4096)
        step.session = sessions.keys.sorted()[Int(dice.roll(Int64(sessions.count)))]
        now += dice.roll(pace * 2)
        step.settled = now / 4_000_000 * 4_000_000
        if !dice.once(in: 5) { step.started = step.settled - dice.roll(5_000_000_000) }
        step.attempt = dice.once(in: 6) ? 1 : 0
        step.complexity = UInt8(dice.roll(4))
        step.cost = dice.roll(20_000_000)
        step.askedCost = step.cost + dice.roll(1_000_000)
        step.reserved = dice.roll(20_000_000)
        if step.cost > step.reserved { step.flags |= StepFlag.overrun }
        if dice.once(in: 5) {
            step.steps = 0
            step.toolCalls = 1
            step.flags |= StepFlag.charge
            step.tool = UInt32(dice.roll(2) + 1)
            if step.tool == 1 { step.callMeter = 9 }
        } else {
            step.asked = 1
            step.granted = UInt32(dice.roll(3) + 1)
            step.price = 77
            step.input = dice.roll(5000)
            step.cacheRead = dice.roll(step.input + 1)
            step.cacheWrite = dice.roll(step.input - step.cacheRead + 1)
            step.output = dice.roll(900)
            step.reasoning = dice.roll(step.output + 1)
            if dice.once(in: 10) { step.variant = 1 }
            if dice.once(in: 10) { step.audioInput = dice.roll(step.input + 1) }
        }
        if dice.once(in: 7) {
            step.meter = 8
            step.units = dice.roll(50)
        }
        if dice.once(in: 12) { step.flags |= StepFlag.estimated }
        return step
    }

    private static func spend(_ step: StepEntry, sign: Int64, into sums: inout [Int64: [Int64: Int64]], at path: Int) {
        let amounts: [(Int64, Int64)] = [
            (0, step.cost), (1, step.input + step.output), (2, step.input), (3, step.output),
            (4, step.input + step.output - step.cacheRead), (5, step.steps), (6, step.toolCalls),
            (Int64(step.meter), step.meter == 0 ? 0 : step.units),
            (Int64(step.callMeter), step.callMeter == 0 ? 0 : step.toolCalls),
        ]
        for above in above(path) {
            for (meter, amount) in amounts where amount != 0 {
                sums[node(above), default: [:]][meter, default: 0] += sign * amount
            }
        }
    }

    func place(of session: Int64) -> Int {
        LedgerLoad.paths.firstIndex(of: String(decoding: sessions[session]!.path, as: UTF8.self))!
    }

    mutating func block(steps count: Int = 200) -> LedgerBlock {
        batch += 1
        var block = LedgerBlock(segment: segment, batch: batch)
        if batch == 1 { describe(&block) }
        for _ in 0..<(batch == 1 ? 6 : 1) {
            let node = session()
            sessions[node.id] = node
            block.nodes.append(node)
        }
        var sums: [Int64: [Int64: Int64]] = [:]
        for _ in 0..<count {
            let step = step()
            steps[step.handle] = step
            if step.flags & StepFlag.estimated != 0 { openEstimates.append(step.handle) }
            LedgerLoad.spend(step, sign: 1, into: &sums, at: place(of: step.session))
            block.steps.append(step)
        }
        block.steps.shuffle(using: &dice)
        while openEstimates.count > 3 {
            let handle = openEstimates.remove(at: Int(dice.roll(Int64(openEstimates.count))))
            var step = steps[handle]!
            LedgerLoad.spend(step, sign: -1, into: &sums, at: place(of: step.session))
            estimates[handle] = step
            step.cost /= 2
            step.input /= 2
            step.cacheRead = min(step.cacheRead, step.input)
            step.output /= 2
            step.askedCost = step.cost
            step.flags &= ~(StepFlag.estimated | StepFlag.overrun)
            if step.cost > step.reserved { step.flags |= StepFlag.overrun }
            var correction = step
            correction.settled = now
            block.corrections.append(CorrectionEntry(step: correction))
            step.flags |= StepFlag.late
            LedgerLoad.spend(step, sign: 1, into: &sums, at: place(of: step.session))
            steps[handle] = step
        }
        for (budget, meters) in sums.sorted(by: { $0.key < $1.key }) {
            for (meter, change) in meters.sorted(by: { $0.key < $1.key }) {
                block.spent.append(SpentEntry(budget: budget, meter: meter, change: change))
            }
        }
        return block
    }

    mutating func blocks(_ count: Int, steps: Int = 200) -> [LedgerBlock] {
        (0..<count).map { _ in block(steps: steps) }
    }
}

extension LedgerLoad {
    static let dimensions = [
        "organisation", "team", "workflow", "agent", "user", "owner", "feature", "customer", "model_asked",
        "model", "tool", "complexity", "variant", "day", "hour", "attempt", "price",
    ]
    static let amounts = [
        "count", "steps", "tool_calls", "input_tokens", "cache_read_input_tokens", "output_tokens",
        "fresh_tokens", "cost_nanos", "asked_cost_nanos", "saved_nanos", "overrun_nanos", "units",
        "reasoning_output_tokens", "cache_write_input_tokens", "audio_input_tokens",
    ]

    /// A step's dimensions, as `v_steps` should say them.
    func dimensions(of step: StepEntry) -> [String] {
        let session = sessions[step.session]!
        func text(_ bytes: [UInt8], _ none: String = "-") -> String {
            bytes.isEmpty ? none : String(decoding: bytes, as: UTF8.self)
        }
        func label(_ key: String) -> String {
            session.labels.first { $0.key == Array(key.utf8) }.map { text($0.value) } ?? "-"
        }
        let path = text(session.path, "")
        let levels = path.split(separator: "/").map(String.init)
        let complexity = step.complexity != 0 ? step.complexity : session.complexity
        var time = time_t(step.settled / 1_000_000_000)
        var date = tm()
        gmtime_r(&time, &date)
        func pad(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let day = "\(date.tm_year + 1900)-\(pad(date.tm_mon + 1))-\(pad(date.tm_mday))"
        return [
            levels.first ?? "-", levels.count > 1 ? levels[1] : "-", path, text(session.agent),
            text(session.user), text(session.owner, "(unowned)"), label("feature"), label("customer"),
            step.asked == 0 ? "-" : LedgerLoad.models[Int(step.asked) - 1],
            step.granted == 0 ? "-" : LedgerLoad.models[Int(step.granted) - 1],
            step.tool == 0 ? "-" : LedgerLoad.tools[Int(step.tool) - 1],
            complexity == 0 ? "-" : ["routine", "standard", "complex"][Int(complexity) - 1],
            step.variant == 1 ? "batch" : "standard", day, "\(day) \(pad(date.tm_hour)):00",
            "\(step.attempt)", step.price == 0 ? "-" : "book 1",
        ]
    }

    static func amounts(of step: StepEntry) -> [Int64] {
        [
            1, step.steps, step.toolCalls, step.input, step.cacheRead, step.output,
            step.input + step.output - step.cacheRead, step.cost, step.askedCost,
            step.askedCost - step.cost, max(step.cost - step.reserved, 0), step.units, step.reasoning,
            step.cacheWrite, step.audioInput,
        ]
    }

    /// All amounts by two dimensions, as rows of text, sorted.
    func crossed(_ one: Int, _ other: Int) -> [[String]] {
        var sums: [[String]: [Int64]] = [:]
        for step in steps.values {
            let d = dimensions(of: step)
            let amounts = LedgerLoad.amounts(of: step)
            let key = [d[one], d[other]]
            sums[key] = zip(sums[key] ?? amounts.map { _ in 0 }, amounts).map { $0 + $1 }
        }
        return sums.map { $0.key + $0.value.map { "\($0)" } }.sorted { $0.joined(separator: "|") < $1.joined(separator: "|") }
    }

    static func crossed(_ one: Int, _ other: Int, in reader: Reader) throws -> [[String]] {
        let sums = amounts.map { "sum(\($0))" }.joined(separator: ",")
        return try reader.rows("SELECT \(dimensions[one]),\(dimensions[other]),\(sums) FROM v_steps GROUP BY 1,2")
            .sorted { $0.joined(separator: "|") < $1.joined(separator: "|") }
    }
}
