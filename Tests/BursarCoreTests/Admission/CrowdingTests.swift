// Large requests that can never fit beside small ones that do: how often does a
// large one, while it is charged and taken back, crowd out a small one? Counted
// beside the plain add-then-undo, which a runtime can be asked for.

import Testing

@testable import BursarCore

@Suite struct CrowdingTests {
    /// Small steps that were refused, though all of them fit at any time.
    private func crowdedOut(
        by large: Int64, plain: Bool
    ) throws -> (refused: Int64, of: Int64, permanent: Int64) {
        // A small journal: each refusal folds, and a fold looks at every record.
        let t = try TestRuntime {
            $0.policy.plainCharge = plain
            $0.reservationsMax = 64
        }
        try t.budget("acme", "$9")
        try t.budget("acme/team", "$10")
        let sessions = try (0..<4).map { _ in try t.session("acme/team") }
        let counts = Counters(3)
        hammer(threads: 4, iterations: 10_000 * effort) { thread, _, _ in
            if thread < 2 {
                let (status, d) = t.reserve(sessions[thread], cent)
                _ = counts[0].add(1)
                if status == .ok {
                    _ = t.release(d.reservation)
                } else {
                    _ = counts[1].add(1)
                    if !d.has(Decision.transient) { _ = counts[2].add(1) }
                }
            } else {
                #expect(t.reserve(sessions[thread], large).status == .refused)
            }
        }
        try t.expectNothingLeft()
        return (counts[1].value, counts[0].value, counts[2].value)
    }

    @Test(arguments: [
        ("at the level that both meet first", 20 * dollar),
        ("at a level above", 10 * dollar - cent / 2),
    ])
    func aDoomedLargeStepCrowdsOutASmallOneRarelyAndItIsTransient(
        place: String, large: Int64
    ) throws {
        let near = try crowdedOut(by: large, plain: false)
        let plain = try crowdedOut(by: large, plain: true)
        print(
            "small steps crowded out by large ones refused \(place):",
            "\(near.refused) of \(near.of); with plain add-then-undo",
            "\(plain.refused) of \(plain.of)")
        #expect(near.permanent == 0 && plain.permanent == 0)
        if large > 10 * dollar { #expect(near.refused == 0) }
    }
}
