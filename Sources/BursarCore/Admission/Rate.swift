// Rates: one word each, the generic cell rate algorithm (ITU-T I.371): the
// theoretical arrival time of the next unit. A charge moves it by the time that
// the amount is worth; it may run ahead of now by the burst. What was charged
// for the worst case and not used is moved back at settle, as far as it is still
// ahead: a charge that ended at E is still owed E - now, and without it the
// others' charges would end at least that much earlier, so that the rest are
// never admitted faster than if only what was used had been charged.

extension LimitSlot {
    var isRate: Bool { windowKind == WindowCode.rate }
    /// Its amount is compared with a counter: not time, not a rate.
    var countsAmounts: Bool { meter < MeterIndex.end && windowKind != WindowCode.rate }
    var isTime: Bool { meter >= MeterIndex.end }
    /// What the counter may reach in the window that is open.
    var top: Int64 {
        saturatingAdd(saturatingAdd(base(Int(window.value & 1)).value, amount.value), extra.value)
    }
    /// A rate: the burst, its period in nanoseconds, the epoch that it was born in.
    var burst: Word { base(0) }
    var period: Word { base(1) }
    var born: UInt32 { UInt32(truncatingIfNeeded: extra.value) }

    /// How many nanoseconds `units` are worth.
    func worth(_ units: Int64, roundingUp: Bool) -> Int64 {
        let rate = UInt128(UInt64(max(amount.value, 1)))
        let product = UInt128(UInt64(max(units, 0))) * UInt128(UInt64(max(period.value, 0)))
        let quotient = (product + (roundingUp ? rate - 1 : 0)) / rate
        return quotient > UInt128(UInt64(Bound.ceiling)) ? Bound.ceiling : Int64(quotient)
    }
}

extension Core {
    /// What a record counts for a rate, 0 when the rate was born after it.
    func rateAmount(_ limit: LimitSlot, _ record: Record, used: Bool) -> Int64 {
        if limit.born > record.epoch.value { return 0 }
        return used ? record.used[limit.meter] : record.held[limit.meter]
    }

    /// 0 and charged; or the nanoseconds to wait; or -1: larger than the burst.
    /// An observed rate counts what it would have refused, as counters do, for
    /// it is given back like the rest.
    func chargeRate(
        _ limit: LimitSlot, _ units: Int64, now: Int64, _ isObserved: Bool, _ record: Record
    ) -> Int64 {
        let ahead = limit.worth(limit.burst.value, roundingUp: true)
        if units > limit.burst.value { return -1 }
        let step = limit.worth(units, roundingUp: true)
        var seen = limit.window.value
        while true {
            let next = saturatingAdd(max(seen, now), step)
            let wait = next &- now > ahead ? max(next &- now &- ahead, 1) : 0
            if wait > 0, !isObserved { return wait }
            let (done, other) = limit.window.exchange(seen, for: next)
            if done {
                record.addMore()
                record.rateEndWord.value = min(record.rateEndWord.value, next)
                // It admits again: the next refusal is told again.
                if wait == 0, limit.fired.value & LimitFlag.refusing != 0 {
                    limit.fired.update(clearing: LimitFlag.refusing)
                }
                return wait
            }
            seen = other
        }
    }

    /// Moves back, at the node's rates, what the record was charged (`all`) or
    /// what it did not use. Of that, what time has paid off already stays paid:
    /// to give it back too would be room that others have taken since.
    @inline(never)
    func refundRates(_ i: Int, _ record: Record, all: Bool) {
        let owed = record.rateEnd &- engine.pointee.clock.steady
        refund(i, record, all: all, owed: max(owed, 0), before: 0)
    }

    /// The same for a walk that was stopped: all of it, as if it had not been.
    func undoRates(_ i: Int, _ record: Record, before end: Int = 0) {
        refund(i, record, all: true, owed: .max, before: end)
    }

    private func refund(_ i: Int, _ record: Record, all: Bool, owed: Int64, before end: Int) {
        var l = Int(node(i).firstLimit.loadAcquiring())
        var steps = Steps()
        while l != 0, l != end, steps.goOn() {
            let limit = self.limit(l)
            if limit.isRate {
                let held = rateAmount(limit, record, used: false)
                let back = all ? held : held &- rateAmount(limit, record, used: true)
                if back > 0, held <= limit.burst.value {
                    limit.window.subtract(min(limit.worth(back, roundingUp: all), owed))
                }
            }
            l = Int(limit.next.value)
        }
    }
}
