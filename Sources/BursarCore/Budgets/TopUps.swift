// Top-ups that end by themselves: a list of slab blocks in the segment, and in the
// header when the first of them ends. Under the config lock.

/// A block: 0 next, 4 limit, 8 the node's id, 16 the limit's generation, 24 the window
/// that it was made in, 32 amount, 40 steady ns at which it ends.
private struct TopUpBlock {
    let p: UnsafeMutableRawPointer
    static let bytes = 48

    var next: Half { Half(p) }
    var limit: Half { Half(p + 4) }
    var node: Word { Word(p + 8) }
    var limitGen: Half { Half(p + 16) }
    var window: Word { Word(p + 24) }
    var amount: Word { Word(p + 32) }
    var due: Word { Word(p + 40) }
}

extension Runtime {
    /// A calendar window drops its top-ups when it ends; a rolling one never ends,
    /// so that there they last for its span. 0 = as long as was asked.
    func lastsAtMost(_ limit: LimitSlot) -> Int64 {
        guard limit.windowKind == WindowCode.rolling else { return 0 }
        return windows.window(windowNumber(limit)).spanNanos
    }

    /// Notes when top-ups of a node's limits end; `time` .max = never. All or none.
    func expireTopUps(
        _ topped: [(limit: UInt32, time: Int64)], _ i: Int, _ amount: Int64
    ) throws(Failure) {
        var blocks: [UInt32] = []
        for (_, time) in topped where time < .max {
            guard let block = slab.allocate(bytes: TopUpBlock.bytes) else {
                for block in blocks { slab.free(block, bytes: TopUpBlock.bytes) }
                throw full("top-ups that end", "text_bytes_max")
            }
            blocks.append(block)
        }
        let head = core.header(Header.topUps)
        for (l, time) in topped where time < .max {
            guard let block = blocks.popLast() else { return }
            let limit = core.limit(Int(l))
            let top = TopUpBlock(p: slab.address(block))
            edit[top.limit] = l
            edit[top.node] = core.id(of: i)
            edit[top.limitGen] = limit.fired.value >> 16
            edit[top.window] = limit.window.value >> 1
            edit[top.amount] = amount
            edit[top.due] = saturatingAdd(clock.steady, time)
            edit[top.next] = head.value
            edit[head] = block
            edit[core.topUpAt] = min(core.topUpAt.value, top.due.value)
        }
    }

    /// Ends what is due, each by itself.
    func endTopUps() {
        let now = clock.steady
        if core.topUpAt.value > now { return }
        var next = Int64.max
        var link = core.header(Header.topUps)
        var left = segment.places.slabUnits
        while link.value != 0, left > 0 {
            left -= 1
            let block = link.value
            let top = TopUpBlock(p: slab.address(block))
            if top.due.value > now {
                next = min(next, top.due.value)
                link = top.next
                continue
            }
            edit.commit()
            end(top)
            edit[link] = top.next.value
            slab.free(block, bytes: TopUpBlock.bytes)
        }
        edit[core.topUpAt] = next
    }

    /// Those of a node: limit, amount, steady ns at which each ends.
    func eachTopUp(of id: Int64, _ body: (UInt32, Int64, Int64) -> Void) {
        var block = core.header(Header.topUps).value
        var left = segment.places.slabUnits
        while block != 0, left > 0 {
            left -= 1
            let top = TopUpBlock(p: slab.address(block))
            if top.node.value == id, stands(top) { body(top.limit.value, top.amount.value, top.due.value) }
            block = top.next.value
        }
    }

    /// Its limit is there, and a new calendar window has not dropped it already.
    private func stands(_ top: TopUpBlock) -> Bool {
        let limit = core.limit(Int(top.limit.value))
        return limit.fired.value >> 16 == top.limitGen.value
            && (limit.windowKind != WindowCode.calendar
                || limit.window.value >> 1 == top.window.value)
    }

    private func end(_ top: TopUpBlock) {
        guard let i = core.index(of: top.node.value), stands(top) else { return }
        let limit = core.limit(Int(top.limit.value))
        if !core.node(i).isSession { core.untell(i) }
        edit[limit.extra] = max(saturatingAdd(limit.extra.value, 0 &- top.amount.value), 0)
        if limit.meter < MeterIndex.end { recompute(i, meter: limit.meter) }
        rescheduleTimeLimits(i)
    }
}
