// What the tests of limit text share: parsing from String, a table of cases, chance.

import BursarCore
import Foundation

/// What a runtime of the tests has named, and the zones that it knows.
let knownMeters = ["credits", "gpu_seconds"]
let knownZones = [
    "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Kathmandu", "Asia/Kolkata",
    "America/Argentina/Buenos_Aires",
]

/// Knows the zones above and what two abbreviations mean.
func answerZone(_ name: [UInt8]) -> ZoneAnswer {
    let name = string(name)
    if knownZones.contains(name) { return .known }
    let meant = ["IST": "Asia/Kolkata", "EDT": "America/New_York", "UTC+2": "Etc/GMT-2"][name]
    return .unknown(suggestion: meant.map { Array($0.utf8) })
}

func parseLimits(_ text: [UInt8], onSession: Bool = false) -> Result<LimitList, LimitError> {
    text.withUnsafeBufferPointer { bytes in
        do throws(LimitError) {
            return .success(
                try LimitParser.parse(
                    bytes, onSession: onSession,
                    meterKnown: { name in knownMeters.contains { Array($0.utf8) == name } },
                    zone: answerZone))
        } catch {
            return .failure(error)
        }
    }
}

func parseTopUp(_ text: [UInt8]) -> Result<TopUp, LimitError> {
    text.withUnsafeBufferPointer { bytes in
        do throws(LimitError) {
            return .success(
                try LimitParser.parseTopUp(
                    bytes, meterKnown: { name in knownMeters.contains { Array($0.utf8) == name } }))
        } catch {
            return .failure(error)
        }
    }
}

func parseMoney(_ text: [UInt8]) -> Result<Int64, LimitError> {
    text.withUnsafeBufferPointer { bytes in
        do throws(LimitError) { return .success(try MoneyText.parse(bytes)) } catch {
            return .failure(error)
        }
    }
}

func parseRate(_ text: [UInt8]) -> Result<Int64, LimitError> {
    text.withUnsafeBufferPointer { bytes in
        do throws(LimitError) { return .success(try MoneyText.parseRate(bytes)) } catch {
            return .failure(error)
        }
    }
}

func string(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

extension Result {
    var failure: Failure? {
        if case .failure(let error) = self { error } else { nil }
    }

    var value: Success? {
        if case .success(let value) = self { value } else { nil }
    }
}

/// A row of Tests/limits.tsv, which describes its columns itself.
struct LimitRow {
    var number: Int
    var onSession: Bool
    var text: [UInt8]
    var isOk: Bool
    var expected: [UInt8]
    var column: Int32

    /// Tests/, three levels up.
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The code in the first column of a table of docs/limits.md.
    static func codeInReference(under heading: String) throws -> [String] {
        let file = folder.deletingLastPathComponent().appendingPathComponent("docs/limits.md")
        let lines = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n")
        let section = lines.drop { $0 != heading }.dropFirst().prefix { !$0.hasPrefix("## ") }
        return section.filter { $0.hasPrefix("| `") }.flatMap { row in
            let cell = row.components(separatedBy: " | ")[0].components(separatedBy: "`")
            return stride(from: 1, to: cell.count, by: 2).map { cell[$0] }
        }
    }

    static func all() throws -> [LimitRow] {
        let table = folder.appendingPathComponent("limits.tsv")
        var rows: [LimitRow] = []
        let lines = try String(contentsOf: table, encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
        for (number, line) in lines.enumerated() where !line.isEmpty && !line.hasPrefix("#") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            guard fields.count == 5, let column = Int32(fields[4]),
                ["budget", "session"].contains(fields[0]), ["ok", "error"].contains(fields[2])
            else { throw Malformed(line: number + 1) }
            rows.append(
                LimitRow(
                    number: number + 1, onSession: fields[0] == "session",
                    text: unescaped(fields[1]), isOk: fields[2] == "ok",
                    expected: unescaped(fields[3]), column: column))
        }
        return rows
    }

    struct Malformed: Error { var line: Int }

    private static func unescaped(_ field: Substring) -> [UInt8] {
        let bytes = Array(field.utf8)
        var text: [UInt8] = []
        var at = 0
        while at < bytes.count {
            guard bytes[at] == UInt8(ascii: "\\"), at + 1 < bytes.count else {
                text.append(bytes[at])
                at += 1
                continue
            }
            switch bytes[at + 1] {
            case UInt8(ascii: "t"): text.append(9)
            case UInt8(ascii: "n"): text.append(10)
            case UInt8(ascii: "r"): text.append(13)
            case UInt8(ascii: "x") where at + 3 < bytes.count:
                text.append(UInt8(string(Array(bytes[at + 2...at + 3])), radix: 16) ?? 0)
                at += 2
            default: text.append(bytes[at + 1])
            }
            at += 2
        }
        return text
    }
}

/// SplitMix64: the same numbers for the same seed, everywhere.
struct Chance: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

    mutating func oneIn(_ count: Int) -> Bool { below(count) == 0 }

    /// Of every order of magnitude, and often round.
    mutating func amount(upTo bound: Int64 = .max) -> Int64 {
        var value = Int64(bitPattern: next() >> UInt64(1 + below(63)))
        var power: Int64 = 1
        for _ in 0..<below(16) where oneIn(2) { power *= 10 }
        value -= value % power
        return min(value, bound)
    }
}
