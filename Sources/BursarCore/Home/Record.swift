// What a home says of itself, in its file `home`: which lock file, which boot of the
// machine and which segment it belongs to. Written under MAKING, whole or not at all.
//
//     bursar-home 1
//     id 9f0c...                    128 random bits
//     lock 64769 131083             device and inode of the lock file
//     boot 1c7a...                  of the machine, when the segment was made
//     segment /dev/shm/bursar-...   its file
//     segment_id 17...              when it was made, unix ns
//     layout 5d21...                see Layout.identity

internal import CPlatform

struct HomeRecord {
    var id: [UInt8] = []
    var lockDevice: UInt64 = 0
    var lockInode: UInt64 = 0
    var boot: [UInt8] = []
    var segment: [UInt8] = []
    var segmentID: Int64 = 0
    var layout: Int64 = 0

    static let magic = bytes("bursar-home")

    /// A home of its own.
    init(shmDirectory: [UInt8], lock: bursar__file) throws(Failure) {
        var random: (UInt64, UInt64) = (0, 0)
        if bursar__random(&random, 16) < 0 { throw Failure(.home, "the system gave no random bits") }
        id = Digits.hex(random.0) + Digits.hex(random.1)
        segment = shmDirectory + [UInt8(ascii: "/")]  // named when it is made
        lockDevice = lock.device
        lockInode = lock.inode
    }

    /// The directory of the segment.
    var shmDirectory: [UInt8] {
        Array(segment.prefix(segment.lastIndex(of: UInt8(ascii: "/")) ?? 0))
    }

    /// Reads the record; nil when there is none.
    init?(of folder: Folder) throws(Failure) {
        let path = folder.record
        let fd = bursar__open(path + [0], BURSAR__READ)
        if fd == -ENOENT { return nil }
        if fd < 0 { throw Folder.failed("open", path, fd) }
        defer { bursar__fd_close(fd) }
        var file = bursar__file()
        let code = bursar__fstat(fd, &file)
        if code < 0 { throw Folder.failed("look at", path, code) }
        try folder.expectOurs(path, file)
        var text = [UInt8](repeating: 0, count: 4096)
        let count = bursar__read(fd, &text, text.count)
        if count < 0 { throw Folder.failed("read", path, Int32(count)) }
        try parse(text.prefix(Int(count)), path)
    }

    private mutating func parse(_ text: ArraySlice<UInt8>, _ path: [UInt8]) throws(Failure) {
        var seen = 0
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " "), maxSplits: 1).map { Array($0) }
            guard words.count == 2 else { throw HomeRecord.malformed(path, Array(line)) }
            let (key, value) = (words[0], words[1])
            if key == HomeRecord.magic {
                if value != [UInt8(ascii: "1")] {
                    throw Folder.refused(path, "has format \(value); this library knows 1")
                }
            } else if key == bytes("id"), value.count == 32 {
                id = value
            } else if key == bytes("lock") {
                let numbers = value.split(separator: UInt8(ascii: " "))
                guard numbers.count == 2, let device = HomeRecord.number(numbers[0]),
                    let inode = HomeRecord.number(numbers[1])
                else { throw HomeRecord.malformed(path, key) }
                lockDevice = device
                lockInode = inode
            } else if key == bytes("boot") {
                boot = value
            } else if key == bytes("segment"), value[0] == UInt8(ascii: "/") {
                segment = value
            } else if key == bytes("segment_id"), let number = HomeRecord.number(value[...]) {
                segmentID = Int64(clamping: number)
            } else if key == bytes("layout"), let number = HomeRecord.hex(value) {
                layout = number
            } else {
                throw HomeRecord.malformed(path, key)
            }
            seen += 1
        }
        if seen != 7 { throw HomeRecord.malformed(path, bytes("end")) }
    }

    private static func malformed(_ path: [UInt8], _ word: [UInt8]) -> Failure {
        Folder.refused(path, "is malformed at \(word)")
    }

    static func number(_ text: ArraySlice<UInt8>) -> UInt64? {
        var number: UInt64 = 0
        for digit in text {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            let (product, over) = number.multipliedReportingOverflow(by: 10)
            let (sum, over2) = product.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
            if over || over2 { return nil }
            number = sum
        }
        return text.isEmpty ? nil : number
    }

    private static func hex(_ text: [UInt8]) -> Int64? {
        var number: UInt64 = 0
        for digit in text {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt64(digit - 48)
            case UInt8(ascii: "a")...UInt8(ascii: "f"): number = number << 4 | UInt64(digit - 87)
            default: return nil
            }
        }
        return text.count == 16 ? Int64(bitPattern: number) : nil
    }

    /// Writes the record in place of the former one.
    func write(to folder: Folder) throws(Failure) {
        var text: [UInt8] = HomeRecord.magic + bytes(" 1\nid ") + id + bytes("\nlock ")
        Digits.append(lockDevice, to: &text)
        text.append(UInt8(ascii: " "))
        Digits.append(lockInode, to: &text)
        text += bytes("\nboot ") + boot + bytes("\nsegment ") + segment + bytes("\nsegment_id ")
        Digits.append(UInt64(clamping: segmentID), to: &text)
        text += bytes("\nlayout ") + Digits.hex(UInt64(bitPattern: layout)) + [UInt8(ascii: "\n")]

        let path = folder.record
        let new = path + bytes(".new") + [0]
        _ = bursar__unlink(new)  // of a process that died here
        let fd = bursar__open(new, BURSAR__NEW)
        if fd < 0 { throw Folder.failed("write", path, fd) }
        var code = bursar__write_all(fd, text, text.count)
        if code == 0 { code = bursar__give(fd, folder.owner, folder.group, folder.fileMode) }
        if code == 0 { code = bursar__sync(fd) }
        bursar__fd_close(fd)
        if code == 0 { code = bursar__rename(new, path + [0]) }
        if code < 0 { throw Folder.failed("write", path, code) }
        let directory = bursar__open(folder.path + [0], BURSAR__DIRECTORY)
        if directory >= 0 {
            _ = bursar__sync(directory)
            bursar__fd_close(directory)
        }
    }

    /// What tells one boot of the machine from the next.
    static func bootID() throws(Failure) -> [UInt8] {
        let path = bytes("/proc/sys/kernel/random/boot_id")
        let fd = bursar__open(path + [0], BURSAR__READ)
        if fd < 0 { throw Folder.failed("open", path, fd) }
        defer { bursar__fd_close(fd) }
        var text = [UInt8](repeating: 0, count: 36)
        if bursar__read(fd, &text, 36) != 36 { throw Folder.refused(path, "is not a boot's id") }
        return text
    }
}
