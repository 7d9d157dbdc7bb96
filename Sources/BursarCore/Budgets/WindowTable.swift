// The windows that limits use: a small table of distinct ones, so that a limit
// holds a number, and a zone is read once. Guarded by the config lock.

struct WindowTable {
    private(set) var windows: [Window] = [Window(.total)]
    private var calendars: [CalendarWindow?] = [nil]

    /// The window's number; zones are loaded here, once.
    mutating func number(_ window: Window) throws(Failure) -> UInt32 {
        if let i = windows.firstIndex(of: window) { return UInt32(i) }
        var calendar: CalendarWindow?
        if window.kind == .calendar {
            calendar = CalendarWindow(
                window.unit, zone: try WindowTable.zone(window.zone), from: window.from)
        }
        windows.append(window)
        calendars.append(calendar)
        return UInt32(windows.count - 1)
    }

    static let zones = ZoneCatalog()

    private static func zone(_ name: [UInt8]) throws(Failure) -> Zone {
        do throws(ZoneError) {
            return try zones.find(name: name)
        } catch {
            throw Failure(.zone, bytes: error.sentence(for: name))
        }
    }

    func window(_ number: UInt32) -> Window { windows[Int(number)] }

    /// Start and end, in unix seconds, of the calendar window that holds an instant.
    func bounds(_ number: UInt32, unix: Int64) -> (start: Int64, end: Int64) {
        guard let calendar = calendars[Int(number)] else { return (0, .max) }
        return calendar.containing(unix)
    }
}
