// Zone files: what they say, and that no file or name can do harm.

import Testing

@testable import BursarCore

/// Bytes of a zone file, written from parts, so that tests can make any of them wrong.
struct ZoneFile {
    var version: UInt8 = UInt8(ascii: "2")
    var transitions: [(Int64, UInt8)] = []
    var offsets: [Int32] = [0]
    var leaps = 0
    var footer = "\nUTC0\n"

    private func block(timeBytes: Int) -> [UInt8] {
        var bytes = [UInt8]("TZif".utf8) + [version] + [UInt8](repeating: 0, count: 15)
        func add(_ value: Int64, _ count: Int) {
            for index in (0..<count).reversed() {
                bytes.append(UInt8(truncatingIfNeeded: value >> Int64(index * 8)))
            }
        }
        for count in [0, 0, leaps, transitions.count, offsets.count, 4] { add(Int64(count), 4) }
        for (time, _) in transitions { add(time, timeBytes) }
        for (_, type) in transitions { add(Int64(type), 1) }
        for offset in offsets {
            add(Int64(offset), 4)
            add(0, 2)
        }
        bytes += [UInt8]("ABC\0".utf8)
        bytes += [UInt8](repeating: 0, count: leaps * (timeBytes + 4))
        return bytes
    }

    var bytes: [UInt8] {
        version == 0
            ? block(timeBytes: 4) : block(timeBytes: 4) + block(timeBytes: 8) + [UInt8](footer.utf8)
    }

    func zone() throws -> Zone { try Zone(name: [UInt8]("Test/Zone".utf8), file: bytes) }
}

@Suite struct ZoneTests {
    @Test func utcNeedsNoFiles() throws {
        for name in ["", "UTC", "Etc/UTC"] {
            let zone = try ZoneCatalog().find(name: [UInt8](name.utf8))
            #expect(zone.offset(at: 1_700_000_000) == 0)
            #expect(zone.offset(at: .min) == 0 && zone.offset(at: .max) == 0)
        }
    }

    @Test func aZoneIsLoadedOnce() throws {
        let catalog = ZoneCatalog()
        let name = [UInt8]("Europe/Berlin".utf8)
        #expect(try catalog.find(name: name) === catalog.find(name: name))
    }

    @Test(arguments: [
        ("..", "malformed"), ("../../etc/passwd", "malformed"), ("/etc/localtime", "malformed"),
        ("Europe/../Europe/Berlin", "malformed"), ("Europe/Berlin\0", "malformed"),
        (" ", "malformed"),
        ("Europe/Zürich", "malformed"), ("tzdata.zi", "malformed"), ("New York", "malformed"),
        (String(repeating: "A", count: 65), "malformed"), ("localtime", "unknown "),
        ("right/UTC", "unknown "), ("posix/UTC", "unknown "), ("America/", "unknown "),
        ("leapseconds", "unknown "),
        ("UTC/UTC", "unknown Etc/UTC"), ("UTCC", "unknown UTC"), ("IST", "unknown Asia/Kolkata"),
        ("pst", "unknown America/Los_Angeles"),
        ("Europe/Berln", "unknown Europe/Berlin"), ("europe/berlin", "unknown Europe/Berlin"),
        ("Berlin", "unknown Europe/Berlin"), ("New_York", "unknown America/New_York"),
        ("Qqqqqqqq/Zzzzzzz", "unknown "), ("UTC+2", "offset Etc/GMT-2"),
        ("GMT-03:00", "offset Etc/GMT+3"),
        ("+05:30", "offset "), ("UTC+0", "offset UTC"), ("utc+14", "offset Etc/GMT-14"),
        ("UTC-14", "offset "), ("+", "unknown "), ("UTC+", "unknown UTC"),
        ("-1:2:3:4:5:6:7", "malformed"),
    ])
    func aNameThatNamesNoZoneIsRefusedWithOneSuggestion(name: String, expected: String) throws {
        let error = try #require(throws: ZoneError.self) {
            try ZoneCatalog().find(name: [UInt8](name.utf8))
        }
        let found: String
        switch error {
        case .malformed: found = "malformed"
        case .unknown(let suggestion):
            found = "unknown " + String(decoding: suggestion, as: UTF8.self)
        case .offset(let suggestion):
            found = "offset " + String(decoding: suggestion, as: UTF8.self)
        default: found = "\(error)"
        }
        #expect(found == expected)
        let sentence = String(decoding: error.sentence(for: [UInt8](name.utf8)), as: UTF8.self)
        #expect(!sentence.isEmpty && sentence.utf8.allSatisfy { $0 >= 32 && $0 < 127 })
    }

    @Test func everyInstalledZoneLoads() throws {
        let names = ZoneCatalog.installedNames()
        #expect(names.count > 400)
        let catalog = ZoneCatalog()
        for name in names { _ = try catalog.find(name: name) }
    }

    @Test func theSuggestionForEachAbbreviationIsAnInstalledZone() {
        let installed = ZoneCatalog.installedNames()
        for word in [
            "ACST", "AKST", "ART", "BRT", "CAT", "EAT", "GST", "ICT", "NZST", "PHT", "TRT", "WIB",
            "Z",
        ] {
            #expect(
                installed.contains(ZoneHint.nearest(to: [UInt8](word.utf8), among: installed)),
                "\(word)")
        }
    }

    @Test func versionOneHas32BitTimesAndNoRule() throws {
        let zone = try ZoneFile(
            version: 0, transitions: [(-100, 1), (100, 0)], offsets: [0, -3_600]
        ).zone()
        #expect([-101, -100, 99, 100, 1 << 35].map(zone.offset(at:)) == [0, -3_600, -3_600, 0, 0])
    }

    @Test func aTransitionBefore1901IsReadFrom64Bits() throws {
        let zone = try ZoneFile(
            transitions: [(-10_000_000_000, 1)], offsets: [0, 60], footer: "\n\n"
        ).zone()
        #expect(zone.offset(at: -10_000_000_001) == 0)
        #expect(zone.offset(at: -10_000_000_000) == 60 && zone.offset(at: 1 << 40) == 60)
    }

    /// Unix seconds at which daylight saving time starts and ends in 2021 and in 2024, a leap year.
    @Test(
        arguments: [
            (
                "CET-1CEST,M3.5.0,M10.5.0/3",
                [1_616_893_200, 1_635_642_000, 1_711_846_800, 1_729_990_800]
            ),
            ("AAA0BBB,J60/0,J365/1", [1_614_556_800, 1_640_908_800, 1_709_251_200, 1_735_603_200]),
            ("AAA0BBB,59/0,364/1", [1_614_556_800, 1_640_908_800, 1_709_164_800, 1_735_516_800]),
            (
                "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
                [1_616_893_200, 1_635_642_000, 1_711_846_800, 1_729_990_800]
            ),
            (
                "EET-2EEST,M3.4.4/50,M10.4.4/50",
                [1_616_803_200, 1_635_548_400, 1_711_756_800, 1_729_897_200]
            ),
            (
                "IST-1GMT0,M10.5.0,M3.5.0/1",
                [1_635_642_000, 1_616_893_200, 1_729_990_800, 1_711_846_800]
            ),
        ] as [(String, [Int64])])
    func rulesOfEveryFormAreFollowed(text: String, moments: [Int64]) throws {
        let rule = try #require(ZoneRule([UInt8](text.utf8)[...]))
        let daylight = try #require(rule.daylight)
        let zone = try ZoneFile(footer: "\n" + text + "\n").zone()
        for (index, moment) in moments.enumerated() {
            let (before, after) = (zone.offset(at: moment - 1), zone.offset(at: moment))
            #expect(after == (index % 2 == 0 ? daylight.offset : rule.offset), "\(moment)")
            #expect(before != after, "\(moment)")
        }
    }

    @Test func aRuleRepeatsAfter400Years() throws {
        let zone = try ZoneFile(footer: "\nCET-1CEST,M3.5.0,M10.5.0/3\n").zone()
        let cycle: Int64 = 146_097 * 86_400
        for instant in stride(from: 1_600_000_000 as Int64, to: 1_800_000_000, by: 86_399) {
            #expect(zone.offset(at: instant) == zone.offset(at: instant + cycle * 50))
        }
    }

    @Test func daylightSavingTimeAllYearLeavesNoGap() throws {
        let zone = try ZoneFile(footer: "\nXXX3EDT4,0/0,J365/23\n").zone()
        for instant in stride(from: 1_600_000_000 as Int64, to: 1_700_000_000, by: 1_801) {
            #expect(zone.offset(at: instant) == -14_400)
        }
    }

    @Test(arguments: [
        "", "A0", "UTC", "UTC25", "UTC0,", "UTC0X", "CET-1CEST", "CET-1CEST,M3.5.0",
        "CET-1CEST,M3.5.0,M13.5.0",
        "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,J0,J365",
        "CET-1CEST,0,366",
        "CET-1CEST,M3.5.0/168,M10.5.0", "CET-1CEST,M3.5.0/2:60,M10.5.0", "<+03-3", "<>",
        "CET-1CEST,M3.5.0,M10.5.0 ",
        "CET-99999999999999999999", "CET-1CEST,M3.5.99999999999999999999,M10.5.0", "-1", "<",
    ])
    func malformedRulesAreRefused(text: String) {
        #expect(ZoneRule([UInt8](text.utf8)[...]) == nil)
    }

    @Test func contradictoryFilesAreRefused() {
        let wrong: [ZoneFile] = [
            ZoneFile(transitions: [(5, 0), (5, 0)]), ZoneFile(transitions: [(5, 0), (4, 0)]),
            ZoneFile(transitions: [(5, 1)]), ZoneFile(offsets: []), ZoneFile(offsets: [93_601]),
            ZoneFile(offsets: [.min]), ZoneFile(leaps: 1), ZoneFile(footer: "\nUTC0"),
            ZoneFile(footer: ""),
            ZoneFile(footer: "UTC0\n"), ZoneFile(footer: "\nnonsense\n"),
        ]
        for file in wrong { #expect(throws: ZoneError.self) { try file.zone() } }
        #expect(throws: ZoneError.self) { try Zone(name: [], file: []) }
    }

    @Test func aFileCutOffAnywhereIsRefused() throws {
        let bytes = ZoneFile(
            transitions: [(1, 1), (2, 0)], offsets: [0, 60],
            footer: "\nCET-1CEST,M3.5.0,M10.5.0/3\n"
        ).bytes
        _ = try Zone(name: [], file: bytes)
        for count in 0..<bytes.count {
            #expect(throws: ZoneError.self) { try Zone(name: [], file: [UInt8](bytes[..<count])) }
        }
    }

    @Test func aFileWithAnyBytesChangedIsRefusedOrTilesTime() throws {
        let good = ZoneFile(
            transitions: [(1_000_000, 1), (20_000_000, 0)], offsets: [0, 3_600],
            footer: "\nCET-1CEST,M3.5.0,M10.5.0/3\n"
        ).bytes
        var chance = SplitMix(seed: 7)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0...Int.random(in: 0...3, using: &chance) {
                bytes[Int.random(in: 0..<bytes.count, using: &chance)] = UInt8.random(
                    in: 0...255, using: &chance)
            }
            guard let zone = try? Zone(name: [], file: bytes) else { continue }
            accepted += 1
            for unit in [CalendarUnit.hour, .day, .year] {
                let window = CalendarWindow(unit, zone: zone, from: 1)
                for instant in [Int64.min, -5, 20_000_000, 1_700_000_000, .max] {
                    let (start, end) = window.containing(instant)
                    let inside = CalendarWindow.clamp(instant)
                    #expect(start <= inside && inside < end)
                    #expect(instant == .max || window.containing(end).start == end)
                }
            }
        }
        #expect(accepted > 1_000)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers from the same seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
