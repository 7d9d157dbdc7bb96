/* SPDX-License-Identifier: Apache-2.0
 *
 * Corners where two rules meet: which refusal is told, what a live change counts,
 * how long what was given lasts, numbers at the ends of their ranges.
 */
#include "help.h"

static bursar_status_t charge(bursar_runtime_t *rt, bursar_id_t s, int64_t nanos, uint32_t flags,
                              bursar_decision_t *d, bursar_receipt_t *r) {
    bursar_charge_t c = BURSAR_CHARGE_INIT;
    c.nanos = nanos;
    c.flags = flags;
    bursar_decision_t decision = BURSAR_DECISION_INIT;
    bursar_receipt_t receipt = BURSAR_RECEIPT_INIT;
    bursar_status_t status = bursar_charge(rt, s, &c, &decision, &receipt);
    if (d) *d = decision;
    if (r) *r = receipt;
    return status;
}

static bursar_id_t laddered(bursar_runtime_t *rt, const char *path, const char *ladder) {
    bursar_session_options_t options = BURSAR_SESSION_OPTIONS_INIT;
    bursar_id_t id = 0;
    options.path = text_of(path);
    options.ladder = text_of(ladder);
    equal(bursar_session_open(rt, &options, &id, NULL), BURSAR_OK);
    return id;
}

static void pass_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

test("a budget's default for sessions moves nobody down the ladder by the budget's own spend") {
    bursar_runtime_t *rt = open_runtime(NULL);
    price(rt, "cheap", 1000, 0);
    budget(rt, "acme", "$100 downgrade 99%, $2/session downgrade 80%");
    bursar_decision_t d;
    need(charge(rt, laddered(rt, "acme", "plain,cheap"), DOLLAR * 19 / 10, 0, NULL, NULL), BURSAR_OK);
    need(reserve(rt, laddered(rt, "acme", "plain,cheap"), request_of(0, 1, 1), &d), BURSAR_OK);
    equal(d.verdict, BURSAR_VERDICT_ALLOW);
    equal(d.flags & BURSAR_DECISION_DOWNGRADING, 0);
    need(bursar_release(rt, d.reservation), BURSAR_OK);
    close_runtime(rt);
}

test("an observed default for sessions is not judged by the budget's own spend") {
    bursar_runtime_t *rt = open_runtime(NULL);
    budget(rt, "acme", "$100 then observe, $2/session then observe");
    need(charge(rt, session(rt, "acme", 0, ""), DOLLAR * 19 / 10, 0, NULL, NULL), BURSAR_OK);
    bursar_decision_t d;
    need(charge(rt, session(rt, "acme", 0, ""), DOLLAR, 0, &d, NULL), BURSAR_OK);
    equal(d.flags & BURSAR_DECISION_OBSERVED, 0);
    close_runtime(rt);
}

test("a session with a rate of its own keeps the default total") {
    bursar_runtime_t *rt = open_runtime(NULL);
    budget(rt, "acme", "$100, $2/session");
    bursar_id_t s = session(rt, "acme", 0, "$5/min");
    bursar_decision_t d;
    equal(charge(rt, s, 3 * DOLLAR, 0, &d, NULL), BURSAR_E_REFUSED);
    equal(d.limit, 2 * DOLLAR);
    equal(view_of(rt, session(rt, "acme", 0, "$3")).remaining_nanos, 3 * DOLLAR);
    close_runtime(rt);
}

test("an unknown model is refused under a rate of money too") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_decision_t d;
    equal(reserve(rt, session(rt, "acme", 0, "$5/min"), request_of(model(rt, "no-such-model"), 1, 1), &d),
          BURSAR_E_REFUSED);
    equal(d.reason, BURSAR_REASON_PRICE_UNKNOWN);
    close_runtime(rt);
}

test("a model's number that was never given is invalid, whatever the policy") {
    for (int32_t policy = 1; policy <= 3; policy++) {
        bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
        options.unknown_model = policy;
        bursar_runtime_t *rt = open_runtime(&options);
        bursar_id_t s = session(rt, "acme", 0, "5 steps");
        bursar_model_t last = model(rt, "no-such-model");
        bursar_decision_t d;
        equal(reserve(rt, s, request_of(last + 1, 1, 1), NULL), BURSAR_E_INVALID);
        equal(reserve(rt, s, request_of(INT32_MAX, 1, 1), NULL), BURSAR_E_INVALID);
        need(reserve(rt, s, request_of(last, 1, 1), &d), BURSAR_OK);
        equal((d.flags & BURSAR_DECISION_UNPRICED) != 0, 1);
        need(bursar_release(rt, d.reservation), BURSAR_OK);
        close_runtime(rt);
    }
}

test("the longest time to live is no time at all ago") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$2");
    bursar_request_t q = request_of(model(rt, "plain"), 1, 1);
    q.ttl_ns = INT64_MAX;
    q.flags = BURSAR_REQUEST_STREAM;
    bursar_decision_t d;
    need(reserve(rt, s, q, &d), BURSAR_OK);
    equal(view_of(rt, s).reserved_nanos, 2 * TOKEN);
    need(bursar_stream(rt, d.reservation, 1, NULL), BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, 0);
    equal(view_of(rt, s).spent_nanos, 0);
    bursar_receipt_t r;
    need(settle(rt, d.reservation, usage_of(1, 0), &r), BURSAR_OK);
    equal(r.flags & BURSAR_RECEIPT_LATE, 0);
    close_runtime(rt);
}

test("a top-up of a rolling window ends when it was said to") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t b = budget(rt, "acme", "$5/2s");
    need(bursar_top_up(rt, b, LIT("$1"), INT64_C(200000000), NULL, 0, NULL), BURSAR_OK);
    equal(view_of(rt, b).remaining_nanos, 6 * DOLLAR);
    pass_ms(400);
    equal(view_of(rt, b).remaining_nanos, 5 * DOLLAR);
    need(bursar_top_up(rt, b, LIT("$1"), 0, NULL, 0, NULL), BURSAR_OK);
    pass_ms(2200);
    equal(view_of(rt, b).remaining_nanos, 5 * DOLLAR);
    close_runtime(rt);
}

test("a late settle above what was held is an overrun, and a replay says so again") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$2");
    bursar_decision_t d;
    bursar_receipt_t r;
    bursar_usage_t worst = BURSAR_USAGE_INIT;
    worst.flags = BURSAR_USAGE_WORST;
    need(reserve(rt, s, request_of(model(rt, "plain"), 10, 10), &d), BURSAR_OK);
    need(settle(rt, d.reservation, worst, NULL), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(10, 30), &r), BURSAR_OK);
    equal(r.flags, BURSAR_RECEIPT_LATE | BURSAR_RECEIPT_OVERRUN);
    equal(r.overrun_nanos, 20 * TOKEN);
    bursar_health_t h;
    memset(&h, 0, sizeof h);
    h.size = sizeof h;
    need(bursar_health(rt, &h), BURSAR_OK);
    equal(h.overrun_nanos, 20 * TOKEN);
    view_of(rt, s); /* folds the correction */
    need(settle(rt, d.reservation, usage_of(10, 30), &r), BURSAR_OK);
    equal(r.flags, BURSAR_RECEIPT_LATE | BURSAR_RECEIPT_OVERRUN | BURSAR_RECEIPT_REPLAY);
    need(reserve(rt, s, request_of(model(rt, "plain"), 1, 1), &d), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(1, 3), NULL), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(1, 3), &r), BURSAR_OK);
    equal(r.flags, BURSAR_RECEIPT_REPLAY | BURSAR_RECEIPT_OVERRUN);
    close_runtime(rt);
}

test("what a forced charge takes above a limit is an overrun") {
    bursar_runtime_t *rt = open_runtime(NULL);
    budget(rt, "acme", "$3");
    bursar_id_t s = session(rt, "acme", 0, "$2");
    bursar_receipt_t r;
    need(charge(rt, s, DOLLAR, BURSAR_CHARGE_FORCE, NULL, &r), BURSAR_OK);
    equal(r.flags, 0);
    need(charge(rt, s, 3 * DOLLAR, BURSAR_CHARGE_FORCE, NULL, &r), BURSAR_OK);
    equal(r.flags, BURSAR_RECEIPT_OVERRUN);
    equal(r.overrun_nanos, 2 * DOLLAR);
    equal(r.cost_nanos, 3 * DOLLAR);
    close_runtime(rt);
}

test("the gravest state on the path is told, before any limit") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t b = budget(rt, "acme", "$9");
    bursar_id_t s = session(rt, "acme", 0, "1 step");
    bursar_request_t q = request_of(model(rt, "plain"), 1, 1);
    q.flags = BURSAR_REQUEST_STREAM;
    bursar_decision_t flying, d;
    need(reserve(rt, s, q, &flying), BURSAR_OK);
    equal(reserve(rt, s, q, &d), BURSAR_E_REFUSED);
    equal(d.reason, BURSAR_REASON_LIMIT);
    need(bursar_pause(rt, s, NULL, 0), BURSAR_OK);
    need(bursar_kill(rt, b, LIT("enough")), BURSAR_OK);
    equal(reserve(rt, s, q, &d), BURSAR_E_REFUSED);
    equal(d.reason, BURSAR_REASON_KILLED);
    equal(d.verdict, BURSAR_VERDICT_HALT);
    equal(d.budget, b);
    int32_t reason = 0;
    equal(bursar_stream(rt, flying.reservation, 5, &reason), BURSAR_E_REFUSED);
    equal(reason, BURSAR_REASON_KILLED);
    bursar_view_t v = view_of(rt, s);
    equal(v.state, BURSAR_STATE_PAUSED);
    equal(v.effective_state, BURSAR_STATE_KILLED);
    equal(v.reason, BURSAR_REASON_KILLED);
    need(bursar_revive(rt, b, NULL, 0), BURSAR_OK);
    need(bursar_resume(rt, s, NULL, 0), BURSAR_OK);
    equal(reserve(rt, s, q, &d), BURSAR_E_REFUSED);
    equal(d.reason, BURSAR_REASON_LIMIT);
    need(bursar_release(rt, flying.reservation), BURSAR_OK);
    close_runtime(rt);
}

test("refusals count at every budget above") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t b = budget(rt, "acme/support", "$9");
    bursar_id_t s = session(rt, "acme/support", 0, "$1");
    for (int i = 0; i < 3; i++) equal(charge(rt, s, 2 * DOLLAR, 0, NULL, NULL), BURSAR_E_REFUSED);
    equal(view_of(rt, s).refusals, 3);
    equal(view_of(rt, b).refusals, 3);
    equal(view_of(rt, 0).refusals, 3);
    close_runtime(rt);
}

test("a refusal is transient when the least useful request fits without what is in flight") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "1000 tokens");
    bursar_decision_t flying, d;
    need(reserve(rt, s, request_of(model(rt, "plain"), 0, 900), &flying), BURSAR_OK);
    bursar_request_t q = request_of(model(rt, "plain"), 100, 5000);
    q.min_output_tokens = 500;
    equal(reserve(rt, s, q, &d), BURSAR_E_REFUSED);
    equal(d.flags & BURSAR_DECISION_TRANSIENT, BURSAR_DECISION_TRANSIENT);
    equal(d.requested, 5100);
    q.min_output_tokens = 901;
    equal(reserve(rt, s, q, &d), BURSAR_E_REFUSED);
    equal(d.flags & BURSAR_DECISION_TRANSIENT, 0);
    need(bursar_release(rt, flying.reservation), BURSAR_OK);
    q.min_output_tokens = 500;
    need(reserve(rt, s, q, &d), BURSAR_OK);
    equal(d.max_output_tokens, 900);
    need(bursar_release(rt, d.reservation), BURSAR_OK);
    close_runtime(rt);
}

test("a wait is told only when every limit in the way starts anew") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_decision_t d;
    bursar_id_t s = session(rt, "acme", 0, "$1/hour, $1");
    need(charge(rt, s, DOLLAR, 0, NULL, NULL), BURSAR_OK);
    equal(charge(rt, s, DOLLAR, 0, &d, NULL), BURSAR_E_REFUSED);
    equal(d.retry_after_ns, 0);
    s = session(rt, "acme", 0, "$1/hour, $1/year");
    need(charge(rt, s, DOLLAR, 0, NULL, NULL), BURSAR_OK);
    equal(charge(rt, s, DOLLAR, 0, &d, NULL), BURSAR_E_REFUSED);
    bursar_limit_view_t year;
    memset(&year, 0, sizeof year);
    year.size = sizeof year;
    need(bursar_limit_read(rt, s, 1, &year), BURSAR_OK);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t rest = (year.window_end_unix_ns / DOLLAR - now.tv_sec) * DOLLAR;
    check(d.retry_after_ns > rest - 5 * DOLLAR && d.retry_after_ns < rest + 5 * DOLLAR);
    close_runtime(rt);
}

test("a meter that is limited later knows what was spent by then") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$9");
    bursar_decision_t d;
    for (int i = 0; i < 3; i++) {
        need(reserve(rt, s, request_of(model(rt, "plain"), 10, 5), &d), BURSAR_OK);
        need(settle(rt, d.reservation, usage_of(10, 5), NULL), BURSAR_OK);
    }
    need(bursar_limits_set(rt, s, LIT("$9, 4 steps, 45 tokens"), NULL), BURSAR_OK);
    equal(reserve(rt, s, request_of(model(rt, "plain"), 1, 0), &d), BURSAR_E_REFUSED);
    equal(d.committed, 45);
    need(bursar_limits_set(rt, s, LIT("$9, 4 steps"), NULL), BURSAR_OK);
    need(reserve(rt, s, request_of(model(rt, "plain"), 1, 0), &d), BURSAR_OK);
    equal(reserve(rt, s, request_of(model(rt, "plain"), 1, 0), NULL), BURSAR_E_REFUSED);
    need(bursar_release(rt, d.reservation), BURSAR_OK);
    close_runtime(rt);
}

test("a session in another's place starts from nothing") {
    bursar_runtime_t *rt = open_runtime(NULL);
    budget(rt, "acme", "$9");
    for (int i = 0; i < 50; i++) {
        bursar_id_t s = session(rt, "acme", 0, "$1");
        bursar_view_t v = view_of(rt, s);
        equal(v.steps, 0);
        equal(v.input_tokens + v.output_tokens, 0);
        bursar_decision_t d;
        need(reserve(rt, s, request_of(model(rt, "plain"), 10, 5), &d), BURSAR_OK);
        need(settle(rt, d.reservation, usage_of(10, 5), NULL), BURSAR_OK);
        need(bursar_session_close(rt, s), BURSAR_OK);
        view_of(rt, 0); /* folds, and gives the place back */
    }
    close_runtime(rt);
}

test("a refund gives no room that time has paid off already") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "6000 tokens/s");
    bursar_model_t m = model(rt, "plain");
    bursar_decision_t first, d;
    bursar_request_t q = request_of(m, 6000, 0);
    need(reserve(rt, s, q, &first), BURSAR_OK);
    pass_ms(1100);
    need(reserve(rt, s, q, &d), BURSAR_OK); /* the first is paid off */
    need(settle(rt, first.reservation, usage_of(1, 0), NULL), BURSAR_OK);
    equal(reserve(rt, s, q, &d), BURSAR_E_REFUSED);
    equal(d.reason, BURSAR_REASON_RATE);
    check(d.retry_after_ns > DOLLAR / 2);
    close_runtime(rt);
}

test("a step that was never there is not found; one that ended is expired") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$1");
    bursar_decision_t d;
    need(reserve(rt, s, request_of(model(rt, "plain"), 1, 1), &d), BURSAR_OK);
    equal(bursar_begin(rt, d.reservation + 1), BURSAR_E_NOT_FOUND);
    equal(bursar_stream(rt, d.reservation + 1, 1, NULL), BURSAR_E_NOT_FOUND);
    equal(bursar_begin(rt, d.reservation + (INT64_C(7) << 44)), BURSAR_E_NOT_FOUND);
    need(bursar_release(rt, d.reservation), BURSAR_OK);
    equal(bursar_begin(rt, d.reservation), BURSAR_E_EXPIRED);
    equal(bursar_stream(rt, d.reservation, 1, NULL), BURSAR_E_EXPIRED);
    close_runtime(rt);
}

test("a reason is cut between characters, on one line, and never refused") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t b = budget(rt, "acme", "$1");
    static char reason[100000];
    for (size_t i = 0; i + 1 < sizeof reason; i += 2) memcpy(reason + i, "\xC3\xA9", 2);
    reason[0] = 'x';
    reason[1] = '\n';
    memmove(reason + 3, reason + 2, 1000);
    reason[2] = 'y';
    need(bursar_kill(rt, b, reason, sizeof reason), BURSAR_OK);
    char text[300];
    size_t len = 0;
    need(bursar_text_read(rt, b, BURSAR_TEXT_REASON, text, sizeof text, &len), BURSAR_OK);
    equal(len, 255);
    check(memcmp(text, "x y\xC3\xA9", 5) == 0);
    check(memcmp(text + 253, "\xC3\xA9", 2) == 0);
    close_runtime(rt);
}

test("lengths that no memory has are refused") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_model_t m;
    bursar_id_t id;
    int64_t amount;
    size_t len;
    equal(bursar_model_find(rt, "x", SIZE_MAX, &m), BURSAR_E_INVALID);
    equal(bursar_budget_find(rt, "x", SIZE_MAX, &id), BURSAR_E_INVALID);
    equal(bursar_limits_parse(rt, 0, "$1", SIZE_MAX, NULL, 0, &len, NULL), BURSAR_E_INVALID);
    check(bursar_money_parse("$1", SIZE_MAX, &amount, NULL) < 0);
    check(bursar_rate_parse("$1", SIZE_MAX, &amount, NULL) < 0);
    check(bursar_prices_load(rt, "{}", SIZE_MAX, NULL, 0, NULL, NULL, NULL) < 0);
    close_runtime(rt);
}

test("a deadline that passed while observed holds when observing ends") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$9, 1s wall");
    need(bursar_observe(rt, s, 1), BURSAR_OK);
    pass_ms(1200);
    need(charge(rt, s, 1, 0, NULL, NULL), BURSAR_OK);
    need(bursar_observe(rt, s, 0), BURSAR_OK);
    bursar_decision_t d;
    equal(charge(rt, s, 1, 0, &d, NULL), BURSAR_E_REFUSED);
    equal(d.reason, BURSAR_REASON_WALL);
    need(bursar_observe(rt, 0, 1), BURSAR_OK);
    need(charge(rt, s, 1, 0, NULL, NULL), BURSAR_OK);
    need(bursar_observe(rt, 0, 0), BURSAR_OK);
    equal(charge(rt, s, 1, 0, &d, NULL), BURSAR_E_REFUSED);
    close_runtime(rt);
}
