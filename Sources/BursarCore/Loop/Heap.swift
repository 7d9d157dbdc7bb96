// Timers: one binary heap, 16 bytes an entry, for a million sessions.
//
// Entries are never moved or removed when their cause changes: whoever pops one
// looks at the thing itself, and puts a new entry if it is not due yet. So an
// entry costs nothing until it comes up.

/// A time and what to look at then. Smallest time first.
struct Timer {
    var due: Int64
    var index: UInt32  // the node
}

struct TimerHeap {
    private var entries: [Timer] = []

    var count: Int { entries.count }
    /// The first time, or Int64.max.
    var next: Int64 { entries.isEmpty ? .max : entries[0].due }

    mutating func insert(_ timer: Timer) {
        entries.append(timer)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if entries[parent].due <= timer.due { break }
            entries[child] = entries[parent]
            child = parent
        }
        entries[child] = timer
    }

    /// The first entry, if it is due.
    mutating func pop(due now: Int64) -> Timer? {
        guard let first = entries.first, first.due <= now else { return nil }
        let last = entries.removeLast()
        if !entries.isEmpty { sink(last, from: 0) }
        return first
    }

    private mutating func sink(_ timer: Timer, from start: Int) {
        var parent = start
        let count = entries.count
        while true {
            var child = 2 * parent + 1
            if child >= count { break }
            if child + 1 < count, entries[child + 1].due < entries[child].due { child += 1 }
            if timer.due <= entries[child].due { break }
            entries[parent] = entries[child]
            parent = child
        }
        entries[parent] = timer
    }

    /// Forgets entries whose cause is gone: called when they outnumber the living.
    mutating func compact(keeping isAlive: (Timer) -> Bool) {
        entries.removeAll { !isAlive($0) }
        guard entries.count > 1 else { return }
        var i = entries.count / 2
        while i > 0 {
            i -= 1
            sink(entries[i], from: i)
        }
    }
}
