// Rolling windows: what had been settled one span ago, to a sixtieth of the span.

/// The arithmetic of one rolling window over a ring of words that the caller owns.
///
/// Time is cut into buckets of a sixtieth of the span, numbered from 0 at time 0.
/// Word `k % 61` of the ring holds what had been settled when bucket `k` began,
/// for the current bucket and the sixty before it. The window that ends now began
/// within bucket `current - 60`, and its base is what had been settled when that
/// one began: spend leaves up to one bucket late, and never early.
///
/// The state is the ring and the current bucket's number, a word that the caller
/// keeps; both change only under the caller's lock. The number only grows: a clock
/// that steps back changes nothing until it has caught up.
///
/// `advance` is called after the bucket began. Who knows when each step settled
/// passes what had been settled by `boundaryNanos`, and is exact. Otherwise what
/// was settled since the call before is taken to have been settled just now, so
/// that it leaves late rather than early; only a call within a sixtieth of a
/// bucket after its beginning (`span / 3600`: 1 s of an hour) is taken to have
/// come in time, and spend of that moment may leave by so much early.
public struct RollingBuckets: Sendable {
    /// Words in a ring.
    public static let words = 61

    private static let count: Int64 = 60
    public let spanNanos: Int64

    /// A span below one second is taken as one second.
    public init(spanNanos: Int64) { self.spanNanos = max(spanNanos, 1_000_000_000) }

    /// Fills a ring for a window that begins now: nothing settled so far counts.
    /// Returns the current bucket's number.
    public func begin(
        at nowNanos: Int64, settledByNow: Int64, ring: UnsafeMutablePointer<Int64>
    ) -> Int64 {
        for slot in 0..<RollingBuckets.words { ring[slot] = settledByNow }
        return bucket(at: nowNanos)
    }

    /// What had been settled when each bucket began, the oldest first: the ring for `begin`
    /// below.
    func settled(current: Int64, ring: UnsafeMutablePointer<Int64>) -> [Int64] {
        (current - RollingBuckets.count...current).map { ring[slot($0)] }
    }

    /// Goes on with a ring of another clock, whose last bucket began at `began` of this one.
    /// Buckets do not begin where they did: each has what had been settled by the former
    /// one's beginning before it, or all, when nothing was settled after `lastSettledNanos`;
    /// so spend leaves late rather than early.
    func begin(
        at nowNanos: Int64, _ former: [Int64], began: Int64, settledByNow: Int64,
        lastSettledNanos: Int64, ring: UnsafeMutablePointer<Int64>
    ) -> Int64 {
        let newest = bucket(at: nowNanos)
        for bucket in newest - RollingBuckets.count...newest {
            let begins = start(of: bucket)
            var known = former.first ?? settledByNow
            for (k, settled) in former.enumerated() {
                let age = start(of: Int64(former.count - 1 - k)) - 1
                if saturatingAdd(began, 0 &- age) <= begins { known = settled }
            }
            ring[slot(bucket)] = begins > lastSettledNanos ? settledByNow : min(known, settledByNow)
        }
        return newest
    }

    /// Opens the buckets that have begun by now. Call it at `nextBoundaryNanos`,
    /// and before refusing anybody.
    ///
    /// - Parameters:
    ///   - settledByNow: everything ever settled on the meter; or what of it had been
    ///     settled by `boundaryNanos(at: nowNanos)`, with one less as `lastSettledNanos`.
    ///   - lastSettledNanos: a time after which nothing of that was settled; nil = unknown.
    ///   - current: the state; grows or stays.
    /// - Complexity: O(1); at most 61 stores.
    public func advance(
        to nowNanos: Int64, settledByNow: Int64, lastSettledNanos: Int64? = nil,
        current: inout Int64, ring: UnsafeMutablePointer<Int64>
    ) {
        let newest = bucket(at: nowNanos)
        guard newest > current else { return }
        let known = min(ring[slot(current)], settledByNow)
        // At a boundary after this time everything had been settled.
        let quiet = lastSettledNanos ?? saturatingAdd(nowNanos, -(spanNanos / 3_600))
        for bucket in max(current + 1, newest - RollingBuckets.count)...newest {
            ring[slot(bucket)] = start(of: bucket) > quiet ? settledByNow : known
        }
        current = newest
    }

    /// What had been settled when the window that ends now began. Never more than
    /// what had been settled at `nowNanos - spanNanos`.
    public func base(
        at nowNanos: Int64, current: Int64, ring: UnsafeMutablePointer<Int64>
    ) -> Int64 {
        let wanted = max(bucket(at: nowNanos), current) &- RollingBuckets.count
        return ring[slot(min(wanted, current))]
    }

    /// When the base will first be `base` or more if nothing more is settled, for a
    /// refusal's retry-after.
    public func timeNanos(
        ofBase base: Int64, current: Int64, ring: UnsafeMutablePointer<Int64>
    ) -> Int64 {
        for bucket in current - RollingBuckets.count...current where ring[slot(bucket)] >= base {
            return start(of: bucket + RollingBuckets.count)
        }
        return start(of: current + 1 + RollingBuckets.count)
    }

    /// The beginning of the bucket that `nowNanos` lies in.
    public func boundaryNanos(at nowNanos: Int64) -> Int64 { start(of: bucket(at: nowNanos)) }

    /// The beginning of a bucket.
    func boundaryNanos(of bucket: Int64) -> Int64 { start(of: bucket) }

    /// The beginning of the bucket after the one that `nowNanos` lies in.
    public func nextBoundaryNanos(after nowNanos: Int64) -> Int64 {
        start(of: bucket(at: nowNanos) + 1)
    }

    // MARK: - Arithmetic

    /// `floor(nanos * 60 / span)`.
    private func bucket(at nanos: Int64) -> Int64 {
        let spans = floorDivide(nanos, spanNanos)
        let rest = nanos &- spans &* spanNanos  // 0 ..< span, though the product may wrap
        let product = rest.multipliedFullWidth(by: RollingBuckets.count)
        return spans * RollingBuckets.count + spanNanos.dividingFullWidth(product).quotient
    }

    /// `ceil(bucket * span / 60)`: the first nanosecond in it.
    private func start(of bucket: Int64) -> Int64 {
        let spans = floorDivide(bucket, RollingBuckets.count)
        let rest = bucket - spans * RollingBuckets.count  // 0 ..< 60
        let (whole, part) = RollingBuckets.count.dividingFullWidth(
            rest.multipliedFullWidth(by: spanNanos))
        let (begin, overflow) = spans.multipliedReportingOverflow(by: spanNanos)
        let (sum, tooLate) = begin.addingReportingOverflow(whole + (part > 0 ? 1 : 0))
        return overflow || tooLate ? (bucket < 0 ? .min : .max) : sum
    }

    private func slot(_ bucket: Int64) -> Int {
        Int(bucket - floorDivide(bucket, Int64(RollingBuckets.words)) * Int64(RollingBuckets.words))
    }
}
