/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps: settle, replay, conflict, release, expiry, streams, overruns, charges,
 * the ladder, child sessions.
 */
#include "help.h"

test("a step is reserved at its worst case and settled at what it used") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme/support", 0, "$2, 200 steps");
    bursar_decision_t d;
    need(reserve(rt, s, request_of(model(rt, "plain"), 1200, 1024), &d), BURSAR_OK);
    equal(d.verdict, BURSAR_VERDICT_ALLOW);
    equal(d.reserved_nanos, 2224 * TOKEN);
    equal(d.max_output_tokens, 1024);
    equal(view_of(rt, s).reserved_nanos, 2224 * TOKEN);
    bursar_receipt_t r;
    need(settle(rt, d.reservation, usage_of(1200, 300), &r), BURSAR_OK);
    equal(r.cost_nanos, 1500 * TOKEN);
    equal(r.reserved_nanos, 2224 * TOKEN);
    equal(r.overrun_nanos, 0);
    equal(r.model, d.model);
    bursar_view_t v = view_of(rt, s);
    equal(v.spent_nanos, 1500 * TOKEN);
    equal(v.reserved_nanos, 0);
    equal(v.remaining_nanos, 2 * DOLLAR - 1500 * TOKEN);
    equal(v.steps, 1);
    equal(v.input_tokens, 1200);
    equal(v.output_tokens, 300);
    close_runtime(rt);
}

test("settling again replays the same usage and refuses another") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$2");
    bursar_decision_t d;
    bursar_receipt_t first, again;
    need(reserve(rt, s, request_of(model(rt, "plain"), 10, 10), &d), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(10, 5), &first), BURSAR_OK);
    equal(first.flags & BURSAR_RECEIPT_REPLAY, 0);
    need(settle(rt, d.reservation, usage_of(10, 5), &again), BURSAR_OK);
    equal(again.cost_nanos, first.cost_nanos);
    equal(again.flags & BURSAR_RECEIPT_REPLAY, BURSAR_RECEIPT_REPLAY);
    equal(settle(rt, d.reservation, usage_of(10, 6), NULL), BURSAR_E_CONFLICT);
    equal(bursar_release(rt, d.reservation), BURSAR_E_CONFLICT);
    equal(view_of(rt, s).spent_nanos, 15 * TOKEN);
    equal(settle(rt, d.reservation, usage_of(10, 5), &again), BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, 15 * TOKEN);
    close_runtime(rt);
}

test("a released step costs nothing, releases again, and cannot be settled") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$2, 1 in_flight");
    bursar_decision_t d;
    need(reserve(rt, s, request_of(model(rt, "plain"), 10, 10), &d), BURSAR_OK);
    need(bursar_release(rt, d.reservation), BURSAR_OK);
    equal(bursar_release(rt, d.reservation), BURSAR_OK);
    equal(settle(rt, d.reservation, usage_of(1, 1), NULL), BURSAR_E_RELEASED);
    bursar_view_t v = view_of(rt, s);
    equal(v.spent_nanos, 0);
    equal(v.reserved_nanos, 0);
    equal(v.steps, 0);
    close_runtime(rt);
}

test("usage above the reservation is recorded in full and trips the next admission") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "200 tokens");
    bursar_decision_t d;
    bursar_receipt_t r;
    need(reserve(rt, s, request_of(model(rt, "plain"), 50, 50), &d), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(150, 100), &r), BURSAR_OK);
    equal(r.cost_nanos, 250 * TOKEN);
    equal(r.overrun_nanos, 150 * TOKEN);
    equal(r.flags & BURSAR_RECEIPT_OVERRUN, BURSAR_RECEIPT_OVERRUN);
    equal(reserve(rt, s, request_of(model(rt, "plain"), 1, 1), &d), BURSAR_E_REFUSED);
    equal(d.verdict, BURSAR_VERDICT_HALT);
    equal(d.reason, BURSAR_REASON_LIMIT);
    equal(d.meter, BURSAR_METER_TOKENS);
    equal(d.budget, s);
    equal(d.limit, 200);
    equal(d.committed, 250);
    equal(d.remaining, 0);
    equal(d.requested, 2);
    equal(d.reservation, 0);
    char text[512];
    size_t len = 0;
    need(bursar_decision_explain(rt, &d, text, sizeof text, &len), BURSAR_OK);
    check(len > 20 && len < sizeof text);
    close_runtime(rt);
}

test("a refusal only for what is in flight is transient") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$0.10");
    bursar_decision_t d, refused;
    need(reserve(rt, s, request_of(model(rt, "dime"), 0, 0), &d), BURSAR_OK);
    need(reserve(rt, s, request_of(model(rt, "dime"), 0, 0), &refused), BURSAR_E_REFUSED);
    equal(refused.flags & BURSAR_DECISION_TRANSIENT, BURSAR_DECISION_TRANSIENT);
    equal(refused.remedy, BURSAR_REMEDY_WAIT);
    need(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    need(reserve(rt, s, request_of(model(rt, "dime"), 0, 0), &refused), BURSAR_E_REFUSED);
    equal(refused.flags & BURSAR_DECISION_TRANSIENT, 0);
    close_runtime(rt);
}

test("a stream is told when its output is used up, and never settled below what was seen") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$2");
    bursar_request_t request = request_of(model(rt, "plain"), 100, 50);
    request.flags = BURSAR_REQUEST_STREAM;
    bursar_decision_t d;
    bursar_receipt_t r;
    int32_t reason = -1;
    need(reserve(rt, s, request, &d), BURSAR_OK);
    equal(bursar_stream(rt, d.reservation, 20, &reason), BURSAR_OK);
    equal(bursar_stream(rt, d.reservation, -1, &reason), BURSAR_E_INVALID);
    bursar_usage_t cut = BURSAR_USAGE_INIT;
    cut.flags = BURSAR_USAGE_INCOMPLETE;
    need(settle(rt, d.reservation, cut, &r), BURSAR_OK);
    check(r.cost_nanos >= 120 * TOKEN);

    need(reserve(rt, s, request, &d), BURSAR_OK);
    equal(bursar_stream(rt, d.reservation, 51, &reason), BURSAR_E_REFUSED);
    need(bursar_kill(rt, s, LIT("enough")), BURSAR_OK);
    equal(bursar_stream(rt, d.reservation, 20, &reason), BURSAR_E_REFUSED);
    equal(reason, BURSAR_REASON_KILLED);
    equal(bursar_stream(rt, d.reservation, 20, NULL), BURSAR_E_REFUSED);
    need(settle(rt, d.reservation, usage_of(100, 20), NULL), BURSAR_OK);
    close_runtime(rt);
}

test("an explicit zero from the provider is zero, and nothing known is the worst case") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$2");
    bursar_decision_t d;
    bursar_receipt_t r;
    need(reserve(rt, s, request_of(model(rt, "plain"), 100, 50), &d), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(0, 0), &r), BURSAR_OK);
    equal(r.cost_nanos, 0);
    bursar_usage_t worst = BURSAR_USAGE_INIT;
    worst.flags = BURSAR_USAGE_WORST;
    need(reserve(rt, s, request_of(model(rt, "plain"), 100, 50), &d), BURSAR_OK);
    need(settle(rt, d.reservation, worst, &r), BURSAR_OK);
    equal(r.cost_nanos, 150 * TOKEN);
    equal(r.flags & BURSAR_RECEIPT_ESTIMATED, BURSAR_RECEIPT_ESTIMATED);
    bursar_usage_t billed = usage_of(100, 50);
    billed.flags = BURSAR_USAGE_COST;
    billed.cost_nanos = 7;
    need(reserve(rt, s, request_of(model(rt, "plain"), 100, 50), &d), BURSAR_OK);
    need(settle(rt, d.reservation, billed, &r), BURSAR_OK);
    equal(r.cost_nanos, 7);
    close_runtime(rt);
}

test("a step that outlives its time to live is settled at its worst case, and corrected when it comes late") {
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    options.reservation_ttl_ns = 30 * INT64_C(1000000);
    bursar_runtime_t *rt = open_runtime(&options);
    int32_t fd;
    need(bursar_events_fd(rt, &fd), BURSAR_OK);
    bursar_id_t s = session(rt, "acme", 0, "$2");
    bursar_decision_t d;
    bursar_event_t event;
    bursar_receipt_t r;
    need(reserve(rt, s, request_of(model(rt, "plain"), 100, 50), &d), BURSAR_OK);
    if (!wait_event(rt, BURSAR_EVENT_ORPHAN, &event)) return;
    equal(event.reservation, d.reservation);
    bursar_view_t v = view_of(rt, s);
    equal(v.spent_nanos, 150 * TOKEN);
    equal(v.reserved_nanos, 0);
    need(settle(rt, d.reservation, usage_of(100, 10), &r), BURSAR_OK);
    equal(r.flags & BURSAR_RECEIPT_LATE, BURSAR_RECEIPT_LATE);
    equal(view_of(rt, s).spent_nanos, 110 * TOKEN);
    need(settle(rt, d.reservation, usage_of(100, 10), &r), BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, 110 * TOKEN);
    equal(settle(rt, d.reservation, usage_of(100, 11), NULL), BURSAR_E_CONFLICT);
    bursar_health_t h;
    memset(&h, 0, sizeof h);
    h.size = sizeof h;
    need(bursar_health(rt, &h), BURSAR_OK);
    equal(h.late_settles, 1);
    close_runtime(rt);
}

test("a hold that ran out must not be sent, and holds nothing") {
    bursar_runtime_t *rt = open_runtime(NULL);
    int32_t fd;
    need(bursar_events_fd(rt, &fd), BURSAR_OK);
    bursar_id_t s = session(rt, "acme", 0, "$2");
    bursar_request_t request = request_of(model(rt, "plain"), 10, 10);
    request.flags = BURSAR_REQUEST_HOLD;
    bursar_decision_t d, short_lived;
    need(reserve(rt, s, request, &d), BURSAR_OK);
    request.ttl_ns = 1000000;
    need(reserve(rt, s, request, &short_lived), BURSAR_OK);
    struct timespec nap = {0, 5000000};
    for (int i = 0; i < 2000 && view_of(rt, s).reserved_nanos != d.reserved_nanos; i++) nanosleep(&nap, NULL);
    equal(view_of(rt, s).reserved_nanos, d.reserved_nanos);
    equal(bursar_begin(rt, short_lived.reservation), BURSAR_E_EXPIRED);
    equal(bursar_begin(rt, d.reservation), BURSAR_OK);
    equal(settle(rt, d.reservation, usage_of(10, 10), NULL), BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, 20 * TOKEN);
    close_runtime(rt);
}

test("a loop settles and reserves in one call") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "3 steps");
    bursar_request_t request = request_of(model(rt, "plain"), 10, 10);
    bursar_usage_t usage = usage_of(10, 1), wrong = usage_of(10, 1);
    bursar_decision_t d = BURSAR_DECISION_INIT;
    bursar_receipt_t r = BURSAR_RECEIPT_INIT;
    bursar_status_t settled = 1;
    wrong.cache_read_input_tokens = 11;
    need(bursar_reserve(rt, s, &request, &d), BURSAR_OK);
    for (int i = 0; i < 2; i++) {
        bursar_reservation_t before = d.reservation;
        need(bursar_settle_and_reserve(rt, before, &usage, &r, &settled, s, &request, &d), BURSAR_OK);
        equal(settled, BURSAR_OK);
        equal(r.cost_nanos, 11 * TOKEN);
        check(d.reservation != before);
    }
    bursar_reservation_t third = d.reservation;
    check(bursar_settle_and_reserve(rt, third, &wrong, &r, &settled, s, &request, &d) != BURSAR_OK);
    equal(settled, BURSAR_E_INVALID);
    equal(bursar_settle_and_reserve(rt, third, &usage, &r, &settled, s, &request, &d), BURSAR_E_REFUSED);
    equal(settled, BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, 33 * TOKEN);
    close_runtime(rt);
}

test("a charge with a key counts once, and with another amount conflicts") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$1");
    bursar_charge_t c = BURSAR_CHARGE_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    bursar_receipt_t r = BURSAR_RECEIPT_INIT;
    c.nanos = DOLLAR / 50;
    c.key[0] = 1;
    c.key[1] = 2;
    need(bursar_charge(rt, s, &c, &d, &r), BURSAR_OK);
    equal(r.cost_nanos, DOLLAR / 50);
    equal(r.flags & BURSAR_RECEIPT_REPLAY, 0);
    need(bursar_charge(rt, s, &c, &d, &r), BURSAR_OK);
    equal(r.flags & BURSAR_RECEIPT_REPLAY, BURSAR_RECEIPT_REPLAY);
    equal(r.cost_nanos, DOLLAR / 50);
    c.nanos++;
    equal(bursar_charge(rt, s, &c, &d, &r), BURSAR_E_CONFLICT);
    c.key[1] = 3;
    c.nanos = 2 * DOLLAR;
    equal(bursar_charge(rt, s, &c, &d, NULL), BURSAR_E_REFUSED);
    equal(d.reason, BURSAR_REASON_LIMIT);
    equal(d.requested, 2 * DOLLAR);
    equal(view_of(rt, s).spent_nanos, DOLLAR / 50);
    c.flags = BURSAR_CHARGE_FORCE;
    equal(bursar_charge(rt, s, &c, NULL, NULL), BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, 2 * DOLLAR + DOLLAR / 50);
    close_runtime(rt);
}

test("tools have prices and limits of their own, and meters can be named") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_tool_t tool = 0, same = 0;
    bursar_meter_t seconds = 0;
    need(bursar_tool_find(rt, LIT("web_search"), &tool, NULL), BURSAR_OK);
    need(bursar_tool_find(rt, LIT("web_search"), &same, NULL), BURSAR_OK);
    equal(tool, same);
    need(bursar_tool_price_set(rt, tool, DOLLAR / 100), BURSAR_OK);
    need(bursar_meter_define(rt, LIT("gpu_seconds"), &seconds, NULL), BURSAR_OK);
    check(seconds >= BURSAR_METER_NAMED && seconds < BURSAR_METER_WALL);
    bursar_id_t b = budget(rt, "acme", "$1, 2 calls(web_search)/session, 5 gpu_seconds");
    bursar_id_t s = session(rt, "acme", 0, "");
    bursar_request_t request = BURSAR_REQUEST_INIT;
    request.tool = tool;
    bursar_decision_t d;
    bursar_receipt_t r;
    for (int i = 0; i < 2; i++) {
        need(reserve(rt, s, request, &d), BURSAR_OK);
        need(settle(rt, d.reservation, usage_of(0, 0), &r), BURSAR_OK);
        equal(r.cost_nanos, DOLLAR / 100);
    }
    equal(reserve(rt, s, request, &d), BURSAR_E_REFUSED);
    equal(reserve(rt, session(rt, "acme", 0, ""), request, &d), BURSAR_OK);
    equal(bursar_release(rt, d.reservation), BURSAR_OK);

    bursar_charge_t c = BURSAR_CHARGE_INIT;
    c.meter = seconds;
    c.units = 6;
    equal(bursar_charge(rt, s, &c, &d, NULL), BURSAR_E_REFUSED);
    equal(d.meter, seconds);
    c.units = 5;
    equal(bursar_charge(rt, s, &c, &d, NULL), BURSAR_OK);
    bursar_meter_view_t m = BURSAR_METER_VIEW_INIT;
    need(bursar_meter_read(rt, b, seconds, &m), BURSAR_OK);
    equal(m.spent, 5);
    equal(m.remaining, 0);
    equal(view_of(rt, b).tool_calls, 2);
    close_runtime(rt);
}

test("the ladder and the clamp come before a refusal") {
    bursar_runtime_t *rt = open_runtime(NULL);
    price(rt, "dear", 100000000, 0);
    bursar_session_options_t options = BURSAR_SESSION_OPTIONS_INIT;
    options.path = BURSAR_TEXT("acme");
    options.limits = BURSAR_TEXT("$0.01");
    options.ladder = BURSAR_TEXT("dear,plain");
    bursar_id_t s;
    bursar_decision_t d;
    need(bursar_session_open(rt, &options, &s, NULL), BURSAR_OK);
    bursar_request_t request = request_of(model(rt, "dear"), 1000, 1000);
    request.min_output_tokens = 500;
    need(reserve(rt, s, request, &d), BURSAR_OK);
    equal(d.verdict, BURSAR_VERDICT_DOWNGRADE);
    equal(d.model, model(rt, "plain"));
    equal(d.flags & BURSAR_DECISION_LOWER_RUNG, BURSAR_DECISION_LOWER_RUNG);
    need(bursar_release(rt, d.reservation), BURSAR_OK);
    request.flags = BURSAR_REQUEST_AS_ASKED;
    equal(reserve(rt, s, request, &d), BURSAR_E_REFUSED);
    request = request_of(model(rt, "plain"), 1000, 20000);
    need(reserve(rt, s, request, &d), BURSAR_OK);
    equal(d.max_output_tokens, 9000);
    equal(d.reserved_nanos, DOLLAR / 100);
    equal(d.flags & BURSAR_DECISION_CLAMPED, BURSAR_DECISION_CLAMPED);
    need(bursar_release(rt, d.reservation), BURSAR_OK);
    close_runtime(rt);
}

test("what is held back is for the final answer") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_session_options_t options = BURSAR_SESSION_OPTIONS_INIT;
    options.path = BURSAR_TEXT("acme");
    options.limits = BURSAR_TEXT("$0.20");
    options.holdback_nanos = DOLLAR / 10;
    bursar_id_t s;
    bursar_decision_t d;
    need(bursar_session_open(rt, &options, &s, NULL), BURSAR_OK);
    bursar_request_t request = request_of(model(rt, "dime"), 0, 0);
    need(reserve(rt, s, request, &d), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    equal(reserve(rt, s, request, &d), BURSAR_E_REFUSED);
    equal(d.reason, BURSAR_REASON_HOLDBACK);
    request.flags = BURSAR_REQUEST_FINAL;
    need(reserve(rt, s, request, &d), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, DOLLAR / 5);
    close_runtime(rt);
}

test("children of a session together never exceed it, and closing it closes them") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t parent = session(rt, "acme", 0, "$1"), children[4];
    bursar_decision_t d;
    int admitted = 0;
    for (int i = 0; i < 4; i++) children[i] = session(rt, "", parent, "$0.50");
    for (int i = 0; i < 40; i++) {
        if (reserve(rt, children[i % 4], request_of(model(rt, "dime"), 0, 0), &d) != BURSAR_OK) continue;
        admitted++;
        equal(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    }
    equal(admitted, 10);
    equal(view_of(rt, parent).spent_nanos, DOLLAR);
    equal(view_of(rt, children[0]).parent, parent);
    need(bursar_session_close(rt, parent), BURSAR_OK);
    bursar_status_t status = reserve(rt, children[0], request_of(model(rt, "plain"), 0, 1), &d);
    check(status == BURSAR_E_REFUSED || status == BURSAR_E_CLOSED || status == BURSAR_E_NOT_FOUND);
    status = bursar_session_close(rt, parent);
    check(status == BURSAR_OK || status == BURSAR_E_NOT_FOUND);
    close_runtime(rt);
}

test("a closed session's steps in flight can still be settled") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t b = budget(rt, "acme", "$5"), s = session(rt, "acme", 0, "");
    bursar_decision_t d;
    need(reserve(rt, s, request_of(model(rt, "plain"), 10, 10), &d), BURSAR_OK);
    need(bursar_session_close(rt, s), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(10, 5), NULL), BURSAR_OK);
    bursar_view_t v = view_of(rt, b);
    equal(v.spent_nanos, 15 * TOKEN);
    equal(v.reserved_nanos, 0);
    close_runtime(rt);
}

test("spend is told by workflow, agent and models") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_session_options_t options = BURSAR_SESSION_OPTIONS_INIT;
    options.path = BURSAR_TEXT("acme/support");
    options.agent = BURSAR_TEXT("extractor");
    options.limits = BURSAR_TEXT("$5");
    bursar_id_t s;
    bursar_decision_t d;
    for (int i = 0; i < 3; i++) {
        need(bursar_session_open(rt, &options, &s, NULL), BURSAR_OK);
        need(reserve(rt, s, request_of(model(rt, "plain"), 10, 10), &d), BURSAR_OK);
        need(settle(rt, d.reservation, usage_of(10, 5), NULL), BURSAR_OK);
        need(bursar_session_close(rt, s), BURSAR_OK);
    }
    bursar_spend_t row;
    memset(&row, 0, sizeof row);
    row.size = sizeof row;
    need(bursar_spend_read(rt, 0, &row), BURSAR_OK);
    equal(row.steps, 3);
    equal(row.cost_nanos, 45 * TOKEN);
    equal(row.asked_cost_nanos, 45 * TOKEN);
    equal(row.model, model(rt, "plain"));
    check(strcmp(row.path, "acme/support") == 0 && row.path_len == 12);
    check(strcmp(row.agent, "extractor") == 0 && row.agent_len == 9);
    equal(bursar_spend_read(rt, 1, &row), BURSAR_E_NOT_FOUND);
    close_runtime(rt);
}
