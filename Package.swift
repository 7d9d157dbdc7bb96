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
        .target(name: "CPlatform"),
        .target(name: "CPrices"),
        .target(name: "BursarCore", dependencies: ["CPlatform", "CLibuv", "CPrices"], swiftSettings: core),
        .target(name: "BursarABI", dependencies: ["BursarCore", "CBursar"], swiftSettings: core),
        .target(name: "Bursar", dependencies: ["BursarCore"], swiftSettings: full),
        .executableTarget(name: "window-dump", dependencies: ["BursarCore"]),
        .executableTarget(name: "price-eval", dependencies: ["BursarCore"]),
        .executableTarget(name: "home-racer", dependencies: ["Bursar"]),
        .testTarget(name: "BursarCoreTests", dependencies: ["BursarCore"]),
        .testTarget(name: "BursarABITests", dependencies: ["Bursar", "BursarCore", "CBursar"]),
        .testTarget(name: "BursarTests", dependencies: ["Bursar"], swiftSettings: full),
    ]
)
