// What has happened is recorded, whoever is gone by now.

extension Runtime {
    /// Claims a record for what has happened to the first of these nodes that is
    /// still there; for none (0) when all are gone. A node that was closed may be
    /// freed at any time, but not under this lock, nor while a record is claimed. Nil
    /// also when the lock is not to be had soon: its holder may be stopped.
    func claimForced(for path: [Int64]) -> (index: Int, gen: Int64, id: Int64)? {
        guard config.lock(for: SharedLock.patience) else { return nil }
        defer { config.unlock() }
        guard let (i, gen) = core.claimForced() else { return nil }
        for id in path where core.index(of: id) != nil { return (i, gen, id) }
        return (i, gen, 0)
    }

    /// The row that a late settle corrects, whatever became of its record.
    func estimatedRow(_ handle: Int64) -> EstimatedRow? { ledger.estimate(handle) }
}
