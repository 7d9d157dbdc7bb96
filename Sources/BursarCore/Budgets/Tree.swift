// The tree: paths, nodes, cells. Everything here runs under the config lock.

internal import CPlatform

/// A path cut into its names, checked.
struct Path {
    static let levelsMax = 8
    static let nameMax = 64

    /// `acme/support/triage`: up to eight names of 1 to 64 bytes.
    static func parse(_ text: [UInt8]) throws(Failure) -> [[UInt8]] {
        if text.isEmpty {
            throw Failure(.path, "the path is empty; write names like acme/support/triage")
        }
        var names: [[UInt8]] = []
        var start = 0
        var i = 0
        while i <= text.count {
            if i == text.count || text[i] == UInt8(ascii: "/") {
                let name = [UInt8](text[start..<i])
                try check(name, what: "a name of the path", at: start)
                names.append(name)
                start = i + 1
            }
            i += 1
        }
        if names.count > levelsMax {
            throw Failure(
                .path, "the path has \(names.count) levels; at most \(levelsMax) are possible")
        }
        return names
    }

    /// A name is 1 to 64 bytes of UTF-8 without control bytes, `/`, or blanks at its ends.
    static func check(
        _ name: [UInt8], what: StaticString, at start: Int = 0, most: Int = nameMax
    ) throws(Failure) {
        var failure: Failure?
        if name.isEmpty {
            failure = Failure(.path, "\(plain: what) is empty; every name has 1 to 64 bytes")
        } else if name.count > most {
            failure = Failure(
                .path, "\(plain: what) has \(name.count) bytes; at most \(most) are possible")
        } else if name.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            failure = Failure(.path, "\(plain: what) has a control character")
        } else if name.first == UInt8(ascii: " ") || name.last == UInt8(ascii: " ") {
            failure = Failure(.path, "\(plain: what) begins or ends with a blank")
        } else if !isText(name) {
            failure = Failure(.path, "\(plain: what) is not UTF-8")
        } else if name == [UInt8(ascii: ".")] || name == [UInt8(ascii: "."), UInt8(ascii: ".")] {
            failure = Failure(.path, "\(plain: what) is . or ..; paths are not files")
        }
        if var failure {
            failure.column = Int32(truncatingIfNeeded: start + 1)
            throw failure
        }
    }

    /// What somebody said, as one line of at most `most` bytes: control bytes are
    /// blanks, no character is cut in two, and what is not UTF-8 is dropped.
    static func line(_ text: [UInt8], most: Int) -> [UInt8] {
        var end = min(text.count, most)
        if end < text.count {
            while end > 0, text[end] & 0xC0 == 0x80 { end -= 1 }
        }
        let line = text[..<end].map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: " ") : $0 }
        return isText(line) ? line : []
    }

    /// Whether bytes are well-formed UTF-8.
    static func isText(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBufferPointer { bursar__is_utf8($0.baseAddress, $0.count) != 0 }
    }
}

extension Runtime {
    func full(_ what: StaticString, _ option: StaticString) -> Failure {
        Failure(
            .capacity, "no room for more \(plain: what); raise \(plain: option) when opening")
    }

    /// A text's block with one more reference.
    func intern(_ text: [UInt8]) throws(Failure) -> UInt32 {
        guard let block = slab.intern(text) else {
            if text.count > Slab.textMax {
                throw Failure(
                    .invalid, "a text of \(text.count) bytes; at most \(Slab.textMax) are possible")
            }
            throw full("names and labels", "text_bytes_max")
        }
        return block
    }

    private func key(_ parent: UInt32, _ name: UInt32) -> UInt64 {
        UInt64(parent) << 32 | UInt64(name)
    }

    /// The budget at a path; nil when there is none.
    func find(_ names: [[UInt8]]) -> UInt32? {
        var i: UInt32 = 0
        for name in names {
            guard let block = slab.find(name), let child = byName[key(i, block)] else { return nil }
            i = child
        }
        return i
    }

    /// The budget at a path, created where it is missing.
    func ensure(_ names: [[UInt8]]) throws(Failure) -> UInt32 {
        var i: UInt32 = 0
        for name in names {
            if let block = slab.find(name), let child = byName[key(i, block)] {
                i = child
                continue
            }
            let block = try intern(name)
            guard let meta = slab.allocate(bytes: Meta.bytes) else {
                slab.release(block)
                throw full("names and labels", "text_bytes_max")
            }
            do throws(Failure) {
                let child = try addNode(parent: i, flags: 0)
                core.node(Int(child)).meta.value = meta
                Meta(p: slab.address(meta)).name.value = block
                byName[key(i, block)] = child
                open(child)
                i = child
            } catch {
                slab.free(meta, bytes: Meta.bytes)
                slab.release(block)
                throw error
            }
        }
        return i
    }

    /// A node in the tree with its cost cell, not open yet.
    func addNode(parent: UInt32, flags: UInt32) throws(Failure) -> UInt32 {
        guard let i = segment.freeNodes.take() else {
            throw full("budgets and sessions", "sessions_max")
        }
        guard let c = segment.freeCells.take() else {
            segment.freeNodes.give(i)
            throw full("meters", "sessions_max")
        }
        let node = core.node(Int(i))
        let gen = (node.state.value >> 32) + 1
        let above = core.node(Int(parent))
        node.state.value = gen << 32 | StateBit.closed
        node.parent.value = parent
        node.flags.value = flags | (above.depth + 1) << 24
        node.dueAt.value = .max
        let now = clock.steady
        node.opened.value = now
        node.lastStep.value = now
        for offset in [40, 44, 48, 52, 56, 60, 64, 76, 80, 84, 88, 92] {
            Half(core.engine.pointee.nodes + Int(i) * Node.size + offset).value = 0
        }
        node.steps.value = 0
        node.input.value = 0
        node.output.value = 0
        node.firstLimit.value = 0
        let cell = core.cell(Int(c))
        clear(cell, meter: MeterIndex.cost, born: 0)
        node.firstCell.storeReleasing(c)
        // Into the parent's list.
        let first = above.firstChild.value
        node.next.value = first
        node.previous.value = 0
        if first != 0 { core.node(Int(first)).previous.value = i }
        above.firstChild.value = i
        above.childCount.add(1)
        return i
    }

    /// Lets steps in.
    func open(_ i: UInt32) {
        let node = core.node(Int(i))
        node.state.storeSequential(node.state.value & ~StateBit.all)
    }

    private func clear(_ cell: Cell, meter: Int, born: UInt32) {
        cell.committed.value = 0
        cell.ceiling.value = Bound.ceiling
        cell.watermark.value = .max
        cell.spent(0).value = 0
        cell.spent(1).value = 0
        cell.stamp(0).value = 0
        cell.stamp(1).value = 0
        cell.next.value = 0
        cell.kind.value = UInt32(meter) | born << 5
    }

    /// The node's cell of a meter, born now if it is missing. It starts from what
    /// the node is known to have spent; steps in flight do not count in it, at no
    /// point of their life.
    @discardableResult
    func ensureCell(_ i: Int, meter: Int) throws(Failure) -> Cell {
        if let cell = core.cell(of: meter, at: i) { return cell }
        guard let c = segment.freeCells.take() else { throw full("meters", "sessions_max") }
        let node = core.node(i)
        let cell = core.cell(Int(c))
        // A node that is not open yet has no steps: its cells need no epoch.
        let isNew = node.state.value & StateBit.closed != 0
        let born = isNew ? 0 : core.epoch.value &+ 1
        clear(cell, meter: meter, born: born)
        if !isNew {
            let known = folded(i, meter)
            cell.spent(0).value = known
            cell.spent(1).value = known
            cell.committed.value = known
        }
        cell.next.value = node.firstCell.value
        // The cell, then the epoch: who reads the epoch sees the cell.
        node.firstCell.storeReleasing(c)
        if !isNew { core.epoch.storeReleasing(born) }
        return cell
    }

    /// What a node has spent of a meter that it has no cell for, as far as known.
    private func folded(_ i: Int, _ meter: Int) -> Int64 {
        let node = core.node(i)
        switch meter {
        case MeterIndex.tokens: return saturatingAdd(node.input.value, node.output.value)
        case MeterIndex.inputTokens: return node.input.value
        case MeterIndex.outputTokens: return node.output.value
        case MeterIndex.steps: return node.steps.value
        case MeterIndex.toolCalls: return Int64(node.toolCalls.value)
        default: return 0
        }
    }

    /// Takes a node out of the tree and gives back all that it has. Nothing may
    /// name it any more.
    func remove(_ i: UInt32) {
        let node = core.node(Int(i))
        let above = core.node(Int(node.parent.value))
        let next = node.next.value
        let previous = node.previous.value
        if previous == 0 {
            above.firstChild.value = next
        } else {
            core.node(Int(previous)).next.value = next
        }
        if next != 0 { core.node(Int(next)).previous.value = previous }
        above.childCount.add(UInt32.max)
        let meta = node.isSession ? 0 : node.meta.value
        if meta != 0 {
            let texts = Meta(p: slab.address(meta))
            if byName[key(node.parent.value, texts.name.value)] == i {
                byName[key(node.parent.value, texts.name.value)] = nil
            }
            for text in [texts.name, texts.owner, texts.costCenter, texts.purpose] {
                slab.release(text.value)
            }
            slab.free(meta, bytes: Meta.bytes)
        }
        if node.isSession {
            slab.release(node.agent.value)
            freeLabels(node.labels.value)
        }
        slab.release(node.reasonText.value)
        slab.free(node.extras.value, bytes: Ladder.bytes)
        removeLimits(Int(i))
        var c = node.firstCell.value
        node.firstCell.storeReleasing(0)
        while c != 0 {
            let following = core.cell(Int(c)).next.value
            segment.freeCells.give(c)
            c = following
        }
        pauses[i] = nil
        node.state.storeSequential(node.state.value & ~StateBit.all | StateBit.free)
        segment.freeNodes.give(i)
    }

    /// The node of an id, budgets and sessions alike; 0 is the root.
    func resolve(_ id: Int64) throws(Failure) -> Int {
        if id == 0 { return 0 }
        guard let i = core.index(of: id) else {
            var failure = Failure(.notFound, "no such budget or session (any more)")
            failure.id = id
            throw failure
        }
        return i
    }

    /// acme/support/triage; of a session: its budget's.
    func path(of i: Int) -> [UInt8] {
        var i = i
        while i != 0, core.node(i).isSession { i = Int(core.node(i).parent.value) }
        var names: [[UInt8]] = []
        while i != 0 {
            let node = core.node(i)
            names.append(slab.text(Meta(p: slab.address(node.meta.value)).name.value))
            i = Int(node.parent.value)
        }
        var path: [UInt8] = []
        for name in names.reversed() {
            if !path.isEmpty { path.append(UInt8(ascii: "/")) }
            path.append(contentsOf: name)
        }
        return path
    }
}

/// A budget's texts: a slab block of four interned references.
struct Meta {
    let p: UnsafeMutableRawPointer
    static let bytes = 16

    var name: Half { Half(p) }
    var owner: Half { Half(p + 4) }
    var costCenter: Half { Half(p + 8) }
    var purpose: Half { Half(p + 12) }
}
