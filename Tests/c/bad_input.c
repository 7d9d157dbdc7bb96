/* SPDX-License-Identifier: Apache-2.0
 *
 * Bad input gets a status and a sentence, and changes nothing: NULL, sizes,
 * unknown ids, closed and forked handles, amounts, texts.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "help.h"

#define UNKNOWN (INT64_C(1) << 40 | 7)

/* Every function that takes a runtime must answer `want` for this one. */
static void every_call_answers(bursar_runtime_t *rt, bursar_status_t want) {
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_id_t id = 0;
    bursar_request_t request = BURSAR_REQUEST_INIT;
    bursar_decision_t decision = BURSAR_DECISION_INIT;
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    bursar_receipt_t receipt = BURSAR_RECEIPT_INIT;
    bursar_charge_t charge = BURSAR_CHARGE_INIT;
    bursar_rates_t rates = BURSAR_RATES_INIT;
    bursar_view_t view = BURSAR_VIEW_INIT;
    bursar_meter_view_t meter_view = BURSAR_METER_VIEW_INIT;
    bursar_session_options_t session_options = BURSAR_SESSION_OPTIONS_INIT;
    bursar_limit_view_t limit;
    bursar_spend_t spend;
    bursar_event_t event;
    bursar_health_t health;
    memset(&limit, 0, sizeof limit);
    memset(&spend, 0, sizeof spend);
    memset(&event, 0, sizeof event);
    memset(&health, 0, sizeof health);
    limit.size = sizeof limit;
    spend.size = sizeof spend;
    event.size = sizeof event;
    health.size = sizeof health;
    session_options.path = BURSAR_TEXT("acme");
    bursar_status_t settled = 0;
    bursar_meter_t meter;
    bursar_tool_t tool;
    bursar_model_t model;
    int32_t fd, reason;
    int64_t nanos;
    char text[64];
    size_t len;

    equal(bursar_budget_declare(rt, LIT("acme"), NULL, &id, &error), want);
    check(error.message_len > 0 && error.status == want);
    equal(bursar_budget_find(rt, LIT("acme"), &id), want);
    equal(bursar_budget_remove(rt, 1, &error), want);
    equal(bursar_limits_set(rt, 1, LIT("$1"), &error), want);
    equal(bursar_top_up(rt, 1, LIT("$1"), 0, NULL, 0, &error), want);
    equal(bursar_observe(rt, 0, 1), want);
    equal(bursar_meter_define(rt, LIT("credits"), &meter, &error), want);
    equal(bursar_session_open(rt, &session_options, &id, &error), want);
    equal(bursar_session_close(rt, 1), want);
    equal(bursar_attend(rt, 1, NULL, 0), want);
    equal(bursar_reserve(rt, 1, &request, &decision), want);
    equal(bursar_begin(rt, 1), want);
    equal(bursar_settle(rt, 1, &usage, &receipt), want);
    equal(bursar_release(rt, 1), want);
    equal(bursar_stream(rt, 1, 1, &reason), want);
    equal(bursar_charge(rt, 1, &charge, &decision, &receipt), want);
    check(bursar_settle_and_reserve(rt, 1, &usage, &receipt, &settled, 1, &request, &decision) == want ||
          settled == want);
    equal(bursar_decision_explain(rt, &decision, text, sizeof text, &len), want);
    equal(bursar_kill(rt, 0, NULL, 0), want);
    equal(bursar_revive(rt, 0, NULL, 0), want);
    equal(bursar_pause(rt, 0, NULL, 0), want);
    equal(bursar_resume(rt, 0, NULL, 0), want);
    equal(bursar_model_find(rt, LIT("plain"), &model), want);
    equal(bursar_model_name(rt, 1, text, sizeof text, &len), want);
    equal(bursar_price_set(rt, LIT("plain"), &rates, &error), want);
    equal(bursar_price_get(rt, 1, &rates), want);
    equal(bursar_price_quote(rt, 1, 0, &usage, &nanos), want);
    equal(bursar_prices_load(rt, LIT("{}"), NULL, 0, NULL, NULL, &error), want);
    equal(bursar_tool_find(rt, LIT("search"), &tool, &error), want);
    equal(bursar_tool_price_set(rt, 1, 1), want);
    bursar_estimate_t estimate = BURSAR_ESTIMATE_INIT;
    bursar_estimate_error_t off = BURSAR_ESTIMATE_ERROR_INIT;
    equal(bursar_estimate(rt, &estimate), want);
    equal(bursar_learn(rt, &estimate, 1, 1), want);
    equal(bursar_estimate_error(rt, 0, -1, &off), want);
    equal(bursar_read(rt, 1, &view), want);
    equal(bursar_views(rt, &id, 1, &view), want);
    equal(bursar_meter_read(rt, 1, 0, &meter_view), want);
    equal(bursar_limit_read(rt, 1, 0, &limit), want);
    equal(bursar_text_read(rt, 1, BURSAR_TEXT_PATH, text, sizeof text, &len), want);
    equal(bursar_children(rt, 0, &id, 1, &len), want);
    equal(bursar_spend_read(rt, 0, &spend), want);
    bursar_outcome_t outcome = BURSAR_OUTCOME_INIT;
    bursar_query_t *query;
    equal(bursar_outcome(rt, &outcome, &error), want);
    equal(bursar_outcomes(rt, &outcome, 1, NULL, NULL), want);
    equal(bursar_query(rt, 0, LIT("SELECT 1"), NULL, 0, 0, &query, &len, &error), want);
    equal(bursar_events_callback(rt, NULL, NULL), want);
    equal(bursar_events_fd(rt, &fd), want);
    equal(bursar_events_poll(rt, &event, 1, &len), want);
    equal(bursar_health(rt, &health), want);
    equal(bursar_verify(rt, &error), want);
}

test("no call takes NULL for a runtime") {
    every_call_answers(NULL, BURSAR_E_INVALID);
    equal(bursar_close(NULL), BURSAR_OK);
}

test("every call on a closed runtime answers that it was closed") {
    bursar_runtime_t *rt = open_runtime(NULL);
    need(bursar_close(rt), BURSAR_OK);
    every_call_answers(rt, BURSAR_E_CLOSED);
    equal(bursar_close(rt), BURSAR_E_CLOSED);
}

test("in the child of a fork the parent's runtime answers so, and another one can be opened") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$1");
    bursar_decision_t d;
    need(reserve(rt, s, request_of(model(rt, "dime"), 0, 0), &d), BURSAR_OK);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        test_failures = 0;
        every_call_answers(rt, BURSAR_E_FORKED);
        bursar_runtime_t *own = open_runtime(NULL);
        bursar_decision_t mine;
        equal(reserve(own, session(own, "acme", 0, "$1"), request_of(model(own, "dime"), 0, 0), &mine),
              BURSAR_OK);
        equal(settle(own, mine.reservation, usage_of(0, 0), NULL), BURSAR_OK);
        close_runtime(own);
        fflush(NULL);
        _exit(test_failures ? 1 : 0);
    }
    int status = -1;
    equal(waitpid(child, &status, 0), child);
    equal(status, 0);
    equal(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, DOLLAR / 10);
    close_runtime(rt);
}

test("out parameters that are needed must not be NULL") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$1");
    bursar_request_t request = BURSAR_REQUEST_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    int64_t nanos;
    size_t len;
    equal(bursar_open(NULL, NULL, &error), BURSAR_E_INVALID);
    equal(bursar_session_open(rt, NULL, &s, &error), BURSAR_E_INVALID);
    equal(bursar_reserve(rt, s, NULL, &d), BURSAR_E_INVALID);
    equal(bursar_reserve(rt, s, &request, NULL), BURSAR_E_INVALID);
    equal(bursar_settle(rt, 1, NULL, NULL), BURSAR_E_INVALID);
    equal(bursar_charge(rt, s, NULL, &d, NULL), BURSAR_E_INVALID);
    equal(bursar_budget_declare(rt, NULL, 4, NULL, NULL, &error), BURSAR_E_INVALID);
    equal(bursar_budget_find(rt, LIT("acme"), NULL), BURSAR_E_INVALID);
    equal(bursar_limits_set(rt, s, NULL, 4, &error), BURSAR_E_INVALID);
    equal(bursar_model_find(rt, LIT("x"), NULL), BURSAR_E_INVALID);
    equal(bursar_price_set(rt, LIT("x"), NULL, &error), BURSAR_E_INVALID);
    equal(bursar_money_parse(NULL, 3, &nanos, &error), BURSAR_E_INVALID);
    equal(bursar_money_parse(LIT("$1"), NULL, &error), BURSAR_E_INVALID);
    equal(bursar_read(rt, s, NULL), BURSAR_E_INVALID);
    bursar_view_t one = BURSAR_VIEW_INIT;
    equal(bursar_views(rt, NULL, 1, &one), BURSAR_E_INVALID);
    equal(bursar_views(rt, &s, 1, NULL), BURSAR_E_INVALID);
    equal(bursar_children(rt, 0, NULL, 4, NULL), BURSAR_E_INVALID);
    equal(bursar_kill(rt, s, NULL, 5), BURSAR_E_INVALID);
    equal(bursar_events_poll(rt, NULL, 4, NULL), BURSAR_E_INVALID);
    equal(bursar_text_read(rt, s, BURSAR_TEXT_PATH, NULL, 4, NULL), BURSAR_E_INVALID);
    equal(bursar_text_read(rt, s, BURSAR_TEXT_PATH, NULL, 4, &len), BURSAR_E_BUFFER);
    equal(bursar_events_fd(rt, NULL), BURSAR_E_INVALID);
    equal(bursar_health(rt, NULL), BURSAR_E_INVALID);
    equal(view_of(rt, s).effective_state, BURSAR_STATE_OPEN);
    close_runtime(rt);
}

/* Structs of a newer header: known fields and a tail. */
struct long_request {
    bursar_request_t known;
    int64_t tail[8];
};
struct long_usage {
    bursar_usage_t known;
    int64_t tail[8];
};
struct long_open {
    bursar_open_options_t known;
    int64_t tail[8];
};
struct long_decision {
    bursar_decision_t known;
    int64_t tail[8];
};

test("a struct's size is checked: 0, too small, larger with an empty tail, larger with a set one") {
    bursar_runtime_t *rt = open_runtime(NULL), *second = NULL;
    bursar_id_t s = session(rt, "acme", 0, "$5");
    bursar_decision_t d = BURSAR_DECISION_INIT;
    struct long_request request;
    struct long_usage usage;
    struct long_open options;
    struct long_decision decision;
    memset(&request, 0, sizeof request);
    memset(&usage, 0, sizeof usage);
    memset(&options, 0, sizeof options);
    memset(&decision, 0, sizeof decision);
    request.known.model = model(rt, "plain");
    request.known.max_output_tokens = 10;
    uint32_t bad_sizes[] = {0, 4, 36}; /* 36 ends inside a field */
    for (int i = 0; i < 3; i++) {
        request.known.size = bad_sizes[i];
        equal(bursar_reserve(rt, s, &request.known, &d), BURSAR_E_SIZE);
        options.known.size = bad_sizes[i];
        equal(bursar_open(&options.known, &second, NULL), BURSAR_E_SIZE);
        check(second == NULL);
    }
    request.known.size = sizeof request;
    options.known.size = sizeof options;
    usage.known.size = sizeof usage;
    decision.known.size = sizeof decision;
    request.tail[7] = 1;
    equal(bursar_reserve(rt, s, &request.known, &d), BURSAR_E_SIZE);
    request.tail[7] = 0;
    need(bursar_reserve(rt, s, &request.known, &decision.known), BURSAR_OK);
    equal(decision.known.max_output_tokens, 10);
    usage.tail[0] = 1;
    equal(bursar_settle(rt, decision.known.reservation, &usage.known, NULL), BURSAR_E_SIZE);
    usage.tail[0] = 0;
    usage.known.size = 0;
    equal(bursar_settle(rt, decision.known.reservation, &usage.known, NULL), BURSAR_E_SIZE);
    usage.known.size = sizeof usage;
    equal(bursar_settle(rt, decision.known.reservation, &usage.known, NULL), BURSAR_OK);
    options.tail[3] = 1;
    equal(bursar_open(&options.known, &second, NULL), BURSAR_E_SIZE);
    options.tail[3] = 0;
    need(bursar_open(&options.known, &second, NULL), BURSAR_OK);
    need(bursar_close(second), BURSAR_OK);

    bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
    bursar_budget_options_t bo = BURSAR_BUDGET_OPTIONS_INIT;
    bursar_rates_t rates = BURSAR_RATES_INIT;
    bursar_charge_t charge = BURSAR_CHARGE_INIT;
    bursar_view_t view = BURSAR_VIEW_INIT;
    bursar_id_t id;
    request.known.size = sizeof request.known;
    so.size = bo.size = rates.size = charge.size = view.size = d.size = 0;
    equal(bursar_session_open(rt, &so, &id, NULL), BURSAR_E_SIZE);
    equal(bursar_budget_declare(rt, LIT("acme/x"), &bo, &id, NULL), BURSAR_E_SIZE);
    equal(bursar_price_set(rt, LIT("plain"), &rates, NULL), BURSAR_E_SIZE);
    equal(bursar_charge(rt, s, &charge, NULL, NULL), BURSAR_E_SIZE);
    equal(bursar_read(rt, s, &view), BURSAR_E_SIZE);
    equal(bursar_reserve(rt, s, &request.known, &d), BURSAR_E_SIZE);
    equal(view_of(rt, s).reserved_nanos, 0);
    close_runtime(rt);
}

test("ids that name nothing are not found") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$1"), ids[] = {UNKNOWN, -1, INT64_MIN, INT64_MAX};
    bursar_request_t request = request_of(model(rt, "plain"), 1, 1);
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    bursar_view_t view = BURSAR_VIEW_INIT;
    bursar_session_options_t child = BURSAR_SESSION_OPTIONS_INIT;
    char text[64];
    size_t len;
    for (int i = 0; i < 4; i++) {
        bursar_id_t id = ids[i], out;
        bursar_decision_t d;
        equal(reserve(rt, id, request, &d), BURSAR_E_NOT_FOUND);
        equal(bursar_settle(rt, id, &usage, NULL), BURSAR_E_NOT_FOUND);
        equal(bursar_release(rt, id), BURSAR_E_NOT_FOUND);
        /* A reservation that is gone for long cannot be told from none. */
        bursar_status_t begun = bursar_begin(rt, id), streamed = bursar_stream(rt, id, 1, NULL);
        check(begun == BURSAR_E_NOT_FOUND || begun == BURSAR_E_EXPIRED);
        check(streamed == BURSAR_E_NOT_FOUND || streamed == BURSAR_E_EXPIRED);
        equal(bursar_read(rt, id, &view), BURSAR_E_NOT_FOUND);
        equal(bursar_kill(rt, id, NULL, 0), BURSAR_E_NOT_FOUND);
        equal(bursar_revive(rt, id, NULL, 0), BURSAR_E_NOT_FOUND);
        equal(bursar_limits_set(rt, id, LIT("$1"), NULL), BURSAR_E_NOT_FOUND);
        equal(bursar_top_up(rt, id, LIT("$1"), 0, NULL, 0, NULL), BURSAR_E_NOT_FOUND);
        equal(bursar_attend(rt, id, NULL, 0), BURSAR_E_NOT_FOUND);
        equal(bursar_budget_remove(rt, id, NULL), BURSAR_E_NOT_FOUND);
        equal(bursar_text_read(rt, id, BURSAR_TEXT_PATH, text, sizeof text, &len), BURSAR_E_NOT_FOUND);
        child.parent = id;
        equal(bursar_session_open(rt, &child, &out, NULL), BURSAR_E_NOT_FOUND);
        bursar_status_t status = bursar_session_close(rt, id);
        check(status == BURSAR_E_NOT_FOUND);
    }
    equal(bursar_top_up(rt, s, LIT("5 tokens"), 0, NULL, 0, NULL), BURSAR_E_NOT_FOUND);
    bursar_meter_view_t meter = BURSAR_METER_VIEW_INIT;
    equal(bursar_meter_read(rt, s, 31, &meter), BURSAR_E_NOT_FOUND);
    equal(bursar_meter_read(rt, s, 1000, &meter), BURSAR_E_NOT_FOUND);
    bursar_decision_t d;
    request.model = 1 << 30; /* no name has it */
    equal(reserve(rt, s, request, &d), BURSAR_E_INVALID);
    request.model = -1;
    equal(reserve(rt, s, request, &d), BURSAR_E_INVALID);
    close_runtime(rt);
}

test("negative and overflowing amounts are invalid, and nothing changes") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$5");
    bursar_decision_t d;
    bursar_request_t good = request_of(model(rt, "plain"), 10, 10), bad;
    int64_t *fields[] = {&bad.input_tokens, &bad.input_tokens_upper, &bad.max_output_tokens,
                         &bad.min_output_tokens, &bad.extra_nanos, &bad.ttl_ns};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        bad = good;
        *fields[i] = -1;
        equal(reserve(rt, s, bad, &d), BURSAR_E_INVALID);
        bad = good;
        *fields[i] = INT64_MIN;
        equal(reserve(rt, s, bad, &d), BURSAR_E_INVALID);
    }
    bad = good;
    bad.choices = -1;
    equal(reserve(rt, s, bad, &d), BURSAR_E_INVALID);
    bad = good;
    bad.input_tokens = bad.max_output_tokens = INT64_MAX;
    bad.choices = INT32_MAX;
    bursar_status_t status = reserve(rt, s, bad, &d);
    check(status == BURSAR_E_INVALID || status == BURSAR_E_REFUSED);
    bad = good;
    bad.extra_nanos = INT64_MAX;
    status = reserve(rt, s, bad, &d);
    check(status == BURSAR_E_INVALID || status == BURSAR_E_REFUSED);

    need(reserve(rt, s, good, &d), BURSAR_OK);
    bursar_usage_t usage;
    int64_t *uses[] = {&usage.input_tokens, &usage.cache_read_input_tokens, &usage.cache_write_input_tokens,
                       &usage.cache_write_1h_input_tokens, &usage.output_tokens,
                       &usage.reasoning_output_tokens, &usage.audio_input_tokens,
                       &usage.audio_output_tokens, &usage.image_input_tokens,
                       &usage.image_output_tokens, &usage.extra_nanos, &usage.units};
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        usage = usage_of(10, 10);
        *uses[i] = -1;
        equal(settle(rt, d.reservation, usage, NULL), BURSAR_E_INVALID);
    }
    usage = usage_of(10, 10);
    usage.cache_read_input_tokens = 6;
    usage.cache_write_input_tokens = 5;
    equal(settle(rt, d.reservation, usage, NULL), BURSAR_E_INVALID);
    usage = usage_of(10, 10);
    usage.reasoning_output_tokens = 11;
    equal(settle(rt, d.reservation, usage, NULL), BURSAR_E_INVALID);
    usage = usage_of(10, 10);
    usage.cache_write_input_tokens = 1;
    usage.cache_write_1h_input_tokens = 2;
    equal(settle(rt, d.reservation, usage, NULL), BURSAR_E_INVALID);
    equal(settle(rt, d.reservation, usage_of(INT64_MAX, INT64_MAX), NULL), BURSAR_E_INVALID);
    bursar_view_t v = view_of(rt, s);
    equal(v.spent_nanos, 0);
    equal(v.reserved_nanos, 20 * TOKEN);
    need(settle(rt, d.reservation, usage_of(10, 10), NULL), BURSAR_OK);

    bursar_charge_t c = BURSAR_CHARGE_INIT;
    c.nanos = -1;
    equal(bursar_charge(rt, s, &c, NULL, NULL), BURSAR_E_INVALID);
    c.nanos = 0;
    c.units = -1;
    equal(bursar_charge(rt, s, &c, NULL, NULL), BURSAR_E_INVALID);
    c.units = 5; /* of no meter */
    equal(bursar_charge(rt, s, &c, NULL, NULL), BURSAR_E_INVALID);
    bursar_rates_t rates = BURSAR_RATES_INIT;
    rates.input_picos = -2;
    equal(bursar_price_set(rt, LIT("x"), &rates, NULL), BURSAR_E_INVALID);
    equal(bursar_tool_price_set(rt, 1 << 20, 1), BURSAR_E_NOT_FOUND);
    equal(view_of(rt, s).spent_nanos, 20 * TOKEN);
    close_runtime(rt);
}

test("an unknown model is refused under a money limit, or priced or let through by policy") {
    for (int32_t policy = 0; policy <= BURSAR_UNKNOWN_MODEL_FREE; policy++) {
        bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
        options.unknown_model = policy;
        bursar_runtime_t *rt = open_runtime(&options);
        bursar_id_t s = session(rt, "acme", 0, "$500");
        bursar_request_t request = request_of(model(rt, "nobody knows"), 100, 10);
        bursar_decision_t d;
        if (policy <= BURSAR_UNKNOWN_MODEL_REFUSE) {
            equal(reserve(rt, s, request, &d), BURSAR_E_REFUSED);
            equal(d.reason, BURSAR_REASON_PRICE_UNKNOWN);
            equal(d.remedy, BURSAR_REMEDY_PRICE);
        } else {
            need(reserve(rt, s, request, &d), BURSAR_OK);
            equal(d.flags & BURSAR_DECISION_UNPRICED, BURSAR_DECISION_UNPRICED);
            equal(d.reserved_nanos == 0, policy == BURSAR_UNKNOWN_MODEL_FREE);
            bursar_receipt_t r;
            need(settle(rt, d.reservation, usage_of(100, 10), &r), BURSAR_OK);
            equal(r.flags & BURSAR_RECEIPT_UNPRICED, BURSAR_RECEIPT_UNPRICED);
            equal(r.cost_nanos == 0, policy == BURSAR_UNKNOWN_MODEL_FREE);
        }
        close_runtime(rt);
    }
}

test("a session without a limit above it is let through and flagged, or refused by policy") {
    for (int32_t policy = 0; policy <= BURSAR_UNDECLARED_REFUSE; policy++) {
        bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
        options.undeclared = policy;
        bursar_runtime_t *rt = open_runtime(&options);
        bursar_id_t s = session(rt, "nowhere", 0, "");
        bursar_decision_t d;
        bursar_status_t status = reserve(rt, s, request_of(model(rt, "plain"), 1, 1), &d);
        if (policy == BURSAR_UNDECLARED_REFUSE) {
            equal(status, BURSAR_E_REFUSED);
            equal(d.reason, BURSAR_REASON_UNDECLARED);
            equal(d.remedy, BURSAR_REMEDY_DECLARE);
        } else {
            need(status, BURSAR_OK);
            equal(d.flags & BURSAR_DECISION_UNDECLARED, BURSAR_DECISION_UNDECLARED);
            equal(bursar_release(rt, d.reservation), BURSAR_OK);
            equal(view_of(rt, s).flags & BURSAR_VIEW_UNDECLARED, BURSAR_VIEW_UNDECLARED);
        }
        close_runtime(rt);
    }
}

test("malformed texts say where and what") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_budget_options_t options = BURSAR_BUDGET_OPTIONS_INIT;
    bursar_id_t id;
    int64_t nanos = 77;
    const char *paths[] = {"", "/", "a//b", "/a", "a/", "a/b/c/d/e/f/g/h/i", "a\nb", "\xff"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        equal(bursar_budget_declare(rt, paths[i], strlen(paths[i]), NULL, &id, &error), BURSAR_E_PATH);
        check(error.message_len > 0);
    }
    options.limits = BURSAR_TEXT("$5, 2m tokens/day");
    equal(bursar_budget_declare(rt, LIT("acme"), &options, &id, &error), BURSAR_E_LIMIT_TEXT);
    equal(error.column, 6);
    equal(bursar_budget_find(rt, LIT("acme"), &id), BURSAR_E_NOT_FOUND);
    equal(bursar_money_parse(LIT("1,000"), &nanos, &error), BURSAR_E_MONEY_TEXT);
    equal(nanos, 77);
    equal(bursar_money_parse(LIT("$1.25"), &nanos, NULL), BURSAR_OK);
    equal(nanos, 1250000000);
    equal(bursar_rate_parse(LIT("$0.28/M"), &nanos, NULL), BURSAR_OK);
    equal(nanos, 280000);
    equal(bursar_rate_parse(LIT("$0.28/lot"), &nanos, &error), BURSAR_E_MONEY_TEXT);
    int32_t models = 0;
    size_t len = 0;
    equal(bursar_prices_load(rt, LIT("{\n \"m\": nonsense}"), NULL, 0, &len, &models, &error), BURSAR_E_PRICE);
    equal(error.line, 2);
    check(error.column > 0);
    bursar_label_t labels[17];
    memset(labels, 0, sizeof labels);
    bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
    so.path = BURSAR_TEXT("acme");
    so.labels = labels;
    so.label_count = 1;
    equal(bursar_session_open(rt, &so, &id, &error), BURSAR_E_PATH);
    labels[0].key = BURSAR_TEXT("feature");
    so.label_count = 17;
    bursar_status_t status = bursar_session_open(rt, &so, &id, &error);
    check(status == BURSAR_E_INVALID || status == BURSAR_E_PATH || status == BURSAR_E_CAPACITY);
    so.label_count = 0;
    so.ladder = BURSAR_TEXT("a,b,c,d,e,f,g,h,i");
    status = bursar_session_open(rt, &so, &id, &error);
    check(status == BURSAR_E_INVALID || status == BURSAR_E_CAPACITY);
    close_runtime(rt);
}

test("options out of range are refused") {
    bursar_runtime_t *rt = (bursar_runtime_t *)&rt;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    options.home = BURSAR_TEXT("a\0b");
    equal(bursar_open(&options, &rt, &error), BURSAR_E_INVALID);
    check(rt == NULL);
    check(error.message_len > 0);
    bursar_open_options_t bad = BURSAR_OPEN_OPTIONS_INIT;
    bad.sessions_max = UINT32_MAX;
    equal(bursar_open(&bad, &rt, &error), BURSAR_E_INVALID);
    bad.sessions_max = 0;
    bad.reservations_max = UINT32_MAX;
    equal(bursar_open(&bad, &rt, &error), BURSAR_E_INVALID);
    bad.reservations_max = 0;
    bad.unknown_model = 99;
    equal(bursar_open(&bad, &rt, &error), BURSAR_E_INVALID);
    bad.unknown_model = 0;
    bad.on_unavailable = 4;
    equal(bursar_open(&bad, &rt, &error), BURSAR_E_INVALID);
    bad.on_unavailable = 0;
    bad.role = 3;
    equal(bursar_open(&bad, &rt, &error), BURSAR_E_INVALID);
    bad.role = 0;
    bad.flags = 1u << 31;
    equal(bursar_open(&bad, &rt, &error), BURSAR_E_INVALID);
    bad.flags = 0;
    bad.reservation_ttl_ns = -1;
    equal(bursar_open(&bad, &rt, &error), BURSAR_E_INVALID);
}

test("a full table is an error that names the option, and a place is free again after closing") {
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    options.sessions_max = 16;
    options.reservations_max = 64;
    bursar_runtime_t *rt = open_runtime(&options);
    bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_id_t s = session(rt, "acme", 0, "$100"), id = 0, last = 0;
    so.path = BURSAR_TEXT("acme");
    bursar_status_t status = BURSAR_OK;
    for (int i = 0; i < 32 && status == BURSAR_OK; i++) {
        last = id;
        status = bursar_session_open(rt, &so, &id, &error);
    }
    equal(status, BURSAR_E_CAPACITY);
    has(error.message, error.message_len, "sessions_max");
    need(bursar_session_close(rt, last), BURSAR_OK);
    equal(bursar_session_open(rt, &so, &id, &error), BURSAR_OK);

    bursar_reservation_t held[256];
    int count = 0;
    bursar_decision_t d;
    while (count < 256 && reserve(rt, s, request_of(model(rt, "plain"), 0, 1), &d) == BURSAR_OK) {
        held[count++] = d.reservation;
    }
    check(count >= 32 && count <= 64);
    equal(d.reason, BURSAR_REASON_JOURNAL_FULL);
    equal(d.flags & BURSAR_DECISION_TRANSIENT, BURSAR_DECISION_TRANSIENT);
    for (int i = 0; i < count; i++) equal(settle(rt, held[i], usage_of(0, 1), NULL), BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, count * TOKEN);
    for (int i = 0; i < 1000; i++) {
        need(reserve(rt, s, request_of(model(rt, "plain"), 0, 1), &d), BURSAR_OK);
        need(settle(rt, d.reservation, usage_of(0, 1), NULL), BURSAR_OK);
    }
    equal(view_of(rt, s).spent_nanos, (count + 1000) * TOKEN);
    close_runtime(rt);
}

test("every status has a text, unknown ones too") {
    for (bursar_status_t status = 5; status > -100; status--) {
        check(strlen(bursar_status_string(status)) > 0);
    }
    check(strcmp(bursar_status_string(BURSAR_E_CLOSED), bursar_status_string(BURSAR_E_FORKED)) != 0);
    equal(bursar_abi_version(), BURSAR_ABI_VERSION);
    equal(bursar_version_number(), BURSAR_VERSION_NUMBER);
}
