// Money, exact; and what else crosses into the core as bytes and nanoseconds.

internal import BursarCore

/// An amount in whole nano-dollars. Never floating point.
public struct Money: Sendable, Hashable, Comparable, AdditiveArithmetic, CustomStringConvertible {
    public var nanos: Int64

    public init(nanos: Int64) { self.nanos = nanos }

    /// Reads `$1.25`, `1.25` or `2 USD`, exactly.
    public init(_ text: String) throws(BursarError) {
        nanos = try reading(text) { (bytes) throws(LimitError) in try MoneyText.parse(bytes) }
    }

    public static let zero = Money(nanos: 0)

    /// The nearest there is when it does not fit: the most is $9,223,372,036.85.
    public static func dollars(_ dollars: Int) -> Money { times(dollars, 1_000_000_000) }
    public static func cents(_ cents: Int) -> Money { times(cents, 10_000_000) }

    private static func times(_ count: Int, _ nanos: Int64) -> Money {
        let (product, overflow) = Int64(count).multipliedReportingOverflow(by: nanos)
        return Money(nanos: overflow ? (count < 0 ? .min : .max) : product)
    }

    /// The sum, or the nearest amount there is.
    public static func + (left: Money, right: Money) -> Money {
        let (sum, overflow) = left.nanos.addingReportingOverflow(right.nanos)
        return Money(nanos: overflow ? (left.nanos < 0 ? .min : .max) : sum)
    }

    /// The difference, or the nearest amount there is.
    public static func - (left: Money, right: Money) -> Money {
        let (rest, overflow) = left.nanos.subtractingReportingOverflow(right.nanos)
        return Money(nanos: overflow ? (left.nanos < 0 ? .min : .max) : rest)
    }

    public static func < (left: Money, right: Money) -> Bool { left.nanos < right.nanos }

    /// As people read it: `$1.25`.
    public var description: String { String(decoding: MoneyText.format(nanos), as: UTF8.self) }
}

/// A number read from text; its mistakes as failures with their column.
func reading(
    _ text: String, _ body: (UnsafeBufferPointer<UInt8>) throws(LimitError) -> Int64
) throws(BursarError) -> Int64 {
    do throws(LimitError) {
        return try [UInt8](text.utf8).withUnsafeBufferPointer(body)
    } catch {
        var failure = BursarCore.Failure(.moneyText, bytes: error.sentence)
        failure.line = error.line
        failure.column = error.column
        throw .failed(Failure(failure))
    }
}

extension Duration {
    /// In nanoseconds; what does not fit is the longest time there is.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (nanos, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, tooLong) = nanos.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflow || tooLong ? (seconds < 0 ? .min : .max) : sum
    }
}

extension String {
    var bytes: [UInt8] { [UInt8](utf8) }

    init(bytes: [UInt8]) { self.init(decoding: bytes, as: UTF8.self) }
}

extension [String] {
    /// Limits, rungs: one list as the core reads it.
    var list: [UInt8] { joined(separator: ", ").bytes }
}
