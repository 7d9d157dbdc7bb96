// Every interleaving of a scene, depth first. A run cannot be copied, so it is run
// again from the start to go on at an earlier fork; states are known by their hashes.

@testable import BursarCore

/// Hashes seen: open addressing.
struct HashSet {
    private var table: [UInt64]
    private(set) var count = 0

    init() { table = Array(repeating: 0, count: 1 << 16) }

    /// Whether it is new.
    mutating func insert(_ hash: UInt64) -> Bool {
        let h = hash == 0 ? 1 : hash
        var i = Int(truncatingIfNeeded: h) & (table.count - 1)
        while table[i] != 0 {
            if table[i] == h { return false }
            i = (i + 1) & (table.count - 1)
        }
        table[i] = h
        count += 1
        if count * 10 > table.count * 6 {
            let old = table
            table = Array(repeating: 0, count: old.count * 2)
            for h in old where h != 0 {
                var i = Int(truncatingIfNeeded: h) & (table.count - 1)
                while table[i] != 0 { i = (i + 1) & (table.count - 1) }
                table[i] = h
            }
        }
        return true
    }
}

struct Outcome {
    var states = 0
    var transitions = 0
    var rests = 0
    var depth = 0
    var isComplete = false
    var failure: String?
    var trace: [String] = []
}

final class Explorer {
    private let stage: Stage
    private let most: Int
    /// Random runs before the search: so many bugs are found sooner.
    private let wanders: Int
    private var seen = HashSet()
    private var rests = HashSet()
    private var outcome = Outcome()

    private struct Frame {
        var choices: [Choice]
        var taken = 0
        var kills: Int
        var stops: Int
    }
    private var frames: [Frame] = []
    private var path: [Choice] = []

    init(_ stage: Stage, most: Int = .max, wanders: Int = 0) {
        self.stage = stage
        self.wanders = wanders
        self.most = most
    }

    func run() -> Outcome {
        findPoints()
        for k in 0..<wanders where outcome.failure == nil { wander(SplitMix(UInt64(k))) }
        if outcome.failure != nil { return outcome }
        repeat {
            stage.machine.hasGrown = false
            seen = HashSet()
            rests = HashSet()
            outcome = Outcome()
            explore()
        } while stage.machine.hasGrown && outcome.failure == nil
        if outcome.failure != nil { outcome.trace = trace() }
        return outcome
    }

    /// Random runs, to learn what is contended before the search begins.
    private func findPoints() {
        var random = SplitMix(1)
        for _ in 0..<2000 {
            stage.reset()
            var kills = stage.scene.kills
            var stops = stage.scene.stops
            while true {
                let choices = stage.choices(kills: kills, stops: stops)
                guard !choices.isEmpty else { break }
                var choice = choices[random.below(choices.count)]
                if case .kill = choice, random.below(8) != 0 { choice = choices[0] }
                if case .kill = choice { kills -= 1 }
                if case .stop = choice { stops -= 1 }
                stage.apply(choice)
                if stage.judge.truth.failure != nil { break }
            }
        }
    }

    /// One random run that rarely changes from one fiber to another.
    private func wander(_ seed: SplitMix) {
        var random = seed
        stage.reset()
        var kills = stage.scene.kills
        var stops = stage.scene.stops
        var last = Choice.kill(-1)
        while stage.judge.truth.failure == nil {
            let choices = stage.choices(kills: kills, stops: stops)
            guard !choices.isEmpty else { break }
            var choice = choices[random.below(choices.count)]
            if choices.contains(last), random.below(4) != 0 { choice = last }
            if case .kill = choice { kills -= 1 }
            if case .stop = choice { stops -= 1 }
            last = choice
            stage.apply(choice)
            outcome.states += 1
            stage.judge.check()
            if stage.judge.truth.failure == nil,
                rests.insert(stage.machine.hash ^ stage.judge.truth.hash)
            {
                stage.checkRest()
            }
        }
        outcome.failure = stage.judge.truth.failure
    }

    private func explore() {
        stage.reset()
        path = []
        frames = []
        guard visit(kills: stage.scene.kills, stops: stage.scene.stops) else { return }
        var isLive = true  // the machine stands at the end of `path`
        while let frame = frames.last {
            if outcome.failure != nil || stage.machine.hasGrown { return }
            if frame.taken == frame.choices.count {
                frames.removeLast()
                if !path.isEmpty { path.removeLast() }
                isLive = false
                continue
            }
            if outcome.states >= most { return }
            let choice = frame.choices[frame.taken]
            frames[frames.count - 1].taken += 1
            if !isLive {
                stage.reset()
                // A place that turns out to be contended changes where fibers stand.
                for choice in path where !stage.machine.hasGrown { stage.apply(choice) }
                if stage.machine.hasGrown { return }
            }
            var kills = frame.kills
            var stops = frame.stops
            if case .kill = choice { kills -= 1 }
            if case .stop = choice { stops -= 1 }
            stage.apply(choice)
            path.append(choice)
            outcome.transitions += 1
            isLive = visit(kills: kills, stops: stops)
            if !isLive, outcome.failure == nil { path.removeLast() }
        }
        outcome.isComplete = true
    }

    /// Looks at the state that was reached; whether it is new.
    private func visit(kills: Int, stops: Int) -> Bool {
        let stage = stage
        if stage.judge.truth.failure == nil, seen.insert(stage.identity &+ UInt64(kills * 8 + stops)) {
            outcome.states += 1
            stage.judge.check()
            if rests.insert(stage.machine.hash ^ stage.judge.truth.hash) {
                outcome.rests += 1
                if stage.judge.truth.failure == nil { stage.checkRest() }
            }
        } else if stage.judge.truth.failure == nil {
            return false
        }
        if let failure = stage.judge.truth.failure {
            outcome.failure = failure
            return false
        }
        let choices = stage.choices(kills: kills, stops: stops)
        if choices.isEmpty, !stage.isDone {
            outcome.failure = "nobody can go on"
            return false
        }
        frames.append(Frame(choices: choices, kills: kills, stops: stops))
        outcome.depth = max(outcome.depth, frames.count)
        return true
    }

    private func trace() -> [String] {
        stage.reset()
        var lines: [String] = []
        for choice in path {
            lines.append(stage.describe(choice))
            stage.apply(choice)
            lines.append("        " + stage.judge.summary)
        }
        return lines
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a seed gives a run.
struct SplitMix {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func below(_ n: Int) -> Int { Int(truncatingIfNeeded: next() >> 33) % n }
}
