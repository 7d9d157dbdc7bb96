/* SPDX-License-Identifier: Apache-2.0
 *
 * No grant passes a limit, with any number of threads.
 */
#include <pthread.h>

#include "help.h"

#define RACERS 100

struct race {
    bursar_runtime_t *rt;
    bursar_model_t model;
    char path[64];
    pthread_barrier_t start;
    int64_t admitted, refused, other;
};

static void *racer(void *raw) {
    struct race *race = (struct race *)raw;
    bursar_id_t s = session(race->rt, race->path, 0, "");
    bursar_decision_t d;
    pthread_barrier_wait(&race->start);
    bursar_status_t status = reserve(race->rt, s, request_of(race->model, 0, 10), &d);
    if (status == BURSAR_E_REFUSED) {
        __atomic_add_fetch(&race->refused, 1, __ATOMIC_SEQ_CST);
        equal(d.reason, BURSAR_REASON_LIMIT);
    } else if (status == BURSAR_OK) {
        __atomic_add_fetch(&race->admitted, 1, __ATOMIC_SEQ_CST);
        struct timespec latency = {0, 20000000}; /* how long the model takes */
        nanosleep(&latency, NULL);
        equal(settle(race->rt, d.reservation, usage_of(0, 10), NULL), BURSAR_OK);
    } else {
        __atomic_add_fetch(&race->other, 1, __ATOMIC_SEQ_CST);
    }
    equal(bursar_session_close(race->rt, s), BURSAR_OK);
    return NULL;
}

/* A budget of $1 at level `capped` of `levels`, and enough at the others. */
static void run_race(int levels, int capped) {
    struct race race;
    memset(&race, 0, sizeof race);
    race.rt = open_runtime(NULL);
    race.model = model(race.rt, "dime");
    bursar_id_t cap = 0;
    for (int level = 1; level <= levels; level++) {
        if (level > 1) strcat(race.path, "/");
        strcat(race.path, "level");
        bursar_id_t id = budget(race.rt, race.path, level == capped ? "$1" : "$100");
        if (level == capped) cap = id;
    }
    pthread_barrier_init(&race.start, NULL, RACERS);
    pthread_t threads[RACERS];
    for (int i = 0; i < RACERS; i++) {
        if (!equal(pthread_create(&threads[i], NULL, racer, &race), 0)) abort();
    }
    for (int i = 0; i < RACERS; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&race.start);
    equal(race.admitted, 10);
    equal(race.refused, 90);
    equal(race.other, 0);
    bursar_view_t v = view_of(race.rt, cap);
    equal(v.spent_nanos, DOLLAR);
    equal(v.reserved_nanos, 0);
    equal(v.remaining_nanos, 0);
    equal(v.steps, 10);
    close_runtime(race.rt);
}

test("of a hundred threads exactly ten are admitted and exactly a dollar is spent, at 1 to 8 levels") {
    for (int levels = 1; levels <= 8; levels++) {
        run_race(levels, 1);
        if (levels > 1) run_race(levels, levels);
        if (levels > 2) run_race(levels, (levels + 1) / 2);
    }
}

/* A mix of sizes, settled for less or released, by threads that never wait. */
struct hammer {
    bursar_runtime_t *rt;
    bursar_model_t model;
    bursar_id_t budget;
    int64_t spent;
    int index;
};

static void *hammer(void *raw) {
    struct hammer *h = (struct hammer *)raw;
    uint64_t random = 88172645463325252u + (uint64_t)h->index;
    bursar_id_t s = session(h->rt, "acme/team", 0, "");
    for (int i = 0; i < 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int64_t input = (int64_t)(random % 50), output = (int64_t)(random >> 8 & 63) + 1;
        bursar_request_t request = request_of(h->model, input, output);
        request.min_output_tokens = output;
        bursar_decision_t d;
        bursar_status_t status = reserve(h->rt, s, request, &d);
        if (status == BURSAR_E_REFUSED) continue;
        if (!equal(status, BURSAR_OK)) break;
        if (random >> 20 & 1) {
            int64_t used = (int64_t)(random >> 24) % (output + 1);
            if (used < 0) used = 0;
            bursar_receipt_t r;
            equal(settle(h->rt, d.reservation, usage_of(input, used), &r), BURSAR_OK);
            h->spent += r.cost_nanos;
        } else {
            equal(bursar_release(h->rt, d.reservation), BURSAR_OK);
        }
        if (i % 1000 == 0) check(view_of(h->rt, h->budget).spent_nanos <= DOLLAR / 2);
    }
    equal(bursar_session_close(h->rt, s), BURSAR_OK);
    return NULL;
}

test("a mix of steps from eight threads adds up to the nano-dollar and never passes the limit") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_id_t b = budget(rt, "acme", "$0.50");
    struct hammer hammers[8];
    pthread_t threads[8];
    int64_t spent = 0;
    for (int i = 0; i < 8; i++) {
        hammers[i].rt = rt;
        hammers[i].model = model(rt, "plain");
        hammers[i].budget = b;
        hammers[i].spent = 0;
        hammers[i].index = i;
        if (!equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0)) abort();
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        spent += hammers[i].spent;
    }
    bursar_view_t v = view_of(rt, b);
    equal(v.spent_nanos, spent);
    equal(v.reserved_nanos, 0);
    check(v.spent_nanos <= DOLLAR / 2);
    check(v.spent_nanos > DOLLAR / 4);
    close_runtime(rt);
}

struct busy {
    bursar_runtime_t *rt;
    bursar_id_t session;
    int stop;
};

static void *settle_without_pause(void *raw) {
    struct busy *busy = (struct busy *)raw;
    bursar_model_t m = model(busy->rt, "plain");
    bursar_decision_t d;
    while (!__atomic_load_n(&busy->stop, __ATOMIC_RELAXED)) {
        if (!equal(reserve(busy->rt, busy->session, request_of(m, 1, 1), &d), BURSAR_OK)) break;
        equal(settle(busy->rt, d.reservation, usage_of(1, 1), NULL), BURSAR_OK);
    }
    return NULL;
}

test("a thread that settles without a pause keeps neither readers nor deadlines waiting") {
    struct busy busy = {open_runtime(NULL), 0, 0};
    int32_t fd;
    need(bursar_events_fd(busy.rt, &fd), BURSAR_OK);
    busy.session = session(busy.rt, "acme", 0, "$1000000");
    bursar_id_t timed = session(busy.rt, "acme", 0, "1s wall");
    pthread_t thread;
    if (!equal(pthread_create(&thread, NULL, settle_without_pause, &busy), 0)) abort();
    int64_t last = 0;
    for (int i = 0; i < 200; i++) {
        int64_t steps = view_of(busy.rt, busy.session).steps;
        check(steps >= last);
        last = steps;
    }
    bursar_event_t event;
    if (wait_event(busy.rt, BURSAR_EVENT_DEADLINE, &event)) equal(event.id, timed);
    __atomic_store_n(&busy.stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    close_runtime(busy.rt);
}
