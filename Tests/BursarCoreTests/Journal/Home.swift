// Several processes on one segment and one ledger, one of which is killed before
// one of its stores: what the others find, and what they make of it.

import CutOff
import Glibc
import Testing

@testable import BursarCore

/// A segment and a ledger's file, as they are at some instant.
final class TestHome {
    let segment: Segment
    /// The outbox's first file, and its name up to the number.
    let ledger: String
    let prefix: String

    init() throws {
        segment = try Segment(
            Capacity(nodes: 32, records: 64, textBytes: 1 << 16, isShared: true))
        var template = [CChar]("/tmp/bursar-ledger-XXXXXX".utf8CString)
        close(mkstemp(&template))
        prefix = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        unlink(prefix)
        ledger = prefix + ".1.log"
        close(open(ledger, O_CREAT | O_RDWR, 0o600))
        Word(segment.base + Header.segmentID).value = 0x5EED
    }

    deinit { for n in 1...40 { unlink("\(prefix).\(n).log") } }

    func process(_ slot: UInt32) throws -> TestRuntime {
        try TestRuntime(on: segment, slot: slot, ledger: prefix)
    }

    struct Image {
        var memory: [UInt8]
        var file: [UInt8]
    }

    var image: Image {
        get {
            Image(
                memory: [UInt8](UnsafeRawBufferPointer(start: segment.base, count: segment.bytes)),
                file: contents)
        }
        set {
            newValue.memory.withUnsafeBytes {
                segment.base.copyMemory(from: $0.baseAddress!, byteCount: segment.bytes)
            }
            contents = newValue.file
        }
    }

    var contents: [UInt8] {
        get {
            let fd = open(ledger, O_RDONLY)
            defer { close(fd) }
            var bytes = [UInt8](repeating: 0, count: Int(lseek(fd, 0, SEEK_END)))
            let count = bytes.count
            _ = bytes.withUnsafeMutableBytes { pread(fd, $0.baseAddress!, count, 0) }
            return bytes
        }
        set {
            let fd = open(ledger, O_WRONLY | O_TRUNC)
            defer { close(fd) }
            _ = newValue.withUnsafeBytes { write(fd, $0.baseAddress!, newValue.count) }
        }
    }

    /// Runs a call to its end, and takes the picture before its store number `at`.
    /// How many stores it made, and the picture.
    func cut(_ at: Int, _ call: () -> Void) -> (stores: Int, image: Image) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: segment.bytes, alignment: 4096)
        defer { memory.deallocate() }
        let fd = open(ledger, O_RDONLY)
        defer { close(fd) }
        var size = Int64(-1)
        let stores = withoutActuallyEscaping(call) { call in
            var box = call
            return withUnsafeMutablePointer(to: &box) { box in
                cutoff_run(
                    segment.base, segment.bytes, Int64(at), memory, fd, &size,
                    { context in
                        context!.assumingMemoryBound(to: (() -> Void).self).pointee()
                    }, box)
            }
        }
        // The number of stores depends on where a thread looks for a free record: a
        // call that made fewer was killed after its end.
        if size < 0 { return (Int(stores), at < 0 ? Image(memory: [], file: []) : image) }
        let bytes = [UInt8](UnsafeRawBufferPointer(start: memory, count: segment.bytes))
        return (Int(stores), Image(memory: bytes, file: Array(contents.prefix(Int(size)))))
    }
}

extension TestRuntime {
    /// Each cell shows at least what is spent, held and settled: at every instant.
    func expectEnough(_ what: String, at place: SourceLocation = #_sourceLocation) {
        let h = core.batch.value
        for i in 1..<runtime.nodesEnd where core.node(i).state.value & StateBit.free == 0 {
            var c = Int(core.node(i).firstCell.value)
            while c != 0 {
                let cell = core.cell(c)
                var least = cell.spent(cell.slot(at: h)).value
                core.eachRecord { _, record in
                    if core.passes(record, i), cell.kind.value >> 5 <= record.epoch.value,
                        let counts = core.counts(record, record.word.value, at: h)
                    {
                        least += counts.least[cell.meter]
                    }
                    return true
                }
                #expect(
                    cell.committed.value >= least, "\(what): node \(i) meter \(cell.meter)",
                    sourceLocation: place)
                c = Int(cell.next.value)
            }
        }
    }

    /// Ends all that dead processes left: recovery, fold, recount.
    func succeed(_ dead: [UInt32]) {
        for slot in dead { runtime.recover(slot: slot) }
        _ = runtime.scan()  // the time of some is over
        // A correction waits for its original's batch.
        for _ in 0..<3 { runtime.fold() }
        runtime.recount()
    }

    /// At rest, with nothing held: every counter is what is spent, and the ledger says so.
    func expectSettled(_ what: String, at place: SourceLocation = #_sourceLocation) throws -> Int64 {
        let failure = runtime.checkAtRest()
        let sentence = String(decoding: failure?.sentence ?? [], as: UTF8.self)
        #expect(
            failure == nil, "\(what): \(sentence) \(failure?.values ?? (0, 0))",
            sourceLocation: place)
        var total: Int64 = 0
        var steps: Int64 = 0
        var k = 0
        while let row = runtime.spendRead(k) {
            total += row.cost
            steps += row.steps
            k += 1
        }
        let view = try runtime.read(0)
        #expect(view.steps == steps, "\(what)", sourceLocation: place)
        #expect(view.spentNanos == total && view.reservedNanos == 0, "\(what)", sourceLocation: place)
        return total
    }
}
