// Free entries of a table in the segment: those given back, linked through a field
// of their own that nothing reads while they are free, then those never used.
// Everything here is guarded by the config lock.

struct FreeList {
    /// In the header: 0 the first entry given back, 4 the first never used, 8 how
    /// many were given back. All halves.
    private let words: UnsafeMutableRawPointer
    private let link: UnsafeMutableRawPointer
    private let stride: Int
    private let end: UInt32
    private let edit: UndoLog
    static let bytes = 12

    /// `link`: the linking field of entry 0.
    init(
        _ words: UnsafeMutableRawPointer, link: UnsafeMutableRawPointer, stride: Int, end: UInt32,
        _ edit: UndoLog
    ) {
        self.words = words
        self.link = link
        self.stride = stride
        self.end = end
        self.edit = edit
    }

    private var head: Half { Half(words) }
    private var fresh: Half { Half(words + 4) }
    private var returned: Half { Half(words + 8) }

    /// Entry 0 is "none" in every table.
    func format() { fresh.value = 1 }

    func take() -> UInt32? {
        let first = head.value
        if first != 0, first < end {
            let next = Half(link + Int(first) * stride).value
            edit[head] = next < end ? next : 0
            edit[returned] = returned.value > 0 ? returned.value - 1 : 0
            return first
        }
        let new = fresh.value
        guard new > 0, new < end else { return nil }
        edit[fresh] = new + 1
        return new
    }

    func give(_ index: UInt32) {
        guard index > 0, index < end else { return }
        edit[Half(link + Int(index) * stride)] = head.value
        edit[head] = index
        edit[returned] = returned.value &+ 1
    }

    /// Entries up to here were used at some time.
    var highWater: UInt32 { min(fresh.value, end) }
    /// With entry 0.
    var inUse: Int { max(Int(highWater) - Int(returned.value), 0) }
    var room: Int { Int(end) - inUse }
}
