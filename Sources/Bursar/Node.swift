// What budgets and sessions have in common: they are nodes of one tree, are
// limited, stopped and read alike.

internal import BursarCore

/// A budget or a session.
public protocol Node: Identifiable, Sendable where ID == Int64 {
    var runtime: Runtime { get }
    /// Positive and never reused; 0 is everything.
    var id: Int64 { get }
}

// MARK: - Control

extension Node {
    /// Stops it and all below: the next step there is refused, in every thread.
    /// Killing twice is fine. `reason` is recorded, up to 256 bytes.
    public func kill(reason: String = "") throws(BursarError) { try control(.kill, reason) }

    /// Undoes a kill.
    public func revive(reason: String = "") throws(BursarError) { try control(.revive, reason) }

    /// Stops it and all below until ``resume(reason:)``.
    public func pause(reason: String = "") throws(BursarError) { try control(.pause, reason) }

    /// Undoes a pause, also one by a limit's `then pause`: time limits start again.
    public func resume(reason: String = "") throws(BursarError) { try control(.resume, reason) }

    private func control(
        _ what: BursarCore.Runtime.Control, _ reason: String
    ) throws(BursarError) {
        let id = self.id
        try runtime.call { (runtime) throws(BursarCore.Failure) in
            if what == .revive || what == .resume,
                let refusal = runtime.refusesAgent("revive or resume")
            {
                throw refusal
            }
            try runtime.control(what, id, reason: reason.bytes)
        }
    }

    /// Counts, decides and reports here but stops nobody, or with `false` stops again.
    public func observe(_ isObserved: Bool = true) throws(BursarError) {
        let id = self.id
        try runtime.administer("switch observing") { (runtime) throws(BursarCore.Failure) in
            try runtime.observe(id, isObserved)
        }
    }

    /// Somebody looked: `unattended` starts again, and what it paused goes on.
    public func attend(by who: String = "") throws(BursarError) {
        let id = self.id
        try runtime.call { (runtime) throws(BursarCore.Failure) in
            try runtime.attend(id, who: who.bytes)
        }
    }
}

// MARK: - Limits

extension Node {
    /// Replaces its limits, at once and for every thread.
    ///
    /// A limit that stays the same keeps its window and its top-ups; a lower one holds
    /// from the next step on, even below what is committed. `"unlimited"` removes all.
    public func setLimits(_ limits: String...) throws(BursarError) {
        let id = self.id
        try runtime.administer("set limits") { (runtime) throws(BursarCore.Failure) in
            try runtime.limitsSet(id, limits.list)
        }
    }

    /// Adds to every limit that it has on a meter: `"$5"`, `"200k tokens"`, `"10m wall"`.
    ///
    /// On a windowed limit it lasts for the current window, on a total until it expires
    /// after `time`, if that is given. Wakes what `then pause` paused.
    public func topUp(
        _ amount: String, for time: Duration = .zero, reason: String = ""
    ) throws(BursarError) {
        let id = self.id
        try runtime.administer("top up") { (runtime) throws(BursarCore.Failure) in
            try runtime.topUp(id, amount.bytes, for: time.nanoseconds, reason: reason.bytes)
        }
    }
}

// MARK: - Reading

extension Node {
    /// What it is, has and did. Folds what is settled first.
    public func view() throws(BursarError) -> View {
        let id = self.id
        return try runtime.call { (runtime) throws(BursarCore.Failure) in
            try View(reading: id, of: runtime)
        }
    }

    /// One meter, for its life. ``Failure/Code/notFound`` when it does not
    /// count that meter, as it has no limit on it.
    public func meter(_ meter: Meter) throws(BursarError) -> MeterView {
        let id = self.id
        return try runtime.call { (runtime) throws(BursarCore.Failure) in
            MeterView(try runtime.meterRead(id, meter.rawValue))
        }
    }

    /// Its path; of a session its budget's.
    public var path: String {
        get throws(BursarError) {
            let id = self.id
            return try runtime.call { (runtime) throws(BursarCore.Failure) in
                String(bytes: try runtime.textRead(id, .path))
            }
        }
    }
}
