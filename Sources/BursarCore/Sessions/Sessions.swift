// Sessions: opening one under a budget or another session, closing it.

internal import CPlatform

/// The header's bursar_session_options_t.
public struct SessionOptions {
    public var path: [UInt8] = []
    public var parent: Int64 = 0
    public var agent: [UInt8] = []
    public var limits: [UInt8] = []
    public var ladder: [UInt8] = []
    public var labels: [(key: [UInt8], value: [UInt8])] = []
    public var complexity: Int32 = 0
    public var holdbackNanos: Int64 = 0
    public init() {}
}

extension Runtime {
    /// Child sessions nest no deeper than this below the root.
    private static var depthMax: UInt32 { 24 }

    /// The header's bursar_session_open().
    public func sessionOpen(_ options: SessionOptions) throws(Failure) -> Int64 {
        makeRoom()
        return try configuring { () throws(Failure) in
            let parent: UInt32
            if options.parent != 0 {
                parent = UInt32(try resolve(options.parent))
                if core.node(Int(parent)).state.value & StateBit.closed != 0 {
                    throw Failure(.closed, "the parent session was closed")
                }
            } else {
                parent = try ensure(try Path.parse(options.path))
            }
            return try addSession(options, under: parent)
        }
    }

    /// A full table may only wait for closed sessions to be freed, and they for
    /// a thread that was interrupted between two instructions.
    private func makeRoom() {
        for _ in 0..<100 {
            config.lock()
            let isFull = segment.freeNodes.room == 0
            config.unlock()
            if !isFull { return }
            fold()
            config.lock()
            let isWaiting = reclaimWaits
            config.unlock()
            if !isWaiting { return }
            bursar__thread_yield()
        }
    }

    private func addSession(_ options: SessionOptions, under parent: UInt32) throws(Failure) -> Int64 {
        if core.node(Int(parent)).depth >= Runtime.depthMax {
            throw Failure(.path, "sessions nest 24 levels deep at most")
        }
        guard options.holdbackNanos >= 0, options.holdbackNanos < Bound.amount else {
            throw Failure(.invalid, "holdback_nanos is 0 to 9,007,199 dollars")
        }
        guard options.complexity >= 0, options.complexity <= 3 else {
            throw Failure(.invalid, "complexity is 0 to 3")
        }
        if options.agent.count > 0 { try Path.check(options.agent, what: "the agent's name", most: 128) }
        let ladder = try parseLadder(options.ladder)
        var list = options.limits.isEmpty
            ? LimitList([]) : try parse(options.limits, onSession: true)
        if !core.node(Int(parent)).isSession, !list.unlimited {
            addDefaults(to: &list, from: parent)
        }
        try check(options.labels)

        let i = try addNode(parent: parent, flags: NodeFlag.session)
        let node = core.node(Int(i))
        do throws(Failure) {
            node.misc.value = UInt32(options.complexity)
            node.agent.value = try intern(options.agent)
            node.labels.value = try makeLabels(options.labels)
            if !ladder.isEmpty || options.holdbackNanos > 0 {
                guard let block = slab.allocate(bytes: Ladder.bytes) else {
                    throw full("ladders", "text_bytes_max")
                }
                let p = slab.address(block)
                for (k, model) in ladder.enumerated() {
                    p.storeBytes(of: model, toByteOffset: k * 4, as: Int32.self)
                }
                p.storeBytes(of: Int32(ladder.count), toByteOffset: 32, as: Int32.self)
                p.storeBytes(of: options.holdbackNanos, toByteOffset: 40, as: Int64.self)
                node.extras.value = block
                node.flags.update(
                    setting: (ladder.isEmpty ? 0 : NodeFlag.laddered)
                        | (options.holdbackNanos > 0 ? NodeFlag.holdsBack : 0))
            }
            if !list.limits.isEmpty { try setLimits(Int(i), list) }
        } catch {
            remove(i)
            throw error
        }
        open(i)
        // Its time limits were scheduled while it was closed.
        rescheduleTimeLimits(Int(i))
        return core.id(of: Int(i))
    }

    /// Limits that budgets above give to each session, nearest first, where the
    /// session has none of its own.
    private func addDefaults(to list: inout LimitList, from parent: UInt32) {
        var i = Int(parent)
        while i != 0 {
            eachLimit(i) { _, slot in
                guard isDefault(slot, at: i) else { return }
                var limit = self.limit(of: slot)
                limit.window = Window(.total)
                let isTaken = list.limits.contains {
                    $0.meter == limit.meter && $0.name == limit.name && $0.isCall == limit.isCall
                        && ($0.window.kind == .total || $0.window.kind == .session)
                }
                if !isTaken, list.limits.count < LimitList.limitsMax { list.limits.append(limit) }
            }
            i = Int(core.node(i).parent.value)
        }
    }

    /// Model names, best first, separated by commas.
    private func parseLadder(_ text: [UInt8]) throws(Failure) -> [Int32] {
        var models: [Int32] = []
        if text.isEmpty { return models }
        var start = 0
        for at in 0...text.count where at == text.count || text[at] == UInt8(ascii: ",") {
            var name = Array(text[start..<at])
            while name.first == UInt8(ascii: " ") { name.removeFirst() }
            while name.last == UInt8(ascii: " ") { name.removeLast() }
            start = at + 1
            if name.isEmpty {
                throw Failure(.invalid, "the ladder has an empty name; write models, best first, separated by commas")
            }
            let model = try findModel(name)
            if models.contains(model) { continue }
            if models.count == Ladder.rungsMax {
                throw Failure(.invalid, "the ladder has more than 8 models")
            }
            models.append(model)
        }
        return models
    }

    // MARK: - Labels: a slab block of a count and pairs of interned references

    private static var labelsMax: Int { 16 }
    private func labelBytes(_ count: Int) -> Int { 4 + 8 * count }

    private func check(_ labels: [(key: [UInt8], value: [UInt8])]) throws(Failure) {
        if labels.count > Runtime.labelsMax {
            throw Failure(.invalid, "\(labels.count) labels; at most 16 are possible")
        }
        for (k, label) in labels.enumerated() {
            try Path.check(label.key, what: "a label's key")
            if label.value.count > 256 {
                throw Failure(.path, "a label's value has \(label.value.count) bytes; at most 256 are possible")
            }
            if !Path.isText(label.value) || label.value.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
                throw Failure(.path, "a label's value is not UTF-8 or has a control character")
            }
            if labels[..<k].contains(where: { $0.key == label.key }) {
                throw Failure(.path, "two labels have the same key")
            }
        }
    }

    private func makeLabels(_ labels: [(key: [UInt8], value: [UInt8])]) throws(Failure) -> UInt32 {
        if labels.isEmpty { return 0 }
        guard let block = slab.allocate(bytes: labelBytes(labels.count)) else {
            throw full("names and labels", "text_bytes_max")
        }
        let p = slab.address(block)
        let sorted = labels.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        for (k, label) in sorted.enumerated() {
            do throws(Failure) {
                let key = try intern(label.key)
                p.storeBytes(of: key, toByteOffset: 4 + k * 8, as: UInt32.self)
                p.storeBytes(of: Int32(k + 1), as: Int32.self)
                p.storeBytes(of: try intern(label.value), toByteOffset: 8 + k * 8, as: UInt32.self)
            } catch {
                freeLabels(block, count: labels.count)
                throw error
            }
        }
        return block
    }

    func eachLabel(_ block: UInt32, _ body: (UInt32, UInt32) -> Void) {
        if block == 0 { return }
        let p = slab.address(block)
        for k in 0..<Int(p.load(as: Int32.self)) {
            body(
                p.load(fromByteOffset: 4 + k * 8, as: UInt32.self),
                p.load(fromByteOffset: 8 + k * 8, as: UInt32.self))
        }
    }

    func freeLabels(_ block: UInt32, count: Int? = nil) {
        if block == 0 { return }
        eachLabel(block) { key, value in
            slab.release(key)
            slab.release(value)
        }
        slab.free(block, bytes: labelBytes(count ?? Int(slab.address(block).load(as: Int32.self))))
    }

    // MARK: - Closing

    /// The header's bursar_session_close().
    public func sessionClose(_ id: Int64) throws(Failure) {
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            guard core.node(i).isSession else {
                throw Failure(.invalid, "this is a budget; bursar_budget_remove() removes budgets")
            }
            close(UInt32(i))
        }
        ringKeeper()
    }

    private func close(_ i: UInt32) {
        let node = core.node(Int(i))
        if node.state.value & StateBit.closed != 0 { return }
        change(Int(i), set: StateBit.closed)
        closing.append(i)
        var child = node.firstChild.value
        while child != 0 {
            close(child)
            child = core.node(Int(child)).next.value
        }
    }

    /// The header's bursar_attend(): for the node, what is above it, and all below.
    public func attend(_ id: Int64, who: [UInt8]) throws(Failure) {
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            var above = i
            while above != 0 {
                above = Int(core.node(above).parent.value)
                attend(above)
            }
            attendBelow(i)
        }
        ringKeeper()
    }

    private func attendBelow(_ i: Int) {
        attend(i)
        var child = Int(core.node(i).firstChild.value)
        while child != 0 {
            attendBelow(child)
            child = Int(core.node(child).next.value)
        }
    }

    private func attend(_ i: Int) {
        var has = false
        eachLimit(i) { _, limit in if limit.meter == MeterIndex.unattended { has = true } }
        guard has else { return }
        let node = core.node(i)
        let standing = StateBit.held | StateBit.halted
        if node.state.value & standing != 0, node.stateReason == .unattended {
            change(i, clear: standing)
            node.setStateReason(.none)
            var event = Event(type: .resume)
            event.id = core.id(of: i)
            event.path = path(of: i)
            event.reason = .unattended
            send(event)
        }
        restartTimeLimits(i, only: MeterIndex.unattended)
    }
}
