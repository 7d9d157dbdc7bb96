// What the tests of a shared segment share: processes on one segment, and all that
// is configured in it as text.

import Testing

@testable import BursarCore

/// A runtime on a segment, as another process has it, without a loop of its own.
final class Process {
    let page: UnsafeMutableRawPointer
    let core: Core
    let runtime: Runtime

    init(_ segment: Segment, slot: UInt32 = 1) throws {
        let attachment = Attachment(segment, ProcessLocks(), slot: slot)
        page = try Runtime.open(OpenOptions(), on: attachment)
        core = Core(page: page)
        runtime = core.runtime
        runtime.loop.stop()
    }

    /// It is gone, as if killed: nothing is closed.
    deinit {
        Unmanaged<Runtime>.fromOpaque(core.engine.pointee.runtime).release()
    }

    @discardableResult
    func budget(
        _ path: String, _ limits: String = "", _ configure: (inout BudgetOptions) -> Void = { _ in }
    ) throws -> Int64 {
        var options = BudgetOptions()
        options.limits = [UInt8](limits.utf8)
        configure(&options)
        return try runtime.budgetDeclare([UInt8](path.utf8), options)
    }

    func session(
        _ path: String, _ limits: String = "", _ configure: (inout SessionOptions) -> Void = { _ in }
    ) throws -> Int64 {
        var options = SessionOptions()
        options.path = [UInt8](path.utf8)
        options.limits = [UInt8](limits.utf8)
        configure(&options)
        return try runtime.sessionOpen(options)
    }

    func child(of parent: Int64) throws -> Int64 {
        var options = SessionOptions()
        options.parent = parent
        return try runtime.sessionOpen(options)
    }

    func find(_ path: String) throws -> Int64 { try runtime.budgetFind([UInt8](path.utf8)) }

    func text(_ id: Int64, _ kind: TextKind) throws -> String {
        String(decoding: try runtime.textRead(id, kind), as: UTF8.self)
    }

    func model(_ name: String) throws -> Int32 {
        try [UInt8](name.utf8).withUnsafeBufferPointer { try runtime.modelFind($0) }
    }

    /// Takes the config lock and gives it up: what a successor does first.
    func succeed() {
        runtime.config.lock()
        runtime.config.unlock()
    }
}

extension Segment {
    /// A small one for several processes.
    static func shared(nodes: UInt32 = 64, textBytes: UInt32 = 1 << 16) throws -> Segment {
        try Segment(Capacity(nodes: nodes, records: 64, textBytes: textBytes, isShared: true))
    }

    var image: [UInt8] {
        get { [UInt8](UnsafeRawBufferPointer(start: base, count: bytes)) }
        set { base.copyMemory(from: newValue, byteCount: bytes) }
    }
}

extension Segment {
    /// Each list of free places has as many as were given back, and the slab's lists no
    /// block twice and none that is not there.
    func expectWholeLists(_ what: String, at place: SourceLocation = #_sourceLocation) {
        func walk(_ first: UInt32, _ end: UInt32, _ next: (UInt32) -> UInt32) -> Set<UInt32>? {
            var seen: Set<UInt32> = []
            var i = first
            while i != 0 {
                if i >= end || !seen.insert(i).inserted { return nil }
                i = next(i)
            }
            return seen
        }
        for (name, list, table, link, size) in [
            ("nodes", Header.freeNodes, places.nodesAt, Node.freeLink, Node.size),
            ("cells", Header.freeCells, places.cellsAt, Cell.freeLink, Cell.size),
            ("limits", Header.freeLimits, places.limitsAt, LimitSlot.freeLink, LimitSlot.size),
        ] {
            let free = walk(Half(base + list).value, Half(base + list + 4).value) {
                Half(base + table + link + Int($0) * size).value
            }
            #expect(
                free?.count == Int(Half(base + list + 8).value), "\(what): free \(name)",
                sourceLocation: place)
        }
        var units: Set<UInt32> = []
        for order in 0..<5 {
            let free = walk(
                Half(base + Header.slabReturned + order * 4).value, Half(base + Header.slabFresh).value
            ) { Half(base + places.slabAt + Int($0) * Slab.unit).value }
            let all = (free ?? [0]).flatMap { $0..<$0 + 1 << UInt32(order) }
            #expect(
                free != nil && units.isDisjoint(with: all), "\(what): slab, order \(order)",
                sourceLocation: place)
            units.formUnion(all)
        }
    }
}

/// What a comparison looks at.
enum Detail {
    case all
    /// Not the times, which differ when a call is made again.
    case timeless
    /// Nor cells that no limit uses.
    case limited
}

extension Process {
    /// Everything that is configured, and how much of each table is in use.
    func dump(_ detail: Detail = .all) -> [String] {
        var lines: [String] = []
        let segment = runtime.segment
        func string(_ block: UInt32) -> String {
            String(decoding: runtime.slab.text(block), as: UTF8.self)
        }
        func time(_ at: Int64) -> String {
            detail == .all ? "\(at)" : at == .max ? "never" : at == 0 ? "0" : "some time"
        }
        func describe(_ i: Int, _ indent: String) {
            let node = core.node(i)
            lines.append(
                indent
                    + "node \(detail == .all ? core.id(of: i) : Int64(i)) state \(node.state.value & StateBit.all) flags \(node.flags.value & ~(NodeFlag.untold | NodeFlag.telling)) misc \(node.misc.value) children \(node.childCount.value) due \(time(node.dueAt.value))"
            )
            if i != 0, !node.isSession {
                let meta = runtime.meta(UInt32(i))
                let found = runtime.child(of: node.parent.value, named: meta.name.value)
                lines.append(
                    indent
                        + "  budget \(string(meta.name.value)) found as \(found ?? 0), \(string(meta.owner.value)), \(string(meta.costCenter.value)), \(string(meta.purpose.value)), rungs \(node.rungs.value)"
                )
            } else if i != 0 {
                var labels = ""
                runtime.eachLabel(node.labels.value) { labels += "\(string($0))=\(string($1)) " }
                lines.append(indent + "  session of \(string(node.agent.value)), labels \(labels)")
            }
            let why = String(decoding: runtime.words(of: i).why, as: UTF8.self)
            lines.append(indent + "  reason \(why)")
            if node.extras.value != 0 {
                let extras = Ladder(p: runtime.slab.address(node.extras.value))
                lines.append(
                    indent
                        + "  ladder \((0..<8).map { extras.model($0) }) of \(extras.count), holdback \(extras.holdback), paused \(time(extras.paused.value)) since \(time(extras.pausedSince.value))"
                )
            }
            var meters: Set<Int> = []
            runtime.eachLimit(i) { l, slot in
                meters.insert(slot.meter)
                var line = "  limit \(runtime.limit(of: slot).text) of node \(slot.node.value), fired \(slot.fired.value >> 16)"
                line += ", extra \(slot.isRate ? 0 : slot.extra.value)"
                let isCalendar = slot.windowKind == WindowCode.calendar
                line += ", window \(isCalendar ? "\(slot.window.value >> 1)" : time(slot.window.value))"
                if slot.isTime {
                    line += ", base \(time(slot.base(0).value))"
                } else if slot.isRate {
                    line += ", burst \(slot.burst.value) in \(slot.period.value)"
                } else {
                    line += ", base \(slot.base(Int(slot.window.value & 1)).value), top \(slot.top)"
                }
                if slot.windowKind == WindowCode.rolling {
                    let p = runtime.slab.address(slot.spec.value)
                    line += ", ring \((0..<61).map { Word(p + $0 * 8).value })"
                }
                lines.append(indent + line)
            }
            runtime.eachCell(i) { _, cell in
                if detail == .limited, !meters.contains(cell.meter) { return }
                lines.append(
                    indent
                        + "  cell \(cell.meter) ceiling \(cell.ceiling.value) mark \(cell.watermark.value) committed \(cell.committed.value)"
                )
            }
            runtime.eachChild(i) { describe($0, indent + "  ") }
        }
        describe(0, "")
        lines.append("nodes \(segment.freeNodes.inUse), limits \(segment.freeLimits.inUse)")
        if detail != .limited { lines.append("cells \(segment.freeCells.inUse)") }
        lines.append("text units \(unitsInUse)")
        lines.append("windows \((0..<runtime.windows.count).map { runtime.windows.window($0) })")
        lines.append("windowed \(core.header(Header.windowedCount).value)")
        lines.append("meters \((8..<32).compactMap { runtime.meterName($0) }.map { String(decoding: $0, as: UTF8.self) })")
        for tool in 0..<Int(runtime.toolCount) {
            let slot = core.tool(tool + 1)
            lines.append("tool \(string(slot.name.value)) \(slot.price.value) meter \(slot.meter.value)")
        }
        lines.append("models \(core.header(Header.modelCount).value)")
        var block = core.header(Header.topUps).value
        while block != 0, lines.count < 10_000 {
            let p = runtime.slab.address(block)
            lines.append("top-up \(Word(p + 8).value) \(Word(p + 32).value) due \(time(Word(p + 40).value))")
            block = Half(p).value
        }
        var i = core.header(Header.closingFirst).value
        while i != 0, lines.count < 10_000 {
            lines.append("closing \(i)")
            i = UInt32(truncatingIfNeeded: Int64.max - core.node(Int(i)).dueAt.value)
        }
        lines.append("closing ends \(core.header(Header.closingLast).value)")
        lines.append(
            "rolls \(time(core.rollAt.value)) \(time(core.rollingAt.value)), top-ups \(time(core.topUpAt.value)), observed \(core.headerFlags.value)"
        )
        return lines
    }

    /// Units of the slab that are neither free nor unused.
    private var unitsInUse: Int {
        var units = Int(core.header(Header.slabFresh).value)
        for order in 0..<5 {
            var block = core.header(Header.slabReturned + order * 4).value
            while block != 0, units > -100_000 {
                units -= 1 << order
                block = Half(runtime.slab.address(block)).value
            }
        }
        return units
    }
}

extension Limit {
    fileprivate var text: String { String(decoding: LimitList([self]).print(), as: UTF8.self) }
}
