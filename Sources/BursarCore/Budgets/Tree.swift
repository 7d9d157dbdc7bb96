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
    @inline(never)
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

    /// The budget at a path; nil when there is none.
    func find(_ names: [[UInt8]]) -> UInt32? {
        let (i, missing) = nearest(names)
        return missing == 0 ? i : nil
    }

    /// How many budgets of a path are not there yet.
    func missing(_ names: [[UInt8]]) -> Int { nearest(names).missing }

    private func nearest(_ names: [[UInt8]]) -> (i: UInt32, missing: Int) {
        var i: UInt32 = 0
        for (k, name) in names.enumerated() {
            guard let block = slab.find(name), let child = child(of: i, named: block) else {
                return (i, names.count - k)
            }
            i = child
        }
        return (i, 0)
    }

    /// The budget at a path, created where it is missing. What is new is open but for
    /// the last, which its caller opens.
    func ensure(_ names: [[UInt8]]) throws(Failure) -> UInt32 {
        var i: UInt32 = 0
        for name in names {
            if let block = slab.find(name), let child = child(of: i, named: block) {
                i = child
                continue
            }
            if i != 0, core.node(Int(i)).state.value & StateBit.closed != 0 { open(i) }
            let block = try intern(name)
            guard let texts = slab.allocate(bytes: Meta.bytes) else {
                slab.release(block)
                throw full("names and labels", "text_bytes_max")
            }
            do throws(Failure) {
                let child = try addNode(parent: i, flags: 0)
                edit[core.node(Int(child)).meta] = texts
                edit[meta(child).name] = block
                addName(child)
                i = child
            } catch {
                slab.free(texts, bytes: Meta.bytes)
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
        let above = core.node(Int(parent))
        // A roll-back leaves it as free as it was.
        if node.state.value == 0 { node.state.value = StateBit.free }
        let gen = (node.state.value >> 32) &+ 1
        edit.store(state: node.state, gen << 32 | StateBit.closed)
        edit[node.parent] = parent
        // What a place had before says nothing any more: it is not in the log.
        node.flags.value = flags | (above.depth &+ 1) << 24
        node.dueAt.value = .max
        let now = clock.steady
        node.opened.value = now
        node.lastStep.value = now
        for half in [
            node.extras, node.labels, node.row, node.toolCalls, node.reasonText, node.misc,
            node.agent, node.firstChild, node.childCount, node.refusals, node.firstLimit,
        ] {
            half.value = 0
        }
        for word in [node.steps, node.input, node.output] { word.value = 0 }
        clear(core.cell(Int(c)), meter: MeterIndex.cost, born: 0)
        edit[node.firstCell] = c
        // Into the parent's list.
        let first = above.firstChild.value
        edit[node.next] = first
        edit[node.previous] = 0
        if first != 0 { edit[core.node(Int(first)).previous] = i }
        edit[above.firstChild] = i
        edit[above.childCount] = above.childCount.value &+ 1
        core.untell(Int(i))
        return i
    }

    /// Lets steps in.
    func open(_ i: UInt32) {
        let state = core.node(Int(i)).state
        edit.store(state: state, state.value & ~StateBit.all)
    }

    private func clear(_ cell: Cell, meter: Int, born: UInt32) {
        cell.committed.value = 0
        cell.ceiling.value = Bound.ceiling
        cell.watermark.value = .max
        cell.spent(0).value = 0
        cell.spent(1).value = 0
        cell.stamp(0).value = 0
        cell.stamp(1).value = 0
        edit[cell.next] = 0  // it links free cells, and is so again after a roll-back
        cell.kind.value = UInt32(meter) | born << 5
    }

    /// The node's cell of a meter, born now if it is missing. It starts from what
    /// the node is known to have spent; steps in flight do not count in it, at no
    /// point of their life.
    ///
    /// At an open node it is committed in steps, as it is never unlinked: whoever dies
    /// before the link has lost a place of the table, and whoever dies after it leaves a
    /// cell that counts nothing until its epoch comes, which is taken up here.
    @discardableResult
    func ensureCell(_ i: Int, meter: Int) throws(Failure) -> Cell {
        let node = core.node(i)
        // A node that is not open yet has no steps: its cells need no epoch.
        let isNew = node.state.value & StateBit.closed != 0
        let born = isNew ? 0 : core.epoch.value &+ 1
        var cell = core.cell(of: meter, at: i)
        if let cell, isNew || cell.kind.value >> 5 < born { return cell }
        if cell == nil {
            guard let c = segment.freeCells.take() else { throw full("meters", "sessions_max") }
            let new = core.cell(Int(c))
            clear(new, meter: meter, born: isNew ? born : Cell.bornMax)
            let first = node.firstCell.value
            if isNew {
                edit[new.next] = first
                edit[node.firstCell] = c
                return new
            }
            edit.commit()
            new.next.value = first
            node.firstCell.storeReleasing(c)
            cell = new
        }
        guard let cell else { throw full("meters", "sessions_max") }
        let known = folded(i, meter)
        // Not born before it is whole, whoever else makes the epoch grow.
        cell.kind.storeReleasing(UInt32(meter) | Cell.bornMax << 5)
        cell.spent(0).value = known
        cell.spent(1).value = known
        cell.committed.value = known
        cell.kind.storeReleasing(UInt32(meter) | born << 5)
        // The cell, then the epoch: who reads the epoch sees the cell.
        core.epoch.storeReleasing(born)
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
            edit[above.firstChild] = next
        } else {
            edit[core.node(Int(previous)).next] = next
        }
        if next != 0 { edit[core.node(Int(next)).previous] = previous }
        edit[above.childCount] = above.childCount.value &- 1
        if node.isSession {
            slab.release(node.agent.value)
            freeLabels(node.labels.value)
        } else if node.meta.value != 0 {
            dropEarning(Int(i))
            let texts = meta(i)
            forgetName(i)
            for text in [texts.name, texts.owner, texts.costCenter, texts.purpose] {
                slab.release(text.value)
            }
            slab.free(node.meta.value, bytes: Meta.bytes)
        }
        slab.release(node.reasonText.value)
        slab.free(node.extras.value, bytes: Ladder.bytes)
        removeLimits(Int(i))
        var cells: [UInt32] = []
        eachCell(Int(i)) { c, _ in cells.append(c) }
        edit[node.firstCell] = 0
        for c in cells { segment.freeCells.give(c) }
        edit.store(state: node.state, node.state.value & ~StateBit.all | StateBit.free)
        segment.freeNodes.give(i)
    }

    /// The node of an id, budgets and sessions alike; 0 is the root.
    func resolve(_ id: Int64) throws(Failure) -> Int {
        if id == 0 { return 0 }
        // A budget that was removed is gone at once, though its node stays for a while.
        guard let i = core.index(of: id), core.node(i).isSession
            || core.node(i).state.value & StateBit.closed == 0
        else {
            var failure = Failure(.notFound, "no such budget or session (any more)")
            failure.id = id
            throw failure
        }
        return i
    }

    /// acme/support/triage; of a session: its budget's.
    func path(of i: Int) -> [UInt8] {
        var names: [[UInt8]] = []
        eachUp(i) { i in
            let node = core.node(i)
            if i != 0, !node.isSession { names.append(slab.text(meta(UInt32(i)).name.value)) }
        }
        var path: [UInt8] = []
        for name in names.reversed() {
            if !path.isEmpty { path.append(UInt8(ascii: "/")) }
            path.append(contentsOf: name)
        }
        return path
    }

    // MARK: - Walks, each bounded whatever the segment says

    /// No node is deeper: eight names, and sessions down to the 24th level.
    private static var levelsMax: Int { 33 }

    /// A node and all above it, the root last.
    @inline(never)
    func eachUp(_ i: Int, _ body: (Int) -> Void) {
        var i = i
        for _ in 0..<Runtime.levelsMax {
            body(i)
            if i == 0 { return }
            i = Int(core.node(i).parent.value)
        }
    }

    /// The nodes directly below one.
    func eachChild(_ i: Int, _ body: (Int) -> Void) {
        var child = core.node(i).firstChild.value
        var left = segment.nodesMax
        while child != 0, child < segment.nodesMax, left > 0 {
            let next = core.node(Int(child)).next.value
            body(Int(child))
            child = next
            left -= 1
        }
    }

    /// All below a node, children before their parents.
    func eachBelow(_ i: Int, _ body: (Int) -> Void) {
        var left = segment.nodesMax
        visit(i, 0, &left, body)
    }

    private func visit(_ i: Int, _ depth: Int, _ left: inout UInt32, _ body: (Int) -> Void) {
        var child = core.node(i).firstChild.value
        while child != 0, child < segment.nodesMax, left > 0, depth < Runtime.levelsMax {
            left -= 1
            let next = core.node(Int(child)).next.value
            visit(Int(child), depth + 1, &left, body)
            body(Int(child))
            child = next
        }
    }

    /// The cells of a node.
    func eachCell(_ i: Int, _ body: (UInt32, Cell) -> Void) {
        var c = core.node(i).firstCell.loadAcquiring()
        var left = MeterIndex.end
        while c != 0, left > 0 {
            let cell = core.cell(Int(c))
            body(c, cell)
            c = cell.next.value
            left -= 1
        }
    }

    /// The node's cell of a meter, 0 = none.
    func cellIndex(of meter: Int, at i: Int) -> UInt32 {
        var found: UInt32 = 0
        eachCell(i) { c, cell in if cell.meter == meter, found == 0 { found = c } }
        return found
    }
}
