// The bugs that must be found: a test of the tests. Each is planted in the code as it
// is, and looked for in the scenes named until an invariant breaks.

@testable import BursarCore

struct Planted {
    var name: String
    var scenes: [String]
    /// A switch in the code.
    var plant = Plant.none
    /// Or a saboteur of memory.
    var saboteur: ((Stage) -> Saboteur)?
    /// A process loses its locks and lives.
    var losesLocks = false
}

nonisolated(unsafe) let planted: [Planted] = [
    Planted(name: "announced before charging", scenes: ["S"], saboteur: { AnnounceFirst($0) }),
    Planted(name: "free before the charge is taken back", scenes: ["S"], saboteur: { FreeFirst($0) }),
    Planted(name: "free before a refused charge is taken back", scenes: ["A5"], saboteur: { FreeBeforeUndo($0) }),
    Planted(name: "a successor ignores the ledger's batch", scenes: ["F3"], plant: .ignoresLedger),
    Planted(name: "recount counts what is in transit as nothing", scenes: ["U", "A1"], plant: .transitIsNothing),
    Planted(name: "recount counts claims and releases as nothing", scenes: ["U", "A1"], plant: .claimsAreNothing),
    Planted(name: "the generation never grows", scenes: ["V3"], saboteur: { SameGeneration($0, onlyRefused: false) }),
    Planted(name: "the generation does not grow on refusal", scenes: ["V2"], saboteur: { SameGeneration($0, onlyRefused: true) }),
    Planted(name: "two recounters", scenes: ["G"], saboteur: { OpenLock($0.machine) }),
    Planted(name: "settle without an exclusive claim", scenes: ["B0"], saboteur: { NoClaim($0) }),
    Planted(name: "an overrun raised after the commit", scenes: ["D0"], saboteur: { RaiseLate($0) }),
    Planted(name: "recount compares states only", scenes: ["A1", "V"], plant: .comparesStates),
    Planted(name: "recount reads bodies before the counter", scenes: ["U", "A1"], plant: .bodiesFirst),
    Planted(name: "recount looks once", scenes: ["U", "A1"], plant: .looksOnce),
    Planted(name: "recount does not read the batch again", scenes: ["Y"], plant: .recountTrustsBatch),
    Planted(name: "rollover does not read the batch again", scenes: ["R1"], plant: .rollTrustsBatch),
    Planted(name: "recount stores the sum", scenes: ["U", "A1"], plant: .storesSum),
    Planted(name: "dirty after the record is free", scenes: ["G3"], saboteur: { DirtyLate($0, never: false) }),
    Planted(name: "never dirty", scenes: ["S"], saboteur: { DirtyLate($0, never: true) }),
    Planted(name: "who expires leaves the owner in the word", scenes: ["H1"], saboteur: { OwnerStays($0) }),
    Planted(name: "the redo works out a correction again", scenes: ["C1"], plant: .redoesDelta),
    Planted(name: "no ADJUSTING", scenes: ["A0"], saboteur: { NoAdjusting($0) }),
    Planted(name: "free before the batch is spent", scenes: ["A4"], saboteur: { FreeBeforeFlip($0) }),
    Planted(name: "the batch is spent before the cells say so", scenes: ["A0"], saboteur: { FlipFirst($0) }),
    Planted(name: "cells are added in place", scenes: ["A0"], saboteur: { InPlace($0) }),
    Planted(name: "a rollover is done again", scenes: ["R0"], plant: .rollsAgain),
    Planted(name: "a window's base is what was committed", scenes: ["R6"], plant: .baseFromCommitted),
    Planted(name: "a window's ceiling before its number", scenes: ["R0"], plant: .ceilingFirst),
    Planted(name: "a top-up adds to the ceiling only", scenes: ["R5"], plant: .topsUpBarely),
    Planted(name: "the session is checked before the claim", scenes: ["N0"], plant: .checksFirst),
    Planted(name: "a closer ignores claims", scenes: ["N0"], plant: .ignoresClaims),
    Planted(name: "settle ignores the generation", scenes: ["V3"], saboteur: { AnyGeneration($0) }),
    Planted(name: "recovery stores over HELD", scenes: ["H3"], saboteur: { StoreOverHeld($0) }),
    Planted(name: "a late settle amends in place", scenes: ["B0"], plant: .amendsInPlace),
    Planted(name: "a slot's lock lost while alive", scenes: ["A1"], losesLocks: true),
]
