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
        try makingRoom { () throws(Failure) in
            try configuring { () throws(Failure) in
                try check(options)
                let parent: UInt32
                if options.parent != 0 {
                    parent = UInt32(try resolve(options.parent))
                    if core.node(Int(parent)).state.value & StateBit.closed != 0 {
                        throw Failure(.closed, "the parent session was closed")
                    }
                } else {
                    let names = try Path.parse(options.path)
                    // All or nothing: without its session a budget would take a place for good.
                    let absent = missing(names)
                    if segment.freeNodes.room <= absent {
                        throw full("budgets and sessions", "sessions_max")
                    }
                    if absent > 0 {
                        _ = try parseLadder(options.ladder)
                        if !options.limits.isEmpty { _ = try parse(options.limits, onSession: true) }
                    }
                    parent = try ensure(names)
                    if core.node(Int(parent)).state.value & StateBit.closed != 0 { open(parent) }
                }
                return try addSession(options, under: parent)
            }
        }
    }

    /// What can be wrong with options wherever the session is.
    private func check(_ options: SessionOptions) throws(Failure) {
        guard options.holdbackNanos >= 0, options.holdbackNanos < Bound.amount else {
            throw Failure(.invalid, "holdback_nanos is 0 to 9,007,199 dollars")
        }
        guard options.complexity >= 0, options.complexity <= 3 else {
            throw Failure(.invalid, "complexity is 0 to 3")
        }
        if options.agent.count > 0 { try Path.check(options.agent, what: "the agent's name", most: 128) }
        try check(options.labels)
    }

    private func addSession(_ options: SessionOptions, under parent: UInt32) throws(Failure) -> Int64 {
        if core.node(Int(parent)).depth >= Runtime.depthMax {
            throw Failure(.path, "sessions nest 24 levels deep at most")
        }
        let ladder = try parseLadder(options.ladder)
        var list = options.limits.isEmpty
            ? LimitList([]) : try parse(options.limits, onSession: true)
        if !core.node(Int(parent)).isSession, !list.unlimited {
            addDefaults(to: &list, from: parent)
        }

        let i = try addNode(parent: parent, flags: NodeFlag.session)
        let node = core.node(Int(i))
        do throws(Failure) {
            edit[node.misc] = UInt32(options.complexity) | (attachment.slot & 0xFFF) << 16
            edit[node.agent] = try intern(options.agent)
            edit[node.labels] = try makeLabels(options.labels)
            if !ladder.isEmpty || options.holdbackNanos > 0 {
                guard let block = slab.allocate(bytes: Ladder.bytes) else {
                    throw full("ladders", "text_bytes_max")
                }
                let p = slab.address(block)
                for (k, model) in ladder.enumerated() {
                    edit[Half(p + k * 4)] = UInt32(bitPattern: model)
                }
                edit[Half(p + 32)] = UInt32(ladder.count)
                edit[Word(p + 40)] = options.holdbackNanos
                edit[node.extras] = block
                edit.update(
                    node.flags,
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
        var found = list
        eachUp(Int(parent)) { i in
            eachLimit(i) { _, slot in
                guard isDefault(slot, at: i) else { return }
                var limit = self.limit(of: slot)
                limit.window = Window(.total)
                let isTaken = found.limits.contains {
                    $0.meter == limit.meter && $0.name == limit.name && $0.isCall == limit.isCall
                        && ($0.window.kind == .total || $0.window.kind == .session)
                }
                if !isTaken, found.limits.count < LimitList.limitsMax { found.limits.append(limit) }
            }
        }
        list = found
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
    private func labelCount(_ block: UInt32) -> Int {
        min(Int(Half(slab.address(block)).value), Runtime.labelsMax)
    }

    private func check(_ labels: [(key: [UInt8], value: [UInt8])]) throws(Failure) {
        if labels.count > Runtime.labelsMax {
            throw Failure(.invalid, "\(labels.count) labels; at most 16 are possible")
        }
        for (k, label) in labels.enumerated() {
            try Path.check(label.key, what: "a label's key")
            if label.key.contains(UInt8(ascii: "=")) {
                throw Failure(.path, "a label's key has a =, which ends it elsewhere")
            }
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
        // At most sixteen.
        var sorted = labels
        for k in 0..<sorted.count {
            var at = k
            while at > 0, sorted[at].key.lexicographicallyPrecedes(sorted[at - 1].key) {
                sorted.swapAt(at, at - 1)
                at -= 1
            }
        }
        for (k, label) in sorted.enumerated() {
            do throws(Failure) {
                edit[Half(p + 4 + k * 8)] = try intern(label.key)
                edit[Half(p)] = UInt32(k + 1)
                edit[Half(p + 8 + k * 8)] = try intern(label.value)
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
        for k in 0..<labelCount(block) {
            body(Half(p + 4 + k * 8).value, Half(p + 8 + k * 8).value)
        }
    }

    func freeLabels(_ block: UInt32, count: Int? = nil) {
        if block == 0 { return }
        eachLabel(block) { key, value in
            slab.release(key)
            slab.release(value)
        }
        slab.free(block, bytes: labelBytes(count ?? labelCount(block)))
    }
}
