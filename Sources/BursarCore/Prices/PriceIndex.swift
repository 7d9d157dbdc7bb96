// The price book's fast side: two tables in one mapping that never moves.
//
// current[model] is the price set in force for a model, 0 = no price known.
// set[id] is the address of that set's rows. A set is written before its address
// is published, its address before any model points to it, and none is ever
// changed or freed while the book lives: a reader that got a set's number, now
// or an hour ago, prices by the same rows. Only the book writes, under its lock;
// readers take neither lock nor reference count. A stale read costs a step the
// price that was in force a moment before.

internal import CPlatform
internal import CPrices

public struct PriceIndex {
    let tables: UnsafeMutableRawPointer

    /// Models, and sets, that one book can number; both start at 1.
    static let capacity = 1 << 20
    private static let setsOffset = capacity * 4
    static let bytes = capacity * 12

    /// The set in force for a model; 0 when no price is known.
    @inline(__always)
    public func currentSet(model: Int32) -> Int32 {
        guard model > 0, model < PriceIndex.capacity else { return 0 }
        return Int32(bitPattern: current(model).loadAcquiring())
    }

    /// One set at the highest rate of every class in the book.
    @inline(__always)
    public var dearestSet: Int32 { Int32(bitPattern: current(0).loadAcquiring()) }

    /// Whether a name bears the number; 0 is no model. Sets start at 1: in the place
    /// of set 0 stands the highest number.
    func isNumbered(_ model: Int32) -> Bool { Int64(model) <= slot(0).loadAcquiring() }

    /// The rows of a set; nil for a number that was never published.
    @inline(__always)
    public func rows(set: Int32) -> PriceRows? {
        guard set > 0, set < PriceIndex.capacity else { return nil }
        let address = slot(set).loadAcquiring()
        guard let rows = UnsafePointer<PriceRow>(bitPattern: Int(address)) else { return nil }
        return PriceRows(rows)
    }

    @inline(__always)
    func current(_ model: Int32) -> Half { Half(tables + Int(model) &* 4) }

    @inline(__always)
    func slot(_ set: Int32) -> Word { Word(tables + PriceIndex.setsOffset + Int(set) &* 8) }
}
