// Threads that start together, and random numbers that can be had again.

import Glibc
import Synchronization

@testable import BursarCore

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose calls.
struct Random {
    private(set) var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// 0 ..< bound.
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func amount(_ range: ClosedRange<Int64>) -> Int64 {
        range.lowerBound + Int64(next() % UInt64(range.upperBound - range.lowerBound + 1))
    }
    mutating func chance(_ oneIn: Int) -> Bool { below(oneIn) == 0 }
}

/// How much longer the long tests run: BURSAR_LONG_TESTS=1 makes it twenty times.
let effort = getenv("BURSAR_LONG_TESTS") != nil ? 20 : 1

/// A seed that is new in every run, or the one of BURSAR_SEED, to run a failure again.
let runSeed: UInt64 = {
    if let text = getenv("BURSAR_SEED") { return strtoull(text, nil, 0) }
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_nsec) &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(time.tv_sec)
}()

private final class Job: @unchecked Sendable {  // Each is used by one thread.
    let gate: UnsafeMutablePointer<pthread_barrier_t>
    let body: @Sendable () -> Void

    init(_ gate: UnsafeMutablePointer<pthread_barrier_t>, _ body: @escaping @Sendable () -> Void) {
        self.gate = gate
        self.body = body
    }
}

private func runJob(_ raw: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let job = Unmanaged<Job>.fromOpaque(raw!).takeRetainedValue()
    pthread_barrier_wait(job.gate)
    job.body()
    return nil
}

/// Runs `body` on threads that start together, each the given number of times
/// with random numbers of its own; returns when all have ended.
func hammer(
    threads: Int, iterations: Int, seed: UInt64 = runSeed,
    _ body: @escaping @Sendable (_ thread: Int, _ iteration: Int, _ random: inout Random) -> Void
) {
    let gate = UnsafeMutablePointer<pthread_barrier_t>.allocate(capacity: 1)
    pthread_barrier_init(gate, nil, UInt32(threads))
    var running: [pthread_t] = []
    for thread in 0..<threads {
        let job = Job(gate) {
            var random = Random(seed: seed &+ UInt64(thread) &* 0x1234_5678_9ABC_DEF1)
            for iteration in 0..<iterations { body(thread, iteration, &random) }
        }
        var id = pthread_t()
        let code = pthread_create(&id, nil, runJob, Unmanaged.passRetained(job).toOpaque())
        precondition(code == 0, "no thread to be had: \(code)")
        running.append(id)
    }
    for id in running { pthread_join(id, nil) }
    pthread_barrier_destroy(gate)
    gate.deallocate()
}

/// Counters that threads share: zeroed 64-bit words.
final class Counters: @unchecked Sendable {  // Sendable because every access is atomic.
    private let base: UnsafeMutablePointer<Int64>
    let count: Int

    init(_ count: Int) {
        self.count = count
        base = .allocate(capacity: count)
        base.initialize(repeating: 0, count: count)
    }

    deinit { base.deallocate() }

    subscript(_ i: Int) -> Word { Word(UnsafeMutableRawPointer(base + i)) }
}

/// For waiting on another thread: a millisecond.
func sleepBriefly() { usleep(1000) }
