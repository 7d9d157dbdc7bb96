// Idempotency keys of charges: a key that was used answers with the first result.
// Bounded: the oldest are forgotten.

struct ChargeKeys {
    struct Entry {
        var session: Int64
        var nanos: Int64
        var units: Int64
        var cost: Int64
    }

    private var entries: [UInt64: Entry] = [:]
    private var order: [UInt64] = []
    private var head = 0
    private static let most = 65_536

    func find(_ key: UInt64) -> Entry? { entries[key] }

    mutating func keep(_ key: UInt64, _ entry: Entry) {
        if entries.count >= ChargeKeys.most {
            entries[order[head]] = nil
            head += 1
            if head == ChargeKeys.most {
                order.removeFirst(head)
                head = 0
            }
        }
        entries[key] = entry
        order.append(key)
    }
}

extension Runtime {
    /// Charges once for a key; again, it answers with the first result.
    func chargeKeyed(
        _ session: Int64, _ c: DirectCharge, _ cost: Int64, _ receipt: inout Receipt,
        _ charge: (inout Receipt) -> Status
    ) -> Status {
        keys.lock()
        defer { keys.unlock() }
        let key = mixed(c.key) ^ (UInt64(bitPattern: session) &* 0x9E37_79B9_7F4A_7C15)
        if let first = charges.find(key), first.session == session {
            receipt.costNanos = first.cost
            receipt.reservedNanos = first.cost
            receipt.askedCostNanos = first.cost
            receipt.flags = Receipt.replay
            return first.nanos == c.nanos && first.units == c.units ? .ok : .conflict
        }
        let status = charge(&receipt)
        if status == .ok {
            charges.keep(
                key, ChargeKeys.Entry(session: session, nanos: c.nanos, units: c.units, cost: cost))
        }
        return status
    }
}
