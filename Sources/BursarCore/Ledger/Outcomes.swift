// Outcomes: business results that a session or a workflow is credited with, stated by
// whoever produced them and revised by others. A revision goes into the next block of the
// outbox, with as many others as were said together; when the call returns it is there.
// Nothing but such a call makes one.

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
    /// Unix ns; 0 = now.
    public var at: Int64 = 0
    public init() {}
}

/// What is to go into the outbox together.
private struct Saying {
    /// As many go into one block.
    static let most = 1024
    /// The ledger with all that was said before, where somebody has asked it.
    var ledger: Connection?
    var new: [OutcomeEntry] = []
    var places: [Int] = []
    var path: [UInt8] = []  // of the last
    /// Names and ids of `new`, as hashes.
    var marks: [Int64] = []
}

extension Runtime {
    /// The header's bursar_outcomes(). `answer` hears of each: 1 it is there, 0 it was, or what
    /// is wrong with it. Throws what is wrong with the home: all that hear so are not there.
    public func outcomes(
        _ count: Int, _ given: (Int) throws(Failure) -> Outcome,
        _ answer: (Int, Int32, Failure?) -> Void
    ) throws(Failure) {
        var saying = Saying()
        var at = 0
        do throws(Failure) {
            while at < count {
                do throws(Failure) {
                    try say(given(at), at, &saying, answer)
                } catch {
                    switch error.status {
                    case .invalid, .size, .notFound, .conflict, .moneyText, .path, .role, .unsupported:
                        answer(at, error.status.rawValue, error)
                    default: throw error
                    }
                }
                at += 1
            }
            try write(&saying, answer)
            // What cannot be worked out now, the keeper does.
            if isEarningDue { do throws(Failure) { try earn() } catch {} }
        } catch {
            for k in saying.places { answer(k, error.status.rawValue, error) }
            for k in at..<count { answer(k, error.status.rawValue, error) }
            throw error
        }
    }

    /// Takes one to what is said together, if it is new.
    private func say(
        _ given: Outcome, _ place: Int, _ saying: inout Saying, _ answer: (Int, Int32, Failure?) -> Void
    ) throws(Failure) {
        var new = try entry(given)
        let path = try credit(given, &new, &saying)
        if attachment.place != nil {
            let mark = Runtime.mark(new)
            // What is known of it is with those that wait.
            if saying.new.count == Saying.most || !new.key.isEmpty && saying.marks.contains(mark) {
                try write(&saying, answer)
            }
            if try isKnown(new, &saying) { return answer(place, 0, nil) }
            saying.marks.append(mark)
        } else if new.state != .stated {
            throw Failure(.unsupported, "a private runtime keeps no outcomes that could be revised: open one with a home")
        }
        saying.new.append(new)
        saying.places.append(place)
        saying.path = path
    }

    private static func mark(_ new: OutcomeEntry) -> Int64 {
        var h: UInt64 = 0xcbf2_9ce4_8422_2325
        for text in [new.name, new.key] {
            for byte in text { h = (h ^ UInt64(byte)) &* 0x100_0000_01b3 }
            h = h &* 0x100_0000_01b3
        }
        return Int64(bitPattern: h)
    }

    private func entry(_ given: Outcome) throws(Failure) -> OutcomeEntry {
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
        // So that reports, which add them up, have room for what is said in error.
        for amount in [given.value ?? 0, given.reworkNanos, given.reworkTime >> 3]
        where amount.magnitude > UInt64(Bound.amount) {
            throw Failure(.invalid, "an outcome's amount is larger than any that can be added up")
        }
        new.hasValue = given.value != nil
        new.value = given.value ?? 0
        new.reworkNanos = given.reworkNanos
        new.reworkTime = given.reworkTime
        new.why = Path.line(given.reason, most: 256)
        new.actor = actor
        new.said = clock.unix
        new.at = given.at == 0 ? new.said : given.at
        if new.at < 0 || new.at > new.said + Runtime.dayLong {
            throw Failure(.invalid, "an outcome's time is before 1970, or more than a day ahead")
        }
        if state == .verified, let refusal = refusesAgent("verify an outcome") { throw refusal }
        return new
    }

    private static var dayLong: Int64 { 86_400_000_000_000 }

    private func named(_ text: [UInt8], _ what: StaticString) throws(Failure) -> [UInt8] {
        if text.count <= 256, Path.isText(text), !text.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            return text
        }
        throw Failure(.invalid, "an outcome's \(plain: what) is text of at most 256 bytes on one line")
    }

    /// What it is credited to, once: a session, a workflow, or all sessions with a label.
    /// Its path, where it has one.
    private func credit(
        _ given: Outcome, _ new: inout OutcomeEntry, _ saying: inout Saying
    ) throws(Failure) -> [UInt8] {
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
        var opened: Int64 = 0
        var path: [UInt8] = []
        do throws(Failure) {
            path = try configuring { () throws(Failure) in
                let i = try resolve(given.session)
                let node = core.node(i)
                if !node.isSession { throw Failure(.notFound, "it is no session") }
                opened = node.opened.value &+ clock.unix &- clock.steady
                return self.path(of: i)
            }
        } catch {
            // One that was closed lives on in the ledger; whose key is small, an id is not.
            if error.status != .notFound || attachment.place == nil { throw error }
            let connection = try ledger(&saying)
            let key =
                given.session >> 32 == 0
                ? given.session
                : try connection.first(
                    .findSession, core.statistic(Header.segmentID).value, given.session) ?? 0
            guard let found = try connection.first(.openedAt, key) else { throw error }
            if key != given.session { opened = found }
        }
        // Of a day or an hour only the beginning may be known.
        if opened > new.at &+ Runtime.dayLong {
            throw Failure(
                .notFound, "the session was opened after the outcome's time: the id means another one since a reboot; name a label, or the session's key in the ledger")
        }
        return path
    }

    /// The ledger with all that was said so far.
    private func ledger(_ saying: inout Saying) throws(Failure) -> Connection {
        if let open = saying.ledger { return open }
        let new = try ledger(through: core.batch.loadAcquiring())
        saying.ledger = new
        return new
    }

    /// Whether there is nothing new in a revision; throws where it may not be.
    private func isKnown(_ new: OutcomeEntry, _ saying: inout Saying) throws(Failure) -> Bool {
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
        let old = try ledger(&saying).revisions(of: new.name, new.key)
        guard let first = old.first, let last = old.last else {
            if new.state != .stated {
                throw Failure(.notFound, "no outcome \(new.name) with the id \(new.key) was stated")
            }
            if !isCredited { throw uncredited }
            return false
        }
        if new.state != .stated, first.who != new.who,
            let refusal = refusesAgent("revise an outcome that somebody else stated")
        {
            throw refusal
        }
        // Of which one knows when it was said, it is not said again, whatever came since.
        if new.state != .stated, new.at != new.said, old.contains(where: { $0.says(new) }) { return true }
        if last.state == .withdrawn, new.state != .stated, new.state != .withdrawn {
            throw Failure(.conflict, "the outcome \(new.name) with the id \(new.key) was withdrawn: state another one")
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

    /// Puts what waits into the outbox, in a block of its own batch, and tells so.
    private func write(
        _ saying: inout Saying, _ answer: (Int, Int32, Failure?) -> Void
    ) throws(Failure) {
        guard let last = saying.new.last else { return }
        if attachment.place != nil { try write(saying.new) }
        for k in saying.places { answer(k, 1, nil) }
        var event = Event(type: .outcome)
        event.text = last.name
        event.actor = last.actor
        if saying.new.count == 1 {
            event.id = last.session != 0 ? last.session : last.budget
            event.session = last.session
            event.amount = last.value
            event.path = saying.path
        } else {
            // One, so that those which matter stay in the ring.
            event.text = Sentence("\(saying.new.count) outcomes").bytes
        }
        send(event)
        saying = Saying()
    }

    private func write(_ new: [OutcomeEntry]) throws(Failure) {
        guard folding.lock(for: SharedLock.most) else { throw stuck("ledger") }
        defer { folding.unlock() }
        if let status = core.obstacleToNew() { throw core.failure(status) }
        pendingOutcomes = new
        foldLocked()
        if pendingOutcomes.isEmpty { return }
        pendingOutcomes = []
        if core.statistic(Header.ledgerFails).value == 0 { throw stuck("configuration") }
        throw Failure(.home, "the ledger cannot be written, and the outcome is not in it: an event says why")
    }
}

extension Connection {
    /// All that was said of an outcome: oldest first, `null` for a value that is not known.
    fileprivate func revisions(
        of name: [UInt8], _ key: [UInt8]
    ) throws(Failure) -> [OutcomeEntry] {
        let row = self[.revisions]
        defer { row.reset() }
        row.put(name)
        row.put(key)
        var found: [OutcomeEntry] = []
        while try row.step() {
            var old = OutcomeEntry()
            old.state = OutcomeEntry.State(rawValue: row.int(0)) ?? .stated
            old.value = row.isNull(1) ? null : row.int(1)
            old.who = row.bytes(2)
            old.at = row.int(3)
            old.reworkNanos = row.int(4)
            old.reworkTime = row.int(5)
            found.append(old)
        }
        return found
    }
}

extension OutcomeEntry {
    /// Whether this one, from the ledger, is what another says.
    fileprivate func says(_ new: OutcomeEntry) -> Bool {
        state == new.state && at == new.at && who == new.who && (!new.hasValue || value == new.value)
            && (new.reworkNanos == 0 || reworkNanos == new.reworkNanos)
            && (new.reworkTime == 0 || reworkTime == new.reworkTime)
    }
}
