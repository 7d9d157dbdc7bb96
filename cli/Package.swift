// swift-tools-version: 6.1
import PackageDescription

// The command line is a package of its own, so that nothing it depends on burdens whoever
// links the library. It knows the library by its header alone.
let package = Package(
    name: "bursar-cli",
    products: [.executable(name: "bursar", targets: ["bursar"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
    ],
    targets: [
        .systemLibrary(name: "CBursar"),
        .systemLibrary(name: "CSystem"),
        .target(name: "CLaunch"),
        .executableTarget(
            name: "bursar",
            dependencies: [
                "CBursar", "CSystem", "CLaunch", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("InternalImportsByDefault"),
            ],
            linkerSettings: [
                .unsafeFlags([
                    "-L../build/lib", "-Xlinker", "-rpath", "-Xlinker", "$ORIGIN/../lib",
                    "-Xlinker", "-rpath", "-Xlinker", "$ORIGIN",
                ])
            ]),
    ]
)
