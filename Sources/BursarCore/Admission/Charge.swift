// The walk: from a session up to the root, charging what a record holds at every
// cell, or nothing.
//
// Far from a ceiling a charge is one add, checked afterwards; near it a
// compare-and-swap, so that a node which refuses never shows more than its
// ceiling and a large refused request cannot crowd out a small one that fits.
// "Near" is less than 64 times the amount away: that many threads would have to
// add the same amount at the same instant for an add to be undone. When that
// does happen, the grant still never passes the limit (each checks the sum of
// all after its own add), and the refused are told that it is transient.
//
// Orders: adds are release (see Journal.swift); a ceiling is read with acquire
// and pairs with the release in `recomputeCeilings`; a node's state is read
// sequentially consistent after the record was claimed, and pairs with the store
// in `setState` and the scan in `reclaim`.

internal import CPlatform

/// Why and where a walk stopped.
struct Stop {
    enum Cause: UInt8 {
        case none, amount, rate, state, undeclared, price, journal, invalid, gone
    }
    var cause = Cause.none
    var node: Int32 = 0
    var cell: Int32 = 0
    /// A rate: nanoseconds to wait, or -1 when waiting does not help.
    var wait: Int64 = 0
}

/// What a walk found on its way.
struct Passage {
    var stop = Stop()
    var flags: UInt32 = 0  // of every budget above the session
    var observed = false
}

extension Core {
    /// Charges `record` from its session up. On a stop, what was charged has
    /// been taken back.
    @inline(never)
    func charge(
        _ amounts: borrowing Amounts, _ record: Record, leaf: Int, gen: Int64, now: Int64,
        final: Bool
    ) -> Passage {
        var passage = Passage()
        let epoch = record.epoch.value
        let plain = engine.pointee.policy.plainCharge
        let all = headerFlags.value & HeaderFlag.observed != 0
        var i = leaf
        var above: UInt32 = 0
        var steps = Steps()
        while steps.goOn() {
            let node = self.node(i)
            let state = node.state.loadSequential()
            let flags = node.flags.value
            if state & StateBit.recount != 0 { waitForRecount(i) }
            if state & StateBit.stops != 0 || (i == leaf && state >> 32 != gen) {
                passage.stop = Stop(cause: .state, node: Int32(truncatingIfNeeded: i))
                break
            }
            if now >= node.dueAt.value, !passesTimeLimits(i) {
                passage.stop = Stop(cause: .state, node: Int32(truncatingIfNeeded: i))
                break
            }
            if flags & NodeFlag.session == 0 { above |= flags }
            let observed = all || flags & NodeFlag.observed != 0
            var c = Int(node.firstCell.loadAcquiring())
            while c != 0, steps.goOn() {
                let cell = self.cell(c)
                let kind = cell.kind.value
                let meter = Int(kind & 31)
                let amount = amounts[meter]
                if amount > 0, kind >> 5 <= epoch {
                    var ceiling = cell.ceiling.loadAcquiring()
                    if meter == MeterIndex.cost, flags & NodeFlag.holdsBack != 0,
                        !(final && i == leaf)
                    {
                        ceiling = ceiling &- Ladder(p: slab(node.extras.value)).holdback
                    }
                    let sum: Int64
                    if observed {
                        sum = cell.committed.add(amount)
                        if sum > ceiling { passage.observed = true }
                    } else if plain || ceiling &- cell.committed.value > amount &<< 6 {
                        sum = cell.committed.add(amount)
                        if sum > ceiling {
                            cell.committed.subtract(amount)
                            passage.stop = Stop(
                                cause: .amount, node: Int32(truncatingIfNeeded: i),
                                cell: Int32(truncatingIfNeeded: c))
                            break
                        }
                    } else {
                        sum = chargeNear(cell, amount, ceiling)
                        if sum < 0 {
                            passage.stop = Stop(
                                cause: .amount, node: Int32(truncatingIfNeeded: i),
                                cell: Int32(truncatingIfNeeded: c))
                            break
                        }
                    }
                    if sum >= cell.watermark.value { attend(to: i) }
                }
                c = Int(cell.next.value)
            }
            if passage.stop.cause != .none { break }
            if flags & NodeFlag.special != 0 {
                let wait = chargeSpecial(i, record, flags, now, observed, &passage)
                if wait != 0 {
                    passage.stop = Stop(
                        cause: .rate, node: Int32(truncatingIfNeeded: i), cell: -1, wait: wait)
                    break
                }
            }
            if i == 0 { break }
            i = Int(node.parent.value)
        }
        passage.flags = above
        if passage.stop.cause != .none {
            undo(amounts, record, leaf: leaf, to: passage.stop)
        } else if above & NodeFlag.limited == 0,
            engine.pointee.policy.undeclared == .refuse
        {
            uncharge(amounts, record, leaf: leaf)
            passage.stop = Stop(cause: .undeclared, node: Int32(truncatingIfNeeded: leaf))
        }
        return passage
    }

    /// The compare-and-swap form: the new sum, or -1 when it would pass the ceiling.
    @inline(never)
    func chargeNear(_ cell: Cell, _ amount: Int64, _ ceiling: Int64) -> Int64 {
        var seen = cell.committed.value
        while true {
            let sum = seen &+ amount
            if sum > ceiling { return -1 }
            // Release like every charge; nothing is read through the counter.
            let (done, now) = cell.committed.exchange(seen, for: sum)
            if done { return sum }
            seen = now
        }
    }

    /// Takes back what a stopped walk had charged: everything below `stop.node`,
    /// and at that node the cells before `stop.cell` (all of them for a rate).
    @inline(never)
    private func undo(
        _ amounts: borrowing Amounts, _ record: Record, leaf: Int, to stop: Stop
    ) {
        let epoch = record.epoch.value
        var i = leaf
        var steps = Steps()
        while steps.goOn() {
            let node = self.node(i)
            let last = i == Int(stop.node)
            if last && stop.cause == .state { return }
            var c = Int(node.firstCell.loadAcquiring())
            while c != 0, !(last && c == Int(stop.cell)), steps.goOn() {
                let cell = self.cell(c)
                let kind = cell.kind.value
                let amount = amounts[Int(kind & 31)]
                if amount > 0, kind >> 5 <= epoch { cell.committed.subtract(amount) }
                c = Int(cell.next.value)
            }
            if last { return }
            if node.flags.value & NodeFlag.rates != 0 { undoRates(i, record) }
            i = Int(node.parent.value)
        }
    }

    /// Takes back a whole charge, at every level.
    func uncharge(_ amounts: borrowing Amounts, _ record: Record, leaf: Int) {
        let epoch = record.epoch.value
        var i = leaf
        var steps = Steps()
        while steps.goOn() {
            let node = self.node(i)
            var c = Int(node.firstCell.loadAcquiring())
            while c != 0, steps.goOn() {
                let cell = self.cell(c)
                let kind = cell.kind.value
                let amount = amounts[Int(kind & 31)]
                if amount > 0, kind >> 5 <= epoch { cell.committed.subtract(amount) }
                c = Int(cell.next.value)
            }
            if node.flags.value & NodeFlag.rates != 0 { refundRates(i, record, all: true) }
            if i == 0 { return }
            i = Int(node.parent.value)
        }
    }

    /// Charges without asking a ceiling: what has happened already. How much of its
    /// cost no limit that stops anybody had room for.
    @discardableResult
    func chargeForced(_ amounts: borrowing Amounts, _ record: Record, leaf: Int) -> Int64 {
        let epoch = record.epoch.value
        var excess: Int64 = 0
        var i = leaf
        var steps = Steps()
        while steps.goOn() {
            let node = self.node(i)
            var c = Int(node.firstCell.loadAcquiring())
            while c != 0, steps.goOn() {
                let cell = self.cell(c)
                let kind = cell.kind.value
                let amount = amounts[Int(kind & 31)]
                if amount > 0, kind >> 5 <= epoch {
                    let sum = cell.committed.add(amount)
                    if sum >= cell.watermark.value { attend(to: i) }
                    if kind & 31 == MeterIndex.cost {
                        excess = max(excess, min(amount, sum &- cell.ceiling.loadAcquiring()))
                    }
                }
                c = Int(cell.next.value)
            }
            if i == 0 { break }
            i = Int(node.parent.value)
        }
        return excess
    }

    // MARK: - What few nodes have

    /// Rates, observed limits, idle limits. 0, or how long a rate asks to wait
    /// (-1 when waiting does not help); then nothing of a rate stays charged.
    @inline(never)
    private func chargeSpecial(
        _ i: Int, _ record: Record, _ flags: UInt32, _ now: Int64, _ observed: Bool,
        _ passage: inout Passage
    ) -> Int64 {
        let node = self.node(i)
        if flags & NodeFlag.idles != 0 { node.lastStep.value = now }
        if flags & NodeFlag.observes != 0, passesObserved(i, record) { passage.observed = true }
        guard flags & NodeFlag.rates != 0 else { return 0 }
        let exact = engine.pointee.clock.steady
        var l = Int(node.firstLimit.loadAcquiring())
        var steps = Steps()
        while l != 0, steps.goOn() {
            let limit = self.limit(l)
            let amount = limit.isRate ? rateAmount(limit, record, used: false) : 0
            if amount > 0 {
                let isObserved = observed || limit.end == LimitEnd.observe
                let wait = chargeRate(limit, amount, now: exact, isObserved, record)
                if wait != 0 {
                    if isObserved {
                        passage.observed = true
                    } else {
                        undoRates(i, record, before: l)
                        return wait
                    }
                }
            }
            l = Int(limit.next.value)
        }
        return 0
    }

    /// Whether an observed limit of the node would have refused.
    private func passesObserved(_ i: Int, _ record: Record) -> Bool {
        var l = Int(node(i).firstLimit.loadAcquiring())
        var steps = Steps()
        while l != 0, steps.goOn() {
            let limit = self.limit(l)
            if limit.end == LimitEnd.observe, limit.countsAmounts, holds(limit, at: node(i)),
                let cell = cell(of: limit.meter, at: i), record.held[limit.meter] > 0,
                cell.committed.value > limit.top
            {
                attend(to: i)
                return true
            }
            l = Int(limit.next.value)
        }
        return false
    }

    /// Whether a limit holds for the node itself, and is no default for the
    /// sessions below it.
    @inline(__always)
    func holds(_ limit: LimitSlot, at node: Node) -> Bool {
        limit.windowKind != WindowCode.session || node.isSession
    }

    /// The node's cell of a meter.
    func cell(of meter: Int, at i: Int) -> Cell? {
        var c = Int(node(i).firstCell.loadAcquiring())
        var steps = Steps()
        while c != 0, steps.goOn() {
            let cell = self.cell(c)
            if cell.meter == meter { return cell }
            c = Int(cell.next.value)
        }
        return nil
    }
}
