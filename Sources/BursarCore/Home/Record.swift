// What a home says of itself, in its file `home`: which lock file, which boot of the
// machine and which segment it belongs to. Written under MAKING, whole or not at all.
//
//     bursar-home 1
//     id 9f0c...                    128 random bits
//     lock 64769 131083             device and inode of the lock file
//     boot 1c7a...                  of the machine, when the segment was made
//     segment /dev/shm/bursar-...   its file
//     shm 26                        device of the directory that it lies in
//     segment_id 17...              when it was made, unix ns
//     layout 5d21...                see Layout.identity

internal import CPlatform

final class HomeRecord {
    var id: [UInt8] = []
    var lockDevice: UInt64 = 0
    var lockInode: UInt64 = 0
    var boot: [UInt8] = []
    var segment: [UInt8] = []
    var shmDevice: UInt64 = 0
    var segmentID: Int64 = 0
    var layout: Int64 = 0

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
        let fd = File.open(path, BURSAR__READ)
        if fd == -ENOENT { return nil }
        if fd < 0 { throw Folder.failed("open", path, fd) }
        defer { bursar__fd_close(fd) }
        var file = bursar__file()
        var code = bursar__fstat(fd, &file)
        if code < 0 { throw Folder.failed("look at", path, code) }
        try folder.expectOurs(path, file)
        var text = [CChar](repeating: 0, count: 4097)
        code = Int32(bursar__read(fd, &text, text.count - 1))
        if code < 0 { throw Folder.failed("read", path, code) }
        var record = bursar__record()
        let line = bursar__record_parse(text, &record)
        if record.format > 1 {
            throw Folder.refused(path, "has format \(Int(record.format)); this library knows 1")
        }
        if line != 0 { throw Folder.refused(path, "is malformed in line \(Int(line))") }
        id = HomeRecord.text(&record.id)
        lockDevice = record.lock_device
        lockInode = record.lock_inode
        boot = HomeRecord.text(&record.boot)
        segment = HomeRecord.text(&record.segment)
        shmDevice = record.shm_device
        segmentID = record.segment_id
        layout = Int64(bitPattern: record.layout)
    }

    /// Writes the record in place of the former one.
    func write(to folder: Folder) throws(Failure) {
        var record = bursar__record()
        record.format = 1
        HomeRecord.set(&record.id, id)
        record.lock_device = lockDevice
        record.lock_inode = lockInode
        HomeRecord.set(&record.boot, boot)
        HomeRecord.set(&record.segment, segment)
        record.shm_device = shmDevice
        record.segment_id = segmentID
        record.layout = UInt64(bitPattern: layout)
        var text = [CChar](repeating: 0, count: 2048)
        let count = bursar__record_print(&record, &text, text.count)

        let path = folder.record
        let new = path + bytes(".new") + [0]
        _ = bursar__unlink(new)  // of a process that died here
        let fd = bursar__open(new, BURSAR__NEW)
        if fd < 0 { throw Folder.failed("write", path, fd) }
        var code = bursar__write_all(fd, text, Int(count))
        if code == 0 { code = bursar__give(fd, folder.owner, folder.group, folder.fileMode) }
        if code == 0 { code = bursar__sync(fd) }
        bursar__fd_close(fd)
        if code == 0 { code = bursar__rename(new, path + [0]) }
        if code < 0 { throw Folder.failed("write", path, code) }
        let directory = File.open(folder.path, BURSAR__DIRECTORY)
        if directory >= 0 {
            _ = bursar__sync(directory)
            bursar__fd_close(directory)
        }
    }

    /// A NUL-terminated field.
    private static func text<T>(_ field: inout T) -> [UInt8] {
        withUnsafeBytes(of: &field) { text($0) }
    }

    @inline(never)
    private static func text(_ field: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](field.prefix { $0 != 0 })
    }

    private static func set<T>(_ field: inout T, _ text: [UInt8]) {
        withUnsafeMutableBytes(of: &field) { $0.copyBytes(from: text.prefix($0.count - 1)) }
    }

    /// What tells one boot of the machine from the next.
    static func bootID() throws(Failure) -> [UInt8] {
        let path = bytes("/proc/sys/kernel/random/boot_id")
        let fd = File.open(path, BURSAR__READ)
        if fd < 0 { throw Folder.failed("open", path, fd) }
        defer { bursar__fd_close(fd) }
        var text = [UInt8](repeating: 0, count: 36)
        if bursar__read(fd, &text, 36) != 36 { throw Folder.refused(path, "is not a boot's id") }
        return text
    }
}
