// A racer in Swift: home-racer HOME. See Tests/race/race.py. A tool for tests.

import Bursar
import Glibc

let agents = 25

func say(_ line: String) {
    print(line)
    fflush(nil)
}

func race(_ runtime: Runtime, _ path: String) async throws {
    let sessions = try (0..<agents).map { _ in try runtime.openSession(path) }
    say("ready")
    guard readLine() != nil else { return }
    let admitted = try await withThrowingTaskGroup(of: Int.self) { group in
        for session in sessions {
            group.addTask {
                do {
                    let step = try session.reserve("dime", input: 0, maxOutput: 10)
                    try await Task.sleep(for: .milliseconds(20))  // how long the model takes
                    try step.settle(Usage(input: 0, output: 10))
                    return 1
                } catch BursarError.refused {
                    return 0
                }
            }
        }
        return try await group.reduce(0, +)
    }
    for session in sessions { session.close() }
    say("\(admitted) \(agents - admitted)")
}

let runtime = try Runtime(home: CommandLine.arguments[1])
try runtime.setPrice(
    of: "dime",
    Rates(input: Rate(picosPerToken: 0), output: Rate(picosPerToken: 0), perRequest: Money(nanos: 100_000_000)))
while let path = readLine() { try await race(runtime, path) }
runtime.close()
