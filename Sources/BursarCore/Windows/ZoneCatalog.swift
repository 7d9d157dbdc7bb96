// Time zones by name, each loaded once from the system's zone files.

internal import CPlatform

/// The zones in use. A zone stays as it was first loaded: a newer tzdata counts
/// for the next process.
public final class ZoneCatalog: @unchecked Sendable {  // Sendable because of the lock.
    /// The largest file that is read. The largest of tzdata has 4 KiB.
    static let fileBytesMax = 1 << 20

    private let lock = Lock()
    private var zones: [Zone] = [.utc]  // guarded by lock

    public init() {}

    /// The zone called `name`, exactly; empty is UTC. UTC needs no files.
    ///
    /// Thread: any. Reads a file the first time, and lists the installed names
    /// before it throws that a name is unknown.
    public func find(name: [UInt8]) throws(ZoneError) -> Zone {
        if name.isEmpty { return .utc }
        lock.lock()
        let known = zones.first { $0.name == name }
        lock.unlock()
        if let known { return known }

        let zone = try load(name)
        lock.lock()
        defer { lock.unlock() }
        if let known = zones.first(where: { $0.name == name }) { return known }
        zones.append(zone)
        return zone
    }

    /// Letters, digits, `_ + - /`; no leading slash, so that no name leads out of
    /// the directory: a dot is not among them.
    static func isWellFormed(_ name: [UInt8]) -> Bool {
        guard let first = name.first, first != UInt8(ascii: "/"),
            name.count <= Int(BURSAR__ZONE_NAME_MAX)
        else { return false }
        return name.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "+"),
                UInt8(ascii: "-"), UInt8(ascii: "/"):
                return true
            default: return false
            }
        }
    }

    private func load(_ name: [UInt8]) throws(ZoneError) -> Zone {
        if name == [UInt8]("Etc/UTC") {
            return Zone(name: name, transitions: [], offsets: [0], rule: nil)
        }
        if let hint = ZoneHint.offset(name) { throw .offset(suggestion: hint) }
        guard ZoneCatalog.isWellFormed(name) else { throw .malformed }
        // What is no zone of its own begins with a small letter: posix/, right/, localtime.
        guard let first = name.first, first < UInt8(ascii: "a") else { throw unknown(name) }

        var outcome: Int64 = 0
        let file = [UInt8](unsafeUninitializedCapacity: ZoneCatalog.fileBytesMax) { buffer, count in
            outcome = bursar__zone_read(name, name.count, buffer.baseAddress, buffer.count)
            count = max(0, Int(outcome))
        }
        if outcome == Int64(BURSAR__ZONE_NONE) { throw unknown(name) }
        if outcome < 0 { throw .unreadable(Int32(truncatingIfNeeded: -outcome)) }
        return try Zone(name: name, file: file)
    }

    private func unknown(_ name: [UInt8]) -> ZoneError {
        let installed = ZoneCatalog.installedNames()
        if installed.isEmpty { return .noFiles }
        return .unknown(suggestion: ZoneHint.nearest(to: name, among: installed))
    }

    /// The names of all installed zones, ascending by their bytes.
    public static func installedNames() -> [[UInt8]] {
        let text = [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
            count = bursar__zone_names(buffer.baseAddress, buffer.count)
        }
        var names: [[UInt8]] = []
        for name in text.split(separator: UInt8(ascii: "\n")) {
            var (low, high) = (0, names.count)
            while low < high {
                let middle = (low + high) / 2
                if names[middle].lexicographicallyPrecedes(name) {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            names.insert([UInt8](name), at: low)
        }
        return names
    }
}
