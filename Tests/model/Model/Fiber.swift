// Who runs on the machine: simulated processes and their threads, which are fibers.

@testable import BursarCore
import Fibers

/// A thread of a simulated process.
final class Fiber {
    let id: Int
    var process: Process
    var body: () -> Void = {}
    private let stack = fiber_stack(Fiber.stackBytes)!
    var sp: UnsafeMutableRawPointer?
    static let stackBytes = 256 << 10

    enum State { case ready, finished, dead }
    var state = State.finished
    /// Waits for somebody else's write.
    var isWaiting = false
    var sawWrites = 0
    /// Nobody else can run: it need not stop anywhere.
    var isAlone = false
    var isStuck = false
    /// What it waits in is a bounded spin.
    var spins = false
    var waits = 0

    /// All values read in the operation that it is in: with the program's text this
    /// is the fiber's local state.
    var history: UInt64 = 0
    /// What outlives an operation: its results, and where it is in its program.
    var results: UInt64 = 0
    var hint: UInt32 = 0
    /// What it is about to touch, for traces.
    var next: (place: Int, kind: Access) = (-1, .load)
    var doing = ""
    /// It may hold memory of the Swift heap: let it end before it is dropped.
    var mustDrain = false

    init(id: Int, process: Process) {
        self.id = id
        self.process = process
    }

    func arm() {
        sp = fiber_make(
            stack, Fiber.stackBytes,
            { argument in
                let fiber = Unmanaged<Fiber>.fromOpaque(argument!).takeUnretainedValue()
                fiber.body()
                fiber.process.machine.end(fiber)
            }, Unmanaged.passUnretained(self).toOpaque())
    }
}

enum Access: String { case load, store, change, lock }

/// A simulated process: a slot, a runtime of its own, fibers.
final class Process {
    let id: Int
    unowned let machine: Machine
    var slot: UInt32 = 0
    var page: UnsafeMutableRawPointer?
    var isAlive = true
    var isStopped = false
    /// Its slot's former records are recovered.
    var isReady = false
    var core: Core { Core(page: page!) }
    var runtime: Runtime { core.runtime }

    init(id: Int, machine: Machine) {
        self.id = id
        self.machine = machine
    }
}
