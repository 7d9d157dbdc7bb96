// What a block says, as entries (Entries.swift): for who writes them into the database.
// Telling.swift writes what is read here, in the same order.

extension BlockReader {
    /// All that the block says; nil when that is not what a block has.
    mutating func entries() -> LedgerBlock? {
        var block = LedgerBlock()
        block.segment = head.segment
        block.batch = head.batch
        let isSound = eachSection { reader, kind, end in
            switch kind {
            case .steps:
                while reader.at < end, reader.takeStep(&block) {}
            case .name:
                guard let kind = NameEntry.Kind(rawValue: reader.take()) else { return true }
                var name = NameEntry(kind: kind)
                name.number = reader.take()
                name.name = reader.takeText()
                block.names.append(name)
            case .node: block.nodes.append(reader.takeNode())
            case .state: block.states.append(reader.takeState(until: end))
            case .spent:
                while reader.at < end {
                    var spent = SpentEntry()
                    spent.budget = reader.take()
                    spent.meter = reader.take()
                    spent.change = reader.take()
                    block.spent.append(spent)
                }
            case .events:
                while reader.at < end, !reader.isShort { block.events.append(reader.takeEvent()) }
            case .outcome: block.outcomes.append(reader.takeOutcome())
            case .flights:
                _ = reader.take()
                var flights: [FlightEntry] = []
                while reader.at < end, reader.takeStep(&block), let step = block.steps.popLast() {
                    flights.append(FlightEntry(step: step, path: reader.takeList()))
                }
                block.flights = flights
            default: return false
            }
            return true
        }
        return isSound ? block : nil
    }

    /// A record's copy; see Journal.swift for its layout.
    private mutating func takeStep(_ block: inout LedgerBlock) -> Bool {
        let start = at
        let isEnough = bytes.count - at >= Record.size / 2
        var step = StepEntry()
        var flags: UInt32 = 0
        var original: Int64 = 0
        func time(_ steady: Int64) -> Int64 { steady == 0 ? 0 : steady &+ head.offset }
        func halves() -> (UInt32, UInt32) {
            let word = take()
            return (UInt32(truncatingIfNeeded: word), UInt32(truncatingIfNeeded: word >> 32))
        }
        step.handle = take()
        step.session = take()
        step.settled = time(take())
        flags = halves().0
        (step.asked, step.granted) = halves()
        let (price, tool) = halves()
        step.price = Int64(price & Record.priceNumber)
        step.tool = tool
        step.reserved = take()
        at += 16
        step.cost = take()
        step.input = take()
        step.output = take()
        step.cacheRead = take()
        step.reasoning = take()
        step.started = time(take())
        step.askedCost = step.cost
        step.flags = flags & StepFlag.known
        step.attempt = flags >> 16 & 0xFF
        step.variant = UInt8(flags >> 24 & 3)
        step.complexity = UInt8(flags >> 26 & 3)
        let happened: Int64 = flags & RecordFlag.unsent == 0 ? 1 : 0
        step.steps = flags & RecordFlag.charge == 0 ? happened : 0
        step.toolCalls = tool != 0 ? happened : 0
        at = start + Record.size / 2
        if flags & (RecordFlag.more | RecordFlag.detail) != 0 {
            if flags & RecordFlag.more != 0 {
                let meters = take()
                step.meter = UInt8(truncatingIfNeeded: meters)
                step.callMeter = UInt8(truncatingIfNeeded: meters >> 8)
                at += 8
                step.units = take()
                original = take()
                at += 8
                step.askedCost = take()
            }
            at = start + Record.size / 4 * 3
            if flags & RecordFlag.detail != 0 {
                step.cacheWrite = take()
                step.cacheWrite1h = take()
                step.audioInput = take()
                step.cacheReadAudio = take()
                step.audioOutput = take()
                step.imageInput = take()
                step.imageOutput = take()
                step.extraNanos = take()
            }
            at = start + Record.size
        }
        if flags & RecordFlag.correction != 0 {
            block.corrections.append(CorrectionEntry(step: step))
        } else {
            step.parent = original
            block.steps.append(step)
        }
        return isEnough
    }

    private mutating func takeNode() -> NodeEntry {
        var node = NodeEntry()
        node.kind = NodeEntry.Kind(rawValue: take()) ?? .session
        node.id = take()
        node.parent = take()
        node.complexity = UInt8(truncatingIfNeeded: take())
        node.opened = take()
        node.closed = take()
        let labels = min(max(take(), 0), 16)
        for _ in 0..<labels {
            let key = takeText()
            node.labels.append((key, takeText()))
        }
        node.path = takeText()
        node.owner = takeText()
        node.costCenter = takeText()
        node.purpose = takeText()
        node.agent = takeText()
        node.user = takeText()
        node.reason = takeText()
        return node
    }

    private mutating func takeState(until end: Int) -> BudgetStateEntry {
        var state = BudgetStateEntry()
        state.id = take()
        state.state = take()
        state.stateReason = take()
        state.when = take()
        state.flags = take()
        state.topRungs = take()
        state.complexity = UInt8(truncatingIfNeeded: take())
        state.paused = take()
        state.pausedSince = take()
        state.earn = take()
        state.earnMost = take()
        state.earnOutcome = takeText()
        state.limitText = takeText()
        state.who = takeText()
        state.why = takeText()
        let limits = min(max(take(), 0), Int64(LimitList.limitsMax))
        for _ in 0..<limits {
            var limit = BudgetStateEntry.Limit()
            limit.text = takeText()
            limit.meter = take()
            limit.windowStart = take()
            limit.spent = take()
            limit.base = take()
            limit.since = take()
            limit.extra = take()
            limit.earned = take()
            limit.fired = take()
            limit.ring = takeList()
            state.limits.append(limit)
        }
        // Top-ups up to the end of the section.
        while at < end, !isShort {
            state.topUps.append(BudgetStateEntry.TopUp(limit: take(), amount: take(), ends: take()))
        }
        return state
    }
}

extension Block {
    @inline(never)
    func put(_ event: Event) {
        for value in [
            event.sequence, Int64(event.type.rawValue), event.unixNanos, event.id, event.session,
            event.reservation, Int64(event.meter), Int64(event.percent), event.amount, event.limit,
            event.committed, Int64(event.reason.rawValue),
        ] { put(value) }
        for text in [event.path, event.text, event.actor] { put(text) }
    }

    func put(_ outcome: OutcomeEntry) {
        open(.outcome)
        for value in [
            outcome.state.rawValue, outcome.session, outcome.budget, outcome.hasValue ? 1 : 0,
            outcome.value, outcome.reworkNanos, outcome.reworkTime, outcome.at, outcome.said,
        ] { put(value) }
        for text in [
            outcome.key, outcome.name, outcome.join, outcome.who, outcome.why, outcome.actor,
        ] { put(text) }
        close()
    }
}

extension BlockReader {
    private mutating func takeSmall() -> Int32 { Int32(truncatingIfNeeded: take()) }

    fileprivate mutating func takeEvent() -> Event {
        let sequence = take()
        var event = Event(type: EventType(rawValue: takeSmall()) ?? .corrupt)
        event.sequence = sequence
        event.unixNanos = take()
        event.id = take()
        event.session = take()
        event.reservation = take()
        event.meter = takeSmall()
        event.percent = takeSmall()
        event.amount = take()
        event.limit = take()
        event.committed = take()
        event.reason = Reason(rawValue: takeSmall()) ?? .none
        event.path = takeText()
        event.text = takeText()
        event.actor = takeText()
        return event
    }

    fileprivate mutating func takeOutcome() -> OutcomeEntry {
        var outcome = OutcomeEntry()
        outcome.state = OutcomeEntry.State(rawValue: take()) ?? .stated
        outcome.session = take()
        outcome.budget = take()
        outcome.hasValue = take() != 0
        outcome.value = take()
        outcome.reworkNanos = take()
        outcome.reworkTime = take()
        outcome.at = take()
        outcome.said = take()
        outcome.key = takeText()
        outcome.name = takeText()
        outcome.join = takeText()
        outcome.who = takeText()
        outcome.why = takeText()
        outcome.actor = takeText()
        return outcome
    }
}

extension StepFlag {
    /// What a step's flags may say of the record's.
    static let known =
        estimated | stream | unpriced | overrun | charge | late | direct | unsent
}
