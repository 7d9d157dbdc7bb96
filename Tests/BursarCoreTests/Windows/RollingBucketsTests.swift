// Rolling windows against a list of everything that was settled.

import Testing

@testable import BursarCore

/// A ring with its state, and every settle that it should have seen.
private struct Rolling {
    let buckets: RollingBuckets
    let ring = UnsafeMutablePointer<Int64>.allocate(capacity: RollingBuckets.words)
    var current: Int64
    var settled: Int64
    var history: [(at: Int64, amount: Int64)] = []

    init(spanNanos: Int64, at now: Int64, settled: Int64 = 0) {
        buckets = RollingBuckets(spanNanos: spanNanos)
        self.settled = settled
        current = buckets.begin(at: now, settledByNow: settled, ring: ring)
    }

    mutating func advance(to now: Int64, lastSettled: Int64? = nil) {
        buckets.advance(
            to: now, settledByNow: settled, lastSettledNanos: lastSettled, current: &current,
            ring: ring)
    }

    mutating func settle(_ amount: Int64, at now: Int64) {
        settled += amount
        history.append((now, amount))
    }

    func used(at now: Int64) -> Int64 {
        settled - buckets.base(at: now, current: current, ring: ring)
    }

    /// What was settled after `time`.
    func settled(after time: Int64) -> Int64 {
        history.reduce(0) { $1.at > time ? $0 + $1.amount : $0 }
    }
}

@Suite struct RollingBucketsTests {
    static let second: Int64 = 1_000_000_000
    static let spans: [Int64] = [
        second, 60 * second, 5 * 3_600 * second, 7 * 86_400 * second, 1_234_567_891,
    ]

    /// The loop comes at every boundary.
    @Test(arguments: spans)
    func spendLeavesLateByAtMostASixtiethAndNeverEarly(span: Int64) {
        var chance = SplitMix(seed: 17)
        var now = Int64.random(in: 0...(1 << 60), using: &chance)
        var rolling = Rolling(spanNanos: span, at: now)
        defer { rolling.ring.deallocate() }
        let bucket = span / 60 + 1
        for _ in 0..<4_000 {
            let next = rolling.buckets.nextBoundaryNanos(after: now)
            #expect(next > now && next - now <= bucket)
            let step = Int64.random(in: 1...bucket, using: &chance)
            now = min(next, now + step)
            if now == next { rolling.advance(to: now) }
            let used = rolling.used(at: now)
            #expect(used >= rolling.settled(after: now - span))
            #expect(used <= rolling.settled(after: now - span - bucket))
            if Int.random(in: 0..<3, using: &chance) == 0 {
                rolling.settle(Int64.random(in: 0...1_000, using: &chance), at: now)
            }
        }
    }

    /// The loop may come late, or not for several spans; the clock may be set back.
    @Test(arguments: spans)
    func spendNeverLeavesEarlyHoweverLateTheLoop(span: Int64) {
        var chance = SplitMix(seed: 19)
        var time = Int64.random(in: 0...(1 << 60), using: &chance)
        var setBack: Int64 = 0
        var rolling = Rolling(spanNanos: span, at: time)
        defer { rolling.ring.deallocate() }
        let inTime = span / 3_600
        for _ in 0..<4_000 {
            let far = [span / 100, span / 20, span * 3].randomElement(using: &chance) ?? span
            time += Int64.random(in: 0...far, using: &chance)
            if Int.random(in: 0..<5, using: &chance) == 0 {
                setBack += Int64.random(in: 0...far, using: &chance)
            }
            let now = time - setBack
            if Bool.random(using: &chance) {
                rolling.settle(Int64.random(in: 0...9, using: &chance), at: time)
            }
            let before = rolling.current
            if Bool.random(using: &chance) { rolling.advance(to: now) }
            #expect(rolling.current >= before)
            #expect(rolling.used(at: now) >= rolling.settled(after: time - span + inTime))
        }
    }

    /// What had been settled by the boundary is known: a late loop is late, never early.
    @Test(arguments: spans)
    func spendNeverLeavesEarlyWhenItsTimeIsKnown(span: Int64) {
        var chance = SplitMix(seed: 29)
        var now = Int64.random(in: 0...(1 << 60), using: &chance)
        var rolling = Rolling(spanNanos: span, at: now)
        defer { rolling.ring.deallocate() }
        for _ in 0..<4_000 {
            let far = [span / 100, span / 20, span * 3].randomElement(using: &chance) ?? span
            now += Int64.random(in: 1...far, using: &chance)
            if Bool.random(using: &chance) {
                rolling.settle(Int64.random(in: 0...9, using: &chance), at: now)
            }
            if Bool.random(using: &chance) {
                let boundary = rolling.buckets.boundaryNanos(at: now)
                #expect(boundary <= now && rolling.buckets.nextBoundaryNanos(after: boundary) > now)
                rolling.buckets.advance(
                    to: now, settledByNow: rolling.settled - rolling.settled(after: boundary - 1),
                    lastSettledNanos: boundary - 1, current: &rolling.current, ring: rolling.ring)
            }
            #expect(rolling.used(at: now) >= rolling.settled(after: now - span))
        }
    }

    /// A machine is started anew: its clock begins anywhere, its buckets with it.
    @Test(arguments: spans)
    func spendNeverLeavesEarlyAndSoonWithAnotherClock(span: Int64) {
        var chance = SplitMix(seed: 31)
        let bucket = span / 60 + 1
        for _ in 0..<40 {
            var now = Int64.random(in: 0...(1 << 60), using: &chance)
            var rolling = Rolling(spanNanos: span, at: now)
            defer { rolling.ring.deallocate() }
            for _ in 0..<Int.random(in: 0..<150, using: &chance) {
                now = min(rolling.buckets.nextBoundaryNanos(after: now), now + bucket / 2)
                rolling.advance(to: now)
                if Bool.random(using: &chance) { rolling.settle(Int64.random(in: 1...9, using: &chance), at: now) }
            }
            // Dead for a while; then another clock, which is `shift` behind.
            let last = rolling.history.last?.at ?? .min
            let began = rolling.buckets.boundaryNanos(of: rolling.current)
            let words = rolling.buckets.settled(current: rolling.current, ring: rolling.ring)
            now += Int64.random(in: 0...(span * 3 / 2), using: &chance)
            let shift = now - Int64.random(in: 0...(1 << 50), using: &chance)
            rolling.current = rolling.buckets.begin(
                at: now - shift, words, began: began - shift, settledByNow: rolling.settled,
                lastSettledNanos: last == .min ? last : last - shift, ring: rolling.ring)
            for _ in 0..<100 {
                let used = rolling.used(at: now - shift)
                #expect(used >= rolling.settled(after: now - span))
                #expect(used <= rolling.settled(after: now - span - 3 * bucket))
                now = min(rolling.buckets.nextBoundaryNanos(after: now - shift) + shift, now + bucket / 2)
                rolling.advance(to: now - shift)
                if Bool.random(using: &chance) { rolling.settle(Int64.random(in: 1...9, using: &chance), at: now) }
            }
        }
    }

    @Test func aTimeAfterWhichNothingWasSettledMakesALateLoopExact() {
        let span = 3_600 * Self.second
        var rolling = Rolling(spanNanos: span, at: 0)
        defer { rolling.ring.deallocate() }
        rolling.settle(5, at: 10 * Self.second)
        var blind = Rolling(spanNanos: span, at: 0)
        defer { blind.ring.deallocate() }
        blind.settle(5, at: 10 * Self.second)

        let later = span + 120 * Self.second
        rolling.advance(to: later, lastSettled: 10 * Self.second)
        blind.advance(to: later)
        #expect(rolling.used(at: later) == 0)
        #expect(blind.used(at: later) == 5)
        #expect(blind.used(at: later + span + 60 * Self.second) == 0)
    }

    @Test func aClockThatStepsBackReopensNothing() {
        let span = 60 * Self.second
        var now = 1_000 * Self.second
        var rolling = Rolling(spanNanos: span, at: now)
        defer { rolling.ring.deallocate() }
        rolling.settle(10, at: now)
        var opened = 0
        for step in 0..<300 {
            now += step % 3 == 2 ? -2 * Self.second : Self.second
            rolling.advance(to: now)
            if rolling.used(at: now) == 0 {
                opened += 1
                rolling.settle(10, at: now)
            }
            #expect(rolling.used(at: now) <= 10)
        }
        // Three steps bring the clock back to where it was: it never gets on.
        #expect(opened == 0)
    }

    @Test func aWindowThatBeginsCountsNothingSettledBefore() {
        let rolling = Rolling(spanNanos: Self.second, at: -5, settled: 77)
        defer { rolling.ring.deallocate() }
        #expect(rolling.used(at: -5) == 0 && rolling.used(at: 90 * Self.second) == 0)
    }

    @Test func theTimeThatARefusalNamesIsWhenTheBaseIsThere() {
        var chance = SplitMix(seed: 23)
        let span = 3_600 * Self.second
        var now: Int64 = 0
        var rolling = Rolling(spanNanos: span, at: now)
        defer { rolling.ring.deallocate() }
        for _ in 0..<300 {
            let next = rolling.buckets.nextBoundaryNanos(after: now)
            rolling.settle(Int64.random(in: 1...9, using: &chance), at: next - 1)
            now = next
            rolling.advance(to: now)
            let used = rolling.used(at: now)
            let wanted = rolling.settled - used + Int64.random(in: 1...used, using: &chance)
            let time = rolling.buckets.timeNanos(
                ofBase: wanted, current: rolling.current, ring: rolling.ring)
            #expect(time > now)
            #expect(
                rolling.buckets.base(at: time - 1, current: rolling.current, ring: rolling.ring)
                    < wanted)
            #expect(
                rolling.buckets.base(at: time, current: rolling.current, ring: rolling.ring)
                    >= wanted)
        }
    }

    @Test func theEndsOfTimeDoNotTrap() {
        for span in [Int64.min, 0, Self.second, .max] {
            for now in [Int64.min, -1, 0, .max] {
                var rolling = Rolling(spanNanos: span, at: 0)
                defer { rolling.ring.deallocate() }
                rolling.settle(1, at: 0)
                rolling.advance(to: now)
                rolling.advance(to: now, lastSettled: .min)
                _ = rolling.used(at: now)
                _ = rolling.buckets.begin(
                    at: 5, [.min, .max, 0], began: now, settledByNow: 1, lastSettledNanos: now,
                    ring: rolling.ring)
                _ = rolling.buckets.nextBoundaryNanos(after: now)
            }
        }
    }
}
