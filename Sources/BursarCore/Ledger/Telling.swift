// What the ledger is told beside steps: how nodes and budgets are now, what batches
// add to each budget, and names. Only a home's: a private runtime's ledger has no use
// for it.
//
// Whoever changes a node marks it (`Core.untell`), under the config lock. The folder
// describes marked nodes in its next block, whether or not that has steps, notes that it
// is telling them, and takes the mark off when the block is committed, unless the node
// was changed again meanwhile. A folder that dies on the way has told twice, or its
// successor does.

internal import CPlatform

/// The names that this process has told. Of those that a block brings it is not known
/// before its commit whether they were. Guarded by folding.
struct ToldNames {
    private var told: [[UInt64]] = [[], [], [], []]
    private(set) var new: [(kind: NameEntry.Kind, number: UInt32)] = []
    private var last: UInt32 = 0

    /// The names that a record bears.
    @inline(__always)
    mutating func note(_ record: Record) {
        note(.model, record.asked.value)
        note(.model, record.granted.value)
        note(.price, record.price.value)
        note(.tool, record.tool.value)
        let meters = record.meters
        if meters != 0 {
            note(.meter, meters & 0xFF)
            note(.meter, meters >> 8 & 0xFF)
        }
    }

    @inline(__always)
    private mutating func note(_ kind: NameEntry.Kind, _ number: UInt32) {
        if number != 0, !isTold(kind, number) { add(kind, number) }
    }

    private func isTold(_ kind: NameEntry.Kind, _ number: UInt32) -> Bool {
        let word = Int(number >> 6)
        let bits = told[Int(kind.rawValue) - 1]
        return word < bits.count && bits[word] & 1 << UInt64(number & 63) != 0
    }

    @inline(never)
    private mutating func add(_ kind: NameEntry.Kind, _ number: UInt32) {
        // What a segment says is bounded by what there can be; a price is never known
        // of more than the sets of 255 processes.
        let word = Int(number >> 6)
        let k = Int(kind.rawValue) - 1
        guard word < 1 << 22 else { return }
        while told[k].count <= word { told[k].append(0) }
        told[k][word] |= 1 << UInt64(number & 63)
        new.append((kind, number))
    }

    /// The block was committed, or was not.
    mutating func end(_ isCommitted: Bool) {
        if !isCommitted {
            for (kind, number) in new {
                told[Int(kind.rawValue) - 1][Int(number >> 6)] &= ~(1 << UInt64(number & 63))
            }
        }
        new.removeAll()
    }
}

extension Runtime {
    /// A block with descriptions is not much longer than this.
    private static var wordsMax: Int { 1 << 20 }

    private func untold(_ k: Int) -> Word {
        Word(core.engine.pointee.header + Header.untold + k * 8)
    }

    /// Whether the ledger has to be told of any node.
    var hasUntold: Bool {
        guard ledger.block != nil else { return false }
        for k in 0..<64 where untold(k).value != 0 { return true }
        return false
    }

    /// What a batch adds to budgets, then nodes, their states, names. The nodes told, and
    /// whether some are left for another block. Fold lock held.
    func tell(_ block: Block, epoch: UInt32, from h: Int64) -> (told: [UInt32], left: Bool) {
        block.open(.spent)
        for entry in 0..<foldSums.count {
            let i = Int(foldSums.node(entry))
            if core.node(i).isSession { continue }
            for meter in 0..<MeterIndex.end where meter != MeterIndex.inFlight {
                let change = foldSums.sum(entry: entry, meter)
                if change == 0 { continue }
                block.put(core.id(of: i))
                block.put(Int64(meter))
                block.put(change)
            }
        }
        block.close()
        for (kind, number) in names.new where kind == .model || kind == .price {
            put(block, kind, number, kind == .model ? modelName(Int32(bitPattern: number)) : priceName(number))
        }
        if names.new.isEmpty, !hasUntold { return ([], false) }
        config.lock()
        defer { config.unlock() }
        for (kind, number) in names.new {
            if kind == .tool { put(block, kind, number, slab.text(core.tool(Int(number)).name.value)) }
            if kind == .meter { put(block, kind, number, meterName(Int(number))) }
        }
        var told: [UInt32] = []
        let offset = clock.unix &- clock.steady
        // First what this block's steps name.
        for entry in 0..<foldSums.count {
            let i = foldSums.node(entry)
            if core.node(Int(i)).flags.value & NodeFlag.untold != 0 {
                describe(Int(i), block, offset, epoch, h)
                told.append(i)
            }
        }
        var left = false
        eachUntoldGroup { group, _ in
            if left { return }
            for i in group where core.node(i).flags.value & NodeFlag.untold != 0 {
                if foldSums.find(UInt32(i)) != nil { continue }
                left = block.count > Runtime.wordsMax
                if left { return }
                describe(i, block, offset, epoch, h)
                told.append(UInt32(i))
            }
        }
        return (told, left)
    }

    /// The block is committed: what was not changed meanwhile is told.
    func confirm(_ told: [UInt32]) {
        if told.isEmpty { return }
        config.lock()
        defer { config.unlock() }
        for i in told {
            let flags = core.node(Int(i)).flags
            if flags.value & NodeFlag.telling != 0 {
                flags.update(clearing: NodeFlag.untold | NodeFlag.telling)
            }
        }
        eachUntoldGroup { group, clear in
            for i in group where core.node(i).flags.value & NodeFlag.untold != 0 { return }
            clear()
        }
    }

    /// Each group of neighbours in which a node was marked. Config lock held.
    private func eachUntoldGroup(_ body: (Range<Int>, () -> Void) -> Void) {
        let shift = core.attentionShift
        for k in 0..<64 {
            var bits = untold(k).value
            while bits != 0 {
                let bit = bits & (0 &- bits)
                let group = k << 6 + bits.trailingZeroBitCount
                bits ^= bit
                let end = min((group + 1) << shift, Int(segment.nodesMax))
                body(min(group << shift, end)..<end) { untold(k).value &= ~bit }
            }
        }
    }

    private func put(_ block: Block, _ kind: NameEntry.Kind, _ number: UInt32, _ name: [UInt8]?) {
        guard let name, !name.isEmpty else { return }
        block.put(NameEntry(kind: kind, number: Int64(number), name: name))
    }

    /// Where a step's rates came from. Built-in sets have one number in every process.
    private func priceName(_ price: UInt32) -> [UInt8] {
        let set = price & ((1 << Record.priceBits) - 1)
        if !PriceBook.isBuiltIn(Int32(bitPattern: set)) { return bytes("set by the program") }
        var name = bytes("built-in ")
        let date = CivilDate(daysSince1970: PriceBook.asOfUnix / 86_400)
        for (k, part) in [date.year, date.month, date.day].enumerated() {
            if k > 0 { name.append(UInt8(ascii: "-")) }
            if part < 10 { name.append(UInt8(ascii: "0")) }
            Digits.append(UInt64(part), to: &name)
        }
        return name
    }

    // MARK: - Nodes and states. Config lock held

    private func describe(_ i: Int, _ block: Block, _ offset: Int64, _ epoch: UInt32, _ h: Int64) {
        let node = core.node(i)
        node.flags.update(setting: NodeFlag.telling)
        let state = node.state.value
        // Made by a call that was undone, or gone.
        if state & StateBit.free != 0 || (i != 0 && state >> 32 == 0) { return }
        let isClosed = state & StateBit.closed != 0
        var entry = NodeEntry()
        entry.id = core.id(of: i)
        entry.parent = i == 0 ? 0 : core.id(of: Int(node.parent.value))
        entry.path = path(of: i)
        entry.owner = inherited(i) { $0.owner.value }
        entry.costCenter = inherited(i) { $0.costCenter.value }
        entry.complexity = UInt8(truncatingIfNeeded: node.complexity)
        entry.opened = node.opened.value == 0 ? 0 : node.opened.value &+ offset
        if isClosed { entry.closed = node.lastStep.value &+ offset }
        if node.isSession {
            entry.kind = .session
            eachLabel(node.labels.value) { key, value in
                entry.labels.append((slab.text(key), slab.text(value)))
            }
            entry.agent = slab.text(node.agent.value)
            entry.user = attachment.slots[node.owner].name
            if isClosed { entry.reason = whyEnded(i) }
        } else if i != 0 {
            entry.purpose = slab.text(meta(UInt32(i)).purpose.value)
        }
        block.put(entry)
        if !node.isSession, !isClosed { block.put(budgetState(i, offset, epoch, h)) }
    }

    private func whyEnded(_ i: Int) -> [UInt8] {
        let why = words(of: i).why
        if !why.isEmpty { return why }
        switch core.node(i).stateReason {
        case .wall: return bytes("wall time was up")
        case .idle: return bytes("was idle")
        case .unattended: return bytes("was unattended")
        default: return []
        }
    }

    private func budgetState(_ i: Int, _ offset: Int64, _ epoch: UInt32, _ h: Int64) -> BudgetStateEntry {
        let node = core.node(i)
        var state = BudgetStateEntry()
        state.id = core.id(of: i)
        let list = limits(of: i)
        state.limitText = list.limits.isEmpty ? [] : list.print()
        state.state = node.state.value & (StateBit.stops & ~StateBit.closed)
        state.stateReason = Int64(node.stateReason.rawValue)
        let words = words(of: i)
        (state.who, state.why, state.when) = (words.who, words.why, words.when)
        let isObserved =
            i == 0 ? core.headerFlags.value & HeaderFlag.observed != 0
            : node.flags.value & NodeFlag.observed != 0
        state.flags = Int64(
            node.flags.value & NodeFlag.declared | (isObserved ? NodeFlag.observed : 0))
        if i != 0 { state.topRungs = Int64(node.rungs.value) }
        state.complexity = UInt8(truncatingIfNeeded: node.complexity)
        var slots: [UInt32] = []
        eachLimit(i) { l, slot in
            slots.append(l)
            var limit = BudgetStateEntry.Limit()
            limit.text = self.limit(of: slot).print()
            limit.meter = Int64(slot.meter)
            limit.fired = Int64(slot.fired.value & ~LimitFlag.genMask & 31)
            if slot.isTime {
                limit.windowStart = slot.window.value &+ offset
                limit.base = slot.base(0).value
            } else if !slot.isRate {
                let window = slot.window.value
                let base = Int(window & 1)
                limit.windowStart = window >> 1
                if slot.windowKind == WindowCode.calendar {
                    limit.windowStart = (window >> 1) &* 1_000_000_000
                    if slot.fired.value & LimitFlag.midway != 0 { limit.since = slot.base(base ^ 1).value }
                }
                if slot.windowKind == WindowCode.rolling { limit.ring = ring(of: slot) }
                limit.base = slot.base(base).value
                if let cell = core.cell(of: slot.meter, at: i) {
                    limit.spent = cell.spent(cell.slot(at: h)).value
                    if let entry = foldSums.find(UInt32(i)), cell.kind.value >> 5 <= epoch {
                        limit.spent &+= foldSums.sum(entry: entry, slot.meter)
                    }
                }
            }
            limit.extra = slot.isRate ? 0 : slot.extra.value
            state.limits.append(limit)
        }
        eachTopUp(of: state.id) { l, amount, due in
            guard let k = slots.firstIndex(of: l) else { return }
            state.topUps.append(
                BudgetStateEntry.TopUp(limit: Int64(k), amount: amount, ends: saturatingAdd(due, offset)))
        }
        return state
    }

    // MARK: - Who stopped a node, when and why: one text, its parts parted by a control byte

    private static var parting: UInt8 { 0x1F }

    /// What is kept of somebody's words about a node.
    func signed(_ why: [UInt8]) -> [UInt8] {
        var text = bytes("uid ")
        Digits.append(UInt64(bursar__user()), to: &text)
        text += bytes(" pid ")
        Digits.append(UInt64(bursar__process()), to: &text)
        if !options.name.isEmpty { text += [UInt8(ascii: " ")] + options.name.prefix(64) }
        text.append(Runtime.parting)
        Digits.append(UInt64(max(clock.unix, 0)), to: &text)
        text.append(Runtime.parting)
        return text + why
    }

    func words(of i: Int) -> (who: [UInt8], when: Int64, why: [UInt8]) {
        let text = slab.text(core.node(i).reasonText.value)
        guard let a = text.firstIndex(of: Runtime.parting),
            let b = text.lastIndex(of: Runtime.parting), a < b
        else { return ([], 0, text) }
        var when: Int64 = 0
        for digit in text[(a + 1)..<b] { when = when &* 10 &+ Int64(digit &- UInt8(ascii: "0")) }
        return (Array(text[..<a]), when, Array(text[(b + 1)...]))
    }
}
