// What really happened, from watching every record's word; and the invariants.
//
// I1  what counts never passes a ceiling, but for what is allowed to (overruns, late
//     settles, forced charges, steps granted before a limit was lowered)
// I2  committed >= what counts + spent, at every instant
// I3  at rest, after recovery: committed = spent, exactly
// I4  every committed settle is in `spent` and in the ledger once, and nothing else is
// I5  at rest no record is in use, no node is reused under a record
// I6  a repeated or late settle changes the total once

@testable import BursarCore

/// One step, as the ledger should have it in the end.
struct Row {
    /// The session's node and all above it, as they were.
    var path: [Int64] = []
    var epoch: UInt32 = 0
    var amounts: [Int64] = []
    var isEstimate = false
    /// By what late settles said; the first that is folded counts.
    var corrections: [(amounts: [Int64], path: [Int64])] = []
    var isCommitted = false

    /// The cost that will stand in the ledger. A late settle may come before the
    /// settling that it corrects is done: another process's, which died or is stopped.
    var said: Int64? {
        isCommitted && !isEstimate ? amounts.first : corrections.first?.amounts.first
    }
}

struct Window {
    /// Of the limit's place: another limit may get it.
    var gen: Int64
    var start: Int64
    var settled: Int64
}

struct Claim {
    var ceilings: [Int64]
    var slack: [Int64]
}

struct Truth {
    /// The step that a record belongs to, while it is claimed by one.
    var stepOf: [Int]
    /// By step: its handle, once granted, and its row.
    var handles: [Int64]
    var rows: [Row]
    /// By cell: how far truth may be above the ceiling, by overruns and the like, and
    /// because the ceiling fell.
    var slack: [Int64]
    var fallen: [Int64]
    /// By record in CLAIMED: the highest ceilings since, and the slack then.
    var claims: [Claim?]
    /// By limit: the windows that were opened, and what was settled by then.
    var windows: [[Window]]
    /// By limit: the highest ceiling that was right when nobody was editing.
    var tops: [Int64]
    var failure: String?

    init(records: Int, steps: Int, cells: Int, limits: Int) {
        windows = Array(repeating: [], count: limits)
        tops = Array(repeating: 0, count: limits)
        stepOf = Array(repeating: -1, count: records)
        handles = Array(repeating: 0, count: steps)
        rows = Array(repeating: Row(), count: steps)
        slack = Array(repeating: 0, count: cells)
        fallen = slack
        claims = Array(repeating: nil, count: records)
    }

    mutating func fail(_ text: @autoclosure () -> String) {
        if failure == nil { failure = text() }
    }

    var hash: UInt64 {
        var h: UInt64 = 0
        for s in stepOf { h = Machine.mixed(h, Int64(s)) }
        for s in slack { h = Machine.mixed(h, s) }
        for s in fallen { h = Machine.mixed(h, s) }
        for list in windows {
            for window in list { h = Machine.mixed(Machine.mixed(h, window.start), window.settled) }
        }
        for claim in claims {
            h = Machine.mixed(h, claim == nil ? 1 : 2)
            if let claim { for k in claim.ceilings.indices { h = Machine.mixed(h, claim.ceilings[k] &- claim.slack[k]) } }
        }
        for row in rows {
            h = Machine.mixed(h, row.isCommitted ? row.isEstimate ? 2 : 1 : 0)
            for a in row.amounts { h = Machine.mixed(h, a) }
            for c in row.corrections { for a in c.amounts { h = Machine.mixed(h, a) } }
        }
        return h
    }
}

/// Watches one segment. All its own accesses are the scheduler's.
final class Judge {
    let core: Core
    let machine: Machine
    let nodes: Int
    let cells: Int
    let records: Int
    private let recordsAt: Int
    private let cellsAt: Int
    private let limitsAt: Int
    let limits: Int
    var truth: Truth
    var tell: ((String) -> Void)?
    /// Limits change all the time: they are looked at between such changes only.
    var isLoose = false
    /// The step that a fiber works on, when it claims.
    var stepInHand: (Fiber?) -> Int = { _ in -1 }
    /// Whether the fiber's charge asks no ceiling.
    var isForced: (Fiber?) -> Bool = { _ in false }

    init(
        _ core: Core, _ machine: Machine, nodes: Int, cells: Int, limits: Int, records: Int, steps: Int
    ) {
        self.limits = limits
        limitsAt = core.engine.pointee.limits - core.engine.pointee.header
        self.core = core
        self.machine = machine
        self.nodes = nodes
        self.cells = cells
        self.records = records
        recordsAt = core.engine.pointee.records - core.engine.pointee.header
        cellsAt = core.engine.pointee.cells - core.engine.pointee.header
        truth = Truth(records: records, steps: steps, cells: cells, limits: limits)
        for l in 1..<limits {
            truth.windows[l] = [Window(
                gen: Judge.identity(core.limit(l)), start: core.limit(l).window.value >> 1, settled: 0)]
        }
    }

    private static func amounts(_ a: borrowing Amounts) -> [Int64] {
        var list: [Int64] = []
        for m in 0..<MeterIndex.named { list.append(a[m]) }
        return list
    }

    private func eachCell(from leaf: Int, _ body: (Int, Cell) -> Void) {
        var i = leaf
        while true {
            var c = Int(core.node(i).firstCell.value)
            while c != 0 {
                let cell = core.cell(c)
                body(c, cell)
                c = Int(cell.next.value)
            }
            if i == 0 { return }
            i = Int(core.node(i).parent.value)
        }
    }

    private func path(of record: Record) -> [Int64] {
        var ids: [Int64] = []
        var i = Int(record.node.value & 0xFFFF_FFFF)
        while i != 0 {
            ids.append(core.id(of: i))
            i = Int(core.node(i).parent.value)
        }
        return ids
    }

    private func sawCeiling(_ c: Int, _ old: Int64, _ new: Int64) {
        // The first limit of a meter says nothing of what was before it.
        if new < old { truth.fallen[c] = old < Bound.ceiling ? truth.fallen[c] + old - new : Bound.amount }
        for i in truth.claims.indices {
            if let top = truth.claims[i]?.ceilings[c], top < new { truth.claims[i]?.ceilings[c] = new }
        }
    }

    /// What is settled of a limit's meter now, folded or not.
    private func settled(_ l: Int) -> Int64 {
        let limit = core.limit(l)
        guard let cell = core.cell(of: limit.meter, at: Int(limit.node.value)) else { return 0 }
        let h = core.batch.value
        var sum = spent(cell)
        for i in 0..<records {
            let record = core.record(i)
            let word = record.word.value
            switch RecordWord.state(word) {
            case RecordState.adjusting, RecordState.settled: break
            case RecordState.folding where RecordWord.actor(word) != h & 0xFFF: break
            default: continue
            }
            var passes = false
            eachCell(from: Int(record.node.value & 0xFFFF_FFFF)) { _, other in
                if other.p == cell.p { passes = true }
            }
            if passes { sum += record.used[limit.meter] }
        }
        return sum
    }

    private static func identity(_ limit: LimitSlot) -> Int64 {
        Int64(limit.fired.value >> 16) << 32 | Int64(limit.node.value)
    }

    /// A window's first opening says what it may start from; an opening that is taken
    /// back never was.
    private func sawWindow(_ l: Int, _ start: Int64) {
        let limit = core.limit(l)
        let gen = Judge.identity(limit)
        guard limit.windowKind == WindowCode.calendar else { return }
        while let last = truth.windows[l].last, last.gen != gen || last.start > start {
            truth.windows[l].removeLast()
        }
        if truth.windows[l].last?.start != start {
            truth.windows[l].append(Window(gen: gen, start: start, settled: settled(l)))
        }
    }

    /// No window pays out more than its limit and what was added to it. While the
    /// configuration is being edited, or a killed edit waits to be taken back, what
    /// held before still does.
    private func checkWindows(isRest: Bool) {
        let isEdited =
            machine.holder(byte: LockByte.config) != nil || core.header(Header.undoCount).value != 0
            || core.header(Header.raised).value != 0
        if isLoose, isEdited { return }
        for l in 1..<limits {
            let limit = core.limit(l)
            guard limit.windowKind == WindowCode.calendar else { continue }
            if isLoose { sawWindow(l, limit.window.value >> 1) }
            guard let window = truth.windows[l].last,
                let cell = core.cell(of: limit.meter, at: Int(limit.node.value))
            else { continue }
            var top = window.settled + limit.amount.value + limit.extra.value
            if isEdited { top = max(top, truth.tops[l]) } else { truth.tops[l] = top }
            if cell.ceiling.value > top {
                truth.fail(
                    "I1: limit \(l) of node \(limit.node.value) meter \(limit.meter) pays out twice: ceiling \(cell.ceiling.value) > \(top)")
            }
            let right = limit.base(Int(limit.window.value & 1)).value + limit.amount.value + limit.extra.value
            if isRest, cell.ceiling.value != right {
                truth.fail("I1: limit \(l): ceiling \(cell.ceiling.value) is not \(right)")
            }
        }
    }

    /// A grant passes no limit that was in force since its step was claimed.
    private func checkGrant(_ i: Int, leaf: Int) {
        guard let claim = truth.claims[i] else { return }
        let amounts = core.record(i).held
        truth.claims[i] = nil
        let sums = counts()
        eachCell(from: leaf) { c, cell in
            let total = spent(cell) + sums[c]
            // What asks for nothing of a meter passes.
            if amounts[cell.meter] > 0, total > claim.ceilings[c] + truth.slack[c] - claim.slack[c] {
                truth.fail(
                    "I1: a grant takes meter \(cell.meter) to \(total), past \(claim.ceilings[c])")
            }
        }
    }

    /// A change of the segment that was just made.
    func saw(_ offset: Int, _ old: Int64, _ new: Int64, _ fiber: Fiber?) {
        if offset >= cellsAt, offset < cellsAt + cells * Cell.size, (offset - cellsAt) % Cell.size == 8 {
            sawCeiling((offset - cellsAt) / Cell.size, old, new)
            return
        }
        if offset >= limitsAt, offset < limitsAt + limits * LimitSlot.size,
            (offset - limitsAt) % LimitSlot.size == 24
        {
            sawWindow((offset - limitsAt) / LimitSlot.size, new >> 1)
            return
        }
        let at = offset - recordsAt
        guard at >= 0, at < records * Record.size, at % Record.size == 0 else { return }
        let i = at / Record.size
        let record = core.record(i)
        let from = RecordWord.state(old)
        let to = RecordWord.state(new)
        let leaf = Int(record.node.value & 0xFFFF_FFFF)
        tell?(
            "        record \(i) \(Judge.names[Int(min(from, 9))]) a\(RecordWord.actor(old)) g\(RecordWord.gen(old)) -> \(Judge.names[Int(min(to, 9))]) a\(RecordWord.actor(new)) g\(RecordWord.gen(new)) by \(fiber?.id ?? -1), node \(record.node.value >> 32):\(leaf), held \(record.heldCost.value), used \(record.usedCost.value), flags \(record.flags.value), batch \(core.batch.value)")
        switch (from, to) {
        case (_, RecordState.claimed):
            truth.stepOf[i] = stepInHand(fiber)
            truth.claims[i] = Claim(
                ceilings: (0..<cells).map { core.cell($0).ceiling.value }, slack: truth.slack)
        case (RecordState.claimed, RecordState.held), (RecordState.claimed, RecordState.inFlight):
            let step = truth.stepOf[i]
            if step >= 0 { truth.handles[step] = Handle.make(index: i, gen: RecordWord.gen(new)) }
            checkGrant(i, leaf: leaf)
        case (RecordState.settling, RecordState.adjusting), (RecordState.settling, RecordState.settled),
            (RecordState.claimed, RecordState.settled):
            let used = Judge.amounts(record.used)
            let flags = record.flags.value
            if flags & RecordFlag.correction != 0 {
                guard let step = truth.handles.firstIndex(of: record.original) else {
                    truth.fail("a correction of a step that never was")
                    return
                }
                truth.rows[step].corrections.append((used, path(of: record)))
                eachCell(from: leaf) { c, cell in truth.slack[c] += used[cell.meter] }
                return
            }
            let step = truth.stepOf[i]
            guard step >= 0 else { return }
            if truth.rows[step].isCommitted { truth.fail("I4: step \(step) committed twice") }
            truth.rows[step].isCommitted = true
            truth.rows[step].path = path(of: record)
            truth.rows[step].epoch = record.epoch.value
            truth.rows[step].amounts = used
            truth.rows[step].isEstimate = flags & RecordFlag.estimated != 0
            if from == RecordState.claimed {
                if !isForced(fiber) {
                    checkGrant(i, leaf: leaf)
                } else {
                    eachCell(from: leaf) { c, cell in truth.slack[c] += used[cell.meter] }
                }
            } else {
                let held = Judge.amounts(record.held)
                eachCell(from: leaf) { c, cell in
                    truth.slack[c] += max(used[cell.meter] - held[cell.meter], 0)
                }
            }
        case (RecordState.claimed, _): truth.claims[i] = nil
        default: break
        }
    }

    func spent(_ cell: Cell) -> Int64 { cell.spent(cell.slot(at: core.batch.value)).value }

    /// What counts by cell, without `spent`.
    private func counts() -> [Int64] {
        var sums = [Int64](repeating: 0, count: cells)
        let h = core.batch.value
        for i in 0..<records {
            let record = core.record(i)
            let word = record.word.value
            let counted: [Int64]
            switch RecordWord.state(word) {
            case RecordState.held, RecordState.inFlight, RecordState.settling:
                counted = Judge.amounts(record.held)
            case RecordState.adjusting, RecordState.settled:
                counted = Judge.amounts(record.used)
            case RecordState.folding where RecordWord.actor(word) != h & 0xFFF:
                counted = Judge.amounts(record.used)
            default: continue
            }
            let id = record.node.value
            let epoch = record.epoch.value
            let leaf = Int(id & 0xFFFF_FFFF)
            if core.node(leaf).state.value >> 32 != id >> 32 { truth.fail("I5: node \(leaf) reused under a record") }
            eachCell(from: leaf) { c, cell in
                if cell.kind.value >> 5 <= epoch { sums[c] += counted[cell.meter] }
            }
        }
        return sums
    }

    /// I1 and I2, which hold at every instant.
    func check() {
        checkWindows(isRest: false)
        let sums = counts()
        for i in 0..<nodes where core.node(i).state.value & StateBit.free == 0 {
            var c = Int(core.node(i).firstCell.value)
            while c != 0 {
                let cell = core.cell(c)
                defer { c = Int(cell.next.value) }
                // Not born yet: whoever makes it is still at it.
                if cell.kind.value >> 5 > core.epoch.value { continue }
                let truthful = spent(cell) + sums[c]
                if cell.committed.value < truthful {
                    truth.fail(
                        "I2: node \(i) meter \(cell.meter): committed \(cell.committed.value) < \(truthful)")
                }
                if truthful > cell.ceiling.value + truth.slack[c] + truth.fallen[c] {
                    truth.fail(
                        "I1: node \(i) meter \(cell.meter): \(truthful) > ceiling \(cell.ceiling.value) + \(truth.slack[c])")
                }
            }
        }
    }

    /// What the committed rows add up to at a node.
    private func booked(_ id: Int64, _ meter: Int, born: UInt32) -> Int64 {
        var sum: Int64 = 0
        for row in truth.rows where row.isCommitted && row.epoch >= born && row.path.contains(id) {
            // Which of several corrections came first is the folder's choice; the
            // programs of one step always say the same.
            // A closed session's own sum may keep the estimate.
            if row.isEstimate, let first = row.corrections.first, first.path.contains(id) {
                sum += first.amounts[meter]
            } else {
                sum += row.amounts[meter]
            }
        }
        return sum
    }

    /// I3, I4, I5: when all is dead, recovered, counted and folded.
    func checkRest() {
        checkWindows(isRest: true)
        checkExact(isEmpty: true)
    }

    /// I3, I4, and I5 if nothing may be left.
    func checkExact(isEmpty: Bool) {
        if isEmpty {
            for i in 0..<records where RecordWord.state(core.record(i).word.value) != RecordState.free {
                truth.fail("I5: record \(i) left in state \(RecordWord.state(core.record(i).word.value))")
            }
        }
        let sums = counts()
        for i in 1..<nodes {
            let node = core.node(i)
            if node.state.value & StateBit.free != 0 || node.state.value == 0 { continue }
            var c = Int(node.firstCell.value)
            while c != 0 {
                let cell = core.cell(c)
                defer { c = Int(cell.next.value) }
                let spent = spent(cell)
                let born = cell.kind.value >> 5
                if born > core.epoch.value { continue }
                // What a meter had before it was limited is only known as far as it was folded.
                if born == 0 || cell.meter == MeterIndex.cost {
                    let right = booked(core.id(of: i), cell.meter, born: born)
                    if spent != right {
                        truth.fail("I4: node \(i) meter \(cell.meter): spent \(spent), settled \(right)")
                    }
                }
                if cell.committed.value != spent + sums[c] {
                    truth.fail(
                        "I3: node \(i) meter \(cell.meter): committed \(cell.committed.value), spent \(spent), held \(sums[c])")
                }
            }
        }
    }

    /// I4: the ledger has what was settled, and nothing else.
    func check(_ ledger: Ledger) {
        var cost: Int64 = 0
        var steps: Int64 = 0
        var k = 0
        while let row = ledger.row(at: k) {
            cost += row.cost
            steps += row.steps
            k += 1
        }
        for row in truth.rows where row.isCommitted {
            let amounts = row.isEstimate ? row.corrections.first?.amounts ?? row.amounts : row.amounts
            cost -= amounts[MeterIndex.cost]
            steps -= amounts[MeterIndex.steps]
        }
        if cost != 0 || steps != 0 {
            truth.fail("I4: the ledger has \(cost) nano-dollars and \(steps) steps too many")
        }
    }

    /// One line for traces.
    var summary: String {
        var text = "h\(core.batch.value)"
        for i in 1..<nodes {
            var c = Int(core.node(i).firstCell.value)
            while c != 0 {
                let cell = core.cell(c)
                if cell.meter == 0 {
                    text += " n\(i):\(cell.committed.value)/\(cell.ceiling.value) s\(spent(cell))"
                    let d = core.node(i).dirty.value, k = core.node(i).clean.value
                    if d != k { text += " dirty \(d)/\(k)" }
                }
                c = Int(cell.next.value)
            }
        }
        for i in 0..<records {
            let record = core.record(i)
            let word = record.word.value
            let state = RecordWord.state(word)
            if word == 0 { continue }
            text += " r\(i):\(Judge.names[Int(min(state, 9))])"
            text += "a\(RecordWord.actor(word))g\(RecordWord.gen(word))"
            if state != 0 {
                text += "n\(record.node.value & 0xFFFF_FFFF)h\(record.heldCost.value)u\(record.usedCost.value)f\(record.flags.value)"
            }
        }
        return text
    }
    private static let names = [
        "FREE", "CLAIMED", "HELD", "INFLIGHT", "SETTLING", "ADJUSTING", "SETTLED", "FOLDING",
        "RELEASING", "?",
    ]
}
