// The scenes that are explored in full. Letters as in docs/protocol.md.

/// Two sessions of one budget, $1 as the unit.
let scenes: [Scene] = [
    Scene(
        name: "A1", about: "a step settled, another refused or released, a fold; orphans", kills: 1, isLarge: true,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.reserve(1, session: 1, 2), .release(1)], mayBeKilled: false),
            Program([.recover(process: 0), .recount, .fold], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "A2", about: "anybody dies, twice: orphans, recounts, a new recoverer", kills: 2, isLarge: true,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.reserve(1, session: 1, 2), .release(1)]),
            Program([.recover(process: 0), .recover(process: 1), .recount]),
            Program([.recover(process: 2), .recover(process: 0), .recount], successorOf: 2),
        ], steps: 2),
    Scene(
        name: "A", about: "two workers refuse, settle, release; orphans, recount and fold beside them",
        kills: 1, isLarge: true,
        programs: [
            Program([
                .reserve(0, session: 0, 3), .settle(0, 1), .reserve(1, session: 0, 2), .release(1),
            ]),
            Program([.reserve(2, session: 1, 2), .release(2)]),
            Program([.recover(process: 0), .recover(process: 1), .recount, .fold]),
        ], steps: 3),
    Scene(
        name: "S", about: "releases beside orphan and recount", isLarge: true,
        programs: [
            Program([.reserve(0, session: 0, 3), .release(0)]),
            Program([.reserve(1, session: 1, 2), .release(1)], mayBeKilled: false),
            Program([.recover(process: 0), .recount], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "B1", about: "the owner settles, and again; its time runs out; the owner dies", isLarge: true, forced: 1,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 2), .settle(0, 2)]),
            Program([.expire(record: 0), .fold], mayBeKilled: false),
        ], steps: 1),
    Scene(
        name: "B", about: "settle and replay against expiry, folds and late settle", kills: 1,
        isLarge: true, forced: 1,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 2), .settle(0, 2)]),
            Program([.expire(record: 0), .reserve(1, session: 1, 2), .settle(1, 1)]),
            Program([.fold, .fold]),
            Program([.fold], successorOf: 2),
        ], steps: 2),
    Scene(
        name: "C3", about: "settle against expiry, late settle, two folders", isLarge: true, forced: 1,
        budgets: [("b", "$9")], sessions: [("b", "$9")], records: 1,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 2)], mayBeKilled: false),
            Program([.expire(record: 0), .fold, .fold]),
            Program([.fold, .fold]),
        ], steps: 1),
    Scene(
        name: "D", about: "an overrun beside admissions, orphan, recount, fold", isLarge: true, budgets: [("b", "$4")],
        sessions: [("b", "$4"), ("b", "$4")],
        programs: [
            Program([.reserve(0, session: 0, 2), .settle(0, 4)]),
            Program([.reserve(1, session: 1, 2), .settle(1, 1)], mayBeKilled: false),
            Program([.recover(process: 0), .recount, .fold], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "F2", about: "two folders, one dies, another takes over", kills: 2, isLarge: true,
        budgets: [("b", "$6")], sessions: [("b", "$6")],
        programs: [
            Program(
                [.reserve(0, session: 0, 2), .settle(0, 1), .reserve(1, session: 0, 2), .settle(1, 2)],
                mayBeKilled: false),
            Program([.fold]),
            Program([.fold]),
        ], steps: 2),
    Scene(
        name: "F3", about: "a folder dies at every place, its successor too", kills: 2, isLarge: true,
        budgets: [("b", "$6")], sessions: [("b", "$6")],
        programs: [
            Program([.reserve(0, session: 0, 2), .settle(0, 1), .fold, .fold]),
            Program([.fold], successorOf: 0),
            Program([.fold], successorOf: 1),
        ], steps: 1),
    Scene(
        name: "G", about: "two recoverers, two recounters, a charge that brings committed back", isLarge: true,
        budgets: [("b", "$4")], sessions: [("b", "$4"), ("b", "$4")],
        programs: [
            Program([.reserve(0, session: 0, 3)]),
            Program([.recover(process: 0), .recount], mayBeKilled: false),
            Program(
                [.recover(process: 0), .recount, .reserve(1, session: 1, 2), .release(1)],
                mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "G3", about: "a recoverer dies, and its recoverer", kills: 3, isLarge: true,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.recover(process: 0), .recount]),
            Program([.recover(process: 1), .recover(process: 0), .recount]),
        ], steps: 1),
    Scene(
        name: "H", about: "a slot reused by a new process", kills: 2, isLarge: true,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.reserve(1, session: 1, 2), .release(1)], mayBeKilled: false),
            Program(
                [.recover(process: 2), .reserve(2, session: 0, 2), .settle(2, 1)], successorOf: 0),
        ], steps: 3),
    Scene(
        name: "H2", about: "whoever expires is killed", kills: 2, isLarge: true,
        programs: [
            Program([.hold(0, session: 0, 3), .begin(0), .settle(0, 1)]),
            Program([.expire(record: 0)]),
            Program(
                [.recover(process: 0), .recover(process: 1), .recount, .fold], mayBeKilled: false),
        ], steps: 1),
    Scene(
        name: "H3", about: "a step that is held, against expiry and its owner's death", forced: 1,
        programs: [
            Program([.hold(0, session: 0, 3)]),
            Program([.expire(record: 0)], mayBeKilled: false),
            Program([.recover(process: 0), .recount, .fold], mayBeKilled: false),
        ], steps: 1),
    Scene(
        name: "R", about: "a window opens beside settles and a fold", isLarge: true, budgets: [("b", "$3/day")],
        sessions: [("b", "")],
        programs: [
            Program(
                [.reserve(0, session: 0, 2), .settle(0, 1), .reserve(1, session: 0, 2), .settle(1, 2)],
                mayBeKilled: false),
            Program([.midnight, .roll]),
            Program([.fold, .roll], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "R2", about: "a window opens beside a top-up", isLarge: true, budgets: [("b", "$3/day")],
        sessions: [("b", "")],
        programs: [
            Program([.reserve(0, session: 0, 2), .settle(0, 1)], mayBeKilled: false),
            Program([.midnight, .roll, .fold]),
            Program([.topUp(budget: 0, "$2"), .roll]),
        ], steps: 1),
    Scene(
        name: "R4", about: "a correction across a window", isLarge: true, forced: 1, budgets: [("b", "$10/day")],
        sessions: [("b", "")],
        programs: [
            Program([
                .reserve(0, session: 0, 8), .expireAll, .midnight, .roll, .settle(0, 3),
                .reserve(1, session: 0, 10), .reserve(2, session: 0, 5),
            ], mayBeKilled: false),
            Program([.fold, .fold]),
            Program([.fold, .fold], mayBeKilled: false),
        ], steps: 3),
    Scene(
        name: "N", about: "a session closed and its place reused", isLarge: true, sessions: [("b", "$3")],
        programs: [
            Program([.reserve(0, session: 0, 2), .settle(0, 1)]),
            Program([.close(session: 0), .open(session: 0, "b", "$3"), .reserve(1, session: 0, 3), .release(1)],
                mayBeKilled: false),
            Program([.recover(process: 0), .fold, .recount], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "Z", about: "overrun, expiry, slot reuse, fold, orphan, recount together", kills: 2,
        isLarge: true, forced: 1, budgets: [("b", "$5")], sessions: [("b", "$4"), ("b", "$4")],
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 4)]),
            Program([.reserve(1, session: 1, 2), .expire(record: 0), .settle(1, 1)]),
            Program([.fold, .recover(process: 0), .recover(process: 1), .recount, .fold]),
            Program([.recover(process: 3), .reserve(2, session: 1, 2), .release(2)], successorOf: 0),
        ], steps: 3),

    // Small ones, each around one race.
    Scene(
        name: "A0", about: "one step settled and folded, a death anywhere",
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.fold, .fold], mayBeKilled: false),
        ], steps: 1),
    Scene(
        name: "B0", about: "the owner settles while its time runs out", forced: 1,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 2)], mayBeKilled: false),
            Program([.expire(record: 0)], mayBeKilled: false),
            Program([.fold], mayBeKilled: false),
        ], steps: 1),
    Scene(
        name: "C1", about: "a correction's folder dies", isLarge: true, forced: 1, budgets: [("b", "$9")],
        sessions: [("b", "$9")], records: 1,
        programs: [
            Program([.reserve(0, session: 0, 3), .expireAll, .fold, .settle(0, 2)], mayBeKilled: false),
            Program([.fold]),
            Program([.fold], mayBeKilled: false),
        ], steps: 1),
    Scene(
        name: "D0", about: "an overrun beside an admission", sessions: [("b", "$4"), ("b", "$4")],
        programs: [
            Program([.reserve(0, session: 0, 2), .settle(0, 4)]),
            Program([.reserve(1, session: 1, 2), .release(1)], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "H1", about: "whoever expires dies while the owner's recoverer is at work", kills: 2,
        programs: [
            Program([.reserve(0, session: 0, 3)]),
            Program([.expire(record: 0)]),
            Program([.recover(process: 0), .recover(process: 1), .recount], mayBeKilled: false),
        ], steps: 1),
    Scene(
        name: "U", about: "charges and releases beside a recount", isLarge: true,
        programs: [
            Program([.reserve(0, session: 0, 1)]),
            Program([.reserve(1, session: 1, 2), .release(1)], mayBeKilled: false),
            Program([.recover(process: 0), .recount], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "V", about: "a record used twice between a recount's looks", isLarge: true,
        programs: [
            Program([.reserve(0, session: 0, 1)]),
            Program(
                [.reserve(1, session: 1, 2), .release(1), .reserve(2, session: 1, 1)],
                mayBeKilled: false),
            Program([.recover(process: 0), .recount], mayBeKilled: false),
        ], steps: 3),
    Scene(
        name: "V1", about: "a new process recovers its slot and works on beside a recount", isLarge: true,
        sessions: [("b", "$3")],
        programs: [
            Program([.reserve(0, session: 0, 1)]),
            Program(
                [.recover(process: 1), .reserve(1, session: 0, 2), .release(1), .reserve(2, session: 0, 1)],
                successorOf: 0, mayBeKilled: false),
            Program([.recount], mayBeKilled: false),
        ], steps: 3),
    Scene(
        name: "V2", about: "refused steps between a recount's looks", isLarge: true, budgets: [("b", "$4")],
        sessions: [("b", "$4"), ("b", "$4")],
        programs: [
            Program([.reserve(0, session: 0, 1)]),
            Program(
                [.reserve(1, session: 1, 9), .reserve(2, session: 1, 8), .reserve(3, session: 1, 2)],
                mayBeKilled: false),
            Program([.recover(process: 0), .recount], mayBeKilled: false),
        ], steps: 4),
    Scene(
        name: "V3", about: "a stale handle settles when its record is another's", forced: 1, 
        records: 1,
        programs: [
            Program([.reserve(0, session: 0, 1), .settle(0, 1)], mayBeKilled: false),
            Program([.expire(record: 0), .fold, .reserve(1, session: 0, 2)], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "Y", about: "a fold between a recount's looks", isLarge: true,
        programs: [
            Program([.reserve(0, session: 0, 1)]),
            Program([.reserve(1, session: 1, 2), .settle(1, 2), .fold], mayBeKilled: false),
            Program([.recover(process: 0), .recount], mayBeKilled: false),
        ], steps: 2),

    Scene(
        name: "A4", about: "two steps in one batch, a death anywhere",
        programs: [
            Program([
                .reserve(0, session: 0, 1), .settle(0, 1), .reserve(1, session: 1, 2),
                .settle(1, 1), .fold,
            ]),
        ], steps: 2),
    Scene(
        name: "R0", about: "a window opens twice beside a step", kills: 0, isLarge: true, budgets: [("b", "$3/day")],
        sessions: [("b", "")], records: 1,
        programs: [
            Program([.charge(0, session: 0, 1), .midnight, .charge(1, session: 0, 1)], mayBeKilled: false),
            Program([.midnight, .roll]),
            Program([.midnight, .roll], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "R1", about: "a window opens beside a fold", kills: 0, isLarge: true, budgets: [("b", "$3/day")],
        sessions: [("b", "")], records: 1,
        programs: [
            Program([.charge(0, session: 0, 1), .fold, .charge(1, session: 0, 2), .fold]),
            Program([.midnight, .roll]),
        ], steps: 2),
    Scene(
        name: "R6", about: "a window opens while a step is held", kills: 0, budgets: [("b", "$3/day")],
        sessions: [("b", "")], records: 1,
        programs: [
            Program([.reserve(0, session: 0, 2), .settle(0, 1)]), Program([.midnight, .roll]),
        ], steps: 1),
    Scene(
        name: "R5", about: "a top-up beside a window", kills: 0, budgets: [("b", "$3/day")],
        sessions: [("b", "")], records: 1,
        programs: [Program([.topUp(budget: 0, "$2")]), Program([.midnight, .roll])], steps: 0),
    Scene(
        name: "N0", about: "a session closed and its place reused under a step", kills: 0, sessions: [("b", "$3")],
        records: 1,
        programs: [
            Program([.reserve(0, session: 0, 2)]),
            Program([.close(session: 0), .fold, .open(session: 0, "b", "$3")]),
        ], steps: 1),

    Scene(
        name: "A5", about: "a step refused above its session",
        programs: [
            Program([.reserve(0, session: 0, 3), .reserve(1, session: 1, 2)]),
        ], steps: 2),

    Scene(
        name: "U0", about: "an orphan and a recount beside a charge", sessions: [("b", "$3")],
        programs: [
            Program([.reserve(0, session: 0, 1)]),
            Program([.reserve(1, session: 0, 2)], mayBeKilled: false),
            Program([.recover(process: 0), .recount], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "F0", about: "a folder dies, another takes over, and dies", sessions: [("b", "$3")], 
        records: 1,
        programs: [
            Program([.charge(0, session: 0, 1), .fold]),
            Program([.fold], successorOf: 0, mayBeKilled: false),
        ], steps: 1),
    Scene(
        name: "C0", about: "a correction folded, a death anywhere", forced: 1, budgets: [("b", "$9")],
        sessions: [("b", "$9")], records: 1,
        programs: [
            Program([.reserve(0, session: 0, 3), .expireAll, .fold, .settle(0, 2), .fold, .settle(0, 2)]),
        ], steps: 1),

    // What the first model of the protocol left to argument.
    Scene(
        name: "M", about: "two meters", budgets: [("b", "$4, 1 step")],
        sessions: [("b", "$3"), ("b", "$3")],
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.reserve(1, session: 1, 1), .release(1)], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "L", about: "three levels", budgets: [("b", "$5"), ("b/c", "$4")],
        sessions: [("b/c", "$3"), ("b", "$3")],
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.reserve(1, session: 1, 3), .release(1)], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "W", about: "a limit lowered beside admissions", sessions: [("b", "$4"), ("b", "$4")],
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)], mayBeKilled: false),
            Program([.limits(budget: 0, "$2")]),
        ], steps: 2),
    Scene(
        name: "T", about: "two threads of one process",
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.reserve(1, session: 1, 2), .release(1)], threadOf: 0),
        ], steps: 2),
    Scene(
        name: "T2", about: "two threads settle one step",
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.settle(0, 1), .settle(0, 1)], threadOf: 0),
            Program([.recover(process: 0), .fold], mayBeKilled: false),
        ], steps: 1),
    Scene(
        name: "E", about: "compare-and-swap near a ceiling", addsPlainly: false,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.reserve(1, session: 1, 2), .release(1)], mayBeKilled: false),
        ], steps: 2),
    Scene(
        name: "X", about: "charges that have happened, and one that asks", forced: 1,
        programs: [
            Program([.charge(0, session: 0, 3), .charge(1, session: 0, 2, forced: true)]),
            Program([.reserve(2, session: 1, 2), .release(2)], mayBeKilled: false),
        ], steps: 3),
    Scene(
        name: "P", about: "a process stopped anywhere, and continued", kills: 0, stops: 1,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.expire(record: 0), .recount, .fold], mayBeStopped: false),
        ], steps: 2),
    Scene(
        name: "K", about: "every word of a record's body torn by a death",
        records: 1, tearsBodies: true,
        programs: [
            Program([.reserve(0, session: 0, 3), .settle(0, 1)]),
            Program([.recover(process: 0), .recount, .fold], mayBeKilled: false),
        ], steps: 1),
]
