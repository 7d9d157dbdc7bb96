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
        note(.price, record.price.value & Record.priceNumber)
        note(.tool, record.tool.value)
        let meters = record.meters
        if meters != 0 {
            note(.meter, meters & 0xFF)
            note(.meter, meters >> 8 & 0xFF)
        }
    }

    @inline(__always)
    mutating func note(_ kind: NameEntry.Kind, _ number: UInt32) {
        if number != 0, !isTold(kind, number) { add(kind, number) }
    }

    private func isTold(_ kind: NameEntry.Kind, _ number: UInt32) -> Bool {
        let word = Int(number >> 6)
        let bits = told[Int(kind.rawValue) - 1]
        return word < bits.count && bits[word] & 1 << UInt64(number & 63) != 0
    }

    @inline(never)
    private mutating func add(_ kind: NameEntry.Kind, _ number: UInt32) {
        // What a segment says is bounded by what there can be.
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
    /// One block describes no more.
    static var toldMax: Int { 4096 }

    private func untold(_ k: Int) -> Word {
        Word(core.engine.pointee.header + Header.untold + k * 8)
    }

    /// Whether the ledger has to be told of any node.
    var hasUntold: Bool {
        guard ledger.block != nil else { return false }
        for k in 0..<64 where untold(k).value != 0 { return true }
        return false
    }

    /// The nodes that the ledger has to be told of; at most some thousands at once.
    func findUntold() -> [UInt32] {
        var found: [UInt32] = []
        guard hasUntold, config.tryLock(for: SharedLock.patience) else { return found }
        defer { config.unlock() }
        let shift = core.attentionShift
        for k in 0..<64 {
            let word = untold(k)
            var bits = word.value
            while bits != 0, found.count < Runtime.toldMax {
                let bit = bits & (0 &- bits)
                let start = (k << 6 + bits.trailingZeroBitCount) << shift
                bits ^= bit
                let before = found.count
                for i in start..<max(min(start + 1 << shift, Int(segment.nodesMax)), start)
                where core.node(i).flags.value & NodeFlag.untold != 0 {
                    found.append(UInt32(i))
                }
                if found.count == before { word.value &= ~bit }
            }
        }
        return found
    }

    /// How often the ledger is told of steps in flight, and how old those are.
    private static var flightsEvery: Int64 { 1_000_000_000 }

    /// The steps in flight that the ledger has to be told of now; nil: none, and it knows.
    func findFlights(at now: Int64) -> [UInt32]? {
        guard ledger.block != nil else { return nil }
        let file = ledger.file
        guard saturatingAdd(now, 0 &- Runtime.flightsEvery) >= flightsAt || file != flightsFile
        else { return nil }
        flightsAt = now
        flightsFile = file
        var found: [UInt32] = []
        core.eachRecord { i, record in
            if RecordWord.state(record.word.loadAcquiring()) == RecordState.inFlight,
                now &- record.reservedAt.value >= Runtime.flightsEvery
            {
                found.append(UInt32(i))
            }
            return true
        }
        return found.isEmpty && core.header(Header.flightsTold).value == 0 ? nil : found
    }

    /// Steps in flight, each as it would be settled if everybody died now.
    func tell(_ flights: [UInt32], _ block: Block) {
        core.header(Header.flightsTold).value = 1
        let copy = Record(.allocate(byteCount: Record.size, alignment: 64))
        defer { copy.p.deallocate() }
        block.open(.flights)
        block.put(clock.unix)
        for i in flights {
            let record = core.record(Int(i))
            let word = record.word.loadAcquiring()
            for at in stride(from: 8, to: Record.size, by: 8) {
                Word(copy.p + at).value = Word(record.p + at).value
            }
            acquireFence()
            guard RecordWord.state(word) == RecordState.inFlight,
                record.word.loadAcquiring() == word, let leaf = core.leaf(of: copy)
            else { continue }
            let bill = core.estimated(copy, wasSent: true)
            copy.flags.update(setting: RecordFlag.estimated, clearing: RecordFlag.outcome)
            copy.settledAt.value = clock.steady
            copy.usedCost.value = bill.cost
            copy.usedInput.value = bill.input
            copy.usedOutput.value = bill.output
            copy.cacheRead.value = bill.cacheRead
            copy.reasoning.value = bill.reasoning
            copy.addMore()
            copy.usedUnitsWord.value = bill.units
            copy.askedCostWord.value = bill.askedCost
            names.note(copy)
            block.put(copy, handle: Handle.make(index: Int(i), gen: RecordWord.gen(word)))
            block.put(path(from: leaf))
        }
        block.close()
    }

    /// What a batch adds to budgets, then names, nodes and their states. The nodes told, and
    /// whether names were for sure. Fold lock held.
    func tell(
        _ block: Block, _ untold: [UInt32], epoch: UInt32, from h: Int64
    ) -> (nodes: [UInt32], isSure: Bool) {
        block.open(.spent)
        var told: [UInt32] = []
        for entry in 0..<foldSums.count {
            let i = foldSums.node(entry)
            // What this block's steps name.
            if core.node(Int(i)).flags.value & NodeFlag.untold != 0 { told.append(i) }
            if core.node(Int(i)).isSession { continue }
            for meter in 0..<MeterIndex.end where meter != MeterIndex.inFlight {
                let change = foldSums.sum(entry: entry, meter)
                if change == 0 { continue }
                block.put(core.id(of: Int(i)))
                block.put(Int64(meter))
                block.put(change)
            }
        }
        block.close()
        if names.new.isEmpty, told.isEmpty, untold.isEmpty, lowering.isEmpty { return ([], true) }
        // Without the config lock, which somebody may have who was stopped, steps go on all
        // the same: what they name stays as it is, is described as far as it has words, and
        // is told again.
        let isSure = config.tryLock(for: SharedLock.patience)
        defer { if isSure { config.unlock() } }
        if isSure {
            book.learn()
            for i in untold where foldSums.find(i) == nil { told.append(i) }
            if !lowering.isEmpty { tellPaths(&told) }
            // The states below name meters.
            for i in told {
                eachLimit(Int(i)) { _, limit in
                    if meterName(limit.meter) != nil { names.note(.meter, UInt32(limit.meter)) }
                }
            }
        }
        for (kind, number) in names.new {
            let name: [UInt8]?
            switch kind {
            case .model: name = book.name(Int32(bitPattern: number))
            case .tool: name = slab.text(core.tool(Int(number)).name.value)
            case .price: name = priceName(number)
            case .meter: name = meterName(Int(number))
            }
            guard let name, !name.isEmpty else { continue }
            block.open(.name)
            block.put(kind.rawValue)
            block.put(Int64(number))
            block.put(name)
            block.close()
        }
        let offset = clock.unix &- clock.steady
        // What a node names comes before it.
        var deepest: UInt32 = 0
        for i in told { deepest = max(deepest, core.node(Int(i)).depth) }
        for depth in 0...min(deepest, 40) {
            for i in told where core.node(Int(i)).depth == depth {
                describe(Int(i), block, offset, epoch, h, isSure: isSure)
            }
        }
        return (isSure ? told : [], isSure)
    }

    /// The block is committed: what was not changed meanwhile is told.
    func confirm(_ told: [UInt32]) {
        if told.isEmpty || !config.tryLock(for: SharedLock.patience) { return }
        defer { config.unlock() }
        for i in told {
            let flags = core.node(Int(i)).flags
            if flags.value & NodeFlag.telling != 0 {
                flags.update(clearing: NodeFlag.untold | NodeFlag.telling)
            }
        }
    }

    /// Where a step's rates came from. Built-in sets have one number in every process.
    private func priceName(_ price: UInt32) -> [UInt8] {
        if !PriceBook.isBuiltIn(Int32(bitPattern: price)) { return bytes("set by the program") }
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

    private func describe(
        _ i: Int, _ block: Block, _ offset: Int64, _ epoch: UInt32, _ h: Int64, isSure: Bool
    ) {
        let node = core.node(i)
        if isSure { node.flags.update(setting: NodeFlag.telling) }
        let state = node.state.value
        // Made by a call that was undone, or gone.
        if state & StateBit.free != 0 || (i != 0 && state >> 32 == 0) { return }
        let isClosed = state & StateBit.closed != 0
        let isSession = node.isSession
        block.open(.node)
        block.put((isSession ? NodeEntry.Kind.session : .budget).rawValue)
        block.put(core.id(of: i))
        block.put(i == 0 ? 0 : core.id(of: Int(node.parent.value)))
        block.put(Int64(node.complexity))
        block.put(node.opened.value == 0 ? 0 : node.opened.value &+ offset)
        block.put(isClosed ? node.lastStep.value &+ offset : 0)
        let labels = labels(of: i)
        block.put(Int64(labels.count))
        for label in labels {
            block.put(label.key)
            block.put(label.value)
        }
        block.put(path(of: i))
        block.put(inherited(i, Meta.owner))
        block.put(inherited(i, Meta.costCenter))
        block.put(isSession || i == 0 ? [] : slab.text(meta(UInt32(i)).purpose.value))
        block.put(isSession ? slab.text(node.agent.value) : [])
        block.put(isSession ? attachment.slots[node.owner].name : [])
        block.put(isSession && isClosed ? whyEnded(i) : [])
        block.close()
        if isSure, !isSession, !isClosed { describeState(i, block, offset, epoch, h) }
    }

    /// A session's labels, and those of the sessions above it that it does not set itself: what a
    /// sub-agent spends is spent for the same feature and customer. The nearest sixteen.
    private func labels(of i: Int) -> [(key: [UInt8], value: [UInt8])] {
        var found: [(key: [UInt8], value: [UInt8])] = []
        eachUp(i) { i in
            if !core.node(i).isSession { return }
            eachLabel(core.node(i).labels.value) { key, value in
                let key = slab.text(key)
                for label in found where label.key == key { return }
                if found.count < 16 { found.append((key, slab.text(value))) }
            }
        }
        return found
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

    private func describeState(
        _ i: Int, _ block: Block, _ offset: Int64, _ epoch: UInt32, _ h: Int64
    ) {
        let node = core.node(i)
        let words = words(of: i)
        let observed =
            i == 0 ? core.headerFlags.value & HeaderFlag.observed != 0
            : node.flags.value & NodeFlag.observed != 0
        var flags = Int64(node.flags.value & NodeFlag.declared | (observed ? NodeFlag.observed : 0))
        var paused: (sum: Int64, since: Int64) = (0, 0)
        if i != 0 {
            if meta(UInt32(i)).owner.value != 0 { flags |= BudgetStateEntry.ownsOwner }
            if meta(UInt32(i)).costCenter.value != 0 { flags |= BudgetStateEntry.ownsCostCenter }
        }
        if node.extras.value != 0 {
            let extras = Ladder(p: slab.address(node.extras.value))
            let since = extras.pausedSince.value
            paused = (extras.paused.value, since > 0 ? since &+ offset : 0)
        }
        let list = limits(of: i)
        block.open(.state)
        block.put(core.id(of: i))
        block.put(node.state.value & (StateBit.stops & ~StateBit.closed))
        block.put(Int64(node.stateReason.rawValue))
        block.put(words.when)
        block.put(flags)
        block.put(i == 0 ? 0 : Int64(node.rungs.value))
        block.put(Int64(node.complexity))
        block.put(paused.sum)
        block.put(paused.since)
        let earning = earning(of: i)
        block.put(earning?.each.value ?? 0)
        block.put(earning?.most.value ?? 0)
        block.put(earning.map { slab.text($0.outcome.value) } ?? [])
        block.put(list.limits.isEmpty ? [] : list.print())
        block.put(words.who)
        block.put(words.why)
        block.put(Int64(list.limits.count))
        let entry = foldSums.find(UInt32(i))
        var slots: [UInt32] = []
        eachLimit(i) { l, limit in
            slots.append(l)
            block.put(self.limit(of: limit).print())
            block.put(Int64(limit.meter))
            let window = limit.window.value
            let base = Int(window & 1)
            let isCalendar = limit.windowKind == WindowCode.calendar
            let ring = limit.windowKind == WindowCode.rolling ? buckets(of: limit) : nil
            var spent: Int64 = 0
            if let cell = core.cell(of: limit.meter, at: i) {
                spent = cell.spent(cell.slot(at: h)).value
                if let entry, cell.kind.value >> 5 <= epoch {
                    spent &+= foldSums.sum(entry: entry, limit.meter)
                }
            }
            block.put(
                limit.isTime ? window &+ offset : isCalendar ? (window >> 1) &* 1_000_000_000
                    : ring.map { $0.began &+ offset } ?? 0)
            block.put(limit.countsAmounts ? spent : 0)
            let falls = lowering.isEmpty ? 0 : falls(limit, i)
            block.put(limit.isRate ? 0 : limit.base(limit.isTime ? 0 : base).value &+ falls)
            block.put(
                isCalendar && limit.fired.value & LimitFlag.midway != 0 ? limit.base(base ^ 1).value : 0)
            block.put(limit.isRate ? 0 : limit.extra.value)
            block.put(earned(i, limit)?.value ?? 0)
            block.put(Int64(limit.fired.value & LimitFlag.told))
            block.put(ring?.settled.map { $0 &+ falls } ?? [])
        }
        eachTopUp(of: core.id(of: i)) { l, amount, due in
            guard let k = slots.firstIndex(of: l) else { return }
            block.put(Int64(k))
            block.put(amount)
            block.put(saturatingAdd(due, offset))
        }
        block.close()
    }

    /// The budgets whose windows' bases are about to fall: with the batch, not after it.
    private func tellPaths(_ told: inout [UInt32]) {
        for entry in 0..<foldSums.count {
            let i = foldSums.node(entry)
            let node = core.node(Int(i))
            if !node.isSession, node.flags.value & NodeFlag.untold == 0 { told.append(i) }
        }
    }

    /// By how much `lowerBases` will lower a limit's base.
    private func falls(_ limit: LimitSlot, _ i: Int) -> Int64 {
        guard limit.countsAmounts else { return 0 }
        var sum: Int64 = 0
        for k in lowering {
            let record = core.record(Int(k))
            let change = record.delta[limit.meter]
            if change < 0, record.flags.value & RecordFlag.lowered == 0, core.passes(record, i),
                let row = ledger.estimate(record.original), isBefore(limit, row.settledAt)
            {
                sum = saturatingAdd(sum, change)
            }
        }
        return sum
    }

    // MARK: - Who stopped a node, when and why: one text, its parts parted by a control byte

    private static var parting: UInt8 { 0x1F }

    /// Who this process is: user, process, and the name that it gave itself.
    var actor: [UInt8] {
        var text = bytes("uid ")
        Digits.append(UInt64(bursar__user()), to: &text)
        text += bytes(" pid ")
        Digits.append(UInt64(bursar__process()), to: &text)
        if !options.name.isEmpty { text += [UInt8(ascii: " ")] + options.name.prefix(64) }
        return text
    }

    /// What is kept of somebody's words about a node.
    func signed(_ why: [UInt8]) -> [UInt8] { Runtime.signed(actor, clock.unix, why) }

    /// The same of somebody who is known, or of nobody.
    static func signed(_ who: [UInt8], _ when: Int64, _ why: [UInt8]) -> [UInt8] {
        if who.isEmpty, when == 0 { return why }
        var text = who + [parting]
        Digits.append(UInt64(max(when, 0)), to: &text)
        text.append(parting)
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
