// Calendar windows on the days that are not like others. The comparison with an
// independent oracle, over all zones, is Tests/windows/run.sh.

import Testing

@testable import BursarCore

@Suite struct CalendarWindowTests {
    private func window(_ unit: CalendarUnit, _ zone: String, from: Int = 0) throws
        -> CalendarWindow
    {
        CalendarWindow(unit, zone: try ZoneCatalog().find(name: [UInt8](zone.utf8)), from: from)
    }

    private func lengths(_ window: CalendarWindow, from first: Int64, count: Int) -> [Int64] {
        var lengths: [Int64] = []
        var at = first
        for _ in 0..<count {
            let (start, end) = window.containing(at)
            lengths.append(end - start)
            at = end
        }
        return lengths
    }

    @Test func aDayHas23To25Hours() throws {
        let day = try window(.day, "Europe/Berlin")
        // 2024-03-30 and 2024-10-26, the days before the changes.
        #expect(lengths(day, from: 1_711_753_200, count: 3) == [86_400, 82_800, 86_400])
        #expect(lengths(day, from: 1_729_893_600, count: 3) == [86_400, 90_000, 86_400])
    }

    @Test func anHourThatOccursTwiceIsTwoWindows() throws {
        let hour = try window(.hour, "Europe/Berlin")
        let change: Int64 = 1_729_990_800  // 2024-10-27 01:00 UTC: 03:00 becomes 02:00
        #expect(hour.containing(change - 1).start == change - 3_600)
        #expect(hour.containing(change) == (change, change + 3_600))
        let lordHowe = try window(.hour, "Australia/Lord_Howe")  // 02:00 becomes 01:30
        #expect(lengths(lordHowe, from: 1_712_411_999, count: 3) == [3_600, 3_600, 1_800])
        #expect(lordHowe.containing(1_712_415_600).start == 1_712_415_600)
    }

    @Test func aMidnightThatDoesNotExistStartsItsDayAtTheEndOfTheGap() throws {
        let day = try window(.day, "America/Havana")  // 2024-03-10 00:00 becomes 01:00
        #expect(day.containing(1_710_046_800) == (1_710_046_800, 1_710_046_800 + 23 * 3_600))
        #expect(day.containing(1_710_046_799).end == 1_710_046_800)
    }

    @Test func aMidnightThatOccursTwiceStartsItsDayAtTheFirst() throws {
        let day = try window(.day, "America/Havana")  // 2024-11-03 01:00 becomes 00:00
        let (start, end) = day.containing(1_730_613_600)
        #expect((start, end) == (1_730_606_400, 1_730_606_400 + 25 * 3_600))
        // 1990-10-28 00:01 becomes 23:01 of the day before, which stays closed.
        let stJohns = try window(.day, "America/St_Johns")
        let midnight: Int64 = 657_081_000
        #expect([0, 60, 3_000].allSatisfy { stJohns.containing(midnight + $0).start == midnight })
        #expect(stJohns.containing(midnight - 1).end == midnight)
    }

    @Test func aDateThatAZoneSkipsHasNoWindow() throws {
        let day = try window(.day, "Pacific/Apia")  // no 2011-12-30
        let change: Int64 = 1_325_239_200
        #expect(day.containing(change - 1) == (change - 86_400, change))
        #expect(day.containing(change) == (change, change + 86_400))
    }

    @Test func weeksMonthsQuartersAndYearsStartOnTheirDay() throws {
        let at: Int64 = 1_709_210_096  // Thursday 2024-02-29 12:34:56
        let day: Int64 = 86_400
        for from in 0...6 {
            let (start, end) = try window(.week, "UTC", from: from).containing(at)
            #expect(end - start == 7 * day && (start / day + 3) % 7 == Int64(from))
        }
        let month: Int64 = 1_706_745_600  // 2024-02-01
        let newYear: Int64 = 1_704_067_200
        #expect(try window(.month, "UTC", from: 1).containing(at) == (month, month + 29 * day))
        #expect(
            try window(.month, "UTC", from: 28).containing(at) == (
                month + 27 * day, month + 56 * day
            ))
        #expect(
            try window(.quarter, "UTC", from: 1).containing(at) == (newYear, newYear + 91 * day))
        #expect(try window(.year, "UTC", from: 1).containing(at) == (newYear, newYear + 366 * day))
        #expect(try window(.year, "UTC", from: 28).containing(newYear).end == newYear + 27 * day)
    }

    @Test func aFromOutsideIsTakenAsTheNearest() throws {
        for (unit, outside, inside) in [
            (CalendarUnit.month, 0, 1), (.month, 31, 28), (.week, 9, 6), (.week, -1, 0),
            (.day, 99, 0),
            (.year, .min, 1), (.quarter, .max, 28),
        ] {
            #expect(
                try window(unit, "Asia/Kolkata", from: outside).containing(0)
                    == window(unit, "Asia/Kolkata", from: inside).containing(0))
        }
    }

    @Test(arguments: [
        "UTC", "Europe/Berlin", "America/St_Johns", "Africa/Casablanca", "Pacific/Apia",
    ])
    func windowsTileTime(zone: String) throws {
        var chance = SplitMix(seed: 11)
        for unit in [CalendarUnit.hour, .day, .week, .month, .quarter, .year] {
            let window = try window(unit, zone, from: Int.random(in: 0...28, using: &chance))
            for _ in 0..<200 {
                var at = Int64.random(in: -4_000_000_000...100_000_000_000, using: &chance)
                for _ in 0..<20 {
                    let (start, end) = window.containing(at)
                    #expect(start <= at && at < end)
                    #expect(window.containing(start) == (start, end))
                    #expect(window.containing(end - 1) == (start, end))
                    #expect(window.containing(end).start == end)
                    at = end
                }
            }
        }
    }

    /// However the clock is stepped, no window pays out twice, and the latest is open.
    @Test(arguments: ["UTC", "Europe/Berlin", "America/Havana", "America/St_Johns", "Pacific/Apia"])
    func aSteppedClockNeverOpensAWindowTwice(zone: String) throws {
        var chance = SplitMix(seed: 13)
        for unit in [CalendarUnit.hour, .day, .week, .month] {
            let window = try window(unit, zone, from: 1)
            var clock = Int64.random(in: 600_000_000...1_800_000_000, using: &chance)
            var latest = clock
            var current = window.containing(clock).start
            var paid: Set<Int64> = [current]
            for _ in 0..<5_000 {
                let far = Bool.random(using: &chance) ? 400_000 as Int64 : 4_000
                clock += Int64.random(in: -far...far, using: &chance)
                if let opened = window.opened(at: clock, after: current) {
                    #expect(opened.start > current && opened.start <= clock && clock < opened.end)
                    current = opened.start
                    #expect(paid.insert(current).inserted)
                }
                latest = max(latest, clock)
                #expect(current == window.containing(latest).start)
            }
        }
    }
}
