// The core's twins of the header's structs: the same fields in the same places, none
// left out. The hot calls read the caller's memory as the twin.

import CBursar
import Testing

@testable import BursarCore

/// A field in both, and where it lies.
private struct Field {
    let name: String
    let header: Int?
    let core: Int?
    let bytes: Int
}

private func field<C, S, A, B>(
    _ name: String, _ c: KeyPath<C, A>, _ s: KeyPath<S, B>
) -> Field {
    Field(
        name: name, header: MemoryLayout<C>.offset(of: c), core: MemoryLayout<S>.offset(of: s),
        bytes: MemoryLayout<A>.size == MemoryLayout<B>.size ? MemoryLayout<A>.size : -1)
}

/// Every field at one place in both, and together they fill the struct without a gap.
private func expectTwins<C, S>(
    _ c: C.Type, _ s: S.Type, _ fields: [Field], at place: SourceLocation = #_sourceLocation
) {
    #expect(MemoryLayout<C>.size == MemoryLayout<S>.size, sourceLocation: place)
    #expect(MemoryLayout<C>.stride == MemoryLayout<S>.stride, sourceLocation: place)
    #expect(MemoryLayout<C>.alignment == MemoryLayout<S>.alignment, sourceLocation: place)
    var end = 0
    for field in fields {
        #expect(field.header == field.core, "\(S.self).\(field.name)", sourceLocation: place)
        #expect(field.header == end, "\(S.self).\(field.name)", sourceLocation: place)
        #expect(field.bytes > 0, "\(S.self).\(field.name) has two sizes", sourceLocation: place)
        end += field.bytes
    }
    #expect(end == MemoryLayout<C>.size, "\(S.self) has more fields", sourceLocation: place)
}

@Suite struct LayoutTests {
    @Test func aRequestIsTheHeadersFieldByField() {
        expectTwins(
            bursar_request_t.self, Request.self,
            [
                field("size", \bursar_request_t.size, \Request.size),
                field("flags", \bursar_request_t.flags, \Request.flags),
                field("model", \bursar_request_t.model, \Request.model),
                field("tool", \bursar_request_t.tool, \Request.tool),
                field("input", \bursar_request_t.input_tokens, \Request.input),
                field("inputUpper", \bursar_request_t.input_tokens_upper, \Request.inputUpper),
                field("maxOutput", \bursar_request_t.max_output_tokens, \Request.maxOutput),
                field("minOutput", \bursar_request_t.min_output_tokens, \Request.minOutput),
                field("extraNanos", \bursar_request_t.extra_nanos, \Request.extraNanos),
                field("units", \bursar_request_t.units, \Request.units),
                field("meter", \bursar_request_t.meter, \Request.meter),
                field("choices", \bursar_request_t.choices, \Request.choices),
                field("variant", \bursar_request_t.variant, \Request.variant),
                field("complexity", \bursar_request_t.complexity, \Request.complexity),
                field("attempt", \bursar_request_t.attempt, \Request.attempt),
                field("reserved", \bursar_request_t.reserved, \Request.reserved),
                field("parent", \bursar_request_t.parent, \Request.parent),
                field("timeToLive", \bursar_request_t.ttl_ns, \Request.timeToLive),
            ])
    }

    @Test func aDecisionIsTheHeadersFieldByField() {
        expectTwins(
            bursar_decision_t.self, Decision.self,
            [
                field("size", \bursar_decision_t.size, \Decision.size),
                field("verdict", \bursar_decision_t.verdict, \Decision.verdictCode),
                field("reason", \bursar_decision_t.reason, \Decision.reasonCode),
                field("remedy", \bursar_decision_t.remedy, \Decision.remedyCode),
                field("reservation", \bursar_decision_t.reservation, \Decision.reservation),
                field("maxOutput", \bursar_decision_t.max_output_tokens, \Decision.maxOutput),
                field("reservedNanos", \bursar_decision_t.reserved_nanos, \Decision.reservedNanos),
                field("model", \bursar_decision_t.model, \Decision.model),
                field("flags", \bursar_decision_t.flags, \Decision.flags),
                field("budget", \bursar_decision_t.budget, \Decision.budget),
                field("meter", \bursar_decision_t.meter, \Decision.meter),
                field("end", \bursar_decision_t.end, \Decision.end),
                field("limit", \bursar_decision_t.limit, \Decision.limit),
                field("committed", \bursar_decision_t.committed, \Decision.committed),
                field("remaining", \bursar_decision_t.remaining, \Decision.remaining),
                field("requested", \bursar_decision_t.requested, \Decision.requested),
                field("retryAfter", \bursar_decision_t.retry_after_ns, \Decision.retryAfter),
                field("unused", \bursar_decision_t.unused, \Decision.unused),
            ])
    }

    @Test func aReportIsTheHeadersUsageFieldByField() {
        typealias C = bursar_usage_t
        typealias S = Report
        expectTwins(
            C.self, S.self,
            [
                field("size", \C.size, \S.size),
                field("flags", \C.flags, \S.flags),
                field("input", \C.input_tokens, \S.usage.inputTokens),
                field("cacheRead", \C.cache_read_input_tokens, \S.usage.cacheReadInputTokens),
                field("cacheWrite", \C.cache_write_input_tokens, \S.usage.cacheWriteInputTokens),
                field(
                    "cacheWrite1h", \C.cache_write_1h_input_tokens,
                    \S.usage.cacheWrite1hInputTokens),
                field("output", \C.output_tokens, \S.usage.outputTokens),
                field("reasoning", \C.reasoning_output_tokens, \S.usage.reasoningOutputTokens),
                field("audioInput", \C.audio_input_tokens, \S.usage.audioInputTokens),
                field(
                    "cacheReadAudio", \C.cache_read_audio_input_tokens,
                    \S.usage.cacheReadAudioInputTokens),
                field("audioOutput", \C.audio_output_tokens, \S.usage.audioOutputTokens),
                field("imageInput", \C.image_input_tokens, \S.usage.imageInputTokens),
                field("imageOutput", \C.image_output_tokens, \S.usage.imageOutputTokens),
                field("extra", \C.extra_nanos, \S.usage.extraNanos),
                field("cost", \C.cost_nanos, \S.costNanos),
                field("units", \C.units, \S.units),
                field("key", \C.key, \S.key),
            ])
    }

    @Test func aReceiptIsTheHeadersFieldByField() {
        expectTwins(
            bursar_receipt_t.self, Receipt.self,
            [
                field("size", \bursar_receipt_t.size, \Receipt.size),
                field("flags", \bursar_receipt_t.flags, \Receipt.flags),
                field("cost", \bursar_receipt_t.cost_nanos, \Receipt.costNanos),
                field("reserved", \bursar_receipt_t.reserved_nanos, \Receipt.reservedNanos),
                field("overrun", \bursar_receipt_t.overrun_nanos, \Receipt.overrunNanos),
                field("asked", \bursar_receipt_t.asked_cost_nanos, \Receipt.askedCostNanos),
                field("model", \bursar_receipt_t.model, \Receipt.model),
                field("reserved", \bursar_receipt_t.reserved, \Receipt.reserved),
            ])
    }

    @Test func aChargeIsTheHeadersFieldByField() {
        expectTwins(
            bursar_charge_t.self, DirectCharge.self,
            [
                field("size", \bursar_charge_t.size, \DirectCharge.size),
                field("flags", \bursar_charge_t.flags, \DirectCharge.flags),
                field("nanos", \bursar_charge_t.nanos, \DirectCharge.nanos),
                field("tool", \bursar_charge_t.tool, \DirectCharge.tool),
                field("meter", \bursar_charge_t.meter, \DirectCharge.meter),
                field("units", \bursar_charge_t.units, \DirectCharge.units),
                field("key", \bursar_charge_t.key, \DirectCharge.key),
            ])
    }

    @Test func aFreshStructIsTheHeadersInit() {
        // Zero but for the size: what the INIT macros say.
        func expectInit<S>(_ value: S, at place: SourceLocation = #_sourceLocation) {
            withUnsafeBytes(of: value) { bytes in
                #expect(bytes.load(as: UInt32.self) == bytes.count, sourceLocation: place)
                #expect(!bytes.dropFirst(4).contains { $0 != 0 }, sourceLocation: place)
            }
        }
        expectInit(Request())
        expectInit(Decision())
        expectInit(Report())
        expectInit(Receipt())
        expectInit(DirectCharge())
    }
}
