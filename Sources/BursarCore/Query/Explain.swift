// A decision as a sentence: which budget, which limit, how much was left, what to do.

extension Runtime {
    /// The meter's name as limit text has it.
    func meterName(_ meter: Int32) -> [UInt8] {
        switch Int(meter) {
        case MeterIndex.cost: return [UInt8]("cost")
        case MeterIndex.tokens: return [UInt8]("tokens")
        case MeterIndex.inputTokens: return [UInt8]("input tokens")
        case MeterIndex.outputTokens: return [UInt8]("output tokens")
        case MeterIndex.freshTokens: return [UInt8]("fresh tokens")
        case MeterIndex.steps: return [UInt8]("steps")
        case MeterIndex.toolCalls: return [UInt8]("tool calls")
        case MeterIndex.inFlight: return [UInt8]("steps in flight")
        case MeterIndex.wall: return [UInt8]("wall time")
        case MeterIndex.idle: return [UInt8]("idle time")
        case MeterIndex.unattended: return [UInt8]("unattended time")
        default:
            return meterName(Int(meter)) ?? [UInt8]("a meter")
        }
    }

    private func amount(_ value: Int64, of meter: Int32) -> [UInt8] {
        if meter == 0 { return MoneyText.format(value) }
        var text: [UInt8] = []
        if meter >= 32 {
            Span.append(value - value % 1_000_000, to: &text)
        } else {
            text.appendNumber(value)
        }
        return text
    }

    /// The header's bursar_decision_explain().
    public func explain(_ d: Decision) -> [UInt8] {
        guard config.lock(for: SharedLock.patience) else {
            return [UInt8]("what refuses cannot be read now: another process holds the home's configuration".utf8)
        }
        defer { config.unlock() }
        var text: [UInt8] = []
        var place = [UInt8](d.budget == 0 ? "everything" : "what is closed by now")
        if let i = core.index(of: d.budget) {
            place = path(of: i)
            if core.node(i).isSession { place = [UInt8]("the session in ") + place }
        }
        switch d.verdict {
        case .allow: text.append("allowed")
        case .downgrade:
            text.append("granted on ")
            text += book.name(d.model) ?? []
            text.append(" with at most ")
            text.appendNumber(d.maxOutput)
            text.append(" output tokens, less than was asked")
            return text
        case .throttle: text.append("throttled: ")
        case .pause: text.append("paused: ")
        case .halt: text.append("halted: ")
        }
        switch d.reason {
        case .none: return text
        case .limit, .holdback, .rate, .downgrade:
            if d.reason == .downgrade, d.limit == 0 {
                text.append("a budget above keeps such steps off this model")
                break
            }
            text += place
            text.append(" has ")
            text += amount(d.remaining, of: d.meter)
            text.append(" left of ")
            text += amount(d.limit, of: d.meter)
            if d.meter != 0 {
                text.append(UInt8(ascii: " "))
                text += meterName(d.meter)
            }
            if d.reason == .holdback { text.append(" beside what is held back for the final answer") }
            if d.reason == .rate { text.append(" of its rate") }
            text.append(" (")
            text += amount(d.committed, of: d.meter)
            text.append(" spent or reserved), this step may take ")
            text += amount(d.requested, of: d.meter)
        case .killed: text += place + [UInt8](" was killed")
        case .paused: text += place + [UInt8](" was paused")
        case .closed: text.append("the session was closed")
        case .wall, .idle, .unattended:
            text += place
            text.append(" reached its limit of ")
            text += amount(d.limit, of: d.meter) + [UInt8(ascii: " ")] + meterName(d.meter)
        case .undeclared: text.append("no budget with a limit stands above the session")
        case .priceUnknown:
            text.append("no price is known for ")
            text += d.model == 0 ? [UInt8]("a step without a model") : book.name(d.model) ?? []
        case .journalFull:
            text.append(
                core.statistic(Header.ledgerFails).value != 0
                    ? "steps wait for the ledger, which cannot be written, and the journal is full of them"
                    : "more steps are in flight than the journal has places")
        }
        if d.reason == .killed || d.reason == .paused,
            let i = d.budget == 0 ? 0 : core.index(of: d.budget)
        {
            let why = words(of: i).why
            if !why.isEmpty {
                text.append(" (")
                text += why + [UInt8(ascii: ")")]
            }
        }
        if d.flags & Decision.transient != 0 { text.append("; steps in flight hold the rest") }
        switch d.remedy {
        case .none: break
        case .wait:
            text.append("; try again")
            if d.retryAfter > 0 {
                text.append(" in ")
                Span.append(max(d.retryAfter - d.retryAfter % 1_000_000, 1_000_000), to: &text)
            }
        case .smaller: text.append("; a smaller request fits")
        case .cheaperModel: text.append("; use a cheaper model")
        case .ask: text.append("; ask the owner for more")
        case .stop: text.append("; stop")
        case .price: text.append("; set a price for it")
        case .declare: text.append("; declare a budget with a limit")
        }
        return text
    }
}

extension [UInt8] {
    @inline(never)
    fileprivate mutating func appendNumber(_ value: Int64) {
        if value < 0 { append(UInt8(ascii: "-")) }
        Digits.append(value.magnitude, to: &self)
    }
}
