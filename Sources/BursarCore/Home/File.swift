// The calls of files, by path: each makes its path what C takes, once for all its callers.

internal import CPlatform

enum File {
    /// A descriptor, or a negative errno, as `bursar__open` has it; so below.
    @inline(never)
    static func open(_ path: [UInt8], _ what: Int32) -> Int32 { bursar__open(path + [0], what) }

    @inline(never)
    static func stat(_ path: [UInt8], _ file: inout bursar__file) -> Int32 {
        bursar__stat(path + [0], &file)
    }

    @inline(never) @discardableResult
    static func unlink(_ path: [UInt8]) -> Int32 { bursar__unlink(path + [0]) }

    @inline(never)
    static func makeDirectory(_ path: [UInt8], _ mode: UInt32) -> Int32 {
        bursar__make_directory(path + [0], mode)
    }
}
