// Nodes that were closed, and what happens at them afterwards.

internal import CPlatform

extension Runtime {
    /// Claims a record for what has happened to the first of these nodes that is
    /// still there; for none (0) when all are gone. A node that was closed may be
    /// freed at any time, but not under this lock, nor while a record is claimed.
    func claimForced(for path: [Int64]) -> (index: Int, gen: Int64, id: Int64)? {
        config.lock()
        defer { config.unlock() }
        guard let (i, gen) = core.claimForced() else { return nil }
        for id in path where core.index(of: id) != nil { return (i, gen, id) }
        return (i, gen, 0)
    }

    /// The row that a late settle corrects, whatever became of its record.
    func estimatedRow(_ handle: Int64) -> EstimatedRow? { ledger.estimate(handle) }

    /// Frees the closed nodes that no record names. A record in CLAIMED may name
    /// any: then all wait. Fold lock held.
    func reclaim() {
        config.lock()
        defer { config.unlock() }
        reclaimWaits = false
        if closing.isEmpty { return }
        var named: Set<UInt32> = []
        var isClaimed = false
        core.eachRecord { _, record in
            // Sequentially consistent: pairs with the claim.
            var state = RecordWord.state(record.word.loadSequential())
            // A claim lasts some hundred nanoseconds, unless its thread has to wait.
            var spins = 0
            while state == RecordState.claimed, spins < 1000 {
                spins += 1
                if spins % 100 == 0 { bursar__thread_yield() } else { bursar__cpu_relax() }
                state = RecordWord.state(record.word.loadSequential())
            }
            if state == RecordState.claimed {
                isClaimed = true
                return false
            }
            if state != RecordState.free {
                named.insert(UInt32(truncatingIfNeeded: record.node.value))
            }
            return true
        }
        reclaimWaits = isClaimed
        if isClaimed { return }
        var left: [UInt32] = []
        // Children come after their parents when a subtree was closed.
        for i in closing.reversed() {
            if named.contains(i) || core.node(Int(i)).childCount.value > 0 {
                left.append(i)
            } else {
                remove(i)
            }
        }
        closing = left.reversed()
    }
}
