// The route of a plain step: the cells from its session up to the root, gathered
// before anything is locked.
//
// A locked instruction waits for what stands before it and holds up what comes
// after it. A walk that finds each cell between two of them pays for its loads at
// every level; gathered first, the loads run beside pricing and the adds stand
// next to each other. On five levels this is a third of the time.
//
// Why it is right to gather before the record is claimed: the epoch was read
// first, so every cell that counts the step is already linked; cells stay where
// they are while their node lives; and `isOpen`, after the claim, finds any node
// that was closed since (a parent lives as long as its children). Whatever is not
// plain (a stop, a time limit, a rate, an observed limit) leaves the route for the
// walk in Charge.swift, before anything was charged.

struct Route {
    private let base: UnsafeMutableRawPointer
    private(set) var nodes = 0
    private(set) var cells = 0
    /// Of every budget on it.
    private(set) var flags: UInt32 = 0
    /// All amounts that it changes, one over the other: negative if one is.
    private var signs: Int64 = 0
    /// Whether a counter falls.
    var lowers: Bool { signs < 0 }

    // In `base`: the eight fixed meters' amounts, the nodes' addresses, and for
    // each cell its address, amount, owner, and, once charged, its sum.
    @inline(__always) private static var nodesMax: Int { 12 }
    @inline(__always) private static var cellsMax: Int { 26 }
    @inline(__always) private static var entry: Int { 32 }
    @inline(__always) private static var nodesAt: Int { 64 }
    @inline(__always) private static var cellsAt: Int { nodesAt + nodesMax * 8 }
    /// Below 1,024, or it would not be on the stack.
    @inline(__always) static var bytes: Int { cellsAt + cellsMax * entry }

    @inline(__always)
    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    /// The amounts by meter. Stored one by one and loaded one by one: a copy in
    /// wider pieces would wait for the stores.
    @inline(__always)
    func put(
        cost: Int64, input: Int64, output: Int64, cached: Int64, steps: Int64, calls: Int64,
        inFlight: Int64
    ) {
        let tokens = input &+ output
        put(0, cost)
        put(1, tokens)
        put(2, input)
        put(3, output)
        put(4, tokens &- cached)
        put(5, steps)
        put(6, calls)
        put(7, inFlight)
    }

    @inline(__always) private func put(_ meter: Int, _ amount: Int64) {
        base.storeBytes(of: amount, toByteOffset: meter * 8, as: Int64.self)
    }
    @inline(__always) private func slot(_ k: Int) -> UnsafeMutableRawPointer {
        base + (Route.cellsAt + k &* Route.entry)
    }
    @inline(__always) func node(_ k: Int) -> Node {
        Node(base.load(fromByteOffset: Route.nodesAt + k * 8, as: UnsafeMutableRawPointer.self))
    }
    @inline(__always) func cell(_ k: Int) -> Cell {
        Cell(slot(k).load(as: UnsafeMutableRawPointer.self))
    }
    @inline(__always) func amount(_ k: Int) -> Int64 {
        slot(k).load(fromByteOffset: 8, as: Int64.self)
    }
    @inline(__always) private func owner(_ k: Int) -> Int {
        slot(k).load(fromByteOffset: 16, as: Int.self)
    }

    /// Gathers the cells that the amounts change. False: not plain, or too long.
    /// `named`: the step has amounts of named meters, which are not plain.
    @inline(__always)
    mutating func gather(_ core: Core, leaf: Int, epoch: UInt32, named: Bool) -> Bool {
        if named || core.headerFlags.value & HeaderFlag.observed != 0 { return false }
        var i = leaf
        var steps = Steps()
        while true {
            guard nodes < Route.nodesMax else { return false }
            let node = core.node(i)
            base.storeBytes(
                of: node.p, toByteOffset: Route.nodesAt + nodes * 8,
                as: UnsafeMutableRawPointer.self)
            nodes &+= 1
            let bits = node.flags.value
            if bits & NodeFlag.unplain != 0 { return false }
            if bits & NodeFlag.session == 0 { flags |= bits }
            var c = Int(node.firstCell.loadAcquiring())
            while c != 0 {
                guard steps.goOn() else { return false }
                let cell = core.cell(c)
                let kind = cell.kind.value
                let meter = Int(kind & 31)
                if meter < MeterIndex.named {
                    let amount = base.load(fromByteOffset: meter * 8, as: Int64.self)
                    if amount != 0, kind >> 5 <= epoch {
                        guard cells < Route.cellsMax else { return false }
                        let slot = slot(cells)
                        slot.storeBytes(of: cell.p, as: UnsafeMutableRawPointer.self)
                        slot.storeBytes(of: amount, toByteOffset: 8, as: Int64.self)
                        signs |= amount
                        slot.storeBytes(of: i, toByteOffset: 16, as: Int.self)
                        cells &+= 1
                    }
                }
                c = Int(cell.next.value)
            }
            if i == 0 { return true }
            i = Int(node.parent.value)
        }
    }

    /// Whether every node still lets steps in, and none is being counted: that is the
    /// walk's. After the claim.
    @inline(__always)
    func isOpen(gen: Int64, now: Int64) -> Bool {
        var stops = node(0).state.loadSequential() ^ (gen << 32)
        // The leaf's generation too: any difference leaves a bit above the state.
        var k = 1
        var due = now >= node(0).dueAt.value
        while k < nodes {
            stops |= node(k).state.loadSequential() & (StateBit.stops | StateBit.recount)
            if now >= node(k).dueAt.value { due = true }
            k += 1
        }
        return stops == 0 && !due
    }

    /// Charges every cell, or none: the position that refused, or -1.
    @inline(__always)
    func charge(_ core: Core) -> Int {
        var isNear = false
        var k = 0
        while k < cells {
            let cell = cell(k)
            // Pairs with the release in `recompute`.
            let room = cell.ceiling.loadAcquiring() &- cell.committed.value
            if room <= amount(k) &<< 6 { isNear = true }
            k &+= 1
        }
        if isNear, !core.engine.pointee.policy.plainCharge { return chargeNear(core) }
        // All adds, then all checks: nothing stands between the locked instructions.
        k = 0
        while k < cells {
            let slot = slot(k)
            let sum = cell(k).committed.add(amount(k))
            slot.storeBytes(of: sum, toByteOffset: 24, as: Int64.self)
            k &+= 1
        }
        k = 0
        while k < cells {
            let cell = cell(k)
            let sum = slot(k).load(fromByteOffset: 24, as: Int64.self)
            if sum > cell.ceiling.loadAcquiring() {
                takeBack(cells)
                return k
            }
            if sum >= cell.watermark.value { core.attend(to: owner(k)) }
            k &+= 1
        }
        return -1
    }

    /// Near a ceiling: cell by cell, by compare-and-swap where it is near.
    @inline(never)
    private func chargeNear(_ core: Core) -> Int {
        for k in 0..<cells {
            let cell = cell(k)
            let amount = amount(k)
            let ceiling = cell.ceiling.loadAcquiring()
            var sum: Int64 = -1
            if ceiling &- cell.committed.value > amount &<< 6 {
                sum = cell.committed.add(amount)
                if sum > ceiling {
                    cell.committed.subtract(amount)
                    sum = -1
                }
            } else {
                sum = core.chargeNear(cell, amount, ceiling)
            }
            if sum < 0 {
                takeBack(k)
                return k
            }
            if sum >= cell.watermark.value { core.attend(to: owner(k)) }
        }
        return -1
    }

    /// Takes back what the first `end` cells were charged.
    @inline(never)
    func takeBack(_ end: Int) {
        var k = 0
        while k < end {
            cell(k).committed.subtract(amount(k))
            k += 1
        }
    }

    /// Where position `k` is.
    @inline(never)
    func stop(_ core: Core, at k: Int) -> Stop {
        let index = (cell(k).p - core.engine.pointee.cells) / Cell.size
        return Stop(
            cause: .amount, node: Int32(truncatingIfNeeded: owner(k)),
            cell: Int32(truncatingIfNeeded: index))
    }

    /// Moves the counters up where the amounts are above 0.
    @inline(__always)
    func raise(_ core: Core) {
        var k = 0
        while k < cells {
            let amount = amount(k)
            if amount > 0, cell(k).committed.add(amount) >= cell(k).watermark.value {
                core.attend(to: owner(k))
            }
            k &+= 1
        }
    }

    /// Moves the counters down where the amounts are below 0.
    @inline(__always)
    func lower() {
        var k = 0
        while k < cells {
            let amount = amount(k)
            if amount < 0 { cell(k).committed.subtract(0 &- amount) }
            k &+= 1
        }
    }
}
