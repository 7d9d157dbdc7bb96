// A step that was admitted, until it is settled or released.

internal import BursarCore
internal import Synchronization

/// A step that was granted. Settle it, or release it when it certainly was not billed.
///
/// A step that nobody settled, because an error came first or it was forgotten, settles
/// itself when nobody has it any more: at its worst case, a stream at what was seen,
/// flagged as estimated. One that was only held is released. Spend is never dropped.
public final class Step: Sendable {
    public let session: Session
    private let granted: BursarCore.Decision
    private let stage: Atomic<Stage>

    private enum Stage: UInt8, AtomicRepresentable { case held, sent, streamed, ended }

    init(_ session: Session, _ decision: BursarCore.Decision, isHeld: Bool) {
        self.session = session
        granted = decision
        stage = Atomic(isHeld ? .held : .sent)
    }

    deinit {
        // The runtime may be closed by now, or the time to live over: it is settled then.
        switch stage.load(ordering: .relaxed) {
        case .held: try? release()
        case .sent: _ = try? settle(.worst)
        case .streamed: _ = try? settle(.incomplete)
        case .ended: break
        }
    }

    /// What was granted, and why not more.
    public var decision: Decision { Decision(granted, of: session.runtime) }

    /// Its number: for ``Request/parent``, and for settling late.
    public var reservation: Int64 { granted.reservation }

    /// The model granted, by the name that the provider knows; empty for a tool.
    public var model: String { decision.model?.name ?? "" }

    /// The output tokens granted: tell the provider.
    public var maxOutput: Int { Int(granted.maxOutput) }

    /// Before a step that was only held goes out.
    ///
    /// - Throws: ``Failure/Code/expired``: do not send it.
    public func begin() throws(BursarError) {
        try answer(session.runtime.core.begin(reservation), of: session.runtime.core)
        if stage.load(ordering: .relaxed) == .held { stage.store(.sent, ordering: .relaxed) }
    }

    /// Reports how many output tokens a stream has brought so far, and renews the time
    /// to live.
    ///
    /// - Returns: nil: go on. A reason: stop reading and settle, as the session was
    ///   stopped or the output is used up.
    public func stream(output: Int) throws(BursarError) -> Reason? {
        var reason = BursarCore.Reason.none
        let status = session.runtime.core.stream(reservation, Int64(output), &reason)
        if stage.load(ordering: .relaxed) == .sent { stage.store(.streamed, ordering: .relaxed) }
        if status == .refused { return Reason(reason) }
        try answer(status, of: session.runtime.core)
        return nil
    }

    /// Replaces what the step held by what it used, at every level.
    ///
    /// More than was held is recorded in full, flagged, and trips the next step. Settling
    /// again with the same usage answers with the first receipt.
    ///
    /// - Throws: ``Failure/Code/conflict``: it was settled with other usage;
    ///   ``Failure/Code/invalid``: an amount is negative or a part above its
    ///   whole, and the step stays as it is.
    @discardableResult
    public func settle(_ usage: Usage) throws(BursarError) -> Receipt {
        let receipt = try session.runtime.settle(reservation, usage)
        stage.store(.ended, ordering: .relaxed)
        return receipt
    }

    /// Gives back what the step held: it did not happen and is not billed.
    public func release() throws(BursarError) {
        try answer(session.runtime.core.release(reservation), of: session.runtime.core)
        stage.store(.ended, ordering: .relaxed)
    }
}

extension Runtime {
    /// Settles a step by its number, when the truth comes after the step is gone: it then
    /// corrects the estimate.
    @discardableResult
    public func settle(_ reservation: Int64, _ usage: Usage) throws(BursarError) -> Receipt {
        var receipt = BursarCore.Receipt()
        defer { withExtendedLifetime(self) {} }
        try answer(core.settle(reservation, usage.forCore, &receipt), of: core)
        return Receipt(receipt)
    }
}

private func answer(_ status: Status, of core: Core) throws(BursarError) {
    if status != .ok { throw BursarError(status, of: core) }
}
