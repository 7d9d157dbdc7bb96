// What a home's new segment begins with: all that its ledger knows, when the former one
// is gone (the machine was started anew, or the file was removed).
//
//   R1 what the outboxes of former segments have and the database does not goes there;
//   R2 the database ends the sessions of before, whose processes are dead, and begins the
//      new segment after the last batch that it has;                (durable from here on)
//   R3 the new segment's outbox begins after that batch, too, so that nobody takes it for
//      all that there ever was;
//   R4 budgets, their states and what they spent are put into the segment;
//   then the record names it, and it gets its own name: see SegmentFile.make().
//
// All of it by one process, which has MAKING and ATTACHED for itself alone. A segment
// that has no name is nobody's, and R1 and R2 done again change nothing: so whoever
// comes after a death at any point begins at R1 and comes to the same. What cannot be
// read or written is refused with a sentence; nobody ever begins with nothing by accident.
//
// What was held goes back. What was in flight for a second or more the outbox was told of
// each second: it is settled at its estimate. Only the journal knew what was sent, or
// settled, after the last fold; whoever closes the home folds, so that takes a power cut
// or a kill of everybody.

internal import CLedger
internal import CPlatform

/// Brings back into the new segment of a home what its ledger knows. Under MAKING, alone.
struct Restoration {
    private let folder: Folder
    private let segment: Segment
    /// The segments that there are outboxes of.
    private var former: [Int64] = []

    init(_ folder: Folder, _ segment: Segment) {
        self.folder = folder
        self.segment = segment
    }

    private func outbox(of id: Int64) -> Outbox { Outbox(Outbox.path(of: id, in: folder.path), segment: id) }

    private func refused(_ why: Sentence) -> Failure {
        Failure(
            .home, "the budgets of \(path: folder.path) cannot be brought back into a new segment: " + why)
    }

    private static var remedy: Sentence {
        "; put it back, or remove the file `home` and all that is called `ledger.`, and the home begins with nothing"
    }

    /// Fills the segment, whose id is set. `last` is the segment that the home's record
    /// names; 0 = it has no record yet. False: there was nothing to bring back.
    mutating func run(after last: Int64) throws(Failure) -> Bool {
        do throws(Failure) {
            return try restore(last)
        } catch {
            var failure = refused(Sentence(bytes: error.sentence))
            failure.values = error.values
            throw failure
        }
    }

    private mutating func restore(_ last: Int64) throws(Failure) -> Bool {
        let id = Word(segment.base + Header.segmentID).value
        try findFormer()
        var there = bursar__file()
        let hasDatabase = File.stat(Database.path(in: folder.path), &there) == 0
        if !hasDatabase {
            if last == 0, former.isEmpty {
                try outbox(of: id).begin(after: 0)
                return false
            }
            var isWhole = last == 0 || former.contains(last)
            for id in former where isWhole { isWhole = try outbox(of: id).isWhole() }
            if !isWhole {
                throw Failure(.home, "its ledger \(path: Database.path(in: folder.path)) is gone" + Self.remedy)
            }
        }
        let database = try Database(inHome: folder.path, mode: folder.fileMode)
        try database.connection.execute("PRAGMA synchronous=FULL")
        if last != 0, !former.contains(last), try database.connection.first(.batch, last) == nil {
            throw Failure(
                .home, "the files \(path: Outbox.path(of: last, in: folder.path)) of its ledger are gone" + Self.remedy)
        }
        for id in former { try database.drain(outbox(of: id), id) }
        _ = try database.closeSessions(
            except: id, at: bursar__clock(BURSAR__CLOCK_UNIX), reason: bytes("its home's segment is gone"))
        let batch = max(try database.connection.first(.lastBatch) ?? 0, 1)
        try database.begin(segment: id, after: batch)
        try outbox(of: id).begin(after: batch)
        Word(segment.base + Header.batch).value = batch
        try fill(
            try database.connection.durableState(),
            newest: try database.connection.first(.newestStep) ?? .min)
        return true
    }

    private mutating func findFormer() throws(Failure) {
        var id: Int64 = 0
        while true {
            id = (folder.path + [0]).withUnsafeBytes {
                bursar__ledger_segment($0.baseAddress!.assumingMemoryBound(to: CChar.self), id)
            }
            if id < 0 { throw Folder.failed("read", folder.path, Int32(truncatingIfNeeded: id)) }
            if id == 0 { return }
            former.append(id)
        }
    }

    /// The outboxes of former segments, which the database has by now, go.
    func removeFormer() {
        for id in former { outbox(of: id).removeAll() }
    }

    /// Has a runtime that nobody else sees put everything in.
    private func fill(_ state: DurableState, newest: Int64) throws(Failure) {
        let attachment = Attachment(segment, ProcessLocks(), slot: Attachment.privateSlot)
        let core = Core(page: try Runtime.open(OpenOptions(), on: attachment))
        let runtime = core.runtime
        runtime.loop.stop()
        defer {
            Unmanaged<Runtime>.fromOpaque(core.engine.pointee.runtime).release()
            attachment.slots[attachment.slot].flags.storeReleasing(0)
        }
        try runtime.restore(state, newest: newest)
    }
}

extension Database {
    /// Takes all that an outbox has and the database does not; then, as a batch of its own,
    /// the steps that were in flight, which nobody settles any more.
    fileprivate func drain(_ outbox: Outbox, _ segment: Int64) throws(Failure) {
        let had = try last(of: segment)
        var last = try outbox.rewind()
        if last > had {
            throw Failure(
                .corrupt, "the ledger \(path: connection.path) has batch \(Int(had)) and the files beside it go on after batch \(Int(last))")
        }
        var flights: [FlightEntry] = []
        while let block = try outbox.nextBlock(after: last) {
            last = block.batch
            if let told = block.flights { flights = told }
            if !flights.isEmpty {
                var settled = KeyMap()
                for step in block.steps { settled.set(step.handle, 0) }
                flights.removeAll { settled[$0.step.handle] != nil }
            }
            if last > had { try apply([block]) }
        }
        if flights.isEmpty || had > last { return }
        var block = LedgerBlock()
        block.segment = segment
        block.batch = last + 1
        for flight in flights {
            let step = flight.step
            block.steps.append(step)
            let used = Amounts(
                cost: step.cost, input: step.input, output: step.output, cached: step.cacheRead,
                steps: step.steps, calls: step.toolCalls, inFlight: 0,
                meters: UInt32(step.meter) | UInt32(step.callMeter) << 8, units: step.units)
            for budget in flight.path + [0] {
                for meter in 0..<MeterIndex.end where used[meter] != 0 {
                    block.spent.append(
                        SpentEntry(budget: budget, meter: Int64(meter), change: used[meter]))
                }
            }
        }
        try apply([block])
    }
}

extension Runtime {
    /// Puts in what a ledger knows. `newest` is when the last step settled.
    fileprivate func restore(_ durable: DurableState, newest: Int64) throws(Failure) {
        try configuring { () throws(Failure) in
            var at = 0
            var sums = KeyMap()  // budget to its first place in `spent`
            while at < durable.spent.count {
                let budget = durable.spent[at].budget
                if sums[budget] == nil { sums.set(budget, Int64(at)) }
                at += 1
            }
            for k in 0..<durable.budgets.count {
                let budget = durable.budgets[k]
                let i = budget.path.isEmpty ? 0 : Int(try ensure(try Path.parse(budget.path)))
                let state = durable.states[k]
                try restore(i, budget, state)
                var place = Int(sums[budget.id] ?? .max)
                while place < durable.spent.count, durable.spent[place].budget == budget.id {
                    restore(i, durable.spent[place], durable.meters)
                    place += 1
                }
                try restore(i, state, newest: newest)
                edit.commit()
            }
        }
    }

    /// What a budget is, and its limits as if they were new.
    private func restore(
        _ i: Int, _ budget: NodeEntry, _ state: BudgetStateEntry
    ) throws(Failure) {
        let node = core.node(i)
        node.opened.value = budget.opened &- (clock.unix &- clock.steady)
        let isObserved = state.flags & Int64(NodeFlag.observed) != 0
        if i == 0 {
            core.headerFlags.value = isObserved ? HeaderFlag.observed : 0
            return
        }
        var options = BudgetOptions()
        options.isObserved = isObserved
        if state.flags & BudgetStateEntry.ownsOwner != 0 { options.owner = budget.owner }
        if state.flags & BudgetStateEntry.ownsCostCenter != 0 { options.costCenter = budget.costCenter }
        options.purpose = budget.purpose
        options.complexity = Int32(state.complexity)
        options.earn = state.earn
        options.earnMost = state.earnMost
        options.earnOutcome = state.earnOutcome
        try describe(i, options)
        edit[node.rungs] = UInt32(truncatingIfNeeded: state.topRungs)
        edit.update(
            node.flags, setting: UInt32(truncatingIfNeeded: state.flags) & NodeFlag.declared)
        var list = LimitList([])
        for limit in state.limits {
            do throws(LimitError) {
                list.limits += try limit.text.withUnsafeBufferPointer { (text) throws(LimitError) in
                    try LimitParser.parse(
                        text, onSession: false, meterKnown: { _ in true }, zone: Runtime.zoneAnswer)
                }.limits
            } catch {
                throw Failure(
                    .home,
                    "the limit \(limit.text) of \(budget.path) is not understood: "
                        + Sentence(bytes: error.sentence))
            }
        }
        for limit in list.limits where limit.meter == .unassigned && !limit.isCall {
            _ = try defineMeter(limit.name)
        }
        try setLimits(i, list)
    }

    /// What it spent of one meter.
    private func restore(_ i: Int, _ spent: SpentEntry, _ meters: [NameEntry]) {
        var meter = Int(spent.meter)
        if meter >= MeterIndex.named {
            guard let name = meters.first(where: { $0.number == spent.meter })?.name,
                let known = self.meter(named: name)
            else { return }
            meter = Int(known)
        }
        let node = core.node(i)
        switch meter {
        case MeterIndex.steps: node.steps.value = spent.change
        case MeterIndex.inputTokens: node.input.value = spent.change
        case MeterIndex.outputTokens: node.output.value = spent.change
        case MeterIndex.toolCalls: node.toolCalls.value = UInt32(clamping: spent.change)
        default: break
        }
        guard let cell = core.cell(of: meter, at: i) else { return }
        cell.spent(0).value = spent.change
        cell.spent(1).value = spent.change
        cell.committed.value = spent.change
    }

    /// Windows, top-ups, alerts; who stopped it; then it is open.
    private func restore(
        _ i: Int, _ state: BudgetStateEntry, newest: Int64
    ) throws(Failure) {
        let node = core.node(i)
        let now = (unix: clock.unix, steady: clock.steady)
        let standing = StateBit.paused | StateBit.held
        if state.paused != 0 || state.state & standing != 0 {
            try makeExtras(i)
            let extras = Ladder(p: slab.address(node.extras.value))
            let since = state.pausedSince == 0 ? now.unix : state.pausedSince
            let stands = state.state & standing != 0
            edit[extras.paused] = saturatingAdd(state.paused, stands ? max(now.unix &- since, 0) : 0)
            edit[extras.pausedSince] = stands ? now.steady : 0
        }
        var slots: [UInt32] = []
        eachLimit(i) { l, _ in slots.append(l) }
        var goesOn: [Bool] = []
        for k in 0..<min(slots.count, state.limits.count) {
            goesOn.append(resume(core.limit(Int(slots[k])), i, state.limits[k], newest))
        }
        if let earning = earning(of: i) {
            for k in 0..<goesOn.count where goesOn[k] { note(earning, k, slots[k], state.limits[k].earned) }
        }
        for top in state.topUps {
            guard top.limit >= 0, top.limit < goesOn.count, goesOn[Int(top.limit)] else { continue }
            let l = slots[Int(top.limit)]
            let extra = core.limit(Int(l)).extra
            if top.ends > now.unix {
                try expireTopUps([(l, top.ends &- now.unix)], i, top.amount)
            } else {
                edit[extra] = max(saturatingAdd(extra.value, 0 &- top.amount), 0)
            }
        }
        for meter in 0..<MeterIndex.end { recompute(i, meter: meter) }
        edit.commit()  // a ceiling that rises forgets what was told
        for k in 0..<goesOn.count where goesOn[k] {
            let told = UInt32(truncatingIfNeeded: state.limits[k].fired) & LimitFlag.told
            core.limit(Int(slots[k])).fired.update(setting: told)
        }
        for meter in 0..<MeterIndex.end { recompute(i, meter: meter) }

        let words = Runtime.signed(state.who, state.when, state.why)
        edit[node.reasonText] = try intern(words)
        setStateReason(i, Reason(rawValue: Int32(truncatingIfNeeded: state.stateReason)) ?? .none)
        if i != 0 { open(UInt32(i)) }
        edit.update(state: node.state, setting: state.state & (StateBit.stops & ~StateBit.closed & ~StateBit.free))
        rescheduleTimeLimits(i)
    }

    /// A limit goes on where it was. False: its window has ended meanwhile, and with it
    /// what was added to it.
    private func resume(
        _ limit: LimitSlot, _ i: Int, _ was: BudgetStateEntry.Limit, _ newest: Int64
    ) -> Bool {
        let steady = clock.steady
        let offset = clock.unix &- steady
        let quiet = saturatingAdd(newest, 0 &- offset)
        if limit.isRate {
            // As if the last step had used it up.
            let worth = limit.worth(limit.burst.value, roundingUp: true)
            edit[limit.window] = max(saturatingAdd(min(quiet, steady), worth), steady)
            return true
        }
        if isDefault(limit, at: i) { return true }
        edit[limit.extra] = was.extra
        if limit.isTime {
            edit[limit.window] = was.windowStart &- offset
            edit[limit.base(0)] = was.base
            return true
        }
        guard let cell = core.cell(of: limit.meter, at: i) else { return true }
        let spent = cell.spent(0).value
        switch limit.windowKind {
        case WindowCode.calendar:
            let start = limit.window.value >> 1  // of the window that is open now
            let former = was.windowStart / 1_000_000_000
            if former < start {
                // It began while nobody was here, with what was settled by then. Where it was
                // not told of in time, that is not known: what the former one had counts.
                let isKnown = newest < start &* 1_000_000_000
                edit[limit.base(0)] = isKnown ? spent : min(was.base, spent)
                edit[limit.base(1)] = 0
                edit[limit.extra] = 0
                edit.update(limit.fired, clearing: LimitFlag.midway)
                return false
            }
            edit[limit.window] = former << 1
            edit[limit.base(0)] = min(was.base, spent)
            edit[limit.base(1)] = was.since
            if was.since == 0 { edit.update(limit.fired, clearing: LimitFlag.midway) }
        case WindowCode.rolling:
            startRing(
                limit, was.ring, began: was.windowStart &- offset, settled: spent, quiet: quiet,
                now: steady)
        default: edit[limit.base(0)] = was.base
        }
        return true
    }
}
