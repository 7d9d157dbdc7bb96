// Who is rung when: runtimes of this process on the same home by their loops, the
// other processes by their bells.

internal import CPlatform

extension Attachment {
    /// Rings the process of a slot; whether that is to be expected to look.
    func ring(_ slot: UInt32) -> Bool {
        guard isShared else { return false }
        if slot == me.slot {
            ringOwn(except: nil)
        } else {
            bells.ring(slot)
        }
        return true
    }

    /// Rings every runtime that waits for events, but the caller.
    func ringListeners(except page: UnsafeMutableRawPointer) {
        guard isShared else { return }
        ringOwn(except: page)
        for slot in 1..<SlotTable.count where slot != me.slot {
            let flags = slots[slot].flags.value
            if flags & Slot.used != 0, flags & Slot.listening != 0 { bells.ring(slot) }
        }
    }

    /// Rings the runtimes of this process.
    func ringOwn(except page: UnsafeMutableRawPointer?) {
        bursar__still_lock()
        for other in pages where other != page {
            let core = Core(page: other)
            // A handle that is being opened has no runtime yet.
            if core.forks.loadAcquiring() == bursar__forks() { core.runtime.loop.ring() }
        }
        bursar__still_unlock()
    }

    /// From now on this process is rung when there are events.
    func listen() {
        if isShared { slots[me.slot].flags.update(setting: Slot.listening) }
    }
}
