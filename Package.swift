// swift-tools-version: 6.1
import PackageDescription

// The library's own targets build in two modes from the same sources: full
// Swift (tests, sanitizers, Swift users) and Embedded Swift (the shipped
// libbursar.so: no Swift runtime). The trait selects Embedded.
let core: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableExperimentalFeature("Embedded", .when(traits: ["Embedded"])),
]

let full = Array(core.dropLast())

// The model: the core over simulated memory, locks and clocks (`make model`). Its own
// build, from BURSAR_SEAM in the environment; nothing of it is in any other.
let isModel = Context.environment["BURSAR_SEAM"] != nil
// Likewise what measures the ledger from inside (`make bench-ledger`).
let isBench = Context.environment["BURSAR_BENCH"] != nil
let seam: [SwiftSetting] = [
    .define("BURSAR_SEAM"), .unsafeFlags(["-enable-testing", "-enforce-exclusivity=unchecked"]),
]

let testing: [SwiftSetting] = [.unsafeFlags(["-enable-testing"])]

let package = Package(
    name: "bursar",
    products: [
        .library(name: "bursar", type: .dynamic, targets: ["BursarABI"]),
        .library(name: "Bursar", targets: ["Bursar"]),
    ],
    traits: [
        .trait(name: "Embedded", description: "Build the library in Embedded Swift mode: no Swift runtime."),
    ],
    targets: [
        .systemLibrary(name: "CBursar", path: "include"),
        .systemLibrary(name: "CLibuv", path: "Sources/CLibuv", pkgConfig: "libuv"),
        .systemLibrary(name: "CSQLite", path: "Sources/CSQLite", pkgConfig: "sqlite3"),
        .target(name: "CPlatform"),
        .target(name: "CPrices"),
        .target(name: "CLedger"),
        .target(name: "BursarCore", dependencies: ["CPlatform", "CLibuv", "CPrices", "CLedger", "CSQLite"], swiftSettings: core + (isModel ? seam : isBench ? testing : [])),
        .target(name: "BursarABI", dependencies: ["BursarCore", "CBursar"], swiftSettings: core),
        .target(name: "Bursar", dependencies: ["BursarCore"], swiftSettings: full),
        .executableTarget(name: "window-dump", dependencies: ["BursarCore"]),
        .executableTarget(name: "price-eval", dependencies: ["BursarCore"]),
        .executableTarget(name: "home-racer", dependencies: ["Bursar"]),
        .target(name: "CutOff", path: "Tests/cutoff"),
        .testTarget(name: "BursarCoreTests", dependencies: ["BursarCore", "CPrices", "CutOff"]),
        .testTarget(name: "BursarABITests", dependencies: ["Bursar", "BursarCore", "CBursar"]),
        .testTarget(name: "BursarTests", dependencies: ["Bursar"], swiftSettings: full),
    ]
)
if isModel {
    package.targets += [
        .target(name: "Fibers", path: "Tests/model/Fibers"),
        .executableTarget(
            name: "bursar-model", dependencies: ["BursarCore", "Fibers"], path: "Tests/model/Model",
            swiftSettings: full + seam),
    ]
}
if isBench {
    package.targets += [
        .executableTarget(
            name: "ledger-bench", dependencies: ["BursarCore"], path: "Tests/ledger-bench", swiftSettings: full),
    ]
}
