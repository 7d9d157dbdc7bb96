// The scenes that are explored in full.

let scenes: [Scene] = [
    Scene(
        name: "A", about: "two workers refuse, settle, release; fold beside them", kills: 0,
        programs: [
            Program([
                .reserve(0, session: 0, 3), .settle(0, 1), .reserve(1, session: 0, 2), .release(1),
            ]),
            Program([.reserve(2, session: 1, 2), .release(2)]),
            Program([.fold]),
        ], steps: 3),
    Scene(
        name: "S", about: "releases beside orphan and recount",
        programs: [
            Program([.reserve(0, session: 0, 3), .release(0)]),
            Program([.reserve(1, session: 1, 2), .release(1)], mayBeKilled: false),
            Program([.recover(process: 0), .recount], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "A2", about: "orphan, recount",
        programs: [
            Program([.reserve(0, session: 0, 3), .begin(0), .settle(0, 1)]),
            Program([.reserve(1, session: 1, 2), .release(1)]),
            Program([.recover(process: 0), .recover(process: 1), .recount]),
        ], steps: 2),
]
