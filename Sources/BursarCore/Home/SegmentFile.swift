// The segment as a file on a memory file system: made whole before anybody can see
// it, looked at as if an attacker wrote it before anybody uses it.

internal import CPlatform
internal import CPrices

/// What two libraries must have in common to use one segment.
enum Layout {
    /// Bumped by hand when what a field means changes.
    private static let version: UInt64 = 3

    /// The version, the sizes of all tables' entries, and the built-in price names,
    /// whose numbers stand in records.
    static var identity: Int64 {
        var hash = bursar__price_fingerprint() ^ version
        for size in [
            Header.page, Slot.size, Node.size, Cell.size, LimitSlot.size, Record.size, Tool.size,
            Slab.unit, Int(Segment.toolsMax),
        ] { hash = (hash ^ UInt64(size)) &* 0x100_0000_01b3 }
        return Int64(bitPattern: hash)
    }
}

extension Segment {
    /// Makes the memory of `bytes`, that `mapping` gives, a segment of a home.
    static func mapped(
        _ capacity: Capacity, _ mapping: (Int) throws(Failure) -> UnsafeMutableRawPointer
    ) throws(Failure) -> Segment {
        let places = Geometry(capacity)
        return Segment(try mapping(places.bytes), places)
    }

    /// Says which segment it is. Once, before others see it.
    func format(_ capacity: Capacity, home: [UInt8] = [], boot: [UInt8] = [], isObserved: Bool) {
        Word(base + Header.layout).value = Layout.identity
        Word(base + Header.segmentID).value = bursar__clock(BURSAR__CLOCK_UNIX)
        Word(base + Header.bytes).value = Int64(bytes)
        Half(base + Header.nodes).value = capacity.nodes
        Half(base + Header.records).value = capacity.records
        Half(base + Header.textBytes).value = capacity.textBytes
        for (k, byte) in home.enumerated() { (base + Header.home + k).storeBytes(of: byte, as: UInt8.self) }
        for (k, byte) in boot.enumerated() { (base + Header.boot + k).storeBytes(of: byte, as: UInt8.self) }
        Half(base + Header.flags).value = isObserved ? HeaderFlag.observed : 0
        Word(base + Header.magic).storeReleasing(Header.magicValue)
    }
}

/// Makes and finds segments of a home. Under MAKING.
struct SegmentFile {
    let folder: Folder
    let boot: [UInt8]
    /// Where this process's options would have it.
    let named: [UInt8]

    /// A new segment, with what the home's ledger knows; says in `record` which, and whether
    /// there was anything to know. Nobody is attached: what has its name already was left by
    /// a process that died here.
    func make(
        _ record: HomeRecord, _ capacity: Capacity, isObserved: Bool
    ) throws(Failure) -> (segment: Segment, file: bursar__file, isRestored: Bool) {
        let directory = record.shmDirectory
        // The record is the owner's to write, and must not lead root anywhere.
        if bursar__user() == 0, folder.owner != 0, directory != named {
            throw Folder.refused(
                folder.record, "says that the segment goes to \(path: directory): root makes one there only if shm_dir names it")
        }
        _ = try Folder.expectLocal(directory, File.open(directory, BURSAR__DIRECTORY))
        var place = bursar__file()
        _ = File.stat(directory, &place)
        record.shmDevice = place.device
        record.boot = boot
        record.layout = Layout.identity
        let former = record.segment
        let formerID = record.segmentID
        // One name for a home and layout, so that nothing is left behind for ever. Where
        // another user took it already, one that nobody knows before.
        let prefix = directory + bytes("/bursar-") + record.id + [UInt8(ascii: "-")]
        var path = prefix + Digits.hex(UInt64(bitPattern: record.layout)).prefix(8)
        func isFree(_ path: [UInt8]) -> Bool {
            let code = File.unlink(path)
            return code == 0 || code == -ENOENT
        }
        if !isFree(path) || !isFree(path + bytes(".new")) {
            var random: UInt64 = 0
            _ = bursar__random(&random, 8)
            path += [UInt8(ascii: "-")] + Digits.hex(random)
        }
        record.segment = path
        let new = path + bytes(".new") + [0]
        let fd = bursar__open(new, BURSAR__NEW)
        if fd < 0 { throw Folder.failed("make the segment", path, fd) }
        defer {
            bursar__fd_close(fd)
            _ = bursar__unlink(new)
        }
        let segment = try Segment.mapped(capacity) { (bytes) throws(Failure) in
            let code = bursar__allocate(fd, Int64(bytes))
            if code < 0 {
                throw Failure(
                    .memory,
                    "no room for a segment of \(bytes) bytes in \(path: directory): \(errno: code); lower sessions_max, reservations_max or text_bytes_max, or name another shm_dir")
            }
            guard let base = bursar__map_file(fd, bytes) else {
                throw Failure(.memory, "no address space for a segment of \(bytes) bytes")
            }
            return base
        }
        segment.format()
        segment.format(capacity, home: record.id, boot: boot, isObserved: isObserved)
        record.segmentID = Word(segment.base + Header.segmentID).value
        var file = bursar__file()
        var code = bursar__give(fd, folder.owner, folder.group, folder.fileMode)
        if code == 0 { code = bursar__fstat(fd, &file) }
        file.links = 1
        var restoration = Restoration(folder, segment)
        let isRestored = try restoration.run(after: formerID)
        // First the record: whoever finds no segment where it says makes one there.
        if code == 0 {
            File.unlink(path)
            try record.write(to: folder)
            code = bursar__link(new, path + [0])
        }
        if code < 0 { throw Folder.failed("make the segment", path, code) }
        // Only what is a segment of this home's by its name, and its owner's.
        if former != path, former.starts(with: prefix), File.stat(former, &place) == 0,
            place.kind == file.kind, place.owner == file.owner
        {
            File.unlink(former)
        }
        restoration.removeFormer()
        return (segment, file, isRestored)
    }

    private static var remedy: Sentence {
        "; when no process uses the home, remove that file, and a new one is made from the ledger"
    }

    /// The record's segment, or nil when there is no such file.
    func find(_ record: HomeRecord) throws(Failure) -> (Segment, bursar__file)? {
        let path = record.segment
        let fd = File.open(path, BURSAR__WRITE)
        if fd == -ENOENT { return nil }
        if fd < 0 { throw Folder.failed("open the segment", path, fd) }
        defer { bursar__fd_close(fd) }
        var file = bursar__file()
        var code = bursar__fstat(fd, &file)
        if code == 0, file.links == 2 {
            // Whoever made it died between its name and its temporary one.
            File.unlink(path + bytes(".new"))
            code = bursar__fstat(fd, &file)
        }
        if code < 0 { throw Folder.failed("look at", path, code) }
        try folder.expectOurs(path, file)

        var header = [UInt8](repeating: 0, count: 128)
        if bursar__read(fd, &header, header.count) != header.count {
            throw Folder.refused(path, "is too short for a segment")
        }
        func word(_ at: Int) -> Int64 {
            header.withUnsafeBytes { $0.load(fromByteOffset: at, as: Int64.self) }
        }
        func half(_ at: Int) -> UInt32 {
            header.withUnsafeBytes { $0.load(fromByteOffset: at, as: UInt32.self) }
        }
        func expect(_ field: StaticString, _ found: Int64, _ wanted: Int64) throws(Failure) {
            if found == wanted { return }
            var failure = Folder.refused(
                path, "has \(plain: field) \(hex: found); \(hex: wanted) is right: it is not this home's segment, or it was damaged" + Self.remedy)
            failure.values = (found, wanted)
            throw failure
        }
        func expect(_ field: StaticString, _ at: Int, _ wanted: [UInt8]) throws(Failure) {
            let found = Array(header[at..<at + wanted.count])
            if found != wanted {
                throw Folder.refused(
                    path, "has \(plain: field) \(found); \(wanted) is right: it is not this home's segment, or it was damaged" + Self.remedy)
            }
        }
        try expect("magic", word(Header.magic), Header.magicValue)
        try expect("layout", word(Header.layout), Layout.identity)
        try expect("segment id", word(Header.segmentID), record.segmentID)
        try expect("home", Header.home, record.id)
        try expect("boot", Header.boot, boot)
        try expect("size", word(Header.bytes), file.bytes)
        // The stored capacity is what options could have asked for, and makes that size.
        let nodes = half(Header.nodes), records = half(Header.records)
        let texts = half(Header.textBytes)
        let capacity = try Capacity(
            nodes: min(nodes, Capacity.nodesLargest), records: min(records, Capacity.recordsLargest),
            textBytes: texts, isShared: true)
        try expect("sessions_max", Int64(nodes), Int64(capacity.nodes))
        try expect("reservations_max", Int64(records), Int64(capacity.records))
        try expect("text_bytes_max", Int64(texts), Int64(capacity.textBytes))
        let segment = try Segment.mapped(capacity) { (bytes) throws(Failure) in
            try expect("size", file.bytes, Int64(bytes))
            guard let base = bursar__map_file(fd, bytes) else {
                throw Failure(.memory, "no address space for a segment of \(bytes) bytes")
            }
            return base
        }
        return (segment, file)
    }
}
