// What the sums in memory take from a block: rows of spend, estimates, corrections.

extension Block {
    func put(_ new: LedgerBatch) {
        for row in new.rows {
            open(.row)
            for value in [
                row.budget, Int64(row.asked), Int64(row.granted), row.steps, row.toolCalls,
                row.input, row.cacheRead, row.output, row.cost, row.askedCost, row.estimated,
            ] { put(value) }
            put(row.path)
            put(row.agent)
            close()
        }
        for (handle, row) in new.estimates {
            open(.estimate)
            for value in [
                handle, Int64(row.row), Int64(row.asked), Int64(row.granted), Int64(row.flags),
                Int64(row.epoch), Int64(row.price), Int64(row.meter), Int64(row.tool), row.reserved,
                row.askedCost, row.cacheRead, row.settledAt, row.usedUnits, row.reasoning,
                row.rare, row.isEstimated ? 1 : 0,
            ] { put(value) }
            put(row.used)
            put(row.path)
            close()
        }
        for correction in new.corrections {
            open(.correction)
            for value in [
                correction.handle, correction.usedUnits, correction.askedCost, correction.cacheRead,
                correction.reasoning, correction.rare,
            ] { put(value) }
            put(correction.used)
            close()
        }
    }
}

extension BlockReader {
    /// nil when they are not what a block has.
    mutating func sums() -> LedgerBatch? {
        var new = LedgerBatch()
        new.number = head.batch
        let isSound = eachSection { reader, kind, _ in
            switch kind {
            case .row: new.rows.append(reader.takeRow())
            case .estimate: new.estimates.append(reader.takeEstimate())
            case .correction: new.corrections.append(reader.takeCorrection())
            default: return false
            }
            return true
        }
        return isSound ? new : nil
    }

    private mutating func takeRow() -> SpendRow {
        var row = SpendRow()
        row.budget = take()
        row.asked = Int32(truncatingIfNeeded: take())
        row.granted = Int32(truncatingIfNeeded: take())
        row.steps = take()
        row.toolCalls = take()
        row.input = take()
        row.cacheRead = take()
        row.output = take()
        row.cost = take()
        row.askedCost = take()
        row.estimated = take()
        row.path = takeText()
        row.agent = takeText()
        return row
    }

    private mutating func takeEstimate() -> (handle: Int64, row: EstimatedRow) {
        let handle = take()
        var row = EstimatedRow()
        row.row = Int(take())
        row.asked = takeHalf()
        row.granted = takeHalf()
        row.flags = takeHalf()
        row.epoch = takeHalf()
        row.price = takeHalf()
        row.meter = takeHalf()
        row.tool = takeHalf()
        row.reserved = take()
        row.askedCost = take()
        row.cacheRead = take()
        row.settledAt = take()
        row.usedUnits = take()
        row.reasoning = take()
        row.rare = take()
        row.isEstimated = take() != 0
        row.used = takeUsed()
        row.path = takeList()
        return (handle, row)
    }

    private mutating func takeCorrection() -> Correction {
        var correction = Correction()
        correction.handle = take()
        correction.usedUnits = take()
        correction.askedCost = take()
        correction.cacheRead = take()
        correction.reasoning = take()
        correction.rare = take()
        correction.used = takeUsed()
        return correction
    }

    private mutating func takeUsed() -> [Int64] {
        let used = takeList()
        return used.count == MeterIndex.named ? used : [Int64](repeating: 0, count: MeterIndex.named)
    }
}
