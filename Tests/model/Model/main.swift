// bursar-model: the real core, explored and simulated. See docs/protocol.md.
//
//   bursar-model explore small|full|NAME...   every interleaving of the scenes
//   bursar-model plants [NAME...]             every planted bug is found
//   bursar-model simulate [SEEDS [FROM]]      random processes
//   bursar-model trace NAME                   one run of a scene, access by access

internal import Foundation
@testable import BursarCore

let arguments = Array(CommandLine.arguments.dropFirst())
let most = environment("MOST") ?? 3_000_000

func environment(_ name: String) -> Int? {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
}

func say(_ text: String) {
    print(text)
    fflush(nil)
}

func seconds(_ d: Duration) -> String {
    let tenths = Int(d.components.seconds) * 10 + Int(d.components.attoseconds / 100_000_000_000_000_000)
    return "\(tenths / 10).\(tenths % 10) s"
}

func explore(_ names: [String]) throws -> Bool {
    var isGood = true
    for scene in scenes
    where names.contains(scene.name) || names.contains("full") || names.contains("small") && !scene.isLarge {
        let began = ContinuousClock.now
        let outcome = Explorer(try Stage(scene), most: most).run()
        let result = outcome.failure ?? (outcome.isComplete ? "complete" : "cut off")
        say(
            "\(scene.name): \(result), \(outcome.states) states, \(outcome.rests) recovered, "
                + "depth \(outcome.depth), \(seconds(ContinuousClock.now - began)): \(scene.about)")
        for line in outcome.trace { say("    " + line) }
        if outcome.failure != nil { isGood = false }
    }
    return isGood
}

func findPlants(_ names: [String]) throws -> Bool {
    var isGood = true
    for bug in planted where names.isEmpty || names.contains(where: { bug.name.contains($0) }) {
        let began = ContinuousClock.now
        var found: String?
        var states = 0
        for name in bug.scenes where found == nil {
            guard let scene = scenes.first(where: { $0.name == name }) else { continue }
            let stage = try Stage(scene)
            stage.losesLocks = bug.losesLocks
            stage.machine.saboteur = bug.saboteur?(stage)
            Seam.plant = bug.plant
            let outcome = Explorer(stage, most: most, wanders: 100_000).run()
            Seam.plant = .none
            states += outcome.states
            found = outcome.failure.map { "\(name): \($0)" }
        }
        say(
            "\(found == nil ? "NOT FOUND" : "found") \(bug.name), \(states) states, "
                + "\(seconds(ContinuousClock.now - began)). \(found ?? "")")
        if found == nil { isGood = false }
    }
    return isGood
}

var isGood = true
switch arguments.first {
case "explore": isGood = try explore(Array(arguments.dropFirst()))
case "plants": isGood = try findPlants(Array(arguments.dropFirst()))
case "trace":
    for scene in scenes where arguments.dropFirst().contains(scene.name) {
        let stage = try Stage(scene)
        stage.reset()
        while let choice = stage.choices(kills: 0, stops: 0).first {
            say(stage.describe(choice))
            stage.apply(choice)
            say("        " + stage.judge.summary + (stage.judge.truth.failure ?? ""))
        }
    }
case "simulate":
    let numbers = arguments.dropFirst().compactMap { UInt64($0) }
    isGood = try simulate(seeds: Int(numbers.first ?? 1000), from: numbers.dropFirst().first ?? 1)
default: say("usage: bursar-model explore small|full|NAME... | plants [NAME...] | simulate [SEEDS [FROM]] | trace NAME")
}
exit(isGood ? 0 : 1)
