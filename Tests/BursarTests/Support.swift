// What the tests share: models with round prices, and threads that start together.

import Bursar
import Glibc
import Synchronization
import Testing

extension Runtime {
    /// A model at a dollar per million tokens, in and out: a microdollar each.
    func plainModel(_ name: String = "plain") throws -> Model {
        try setPrice(of: name, Rates(input: Rate("$1/M"), output: Rate("$1/M")))
        return try model(name)
    }
}

/// The decision that `body` is refused with; nil, and a failed test, when it is not.
func refusal<T>(
    _ place: SourceLocation = #_sourceLocation, of body: () throws(BursarError) -> T
) -> Decision? {
    do throws(BursarError) {
        _ = try body()
        Issue.record("it was not refused", sourceLocation: place)
    } catch {
        if case .refused(let decision) = error { return decision }
        Issue.record("\(error)", sourceLocation: place)
    }
    return nil
}

/// The code that `body` fails with; nil when it does not fail, or is refused.
func code<T>(of body: () throws(BursarError) -> T) -> Failure.Code? {
    do throws(BursarError) {
        _ = try body()
    } catch {
        if case .failed(let failure) = error { return failure.code }
    }
    return nil
}

private final class Job: Sendable {
    let gate: Atomic<Int>
    let body: @Sendable (Int) -> Void

    init(_ threads: Int, _ body: @escaping @Sendable (Int) -> Void) {
        gate = Atomic(threads)
        self.body = body
    }
}

private final class Seat: Sendable {
    let job: Job
    let number: Int

    init(_ job: Job, _ number: Int) {
        self.job = job
        self.number = number
    }
}

/// Runs `body` on threads that start together; returns when all have ended.
func together(threads: Int, _ body: @escaping @Sendable (_ thread: Int) -> Void) {
    let job = Job(threads, body)
    let running = (0..<threads).map { number in
        var id = pthread_t()
        let seat = Unmanaged.passRetained(Seat(job, number))
        let code = pthread_create(
            &id, nil,
            { raw in
                let seat = Unmanaged<Seat>.fromOpaque(raw!).takeRetainedValue()
                seat.job.gate.subtract(1, ordering: .acquiringAndReleasing)
                while seat.job.gate.load(ordering: .acquiring) > 0 { sched_yield() }
                seat.job.body(seat.number)
                return nil
            }, seat.toOpaque())
        precondition(code == 0, "no thread to be had: \(code)")
        return id
    }
    for id in running { pthread_join(id, nil) }
}

/// A list that threads share.
final class Shared<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    func append(_ element: Element) { elements.withLock { $0.append(element) } }
    func takeAll() -> [Element] {
        elements.withLock { elements in
            defer { elements = [] }
            return elements
        }
    }
}
