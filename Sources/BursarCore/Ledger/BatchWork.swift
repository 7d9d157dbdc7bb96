// Sums by node: what a batch of records used, added up along the path, so that
// each cell is written once however many records touched it.

struct BatchWork {
    private var slots: [Int32] = []  // open addressing, -1 = empty
    private var nodes: [UInt32] = []
    private var sums: [Int64] = []
    private var byDepth: [[Int32]] = []
    private var width = 0

    var count: Int { nodes.count }
    func node(_ entry: Int) -> UInt32 { nodes[entry] }
    func sum(entry: Int, _ meter: Int) -> Int64 { sums[entry * width + meter] }

    /// Starts over.
    mutating func begin(meters: Int) {
        if slots.isEmpty { slots = [Int32](repeating: -1, count: 4096) }
        // Newest first: what was put past an earlier one is found past it.
        for entry in (0..<nodes.count).reversed() { slots[place(nodes[entry])] = -1 }
        nodes.removeAll(keepingCapacity: true)
        sums.removeAll(keepingCapacity: true)
        for depth in 0..<byDepth.count { byDepth[depth].removeAll(keepingCapacity: true) }
        width = meters
    }

    private func place(_ node: UInt32) -> Int {
        let mask = slots.count - 1
        var i = Int(truncatingIfNeeded: UInt64(node) &* 0x9E37_79B9_7F4A_7C15 >> 32) & mask
        while slots[i] >= 0, nodes[Int(slots[i])] != node { i = (i + 1) & mask }
        return i
    }

    func find(_ node: UInt32) -> Int? {
        if slots.isEmpty { return nil }
        let entry = slots[place(node)]
        return entry >= 0 ? Int(entry) : nil
    }

    /// The node's entry, made if it is not there.
    mutating func entry(_ node: UInt32, depth: Int) -> Int {
        let i = place(node)
        if slots[i] >= 0 { return Int(slots[i]) }
        let new = nodes.count
        nodes.append(node)
        for _ in 0..<width { sums.append(0) }
        slots[i] = Int32(new)
        while byDepth.count <= depth { byDepth.append([]) }
        byDepth[depth].append(Int32(new))
        if nodes.count * 2 > slots.count { grow() }
        return new
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        for entry in 0..<nodes.count { slots[place(nodes[entry])] = Int32(entry) }
    }

    /// Entries for a node and all that is above it.
    mutating func touch(_ core: Core, _ leaf: Int) {
        var i = leaf
        for _ in 0..<Core.pathMax {
            let before = nodes.count
            _ = entry(UInt32(truncatingIfNeeded: i), depth: Int(core.node(i).depth))
            if i == 0 || nodes.count == before { return }
            i = Int(core.node(i).parent.value)
        }
    }

    mutating func add(_ entry: Int, _ meter: Int, _ amount: Int64) {
        if meter < width { sums[entry * width + meter] &+= amount }
    }

    /// Adds each node's sums to its parent's, deepest first.
    mutating func spread(_ core: Core) {
        var depth = byDepth.count - 1
        while depth > 0 {
            for k in 0..<byDepth[depth].count {
                let child = Int(byDepth[depth][k])
                let parent = core.node(Int(nodes[child])).parent.value
                let above = entry(parent, depth: depth - 1)
                for m in 0..<width { sums[above * width + m] &+= sums[child * width + m] }
            }
            depth -= 1
        }
    }
}

extension BatchWork {
    mutating func take(_ record: Record, into entry: Int) { take(record.used, into: entry) }

    mutating func take(_ amounts: Amounts, into entry: Int) {
        for m in 0..<MeterIndex.named { add(entry, m, amounts[m]) }
        if amounts.meters != 0 { addNamed(entry, amounts.meters) { amounts[$0] } }
    }

    /// The named meters of a record: one that it names, one of its tool's calls.
    mutating func addNamed(_ entry: Int, _ meters: UInt32, _ amount: (Int) -> Int64) {
        let named = Int(meters & 0xFF)
        let calls = Int((meters >> 8) & 0xFF)
        if named != 0 { add(entry, named, amount(named)) }
        if calls != 0, calls != named { add(entry, calls, amount(calls)) }
    }
}
