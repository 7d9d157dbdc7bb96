// The table of processes in the segment: 255 slots, number 0 is none.
//
// A process is alive as long as it holds its slot's byte of the lock file. What
// stands here is written by the holder of that byte only: by a process for itself,
// by whoever took a dead one's byte when it has put the records in order. Process
// ids are for people: they say nothing in another pid namespace.
//
// Slot (64 bytes):
//     0  flags      Half  SlotFlag; release
//     4  generation Half  +1 each time that the slot is taken
//     8  pid        Half
//    12  role       Half
//    16  parent     Half  the slot of the process that forked this one, or 0
//    20  parentGeneration Half
//    24  since      Word  unix ns
//    32  bell       Word  the loop's
//    40  name       24 bytes, as the process claims

struct Slot {
    let p: UnsafeMutableRawPointer
    static let size = 64
    static let nameBytes = 24
    static let used: UInt32 = 1
    static let listening: UInt32 = 2  // wants to be rung for events
    static let ending: UInt32 = 4  // its sessions are being ended: nobody's heir any more

    var flags: Half { Half(p) }
    var generation: Half { Half(p + 4) }
    var pid: Half { Half(p + 8) }
    var role: Half { Half(p + 12) }
    var parent: Half { Half(p + 16) }
    var parentGeneration: Half { Half(p + 20) }
    var since: Word { Word(p + 24) }
    var bell: Word { Word(p + 32) }

    var isUsed: Bool { flags.loadAcquiring() & Slot.used != 0 }

    var name: [UInt8] {
        var name: [UInt8] = []
        for k in 0..<Slot.nameBytes {
            let byte = (p + 40 + k).load(as: UInt8.self)
            if byte == 0 { break }
            name.append(byte)
        }
        return name
    }

    func setName(_ name: [UInt8]) {
        for k in 0..<Slot.nameBytes {
            (p + 40 + k).storeBytes(of: k < name.count ? name[k] : 0, as: UInt8.self)
        }
    }
}

/// The table; it follows the header's page.
struct SlotTable {
    let base: UnsafeMutableRawPointer
    static let count: UInt32 = 256
    static let bytes = Int(count) * Slot.size

    init(of segment: Segment) { base = segment.base + Header.page }

    subscript(slot: UInt32) -> Slot { Slot(p: base + Int(slot % SlotTable.count) * Slot.size) }
}

/// Who a slot was taken by, in one of its lives.
struct Process {
    var slot: UInt32
    var generation: UInt32
    static let none = Process(slot: 0, generation: 0)
}
