// Events that happen in a home become rows of its ledger, each once. They wait in the ring
// (Loop/EventRing.swift), whose numbers only grow; the folder puts those that were not told
// yet into its next block, which is made for them alone when no step has settled.
//
// The number of the last that was told stands in the header like what a cell has spent: in
// two places, each stamped with a batch, and the header's batch says which of them counts.
// It is written before the ledger commits, and moves with the batch: a folder that dies has
// told what its block tells, or nothing.
//
// What the ring had lost before anybody folded is one event of type `lost`, with their count,
// in the place of the last of them.

extension Runtime {
    /// Its `spent` is the number of the last event that the ledger knows. FOLD.
    private var told: Cell { Cell(segment.base + Header.eventsTold) }

    /// The number of the last event, when the ledger has to be told of it.
    var untoldEvents: Int64? {
        guard ledger.block != nil, let ring = attachment.eventRing else { return nil }
        let last = ring.sent.loadAcquiring()
        return last > told.spent(told.slot(at: core.batch.value)).value ? last : nil
    }

    /// Tells the events up to number `last`, or none, with the batch after `h`. Fold lock held.
    func tellEvents(through last: Int64?, _ block: Block, from h: Int64) {
        guard let ring = attachment.eventRing else { return }
        let current = told.slot(at: h)
        var number = told.spent(current).value
        told.spent(current ^ 1).value = last ?? number
        told.stamp(current ^ 1).storeReleasing(h &+ 1)
        guard let last else { return }
        number = max(number, 0)
        var lost = max(last - EventRing.count - number, 0)
        block.open(.events)
        while number < last {
            number += max(lost, 1)
            var event = lost > 0 ? nil : ring.read(number)
            if event == nil {
                event = Event(type: .lost)
                event?.sequence = number
                event?.unixNanos = clock.unix
                event?.amount = max(lost, 1)
            }
            if let event { block.put(event) }
            lost = 0
        }
        block.close()
    }
}
