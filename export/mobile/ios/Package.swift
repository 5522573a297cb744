// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "KerasT2I",
    platforms: [.iOS(.v15)],
    products: [.library(name: "KerasT2I", targets: ["KerasT2I"])],
    dependencies: [
        // A branch, because LiteRT's package has build settings that version requirements do not allow.
        .package(url: "https://github.com/google-ai-edge/LiteRT", branch: "release/2.3.0")
    ],
    targets: [
        .target(name: "KerasT2I", dependencies: [.product(name: "LiteRT", package: "LiteRT")])
    ]
)
