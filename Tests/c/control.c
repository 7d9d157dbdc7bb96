/* SPDX-License-Identifier: Apache-2.0
 *
 * Stopping and changing what runs: kill, pause, revive, observe, top up, limits
 * changed alive, rates, deadlines, events, safe declaring.
 */
#include <pthread.h>

#include "help.h"

static bursar_status_t try_step(bursar_runtime_t *rt, bursar_id_t s, bursar_decision_t *d) {
    bursar_status_t status = reserve(rt, s, request_of(model(rt, "plain"), 1, 1), d);
    if (status == BURSAR_OK) equal(bursar_release(rt, d->reservation), BURSAR_OK);
    return status;
}

static void every_stop(bursar_id_t *ids, int count, bursar_runtime_t *rt, bursar_id_t inside, bursar_id_t outside) {
    bursar_decision_t d;
    for (int i = 0; i < count; i++) {
        int everything = ids[i] == 0;
        need(bursar_kill(rt, ids[i], LIT("runaway")), BURSAR_OK);
        need(bursar_kill(rt, ids[i], LIT("runaway")), BURSAR_OK);
        equal(try_step(rt, inside, &d), BURSAR_E_REFUSED);
        equal(d.verdict, BURSAR_VERDICT_HALT);
        equal(d.reason, BURSAR_REASON_KILLED);
        equal(d.retry_after_ns, 0);
        equal(view_of(rt, inside).effective_state, BURSAR_STATE_KILLED);
        equal(try_step(rt, outside, &d), everything ? BURSAR_E_REFUSED : BURSAR_OK);
        need(bursar_revive(rt, ids[i], NULL, 0), BURSAR_OK);
        need(bursar_revive(rt, ids[i], NULL, 0), BURSAR_OK);
        equal(try_step(rt, inside, &d), BURSAR_OK);
        equal(view_of(rt, inside).effective_state, BURSAR_STATE_OPEN);

        need(bursar_pause(rt, ids[i], LIT("lunch")), BURSAR_OK);
        equal(try_step(rt, inside, &d), BURSAR_E_REFUSED);
        equal(d.verdict, BURSAR_VERDICT_PAUSE);
        equal(d.reason, BURSAR_REASON_PAUSED);
        need(bursar_kill(rt, ids[i], NULL, 0), BURSAR_OK);
        equal(try_step(rt, inside, &d), BURSAR_E_REFUSED);
        equal(d.reason, BURSAR_REASON_KILLED);
        need(bursar_revive(rt, ids[i], NULL, 0), BURSAR_OK);
        need(bursar_resume(rt, ids[i], NULL, 0), BURSAR_OK);
        equal(try_step(rt, inside, &d), BURSAR_OK);
        equal(try_step(rt, outside, &d), BURSAR_OK);
    }
}

test("killing and pausing stop a session, a subtree, or everything, and are undone") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t ids[4];
    ids[0] = 0;
    ids[1] = budget(rt, "acme", "$5");
    ids[2] = budget(rt, "acme/support", "$5");
    ids[3] = session(rt, "acme/support/triage", 0, "$2");
    bursar_id_t outside = session(rt, "other", 0, "$2");
    every_stop(ids, 4, rt, ids[3], outside);
    need(bursar_kill(rt, ids[2], LIT("runaway")), BURSAR_OK);
    bursar_decision_t d;
    equal(try_step(rt, session(rt, "acme/support/later", 0, "$1"), &d), BURSAR_E_REFUSED);
    char text[64];
    size_t len = 0;
    need(bursar_text_read(rt, ids[2], BURSAR_TEXT_REASON, text, sizeof text, &len), BURSAR_OK);
    has(text, len, "runaway");
    equal(bursar_kill(rt, INT64_C(1) << 40, NULL, 0), BURSAR_E_NOT_FOUND);
    close_runtime(rt);
}

test("what was in flight when a kill came can be settled") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$2");
    bursar_decision_t d;
    need(reserve(rt, s, request_of(model(rt, "plain"), 10, 10), &d), BURSAR_OK);
    need(bursar_kill(rt, s, NULL, 0), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(10, 10), NULL), BURSAR_OK);
    equal(view_of(rt, s).spent_nanos, 20 * TOKEN);
    close_runtime(rt);
}

test("observing counts and reports and stops nobody: a limit, a budget, a runtime") {
    bursar_decision_t d;
    for (int where = 0; where < 4; where++) {
        bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
        if (where == 0) options.flags = BURSAR_OPEN_OBSERVE;
        bursar_runtime_t *rt = open_runtime(&options);
        bursar_budget_options_t b = BURSAR_BUDGET_OPTIONS_INIT;
        b.limits = where == 1 ? BURSAR_TEXT("1 step then observe") : BURSAR_TEXT("1 step");
        if (where == 2) b.flags = BURSAR_BUDGET_OBSERVE;
        bursar_id_t id;
        need(bursar_budget_declare(rt, LIT("acme"), &b, &id, NULL), BURSAR_OK);
        if (where == 3) need(bursar_observe(rt, id, 1), BURSAR_OK);
        bursar_id_t s = session(rt, "acme", 0, "");
        for (int i = 0; i < 3; i++) {
            need(reserve(rt, s, request_of(model(rt, "plain"), 1, 1), &d), BURSAR_OK);
            equal(d.flags & BURSAR_DECISION_OBSERVED, i ? BURSAR_DECISION_OBSERVED : 0);
            need(settle(rt, d.reservation, usage_of(1, 1), NULL), BURSAR_OK);
        }
        equal(view_of(rt, id).steps, 3);
        if (where == 3) {
            need(bursar_observe(rt, id, 0), BURSAR_OK);
            equal(try_step(rt, s, &d), BURSAR_E_REFUSED);
        }
        close_runtime(rt);
    }
}

test("a rate throttles, and says how long to wait") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "60 steps/min burst 3");
    bursar_decision_t d;
    for (int i = 0; i < 3; i++) {
        need(reserve(rt, s, request_of(model(rt, "plain"), 1, 1), &d), BURSAR_OK);
        need(settle(rt, d.reservation, usage_of(1, 1), NULL), BURSAR_OK);
    }
    need(reserve(rt, s, request_of(model(rt, "plain"), 1, 1), &d), BURSAR_E_REFUSED);
    equal(d.verdict, BURSAR_VERDICT_THROTTLE);
    equal(d.reason, BURSAR_REASON_RATE);
    equal(d.remedy, BURSAR_REMEDY_WAIT);
    check(d.retry_after_ns > 0 && d.retry_after_ns <= INT64_C(1000000000));
    struct timespec wait = {0, 0};
    wait.tv_sec = (time_t)(d.retry_after_ns / 1000000000);
    wait.tv_nsec = (long)(d.retry_after_ns % 1000000000);
    nanosleep(&wait, NULL);
    equal(reserve(rt, s, request_of(model(rt, "plain"), 1, 1), &d), BURSAR_OK);
    equal(bursar_release(rt, d.reservation), BURSAR_OK);
    close_runtime(rt);
}

test("a rate of dollars is charged the worst case and refunded what was not used") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "$1/min burst 1");
    bursar_request_t large = request_of(model(rt, "plain"), 0, 900000);
    large.min_output_tokens = 900000;
    bursar_decision_t d;
    need(reserve(rt, s, large, &d), BURSAR_OK);
    bursar_decision_t refused;
    equal(reserve(rt, s, large, &refused), BURSAR_E_REFUSED);
    equal(refused.verdict, BURSAR_VERDICT_THROTTLE);
    need(settle(rt, d.reservation, usage_of(0, 1000), NULL), BURSAR_OK);
    need(reserve(rt, s, large, &d), BURSAR_OK);
    equal(bursar_release(rt, d.reservation), BURSAR_OK);
    close_runtime(rt);
}

test("in_flight limits what runs at once") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t s = session(rt, "acme", 0, "2 in_flight");
    bursar_decision_t a, b, c;
    bursar_request_t one = request_of(model(rt, "plain"), 1, 1);
    need(reserve(rt, s, one, &a), BURSAR_OK);
    need(reserve(rt, s, one, &b), BURSAR_OK);
    equal(reserve(rt, s, one, &c), BURSAR_E_REFUSED);
    equal(c.verdict, BURSAR_VERDICT_THROTTLE);
    equal(c.flags & BURSAR_DECISION_TRANSIENT, BURSAR_DECISION_TRANSIENT);
    need(settle(rt, a.reservation, usage_of(1, 1), NULL), BURSAR_OK);
    need(reserve(rt, s, one, &c), BURSAR_OK);
    equal(bursar_release(rt, b.reservation), BURSAR_OK);
    equal(bursar_release(rt, c.reservation), BURSAR_OK);
    close_runtime(rt);
}

test("a deadline halts its session with an event") {
    bursar_runtime_t *rt = open_runtime(NULL);
    int32_t fd;
    need(bursar_events_fd(rt, &fd), BURSAR_OK);
    bursar_id_t s = session(rt, "acme", 0, "1s wall");
    bursar_decision_t d;
    bursar_event_t event;
    equal(try_step(rt, s, &d), BURSAR_OK);
    if (!wait_event(rt, BURSAR_EVENT_DEADLINE, &event)) return;
    equal(event.id, s);
    need(reserve(rt, s, request_of(model(rt, "plain"), 1, 1), &d), BURSAR_E_REFUSED);
    equal(d.reason, BURSAR_REASON_WALL);
    equal(view_of(rt, s).state, BURSAR_STATE_HALTED);
    need(bursar_top_up(rt, s, LIT("10m wall"), 0, NULL, 0, NULL), BURSAR_OK);
    equal(try_step(rt, s, &d), BURSAR_OK);
    close_runtime(rt);
}

test("limits change alive: raised, cut below what is committed, topped up, removed") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t b = budget(rt, "acme", "$0.20"), s = session(rt, "acme", 0, "");
    bursar_request_t dime = request_of(model(rt, "dime"), 0, 0);
    bursar_decision_t d;
    for (int i = 0; i < 2; i++) {
        need(reserve(rt, s, dime, &d), BURSAR_OK);
        need(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    }
    equal(reserve(rt, s, dime, &d), BURSAR_E_REFUSED);
    need(bursar_top_up(rt, b, LIT("$0.10"), 0, LIT("more"), NULL), BURSAR_OK);
    need(reserve(rt, s, dime, &d), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    equal(reserve(rt, s, dime, &d), BURSAR_E_REFUSED);
    equal(d.limit, 3 * DOLLAR / 10);
    need(bursar_limits_set(rt, b, LIT("$0.05"), NULL), BURSAR_OK);
    equal(reserve(rt, s, dime, &d), BURSAR_E_REFUSED);
    equal(d.remaining, 0);
    equal(view_of(rt, b).remaining_nanos, 0);
    need(bursar_limits_set(rt, b, LIT("$5"), NULL), BURSAR_OK);
    need(reserve(rt, s, dime, &d), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    need(bursar_limits_set(rt, b, LIT("unlimited"), NULL), BURSAR_OK);
    equal(view_of(rt, b).limits, 0);
    equal(view_of(rt, b).remaining_nanos, INT64_MAX);
    equal(view_of(rt, b).spent_nanos, 4 * DOLLAR / 10);
    close_runtime(rt);
}

test("a top-up that expires is gone when its time is over") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t b = budget(rt, "acme", "$1"), s = session(rt, "acme", 0, "");
    bursar_decision_t d;
    bursar_request_t large = request_of(model(rt, "plain"), 1500000, 0);
    equal(reserve(rt, s, large, &d), BURSAR_E_REFUSED);
    need(bursar_top_up(rt, b, LIT("$1"), INT64_C(200000000), NULL, 0, NULL), BURSAR_OK);
    need(reserve(rt, s, large, &d), BURSAR_OK);
    need(bursar_release(rt, d.reservation), BURSAR_OK);
    struct timespec nap = {0, 20000000};
    bursar_status_t status = BURSAR_OK;
    for (int i = 0; i < 500 && status == BURSAR_OK; i++) {
        nanosleep(&nap, NULL);
        status = reserve(rt, s, large, &d);
        if (status == BURSAR_OK) need(bursar_release(rt, d.reservation), BURSAR_OK);
    }
    equal(status, BURSAR_E_REFUSED);
    equal(d.limit, DOLLAR);
    close_runtime(rt);
}

test("declaring again never undoes what an operator changed") {
    bursar_runtime_t *rt = open_runtime(NULL);
    int32_t fd;
    need(bursar_events_fd(rt, &fd), BURSAR_OK);
    bursar_id_t b = budget(rt, "acme", "$5");
    equal(budget(rt, "acme", "$5.00"), b);
    equal(budget(rt, "acme", "$9"), b);
    bursar_event_t event;
    check(wait_event(rt, BURSAR_EVENT_DECLARED, &event));
    equal(event.id, b);
    char text[64];
    size_t len = 0;
    need(bursar_text_read(rt, b, BURSAR_TEXT_LIMITS, text, sizeof text, &len), BURSAR_OK);
    check(len == 2 && memcmp(text, "$5", 2) == 0);
    bursar_budget_options_t options = BURSAR_BUDGET_OPTIONS_INIT;
    options.limits = BURSAR_TEXT("$9");
    options.flags = BURSAR_BUDGET_REPLACE;
    need(bursar_budget_declare(rt, LIT("acme"), &options, NULL, NULL), BURSAR_OK);
    need(bursar_text_read(rt, b, BURSAR_TEXT_LIMITS, text, sizeof text, &len), BURSAR_OK);
    check(len == 2 && memcmp(text, "$9", 2) == 0);
    close_runtime(rt);
}

test("a budget is removed when nothing is left below it, and what it spent stays above") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t top = budget(rt, "acme", "$5"), low = budget(rt, "acme/support", "$5"), found = 0;
    bursar_id_t s = session(rt, "acme/support", 0, "");
    bursar_decision_t d;
    need(reserve(rt, s, request_of(model(rt, "dime"), 0, 0), &d), BURSAR_OK);
    need(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    equal(bursar_budget_remove(rt, top, NULL), BURSAR_E_IN_USE);
    equal(bursar_budget_remove(rt, low, NULL), BURSAR_E_IN_USE);
    need(bursar_session_close(rt, s), BURSAR_OK);
    need(bursar_budget_remove(rt, low, NULL), BURSAR_OK);
    equal(bursar_budget_remove(rt, low, NULL), BURSAR_E_NOT_FOUND);
    equal(bursar_budget_find(rt, LIT("acme/support"), &found), BURSAR_E_NOT_FOUND);
    equal(view_of(rt, top).spent_nanos, DOLLAR / 10);
    close_runtime(rt);
}

struct heard {
    int kills, thresholds;
};
static void hear(void *data, const bursar_event_t *event) {
    struct heard *heard = (struct heard *)data;
    if (event->type == BURSAR_EVENT_KILL) __atomic_add_fetch(&heard->kills, 1, __ATOMIC_SEQ_CST);
    if (event->type == BURSAR_EVENT_THRESHOLD) __atomic_add_fetch(&heard->thresholds, 1, __ATOMIC_SEQ_CST);
}

test("a callback hears what a poll hears, until it is removed") {
    bursar_runtime_t *rt = open_runtime(NULL);
    struct heard heard = {0, 0};
    int32_t fd;
    need(bursar_events_fd(rt, &fd), BURSAR_OK);
    need(bursar_events_callback(rt, hear, &heard), BURSAR_OK);
    bursar_id_t b = budget(rt, "acme", "$1 alert 50%"), s = session(rt, "acme", 0, "");
    bursar_decision_t d;
    bursar_event_t event;
    for (int i = 0; i < 5; i++) {
        need(reserve(rt, s, request_of(model(rt, "dime"), 0, 0), &d), BURSAR_OK);
        need(settle(rt, d.reservation, usage_of(0, 0), NULL), BURSAR_OK);
    }
    check(wait_event(rt, BURSAR_EVENT_THRESHOLD, &event));
    equal(event.percent, 50);
    equal(event.id, b);
    equal(event.limit, DOLLAR);
    check(strcmp(event.path, "acme") == 0);
    need(bursar_kill(rt, s, LIT("why")), BURSAR_OK);
    check(wait_event(rt, BURSAR_EVENT_KILL, &event));
    equal(event.id, s);
    has(event.text, event.text_len, "why");
    /* The poll and the callback are told the same, but not at the same moment. */
    struct timespec nap = {0, 1000000};
    for (int i = 0; i < 10000 && !__atomic_load_n(&heard.kills, __ATOMIC_SEQ_CST); i++) nanosleep(&nap, NULL);
    need(bursar_events_callback(rt, NULL, NULL), BURSAR_OK);
    equal(heard.kills, 1);
    equal(heard.thresholds, 1);
    need(bursar_kill(rt, b, NULL, 0), BURSAR_OK);
    check(wait_event(rt, BURSAR_EVENT_KILL, &event));
    equal(heard.kills, 1);
    close_runtime(rt);
}

test("events that nobody takes are lost, and counted") {
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    options.events_max = 16;
    bursar_runtime_t *rt = open_runtime(&options);
    int32_t fd;
    need(bursar_events_fd(rt, &fd), BURSAR_OK);
    bursar_id_t b = budget(rt, "acme", "$1");
    for (int i = 0; i < 100; i++) {
        need(bursar_pause(rt, b, NULL, 0), BURSAR_OK);
        need(bursar_resume(rt, b, NULL, 0), BURSAR_OK);
    }
    bursar_event_t event;
    check(wait_event(rt, BURSAR_EVENT_LOST, &event));
    check(event.amount > 0);
    bursar_health_t h;
    memset(&h, 0, sizeof h);
    h.size = sizeof h;
    need(bursar_health(rt, &h), BURSAR_OK);
    check(h.events_lost >= event.amount);
    close_runtime(rt);
}

test("unattended pauses, and attending goes on") {
    bursar_runtime_t *rt = open_runtime(NULL);
    int32_t fd;
    need(bursar_events_fd(rt, &fd), BURSAR_OK);
    bursar_id_t s = session(rt, "acme", 0, "1s unattended");
    bursar_decision_t d;
    check(wait_event(rt, BURSAR_EVENT_UNATTENDED, NULL));
    equal(try_step(rt, s, &d), BURSAR_E_REFUSED);
    equal(d.verdict, BURSAR_VERDICT_PAUSE);
    equal(d.reason, BURSAR_REASON_UNATTENDED);
    need(bursar_attend(rt, s, LIT("ada")), BURSAR_OK);
    equal(try_step(rt, s, &d), BURSAR_OK);
    close_runtime(rt);
}

test("many are read at once as they are one by one, and what is gone is nothing") {
    bursar_runtime_t *rt = open_runtime(NULL);
    enum { count = 600 };
    bursar_id_t ids[count];
    ids[0] = budget(rt, "acme", "$500");
    ids[1] = budget(rt, "acme/support", "$50, 7 steps");
    for (int i = 2; i < count; i++) ids[i] = session(rt, "acme/support", 0, i % 2 ? "$2" : "");
    for (int i = 2; i < count; i += 7) {
        bursar_charge_t charge = {.size = sizeof charge, .nanos = i};
        bursar_decision_t d = BURSAR_DECISION_INIT;
        need(bursar_charge(rt, ids[i], &charge, &d, NULL), BURSAR_OK);
    }
    need(bursar_kill(rt, ids[5], NULL, 0), BURSAR_OK);
    need(bursar_session_close(rt, ids[9]), BURSAR_OK);
    /* All is folded, and what was closed is gone, at once or when the loop has done it. */
    bursar_health_t health = {.size = sizeof health};
    bursar_view_t closed = BURSAR_VIEW_INIT;
    do {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        need(bursar_health(rt, &health), BURSAR_OK);
    } while (health.reservations > 0 || bursar_read(rt, ids[9], &closed) == BURSAR_OK);
    struct { bursar_view_t view; int64_t later; } views[count];
    memset(views, 0xFF, sizeof views);
    views[0].view.size = sizeof views[0];
    need(bursar_views(rt, ids, count, &views[0].view), BURSAR_OK);
    for (int i = 0; i < count; i++) {
        bursar_view_t want = BURSAR_VIEW_INIT;
        bursar_status_t status = bursar_read(rt, ids[i], &want);
        bursar_view_t *got = &views[i].view;
        if (status != BURSAR_OK) memset(&want, 0, sizeof want);
        want.opened_unix_ns = got->opened_unix_ns;  // of two clocks, read twice
        equal(memcmp((char *)got + 4, (char *)&want + 4, sizeof want - 4), 0);
        equal(views[i].later, 0);
    }
    equal(views[9].view.kind, 0);
    equal(bursar_views(rt, ids, 0, &views[0].view), BURSAR_OK);
    views[0].view.size = 0;
    equal(bursar_views(rt, ids, 2, &views[0].view), BURSAR_E_SIZE);
    bursar_close(rt);
}
