// The words of the header, the core and the Swift module: the same numbers, the same
// names, none left out.

import Bursar
import BursarCore
import CBursar
import Testing

/// The numbers that a type knows, with its word for each.
private func words<T>(_ type: T.Type) -> [Int32: String]
where T: RawRepresentable, T.RawValue == Int32 {
    var words: [Int32: String] = [:]
    for number in Int32(-64)...64 {
        if let word = T(rawValue: number) { words[number] = "\(word)" }
    }
    return words
}

@Suite struct WordTests {
    @Test func theModuleSaysTheCoresWords() {
        #expect(words(Bursar.Verdict.self) == words(BursarCore.Verdict.self))
        #expect(words(Bursar.Reason.self) == words(BursarCore.Reason.self))
        #expect(words(Bursar.Remedy.self) == words(BursarCore.Remedy.self))
        #expect(words(Bursar.Event.Kind.self) == words(BursarCore.EventType.self))
        #expect(words(Bursar.Variant.self) == words(BursarCore.Variant.self))
        var statuses = words(BursarCore.Status.self)
        statuses[0] = nil  // not a failure
        #expect(words(Bursar.Failure.Code.self) == statuses)
        for end in Bursar.End.allCases {
            #expect(BursarCore.End(rawValue: UInt8(end.rawValue)).map { "\($0)" } == "\(end)")
        }
    }

    @Test func theModuleSaysTheHeadersNumbers() {
        #expect(Bursar.Verdict.halt.rawValue == BURSAR_VERDICT_HALT)
        #expect(Bursar.Verdict.allCases.count == Int(BURSAR_VERDICT_HALT) + 1)
        #expect(Bursar.Reason.undeclared.rawValue == BURSAR_REASON_UNDECLARED)
        #expect(Bursar.Reason.holdback.rawValue == BURSAR_REASON_HOLDBACK)
        #expect(Bursar.Reason.allCases.count == Int(BURSAR_REASON_HOLDBACK) + 1)
        #expect(Bursar.Remedy.stop.rawValue == BURSAR_REMEDY_STOP)
        #expect(Bursar.Remedy.declare.rawValue == BURSAR_REMEDY_DECLARE)
        #expect(Bursar.Remedy.allCases.count == Int(BURSAR_REMEDY_DECLARE) + 1)
        #expect(Bursar.Event.Kind.threshold.rawValue == BURSAR_EVENT_THRESHOLD)
        #expect(Bursar.Event.Kind.window.rawValue == BURSAR_EVENT_WINDOW)
        #expect(Bursar.Event.Kind.throttle.rawValue == BURSAR_EVENT_THROTTLE)
        #expect(Bursar.Event.Kind.home.rawValue == BURSAR_EVENT_HOME)
        #expect(Bursar.Event.Kind.allCases.count == Int(BURSAR_EVENT_OUTCOME))
        #expect(Bursar.Failure.Code.invalid.rawValue == BURSAR_E_INVALID)
        #expect(Bursar.Failure.Code.inUse.rawValue == BURSAR_E_IN_USE)
        #expect(Bursar.Failure.Code.corrupt.rawValue == BURSAR_E_CORRUPT)
        #expect(Bursar.Failure.Code.home.rawValue == BURSAR_E_HOME)
        #expect(Bursar.Failure.Code.role.rawValue == BURSAR_E_ROLE)
        #expect(Bursar.Meter.fieldNumbers == [
            BURSAR_METER_COST, BURSAR_METER_TOKENS, BURSAR_METER_INPUT_TOKENS,
            BURSAR_METER_OUTPUT_TOKENS, BURSAR_METER_FRESH_TOKENS, BURSAR_METER_STEPS,
            BURSAR_METER_TOOL_CALLS, BURSAR_METER_IN_FLIGHT, BURSAR_METER_WALL,
            BURSAR_METER_IDLE, BURSAR_METER_UNATTENDED,
        ])
        #expect(Bursar.End.observe.rawValue == BURSAR_END_OBSERVE)
        #expect(Bursar.State.halted.rawValue == BURSAR_STATE_HALTED)
        #expect(Bursar.State.closed.rawValue == BURSAR_STATE_CLOSED)
        #expect(Bursar.Complexity.complex.rawValue == BURSAR_COMPLEXITY_COMPLEX)
        #expect(Bursar.Variant.priority.rawValue == BURSAR_VARIANT_PRIORITY)
    }
}

extension Bursar.Meter {
    fileprivate static var fieldNumbers: [Int32] {
        [
            cost, tokens, inputTokens, outputTokens, freshTokens, steps, toolCalls, inFlight, wall,
            idle, unattended,
        ].map(\.rawValue)
    }
}
