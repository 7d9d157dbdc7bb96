// Handing a session to another process: what goes into that process's environment,
// and how it is read there.

extension Attachment {
    /// The home's directory; empty for a private runtime.
    var home: [UInt8] { place?.folder.path ?? [] }
}

extension Runtime {
    /// The header's bursar_session_environ(): lines for a child's environment. The
    /// session then outlives the process that opened it.
    public func sessionEnviron(_ id: Int64) throws(Failure) -> [UInt8] {
        if !attachment.isShared {
            throw Failure(
                .unsupported,
                "a private runtime ends with its process; open a home to hand a session to another")
        }
        return try configuring { () throws(Failure) in
            let i = try openSession(id)
            let misc = core.node(i).misc
            edit[misc] = misc.value | Node.handed
            var text = [UInt8]("BURSAR_HOME=")
            text += attachment.home
            text.append("\nBURSAR_SESSION=")
            for k in stride(from: 60, through: 0, by: -4) {
                text.append(Runtime.hexDigits[Int(truncatingIfNeeded: id >> Int64(k)) & 15])
            }
            text.append(UInt8(ascii: "\n"))
            return text
        }
    }

    /// The header's bursar_session_attach(): the session that `text` names.
    public func sessionAttach(_ text: [UInt8]) throws(Failure) -> Int64 {
        var id: Int64 = 0
        guard text.count == 16 else { throw badSession(text) }
        for byte in text {
            guard let digit = Runtime.hexDigits.firstIndex(of: byte) else { throw badSession(text) }
            id = id << 4 | Int64(digit)
        }
        guard id > 0 else { throw badSession(text) }
        return try configuring { () throws(Failure) in
            _ = try openSession(id)
            return id
        }
    }

    /// Of a session that is there and open. Under config.
    private func openSession(_ id: Int64) throws(Failure) -> Int {
        guard id > 0, let i = core.index(of: id) else {
            var failure = Failure(
                .notFound, "no such session in this home (any more): it was closed, or is another home's")
            failure.id = id
            throw failure
        }
        let node = core.node(i)
        guard node.isSession else { throw Failure(.invalid, "this is a budget; a session is handed over") }
        if node.state.value & StateBit.closed != 0 {
            var failure = Failure(.closed, "the session was closed")
            failure.id = id
            throw failure
        }
        return i
    }

    private func badSession(_ text: [UInt8]) -> Failure {
        Failure(.invalid, "BURSAR_SESSION is 16 digits of 0 to 9 and a to f, not \(text)")
    }

    private static var hexDigits: [UInt8] { [UInt8]("0123456789abcdef") }
}
