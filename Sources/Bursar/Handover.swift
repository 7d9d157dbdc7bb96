// Sessions that go from one process of a home to another.

internal import BursarCore
internal import Synchronization

extension Session {
    /// BURSAR_HOME and BURSAR_SESSION for the environment of a sub-agent in another
    /// process, which calls ``Runtime/attach(environment:)``. From then on the session
    /// stays open when this process dies, until somebody closes it.
    ///
    /// - Throws: ``Failure/Code/unsupported`` in a private runtime.
    public var environment: [String: String] {
        get throws(BursarError) {
            let id = self.id
            let text = try runtime.call { (runtime) throws(BursarCore.Failure) in
                try runtime.sessionEnviron(id)
            }
            var environment: [String: String] = [:]
            for line in text.split(separator: UInt8(ascii: "\n")) {
                guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
                environment[String(bytes: Array(line[..<equals]))] =
                    String(bytes: Array(line[(equals + 1)...]))
            }
            return environment
        }
    }
}

extension Runtime {
    /// The session that this process was handed in its environment:
    ///
    ///     let session = try Runtime.attach(environment: ProcessInfo.processInfo.environment)
    ///
    /// It is the session of ``Session/environment``, with its limits and what it has
    /// spent. Its home is opened once, however often this is called, and closed when
    /// nobody has anything of it any more; it is never made. Only ``Session/close()``
    /// closes the session.
    ///
    /// - Parameter role: As an agent it cannot raise limits, revive or remove.
    /// - Throws: ``Failure/Code/notFound``: the variables are not there, or the session
    ///   is not (any more).
    public static func attach(
        environment: [String: String], role: Role = .agent
    ) throws(BursarError) -> Session {
        guard let home = environment["BURSAR_HOME"], let session = environment["BURSAR_SESSION"]
        else {
            throw .failed(
                Failure(
                    .notFound,
                    "BURSAR_HOME or BURSAR_SESSION is not set: start this process with those of session.environment"))
        }
        return try Homes.shared.runtime(of: home, role).attach(session)
    }

    /// The session that another process of the home handed over: its BURSAR_SESSION.
    public func attach(_ session: String) throws(BursarError) -> Session {
        let id = try call { (runtime) throws(BursarCore.Failure) in
            try runtime.sessionAttach(session.bytes)
        }
        return Session(self, id, parent: nil, isAttached: true)
    }
}

/// The homes that ``Runtime/attach(environment:)`` has opened.
private final class Homes: Sendable {
    static let shared = Homes()

    private struct Key: Hashable {
        let home: String
        let role: Runtime.Role
    }
    private struct Weak: Sendable { weak var runtime: Runtime? }
    private let known = Mutex<[Key: Weak]>([:])

    func runtime(of home: String, _ role: Runtime.Role) throws(BursarError) -> Runtime {
        try known.withLock { (known) throws(BursarError) in
            let key = Key(home: home, role: role)
            if let runtime = known[key]?.runtime, runtime.isOpen { return runtime }
            var options = Runtime.Options()
            options.home = home
            options.role = role
            options.mustExist = true
            let runtime = try Runtime(options)
            known[key] = Weak(runtime: runtime)
            return runtime
        }
    }
}
