// The nodes' own figures (steps, tokens, tool calls) have one place each, so a fold
// that is done again would add them twice. The folder therefore writes down their
// new values first, stamps the list with the batch's number, and copies them then:
// whoever takes over finds either a complete list to copy, or the old figures.
//
// Layout: 0 stamp Word, 8 count Half, 16 settledSteps Word; from 64 on an entry of
// 32 bytes for each node: 0 node Half, 4 toolCalls Half, 8 steps, 16 input,
// 24 output Word. All FOLD.

struct FoldLog {
    /// The most nodes that one batch may touch.
    static let entriesMax = 4096
    private static let entry = 32
    private static let entriesAt = 64
    static let bytes = 33 * 4096

    private let p: UnsafeMutableRawPointer
    init(_ p: UnsafeMutableRawPointer) { self.p = p }

    var stamp: Word { Word(p) }
    private var count: Half { Half(p + 8) }
    private var settledSteps: Word { Word(p + 16) }

    private func at(_ k: Int) -> UnsafeMutableRawPointer {
        p + (FoldLog.entriesAt + k * FoldLog.entry)
    }

    /// Writes the figures as they are after the batch. Not over a complete list.
    func write(_ sums: BatchWork, records: Int, _ core: Core, batch next: Int64) {
        if stamp.value == next { return }
        let entries = min(sums.count, FoldLog.entriesMax)
        for k in 0..<entries {
            let node = core.node(Int(sums.node(k)))
            let p = at(k)
            Half(p).value = sums.node(k)
            Half(p + 4).value =
                node.toolCalls.value
                &+ UInt32(truncatingIfNeeded: sums.sum(entry: k, MeterIndex.toolCalls))
            Word(p + 8).value = node.steps.value &+ sums.sum(entry: k, MeterIndex.steps)
            Word(p + 16).value = node.input.value &+ sums.sum(entry: k, MeterIndex.inputTokens)
            Word(p + 24).value = node.output.value &+ sums.sum(entry: k, MeterIndex.outputTokens)
        }
        count.value = UInt32(entries)
        settledSteps.value = core.statistic(Header.settledSteps).value &+ Int64(records)
        stamp.storeReleasing(next)
    }

    /// Copies a complete list to the nodes; again does nothing new.
    func apply(_ core: Core) {
        for k in 0..<min(Int(count.value), FoldLog.entriesMax) {
            let p = at(k)
            let i = Int(Half(p).value)
            guard i < Int(core.engine.pointee.nodesMax) else { continue }
            let node = core.node(i)
            node.toolCalls.value = Half(p + 4).value
            node.steps.value = Word(p + 8).value
            node.input.value = Word(p + 16).value
            node.output.value = Word(p + 24).value
        }
        core.statistic(Header.settledSteps).value = settledSteps.value
    }
}

extension Runtime {
    var foldLog: FoldLog { FoldLog(segment.base + segment.places.foldLogAt) }
}
