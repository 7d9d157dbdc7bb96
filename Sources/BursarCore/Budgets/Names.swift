// Budgets by parent and name: a hash table in the segment, its chains through the
// budgets' blocks of texts. Under the config lock.

/// A budget's texts: a slab block of four interned references and its chain.
struct Meta {
    let p: UnsafeMutableRawPointer
    static let bytes = 24

    var name: Half { Half(p) }
    static let owner = 4
    static let costCenter = 8
    func text(_ field: Int) -> Half { Half(p + field) }
    var owner: Half { text(Meta.owner) }
    var costCenter: Half { text(Meta.costCenter) }
    var purpose: Half { Half(p + 12) }
    /// The next budget of its bucket.
    var next: Half { Half(p + 16) }
    /// What it earns: see Earning.swift.
    var earning: Half { Half(p + 20) }
}

extension Runtime {
    func meta(_ i: UInt32) -> Meta { Meta(p: slab.address(core.node(Int(i)).meta.value)) }

    private func bucket(_ parent: UInt32, _ name: UInt32) -> Half {
        let key = UInt64(parent) << 32 | UInt64(name)
        let mixed = (key &* 0x9E37_79B9_7F4A_7C15) >> 32
        let places = segment.places
        return Half(segment.base + places.namesAt + (Int(mixed) & (places.nameBuckets - 1)) * 4)
    }

    /// The budget below another whose name is interned as `name`.
    func child(of parent: UInt32, named name: UInt32) -> UInt32? {
        var i = bucket(parent, name).value
        var left = segment.nodesMax
        while i != 0, i < segment.nodesMax, left > 0 {
            if core.node(Int(i)).parent.value == parent, meta(i).name.value == name { return i }
            i = meta(i).next.value
            left -= 1
        }
        return nil
    }

    /// Its parent, name and block are set.
    func addName(_ i: UInt32) {
        let bucket = bucket(core.node(Int(i)).parent.value, meta(i).name.value)
        edit[meta(i).next] = bucket.value
        edit[bucket] = i
    }

    /// The budget's name may be given again.
    func forgetName(_ i: UInt32) {
        var link = bucket(core.node(Int(i)).parent.value, meta(i).name.value)
        var left = segment.nodesMax
        while link.value != 0, link.value != i, left > 0 {
            link = meta(link.value).next
            left -= 1
        }
        if link.value == i { edit[link] = meta(i).next.value }
    }
}
