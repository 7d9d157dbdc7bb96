// Doorbells between processes: a FIFO for each slot, in the home's `bells/`. Its owner's
// loop polls it; who rings writes a byte, without waiting: a full bell has rung.
//
// Ringers open both ends, as the owner does: so a bell whose owner has just died swallows
// the byte, where a writer alone would be sent SIGPIPE.

internal import CPlatform

final class Bells: @unchecked Sendable {  // Sendable: immutable.
    private let folder: [UInt8]
    /// Readable when somebody rang: for the loop to poll. -1 in a private runtime.
    let ownDescriptor: Int32

    /// None: a private runtime is rung by nobody.
    init() {
        folder = []
        ownDescriptor = -1
    }

    /// Hangs the bell of `slot`, or takes over its former holder's.
    init(_ folder: Folder, _ slot: UInt32) throws(Failure) {
        self.folder = folder.bells
        let path = Bells.path(folder.bells, slot)
        var fd = bursar__open(path, BURSAR__BELL)
        if fd == -ENOENT {
            let code = bursar__make_fifo(path)
            if code < 0, code != -EEXIST { throw Folder.failed("make", Array(path.dropLast()), code) }
            fd = bursar__open(path, BURSAR__BELL)
        }
        if fd < 0 { throw Folder.failed("open", Array(path.dropLast()), fd) }
        var file = bursar__file()
        _ = bursar__fstat(fd, &file)
        guard file.kind == 0o010000, bursar__keep_from_child(fd) == 0 else {
            bursar__fd_close(fd)
            throw Folder.refused(Array(path.dropLast()), "is not a FIFO, or too many homes are open")
        }
        // Of another user of the group: its mode is right already.
        _ = bursar__give(fd, folder.owner, folder.group, folder.fileMode)
        ownDescriptor = fd
        drain()
    }

    private static func path(_ folder: [UInt8], _ slot: UInt32) -> [UInt8] {
        var path = folder + [UInt8(ascii: "/")]
        Digits.append(UInt64(slot), to: &path)
        return path + [0]
    }

    /// Wakes the loop of the process that has `slot`; nothing happens where there is none.
    func ring(_ slot: UInt32) {
        if ownDescriptor < 0 { return }
        let fd = bursar__open(Bells.path(folder, slot), BURSAR__BELL)
        if fd < 0 { return }
        bursar__bell_ring(fd)
        bursar__fd_close(fd)
    }

    /// Takes all rings off the own bell.
    func drain() { if ownDescriptor >= 0 { bursar__bell_drain(ownDescriptor) } }

    func close() { if ownDescriptor >= 0 { bursar__close_kept(ownDescriptor) } }
}
