// The windows that limits use: a small table of distinct ones in the segment, so that
// a limit holds a number. Each process reads the zones of those that it meets, once.
// Guarded by the config lock.
//
// An entry (16 bytes): 0 kind | unit << 8 | from << 16, 4 zone (interned), 8 span.
// Entry 0 is the window of a total.

internal import CPlatform

struct WindowTable {
    static let entrySize = 16
    static let most: UInt32 = 4096
    static let zones = ZoneCatalog()

    private let table: UnsafeMutableRawPointer
    private let used: Half
    private let slab: Slab
    private let edit: UndoLog
    /// By number; what is nil was not met yet, or its zone cannot be read here.
    private var calendars: [CalendarWindow?] = []
    /// Windows whose zone could not be read, and the steady time when that is tried again.
    private var unreadable = KeyMap()

    init(_ segment: Segment, _ slab: Slab) {
        table = segment.base + segment.places.windowsAt
        used = Half(segment.base + Header.windowCount)
        self.slab = slab
        edit = segment.edit
    }

    var count: UInt32 { min(used.value, WindowTable.most) }

    private func entry(_ number: UInt32) -> UnsafeMutableRawPointer {
        table + Int(number < WindowTable.most ? number : 0) * WindowTable.entrySize
    }

    private static func pack(_ window: Window) -> UInt32 {
        UInt32(window.kind.rawValue) | UInt32(window.unit.rawValue) << 8
            | UInt32(UInt8(truncatingIfNeeded: window.from)) << 16
    }

    /// The window's number. A zone that cannot be read is an error.
    mutating func number(_ window: Window) throws(Failure) -> UInt32 {
        var calendar: CalendarWindow?
        if window.kind == .calendar {
            do throws(ZoneError) {
                calendar = CalendarWindow(
                    window.unit, zone: try WindowTable.zones.find(name: window.zone),
                    from: window.from)
            } catch {
                throw Failure(.zone, bytes: error.sentence(for: window.zone))
            }
        }
        let packed = WindowTable.pack(window)
        let known = window.zone.isEmpty ? 0 : slab.find(window.zone)
        if let known {
            for number in 0..<count {
                let p = entry(number)
                if Half(p).value == packed, Half(p + 4).value == known,
                    Word(p + 8).value == window.spanNanos
                {
                    return number
                }
            }
        }
        let number = count
        guard number < WindowTable.most else {
            throw Failure(.capacity, "limits use 4,096 different windows; no more are possible")
        }
        guard let zone = slab.intern(window.zone) else {
            throw Failure(
                .capacity, "no room for more names and labels; raise text_bytes_max when opening")
        }
        let p = entry(number)
        edit[Half(p)] = packed
        edit[Half(p + 4)] = zone
        edit[Word(p + 8)] = window.spanNanos
        edit[used] = number + 1
        keep(calendar, number)
        return number
    }

    private mutating func keep(_ calendar: CalendarWindow?, _ number: UInt32) {
        while calendars.count <= Int(number) { calendars.append(nil) }
        calendars[Int(number)] = calendar
    }

    func window(_ number: UInt32) -> Window {
        let p = entry(number)
        let packed = Half(p).value
        return Window(
            WindowKind(rawValue: UInt8(truncatingIfNeeded: packed)) ?? .total,
            unit: CalendarUnit(rawValue: UInt8(truncatingIfNeeded: packed >> 8)) ?? .hour,
            zone: slab.text(Half(p + 4).value),
            from: Int(UInt8(truncatingIfNeeded: packed >> 16)),
            spanNanos: max(Word(p + 8).value, 0))
    }

    /// Start and end, in unix seconds, of the calendar window that holds an instant; nil
    /// when its zone cannot be read here. A window that there is not never ends.
    mutating func bounds(_ number: UInt32, unix: Int64) -> (start: Int64, end: Int64)? {
        if Int(number) < calendars.count, let calendar = calendars[Int(number)] {
            return calendar.containing(unix)
        }
        let window = window(number)
        guard number < count, window.kind == .calendar else { return (0, .max) }
        // Looking for a zone in vain reads directories.
        let now = bursar__clock(BURSAR__CLOCK_STEADY)
        if let again = unreadable[Int64(number)], now < again { return nil }
        guard let zone = try? WindowTable.zones.find(name: window.zone) else {
            unreadable.set(Int64(number), saturatingAdd(now, 60_000_000_000))
            return nil
        }
        let calendar = CalendarWindow(window.unit, zone: zone, from: window.from)
        keep(calendar, number)
        return calendar.containing(unix)
    }
}
