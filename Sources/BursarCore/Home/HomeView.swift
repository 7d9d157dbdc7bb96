// What a home looks like to people.

/// A home as one of its processes sees it.
public struct HomeView {
    public var isShared = false
    public var isGroup = false
    public var slot: UInt32 = 0
    public var segmentID: Int64 = 0
    public var segmentBytes = 0
    public var id: [UInt8] = []
    public var path: [UInt8] = []
    public var segmentPath: [UInt8] = []
    public var processes: [ProcessView] = []
}

public struct ProcessView {
    public var slot: UInt32 = 0
    public var pid: UInt32 = 0
    public var role: Int32 = 0
    public var since: Int64 = 0
    public var parent: UInt32 = 0
    public var name: [UInt8] = []
}

extension Runtime {
    /// The header's bursar_home_info() and bursar_home_process(). Of processes that
    /// died a moment ago some may be among them.
    public var home: HomeView {
        var view = HomeView()
        view.slot = attachment.slot
        view.segmentID = Word(segment.base + Header.segmentID).value
        view.segmentBytes = segment.bytes
        guard let place = attachment.place else { return view }
        view.isShared = true
        view.isGroup = place.folder.isGroup
        view.id = place.id
        view.path = place.folder.path
        view.segmentPath = place.segment
        for slot in 1..<SlotTable.count {
            let entry = attachment.slots[slot]
            guard entry.isUsed else { continue }
            var process = ProcessView()
            process.slot = slot
            process.pid = entry.pid.value
            process.role = Int32(truncatingIfNeeded: entry.role.value)
            process.since = entry.since.value
            process.parent = entry.parent.value
            process.name = entry.name
            view.processes.append(process)
        }
        return view
    }
}
