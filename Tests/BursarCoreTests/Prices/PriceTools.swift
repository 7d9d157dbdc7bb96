// What the price tests share.

import Glibc

@testable import BursarCore

extension String {
    /// Where `text` first stands.
    func range(of text: String) -> Range<Index>? {
        var rest = self[...]
        while !rest.isEmpty {
            if rest.hasPrefix(text) {
                return rest.startIndex..<rest.index(rest.startIndex, offsetBy: text.count)
            }
            rest = rest.dropFirst()
        }
        return nil
    }

    /// The text as the bytes that the core takes.
    func withBytes<R, E: Error>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(E) -> R
    ) throws(E) -> R {
        let bytes = [UInt8](utf8)
        return try bytes.withUnsafeBufferPointer(body)
    }
}

extension PriceBook {
    func id(_ name: String) throws(Failure) -> Int32 {
        try name.withBytes { bytes throws(Failure) in try find(bytes) }
    }

    @discardableResult
    func override(_ name: String, _ rates: Rates) throws(Failure) -> Int32 {
        try name.withBytes { bytes throws(Failure) in try set(bytes, rates: rates) }
    }

    /// `unixNow` in seconds.
    @discardableResult
    func load(text: String, at unixNow: Int64 = 0) throws(Failure) -> (report: String, models: Int)
    {
        let result = try text.withBytes { bytes throws(Failure) in
            try load(bytes, unixNow: unixNow)
        }
        return (String(decoding: result.report, as: UTF8.self), result.models)
    }

    /// The set that prices a name now; 0 = none.
    func set(of name: String) throws(Failure) -> Int32 { index.currentSet(model: try id(name)) }

    /// Input picos of the standard variant's lowest tier; nil = no price.
    func input(_ name: String) throws(Failure) -> Int64? { rates(try id(name))?.inputPicos }
}

extension Rates {
    init(_ input: Int64, _ output: Int64) {
        self.init()
        inputPicos = input
        outputPicos = output
    }
}

/// Reproducible: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom
/// number generators", 2014).
struct Dice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func upTo(_ most: Int64) -> Int64 { Int64.random(in: 0...most, using: &self) }
    mutating func happens(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &self) < percent
    }
}

/// A file of the project's Tests folder.
func testFile(_ path: String) -> [UInt8] {
    let tests = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        .dropLast(3).joined(separator: "/")
    return file(tests + "/" + path)
}

func file(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "rb") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { return bytes }
        bytes += buffer[..<count]
    }
}
