// What the journal asks of an attachment.

extension Attachment {
    /// Where the ledger lies: beside the home's lock, by the number of the segment that
    /// it belongs to. Nil = in memory.
    var ledgerPath: [UInt8]? {
        guard let place else { return nil }
        var path = place.folder.path + [UInt8]("/ledger.".utf8)
        let id = Word(segment.base + Header.segmentID).value
        Digits.append(UInt64(bitPattern: id), to: &path)
        return path + [UInt8](".log".utf8)
    }
}
