// What the journal asks of an attachment. These are a private runtime's answers.

extension Attachment {
    /// Each slot in use but our own, dead or alive.
    func eachOtherSlot(_ body: (UInt32) -> Void) {}

    /// The slot's process is dead and everything of it is recovered: it may be
    /// given to another. Its lock is held.
    func vacate(_ slot: UInt32) {}
}
