// bursar-model: the real core, explored and simulated. See docs/protocol.md.

import Foundation
@testable import BursarCore

let arguments = Array(CommandLine.arguments.dropFirst())
for scene in scenes where arguments.isEmpty || arguments.contains(scene.name) {
    let began = ContinuousClock.now
    let stage = try Stage(scene)
    let outcome = Explorer(stage).run()
    let time = ContinuousClock.now - began
    print(
        scene.name, outcome.failure ?? "ok", "states", outcome.states, "transitions", outcome.transitions,
        "rests", outcome.rests, "depth", outcome.depth, "points", stage.machine.points.count, time)
    for line in outcome.trace { print("  ", line) }
}
