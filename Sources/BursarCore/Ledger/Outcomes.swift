// Outcomes: business results that a session or a workflow is credited with, stated by
// whoever produced them and revised by others. A revision goes into the next block of the
// outbox; when the call returns it is there. Nothing but such a call makes one.

internal import CLedger
internal import CPlatform

/// The header's bursar_outcome_t.
public struct Outcome {
    public var state: Int32 = 0
    public var name: [UInt8] = []
    public var id: [UInt8] = []
    public var session: Int64 = 0
    public var workflow: [UInt8] = []
    public var label: [UInt8] = []
    /// Nano-dollars; nil = unknown, or as it was.
    public var value: Int64?
    public var reworkNanos: Int64 = 0
    public var reworkTime: Int64 = 0
    public var by: [UInt8] = []
    public var reason: [UInt8] = []
    public init() {}
}

extension Runtime {
    /// The header's bursar_outcome().
    public func outcome(_ given: Outcome) throws(Failure) {
        var new = OutcomeEntry()
        guard let state = OutcomeEntry.State(rawValue: given.state == 0 ? 1 : Int64(given.state)) else {
            throw Failure(.invalid, "an outcome's state is one of BURSAR_OUTCOME_*")
        }
        new.state = state
        new.name = try named(given.name, "name")
        if new.name.isEmpty { throw Failure(.invalid, "an outcome has a name, such as `invoice_processed`") }
        new.key = try named(given.id, "id")
        new.join = try named(given.label, "label")
        new.who = try named(given.by, "author")
        if new.who.isEmpty { new.who = options.name }
        if new.who.isEmpty {
            new.who = bytes("uid ")
            Digits.append(UInt64(bursar__user()), to: &new.who)
        }
        if given.reworkNanos < 0 || given.reworkTime < 0 {
            throw Failure(.invalid, "an outcome's rework is negative")
        }
        new.hasValue = given.value != nil
        new.value = given.value ?? 0
        new.reworkNanos = given.reworkNanos
        new.reworkTime = given.reworkTime
        new.why = Path.line(given.reason, most: 256)
        new.actor = actor
        new.at = clock.unix
        if state == .verified, let refusal = refusesAgent("verify an outcome") { throw refusal }
        let path = try credit(given, &new)
        if attachment.place != nil {
            if try !isKnown(new) { try write(new) }
            // What cannot be worked out now, the keeper does.
            if isEarningDue { do throws(Failure) { try earn() } catch {} }
        } else if state != .stated {
            throw Failure(.unsupported, "a private runtime keeps no outcomes that could be revised: open one with a home")
        }
        var event = Event(type: .outcome)
        event.id = new.session != 0 ? new.session : new.budget
        event.session = new.session
        event.amount = new.value
        event.path = path
        event.text = new.name
        event.actor = new.actor
        send(event)
    }

    private func named(_ text: [UInt8], _ what: StaticString) throws(Failure) -> [UInt8] {
        if text.count <= 256, Path.isText(text), !text.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            return text
        }
        throw Failure(.invalid, "an outcome's \(plain: what) is text of at most 256 bytes on one line")
    }

    /// What it is credited to, once: a session, a workflow, or all sessions with a label.
    /// Its path, where it has one.
    private func credit(_ given: Outcome, _ new: inout OutcomeEntry) throws(Failure) -> [UInt8] {
        let credits =
            (given.session != 0 ? 1 : 0) + (given.workflow.isEmpty ? 0 : 1) + (given.label.isEmpty ? 0 : 1)
        if credits > 1 {
            throw Failure(.invalid, "an outcome is credited to a session, a workflow or a label, and to one of them")
        }
        if !given.label.isEmpty, given.label.firstIndex(of: UInt8(ascii: "=")) ?? 0 == 0 {
            throw Failure(.invalid, "an outcome's label is `key=value`")
        }
        new.session = given.session
        if !given.workflow.isEmpty {
            new.budget = try budgetFind(given.workflow)
            return given.workflow
        }
        if given.session == 0 { return [] }
        do throws(Failure) {
            return try configuring { () throws(Failure) in
                let i = try resolve(given.session)
                if !core.node(i).isSession { throw Failure(.notFound, "it is no session") }
                return path(of: i)
            }
        } catch {
            // One that was closed lives on in the ledger.
            if error.status != .notFound || attachment.place == nil { throw error }
            let connection = try ledger(through: core.batch.loadAcquiring())
            let segment = core.statistic(Header.segmentID).value
            if try connection.first(.findSession, segment, given.session) == nil { throw error }
            return []
        }
    }

    /// Whether there is nothing new in a revision; throws where it may not be.
    private func isKnown(_ new: OutcomeEntry) throws(Failure) -> Bool {
        let isCredited = new.session != 0 || new.budget != 0 || !new.join.isEmpty
        let uncredited = Failure(
            .invalid, "an outcome is credited to a session, a workflow or a label when it is stated")
        if new.key.isEmpty {
            if new.state != .stated {
                throw Failure(.invalid, "an outcome is revised by its id, and none was given")
            }
            if !isCredited { throw uncredited }
            return false
        }
        let old = try ledger(through: core.batch.loadAcquiring()).revisions(of: new.name, new.key)
        guard let first = old.first, let last = old.last else {
            if new.state != .stated {
                throw Failure(.notFound, "no outcome \(new.name) with the id \(new.key) was stated")
            }
            if !isCredited { throw uncredited }
            return false
        }
        if new.state == .corrected {
            if !new.hasValue, new.reworkNanos == 0, new.reworkTime == 0 {
                throw Failure(.invalid, "a correction says a value, or rework")
            }
            return false
        }
        // A replay of the statement is none, whatever became of it since.
        let standing = new.state == .stated ? first.value : last.value
        if new.hasValue, new.value != standing {
            var failure = Failure(
                .conflict, "the outcome \(new.name) with the id \(new.key) is there with another value: correct it")
            failure.values = (standing == null ? 0 : standing, new.value)
            throw failure
        }
        switch new.state {
        case .stated: return true
        case .verified:
            if last.state == .withdrawn {
                throw Failure(.conflict, "the outcome \(new.name) with the id \(new.key) was withdrawn")
            }
            if old.contains(where: { ($0.state == .stated || $0.state == .corrected) && $0.who == new.who }) {
                throw Failure(
                    .role, "\(new.who) stated or corrected this outcome, so somebody else has to verify it: name who does")
            }
            fallthrough
        default:
            return last.state == new.state && last.who == new.who && new.reworkNanos == 0
                && new.reworkTime == 0
        }
    }

    /// Puts it into the outbox, in a block of its own batch.
    private func write(_ new: OutcomeEntry) throws(Failure) {
        guard folding.lock(for: SharedLock.most) else { throw stuck("ledger") }
        defer { folding.unlock() }
        if let status = core.obstacleToNew() { throw core.failure(status) }
        pendingOutcome = new
        foldLocked()
        if pendingOutcome == nil { return }
        pendingOutcome = nil
        if core.statistic(Header.ledgerFails).value == 0 { throw stuck("configuration") }
        throw Failure(.home, "the ledger cannot be written, and the outcome is not in it: an event says why")
    }
}

extension Connection {
    /// All that was said of an outcome: oldest first, `null` for a value that is not known.
    func revisions(
        of name: [UInt8], _ key: [UInt8]
    ) throws(Failure) -> [(state: OutcomeEntry.State, value: Int64, who: [UInt8])] {
        let row = self[.revisions]
        defer { row.reset() }
        row.put(name)
        row.put(key)
        var found: [(state: OutcomeEntry.State, value: Int64, who: [UInt8])] = []
        while try row.step() {
            found.append(
                (OutcomeEntry.State(rawValue: row.int(0)) ?? .stated,
                    row.isNull(1) ? null : row.int(1), row.bytes(2)))
        }
        return found
    }
}
