// Prints calendar windows, for Tests/windows/oracle.py to compare.
//
// Each line of the input is `zone unit from instant ...`; for each instant the
// answer has a line `start end`, or `error` and a sentence for the whole line.
// `zones` is answered by all installed names, a line each, and an empty line.

import BursarCore
import Glibc

let units: [(String, CalendarUnit)] = [
    ("hour", .hour), ("day", .day), ("week", .week), ("month", .month), ("quarter", .quarter),
    ("year", .year),
]
let catalog = ZoneCatalog()

while let line = readLine() {
    defer { fflush(nil) }
    if line == "zones" {
        for name in ZoneCatalog.installedNames() { print(String(decoding: name, as: UTF8.self)) }
        print()
        continue
    }
    let words = line.split(separator: " ")
    guard words.count >= 3, let unit = units.first(where: { $0.0 == words[1] })?.1,
        let from = Int(words[2])
    else {
        print("error expected: zone unit from instant ...")
        continue
    }
    let name = [UInt8](words[0].utf8)
    do throws(ZoneError) {
        let window = CalendarWindow(unit, zone: try catalog.find(name: name), from: from)
        var answer = ""
        for word in words[3...] {
            let (start, end) = window.containing(Int64(word) ?? 0)
            answer += "\(start) \(end)\n"
        }
        print(answer, terminator: "")
    } catch {
        print("error", String(decoding: error.sentence(for: name), as: UTF8.self))
    }
}
