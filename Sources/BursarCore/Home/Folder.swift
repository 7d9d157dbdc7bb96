// The directory of a home: what may be one, its files, and sentences about them.
//
//     home     what the home is: see Record.swift
//     lock     empty; its bytes are locked: see ProcessLocks.swift
//     bells/   a FIFO for each process that is attached

internal import CPlatform

/// A home's directory, found fit. Its path is absolute and has no links.
final class Folder: @unchecked Sendable {  // Sendable: changed while it is made only.
    let path: [UInt8]
    let owner: UInt32
    let group: UInt32

    var lock: [UInt8] { path + bytes("/lock") }
    var record: [UInt8] { path + bytes("/home") }
    var bells: [UInt8] { path + bytes("/bells") }

    /// Whether the home is shared with its group: then all its files are.
    var isGroup = false
    var fileMode: UInt32 { isGroup ? 0o660 : 0o600 }
    var folderMode: UInt32 { isGroup ? 0o2770 : 0o700 }

    private static let linkKind: UInt32 = 0o120000
    private static let folderKind: UInt32 = 0o040000
    private static let fileKind: UInt32 = 0o100000

    /// Finds the directory, or makes it, if it may; its parent must be there.
    init(_ given: [UInt8], mustExist: Bool = false) throws(Failure) {
        // A path goes into lines of text: the record's, and a child's environment.
        try Folder.expectLine(given)
        guard given[0] != UInt8(ascii: "~") else {
            throw Failure(
                .invalid, "the home \(path: given) begins with `~`: give the directory it stands for")
        }
        var file = bursar__file()
        if !mustExist, File.stat(given, &file) == -ENOENT {
            let code = File.makeDirectory(given, 0o700)
            if code < 0, code != -EEXIST { throw Folder.failed("make the home", given, code) }
        }
        let code = File.stat(given, &file)
        if code < 0 { throw Folder.failed("look at the home", given, code) }
        if file.kind == Folder.linkKind {
            throw Folder.refused(given, "is a symbolic link; name the directory itself")
        }
        if file.kind != Folder.folderKind { throw Folder.refused(given, "is not a directory") }
        owner = file.owner
        group = file.group
        isGroup = file.mode & 0o2020 == 0o2020
        let user = bursar__user()
        if user != owner, user != 0, !isGroup {
            throw Folder.refused(
                given, "belongs to user \(owner) and this process runs as user \(user); run as its owner, or make the home shared with a group")
        }
        if file.mode & 0o002 != 0 || (file.mode & 0o020 != 0 && !isGroup) {
            throw Folder.refused(
                given, "has mode \(octal: file.mode), so that others may write to it; 0700 is right, or 2770 for a group")
        }
        _ = try Folder.expectLocal(given, File.open(given, BURSAR__DIRECTORY))
        path = try Folder.real(given)
    }

    private static func expectLine(_ path: [UInt8]) throws(Failure) {
        if path.count <= 1024, !path.contains(where: { $0 < 0x20 || $0 == 0x7F }) { return }
        throw Failure(.invalid, "the path \(path: path) has a control byte, or more than 1,024 bytes")
    }

    static func real(_ given: [UInt8]) throws(Failure) -> [UInt8] {
        var real = [UInt8](repeating: 0, count: 4096)
        let count = bursar__real_path(given + [0], &real, real.count)
        if count < 0 { throw Folder.failed("find", given, Int32(count)) }
        let path = Array(real.prefix(Int(count)))
        try expectLine(path)
        return path
    }

    /// Refuses file systems that other machines write to, or that keep no locks. Closes
    /// `fd`; whether what is written there stays in memory.
    static func expectLocal(_ path: [UInt8], _ fd: Int32) throws(Failure) -> Bool {
        if fd < 0 { throw Folder.failed("open", path, fd) }
        let type = bursar__file_system(fd)
        bursar__fd_close(fd)
        try expectSuitable(path, type)
        return bursar__is_memory(type)
    }

    /// A directory that becomes a home is empty, or was one. Under MAKING.
    func expectEmpty() throws(Failure) {
        var name = [UInt8](repeating: 0, count: 256)
        let count = bursar__foreign_name(path + [0], &name, name.count)
        if count == 0 { return }
        if count < 0 { throw Folder.failed("read", path, Int32(count)) }
        throw Folder.refused(
            path, "has files that are not a home's (\(path: Array(name.prefix(Int(count))))): name an empty or a new directory")
    }

    static func expectSuitable(_ path: [UInt8], _ type: UInt64) throws(Failure) {
        guard let name = bursar__unsuitable(type) else { return }
        let word = [UInt8](
            UnsafeRawBufferPointer(start: UnsafeRawPointer(name), count: strlen(name)))
        throw Folder.refused(
            path, "is on a file system that processes cannot share memory and locks on, \(word); put it on a disk or memory of this machine")
    }

    /// A file of the home is a plain one, of the home's owner (a group's: of anybody
    /// in it), and nobody else's to write.
    func expectOurs(_ path: [UInt8], _ file: bursar__file) throws(Failure) {
        if file.kind != Folder.fileKind { throw Folder.refused(path, "is not a plain file") }
        if file.links != 1 { throw Folder.refused(path, "has \(file.links) names; 1 is right") }
        let hasOwner = isGroup ? file.group == group : file.owner == owner
        if !hasOwner {
            throw Folder.refused(
                path, "belongs to user \(file.owner), group \(file.group); the home to user \(owner), group \(group)")
        }
        if file.mode & 0o777 & ~fileMode != 0 {
            throw Folder.refused(path, "has mode \(octal: file.mode); \(octal: fileMode) is right")
        }
    }

    /// Makes the directory and the lock file what the home's options say. Once, under MAKING.
    func settle(isGroup: Bool, lockFile: Int32) throws(Failure) {
        self.isGroup = isGroup
        let fd = File.open(path, BURSAR__DIRECTORY)
        if fd < 0 { throw Folder.failed("open", path, fd) }
        defer { bursar__fd_close(fd) }
        var code = bursar__give(fd, owner, group, folderMode)
        if code == 0 { code = bursar__give(lockFile, owner, group, fileMode) }
        if code < 0 { throw Folder.failed("set the mode of", path, code) }
        code = File.makeDirectory(bells, 0o700)
        if code < 0, code != -EEXIST { throw Folder.failed("make", bells, code) }
        let bells = File.open(self.bells, BURSAR__DIRECTORY)
        if bells < 0 { throw Folder.failed("open", self.bells, bells) }
        defer { bursar__fd_close(bells) }
        code = bursar__give(bells, owner, group, folderMode)
        if code < 0 { throw Folder.failed("set the mode of", self.bells, code) }
    }

    // MARK: - Sentences

    @inline(never)
    static func refused(_ path: [UInt8], _ why: Sentence) -> Failure {
        Failure(.home, "\(path: path) " + why)
    }

    @inline(never)
    static func failed(_ doing: StaticString, _ path: [UInt8], _ code: Int32) -> Failure {
        var failure = Failure(
            .home, "cannot \(plain: doing) \(path: path): \(errno: code)")
        failure.values.0 = Int64(code)
        return failure
    }
}

/// A literal as bytes.
@inline(never)
func bytes(_ text: StaticString) -> [UInt8] { [UInt8](text) }

extension Sentence.Interpolation {
    /// A path, whole up to 120 bytes.
    @inline(never)
    mutating func appendInterpolation(path: [UInt8]) {
        appendInterpolation(path, most: 120)
    }

    @inline(never)
    mutating func appendInterpolation(octal mode: UInt32) {
        for shift in [9, 6, 3, 0] { bytes.append(UInt8(ascii: "0") + UInt8(mode >> shift & 7)) }
    }

    @inline(never)
    mutating func appendInterpolation(hex number: Int64) {
        bytes.append(contentsOf: Digits.hex(UInt64(bitPattern: number)))
    }

    /// The system's words for a negative errno.
    @inline(never)
    mutating func appendInterpolation(errno code: Int32) {
        var words = [UInt8](repeating: 0, count: 64)
        let count = bursar__errno_text(-code, &words, words.count)
        bytes.append(contentsOf: words.prefix(count))
    }
}

extension Digits {
    static func hex(_ number: UInt64) -> [UInt8] {
        var text: [UInt8] = []
        for k in 0..<16 {
            let digit = UInt8(truncatingIfNeeded: number >> (60 - 4 * UInt64(k))) & 15
            text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
        return text
    }
}
