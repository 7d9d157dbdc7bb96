// The models that a home's processes number beyond the built-in ones: a table of
// interned names in the segment, so that a number means the same everywhere. Only
// names are shared; prices are each process's own. Under the config lock.

final class SharedNames: @unchecked Sendable {  // Sendable: immutable; the config lock.
    private let segment: Segment
    private let slab: Slab

    init(_ segment: Segment, _ slab: Slab) {
        self.segment = segment
        self.slab = slab
    }

    private var used: Half { Half(segment.base + Header.modelCount) }
    private func place(_ k: Int) -> Half { Half(segment.base + segment.places.modelsAt + k * 4) }

    var count: Int { min(Int(used.value), Int(segment.places.modelsMax)) }

    /// The name of the model that is `k` after the built-in ones; k from 0.
    func name(_ k: Int) -> [UInt8] {
        let name = k < count ? slab.text(place(k).value) : []
        return name.isEmpty ? [UInt8(ascii: "?")] : name
    }

    /// Adds a name, whole at once: a price file has more of them than a call can undo.
    func append(_ name: UnsafeBufferPointer<UInt8>) throws(Failure) {
        let k = count
        guard k < Int(segment.places.modelsMax) else {
            throw Failure(.capacity, "the home has 4,096 model names beside the built-in ones, and no room for more")
        }
        guard let block = slab.intern([UInt8](name)) else {
            throw Failure(
                .capacity, "no room for more model names; raise text_bytes_max when opening")
        }
        segment.edit[place(k)] = block
        segment.edit[used] = UInt32(k + 1)
        segment.edit.commit()
    }
}
