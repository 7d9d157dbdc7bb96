// Handles beyond one process and one place: in the child of a fork, and where the
// home's files went away.
//
// In a child everything that the parent's threads were changing is as it was at that
// instant, for ever: locks, caches, the loop. So the child takes nothing over of its
// parent's runtime but what never changes, and the price book, whose lock fork() itself
// takes first. The parent's objects stay where they are, and nobody looks at them again.
// What was in flight is the parent's.

internal import CPlatform

extension Runtime {
    /// Puts a runtime of this process's own behind a handle that came with fork().
    /// Threads that come together wait for the first.
    static func reattach(_ core: Core) throws(Failure) {
        // Not retained, and never released: a count may have been half-way.
        let parent = core.runtime
        guard let place = parent.attachment.place else { throw core.failure(.forked) }
        var options = parent.options
        options.home = place.folder.path
        options.loop = nil  // a loop of the caller's is the parent's
        try start(core, options, parent.book, parent: parent.attachment.me)
    }

    /// Looks whether the home is where others would find it. Where it is not, an event
    /// says so and every handle of the process begins nothing new: see `Life`. For the
    /// loop, once a second.
    func lookAtHome() {
        guard core.life.value == Life.open, let failure = attachment.whatIsMissing() else { return }
        if attachment.stop(attachment.locks.isLost ? Life.lost : Life.adrift) {
            tellHome(Sentence(bytes: failure.sentence))
        }
    }

    /// An event about the home.
    func tellHome(_ text: Sentence) {
        var event = Event(type: .home)
        event.text = text.bytes
        event.path = attachment.place?.folder.path ?? options.home
        send(event)
    }
}

extension Core {
    /// A status of `obstacle` in words.
    public func failure(_ status: Status) -> Failure {
        switch status {
        case .forked:
            return Failure(
                .forked, "this handle belongs to the parent process; open a runtime in the child")
        case .home:
            // Of a child that could not attach there is no runtime to ask.
            if forks.value == bursar__forks() {
                return runtime.attachment.whatIsMissing()
                    ?? Failure(.home, "the home was lost; close it and open it again")
            }
            do throws(Failure) { try Runtime.reattach(self) } catch { return error }
            return Failure(.busy, "the home was out of reach; try again")
        default: return Failure(.closed, "the runtime was closed")
        }
    }

    /// Whether the handle may raise, revive and remove.
    public var mayAdminister: Bool { engine.pointee.policy.role != .agent }
}

extension Runtime {
    /// The refusal of an agent that wants to `what`; nil for an operator.
    public func refusesAgent(_ what: StaticString) -> Failure? {
        if core.mayAdminister { return nil }
        return Failure(
            .role, "this runtime was opened with role agent, which may not \(plain: what): ask an operator")
    }
}
