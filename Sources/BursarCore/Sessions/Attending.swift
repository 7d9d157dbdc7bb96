// Attending: somebody has looked, so that unattended time starts again.

extension Runtime {
    /// The header's bursar_attend(): for the node, what is above it, and all below.
    public func attend(_ id: Int64, who: [UInt8]) throws(Failure) {
        try configuring { () throws(Failure) in
            let i = try resolve(id)
            eachUp(i) { if $0 != i { attend($0) } }
            attend(i)
            eachBelow(i) { below in
                edit.commit()
                attend(below)
            }
        }
        ringKeeper()
    }

    private func attend(_ i: Int) {
        var has = false
        eachLimit(i) { _, limit in if limit.meter == MeterIndex.unattended { has = true } }
        guard has else { return }
        let node = core.node(i)
        let standing = StateBit.held | StateBit.halted
        if node.state.value & standing != 0, node.stateReason == .unattended {
            change(i, clear: standing)
            setStateReason(i, .none)
            var event = Event(type: .resume)
            event.id = core.id(of: i)
            event.path = path(of: i)
            event.reason = .unattended
            event.actor = actor
            send(event)
        }
        restartTimeLimits(i, only: MeterIndex.unattended)
    }
}
