// bursar-model: the real core, explored and simulated. See docs/protocol.md.

import Foundation
@testable import BursarCore

let arguments = Array(CommandLine.arguments.dropFirst())
for scene in scenes where arguments.contains(scene.name) || arguments == ["small"] && !scene.isLarge || arguments == ["full"] {
    let began = ContinuousClock.now
    let stage = try Stage(scene)
    if CommandLine.arguments.contains("trace") {
        stage.reset()
        while let choice = stage.choices(kills: 0, stops: 0).first {
            print(stage.describe(choice)); fflush(nil)
            stage.apply(choice)
            print("        ", stage.judge.summary, stage.judge.truth.failure ?? "")
        }
        continue
    }
    let outcome = Explorer(stage, most: Int(getenv("MOST").map { String(cString: $0) } ?? "2000000")!).run()
    let time = ContinuousClock.now - began
    print(
        scene.name, outcome.failure ?? (outcome.isComplete ? "ok" : "cut off"), "states", outcome.states, "transitions", outcome.transitions,
        "rests", outcome.rests, "depth", outcome.depth, "points", stage.machine.points.count, time)
    fflush(nil)
    for line in outcome.trace { print("  ", line) }
}
