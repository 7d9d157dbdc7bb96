/* SPDX-License-Identifier: Apache-2.0
 *
 * A year of a company's agents, in a home, by the library that ships. year.py runs it.
 *
 *     year HOME make          a home with an empty ledger
 *     year HOME fill STEPS    lives through the year that ends now
 *     year HOME keep          has the home open until standard input ends
 *     year HOME verify        bursar_verify()
 *
 * The year passes because this program has a clock_gettime() of its own, which the
 * library calls.
 */
#define _GNU_SOURCE
#include <bursar.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define HOURS (365 * 24)
#define PARTS 12 /* moments of an hour at which something happens */
#define OPEN 8   /* sessions that are open at a time */
#define BUSY 340 /* steps of an hour, where there are any */

static int64_t passed, ago; /* nanoseconds that were skipped, and that it is too early */

int clock_gettime(clockid_t id, struct timespec *t) {
    int rc = (int)syscall(SYS_clock_gettime, id, t);
    int64_t shift = 0;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) shift = ago;
    if (shift || id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE)
        shift = __atomic_load_n(&passed, __ATOMIC_ACQUIRE) - shift;
    int64_t at = t->tv_sec * SECOND + t->tv_nsec + shift;
    t->tv_sec = at / SECOND;
    t->tv_nsec = at % SECOND;
    return rc;
}

static void need(bursar_status_t status, const char *what) {
    if (status == BURSAR_OK) return;
    fprintf(stderr, "year: %s: %s\n", what, bursar_status_string(status));
    exit(1);
}

/* Time flies: who has a lock may seem to have had it for minutes. */
#define AGAIN(call, what)                                                   \
    do {                                                                    \
        bursar_status_t status_;                                            \
        for (int tries_ = 0; (status_ = (call)) != BURSAR_OK; tries_++) {   \
            if (status_ != BURSAR_E_BUSY || tries_ > 10000) need(status_, what); \
            sched_yield();                                                  \
        }                                                                   \
    } while (0)

static uint64_t seed = 2026;
static uint64_t dice(uint64_t most) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % most;
}

static bursar_text_t text(const char *s) { return (bursar_text_t){s, strlen(s)}; }

static bursar_runtime_t *open_home(const char *home) {
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_runtime_t *rt = NULL;
    options.home = text(home);
    options.name = BURSAR_TEXT("year");
    if (bursar_open(&options, &rt, &error) == BURSAR_OK) return rt;
    fprintf(stderr, "year: %s\n", error.message);
    exit(1);
}

static bursar_runtime_t *rt;
static bursar_model_t models[4];
static bursar_tool_t tools[2];
static bursar_meter_t pages;
static char paths[18][48];
static int64_t stated;

static void outcome(bursar_id_t session, const char *workflow, const char *label) {
    static const char *const names[] = {"invoice_processed", "case_closed", "lead_found"};
    char id[32], value[32];
    bursar_outcome_t o = BURSAR_OUTCOME_INIT;
    o.name = text(names[dice(3)]);
    snprintf(id, sizeof id, "o-%lld", (long long)++stated);
    o.id = text(id);
    o.session = session;
    if (workflow) o.workflow = text(workflow);
    if (label) o.label = text(label);
    snprintf(value, sizeof value, "$%d.%02d", (int)dice(40), (int)dice(100));
    if (dice(5)) o.value = text(value);
    o.by = BURSAR_TEXT("agent");
    AGAIN(bursar_outcome(rt, &o, NULL), "outcome");
    o.session = 0;
    o.workflow = o.label = o.value = (bursar_text_t){0};
    o.by = BURSAR_TEXT("ada");
    o.state = (int32_t)dice(6) + 1;
    if (o.state == 1 || o.state > 5) return;
    if (o.state == BURSAR_OUTCOME_CORRECTED) {
        o.value = BURSAR_TEXT("$5");
        o.rework_nanos = (int64_t)dice(9) * SECOND / 10;
        o.rework_ns = 600 * SECOND;
    }
    AGAIN(bursar_outcome(rt, &o, NULL), "revision");
}

static void prepare(void) {
    static const char *const names[] = {"gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gpt-4.1"};
    for (int k = 0; k < 4; k++) AGAIN(bursar_model_find(rt, names[k], strlen(names[k]), &models[k]), "model");
    AGAIN(bursar_tool_find(rt, "search", 6, &tools[0], NULL), "tool");
    AGAIN(bursar_tool_find(rt, "browser", 7, &tools[1], NULL), "tool");
    AGAIN(bursar_tool_price_set(rt, tools[0], 10000000), "price");
    AGAIN(bursar_meter_define(rt, "pages", 5, &pages, NULL), "meter");
    for (int k = 0; k < 18; k++) {
        bursar_budget_options_t bo = BURSAR_BUDGET_OPTIONS_INIT;
        char owner[16];
        snprintf(paths[k], sizeof paths[k], "org-%d/team-%d/flow-%d", k / 6, k / 2 % 3, k % 2);
        snprintf(owner, sizeof owner, "owner-%d", k / 3);
        if (k % 4) bo.owner = text(owner);
        if (k % 3) bo.cost_center = BURSAR_TEXT("cc-7");
        bo.limits = k % 2 ? BURSAR_TEXT("$1000000/month, 100000000 steps/day") : BURSAR_TEXT("$100000000");
        if (k % 5 == 0) bo.top_rung[BURSAR_COMPLEXITY_ROUTINE] = 2;
        AGAIN(bursar_budget_declare(rt, paths[k], strlen(paths[k]), &bo, NULL, NULL), "budget");
    }
}

static bursar_id_t open_session(bursar_id_t parent) {
    static const char *const agents[] = {"triage", "reader", "critic", "writer", "searcher"};
    char customer[16], feature[16];
    snprintf(customer, sizeof customer, "c%d", (int)dice(12));
    snprintf(feature, sizeof feature, "f%d", (int)dice(4));
    bursar_label_t labels[2] = {{BURSAR_TEXT("customer"), text(customer)}, {BURSAR_TEXT("feature"), text(feature)}};
    bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
    so.path = text(paths[dice(18)]);
    so.parent = parent;
    if (dice(6)) so.agent = text(agents[dice(5)]);
    if (dice(3) == 0) so.ladder = BURSAR_TEXT("gpt-4o, gpt-4o-mini");
    so.labels = labels;
    so.label_count = (uint32_t)dice(3);
    so.complexity = (int32_t)dice(4);
    bursar_id_t session = 0;
    AGAIN(bursar_session_open(rt, &so, &session, NULL), "session");
    return session;
}

static struct { bursar_id_t id, parent; int32_t model, complexity; } open[OPEN];

/* And what is below it goes with it. */
static void end(int k) {
    bursar_id_t id = open[k].id;
    if (!id) return;
    open[k].id = 0;
    for (int i = 0; i < OPEN; i++)
        if (open[i].parent == id) end(i);
    while (bursar_session_close(rt, id) == BURSAR_E_BUSY) sched_yield();
}

#define LOST 64
static struct { bursar_reservation_t reservation; int64_t due; } lost[LOST];
static int64_t counts[4]; /* steps, charges, left unsettled, settled late */

static int64_t steady(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static bursar_usage_t used(int64_t input, int64_t output) {
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    usage.input_tokens = input;
    usage.cache_read_input_tokens = (int64_t)dice((uint64_t)input / 2 + 1);
    usage.output_tokens = output;
    usage.reasoning_output_tokens = output / 4;
    if (dice(20) == 0) usage.cache_write_input_tokens = input / 4;
    if (dice(30) == 0) usage.extra_nanos = (int64_t)dice(1000000);
    return usage;
}

static bursar_reservation_t step(int who, bursar_reservation_t parent) {
    bursar_request_t rq = BURSAR_REQUEST_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    int64_t input = (int64_t)dice(4000) + 1, output = (int64_t)dice(900) + 1;
    rq.model = models[dice(8) ? open[who].model : (int32_t)dice(4)];
    if (dice(6) == 0) {
        rq.tool = tools[dice(2)];
        if (rq.tool == tools[0]) rq.model = 0, input = output = 0;
        else rq.meter = pages, rq.units = (int64_t)dice(9) + 1;
    }
    rq.input_tokens = input;
    rq.max_output_tokens = output;
    rq.complexity = open[who].complexity;
    rq.variant = rq.model == models[0] && dice(20) == 0 ? BURSAR_VARIANT_BATCH : 0;
    if (parent) rq.parent = parent, rq.attempt = 1;
    AGAIN(bursar_reserve(rt, open[who].id, &rq, &d), "reserve");
    counts[0]++;
    if (dice(150) == 0) { /* its process forgot it: it expires, and half of those are heard of again */
        int k = (int)dice(LOST);
        if (lost[k].reservation == 0) {
            lost[k].reservation = d.reservation;
            lost[k].due = dice(2) ? steady() + (5 + (int64_t)dice(20)) * 24 * 3600 * SECOND : 0;
            counts[2]++;
            return d.reservation;
        }
    }
    bursar_usage_t usage = used(input, rq.model ? output + (dice(40) == 0 ? 200 : 0) : 0);
    usage.units = rq.units;
    AGAIN(bursar_settle(rt, d.reservation, &usage, NULL), "settle");
    return d.reservation;
}

static void late(void) {
    for (int k = 0; k < LOST; k++) {
        if (lost[k].reservation == 0 || steady() < lost[k].due) continue;
        bursar_usage_t usage = used(1 + (int64_t)dice(900), 1 + (int64_t)dice(300));
        /* A tool's step has no tokens: it stays as it was estimated. */
        if (lost[k].due && bursar_settle(rt, lost[k].reservation, &usage, NULL) == BURSAR_OK) counts[3]++;
        lost[k].reservation = 0;
    }
}

static void live(int64_t steps) {
    prepare();
    /* Every hour, or one of some. */
    int64_t every = steps < HOURS * BUSY ? HOURS * BUSY / steps : 1, parts = (HOURS - 1) / every * PARTS + PARTS;
    for (int64_t part = 0; part < parts; part++) {
        if (part % PARTS == 0 && part) __atomic_add_fetch(&passed, (every - 1) * 3600 * SECOND, __ATOMIC_ACQ_REL);
        if (part % 6 == 0) {
            int k = (int)dice(OPEN), above = (int)dice(OPEN);
            bursar_id_t before = open[k].id;
            end(k);
            if (before && dice(steps > 1000000 ? 16 : 2) == 0) outcome(before, NULL, NULL);
            open[k].parent = dice(3) == 0 ? open[above].id : 0;
            open[k].id = open_session(open[k].parent);
            open[k].model = (int32_t)dice(4);
            open[k].complexity = (int32_t)dice(4);
        }
        if (part % 500 == 1) outcome(0, paths[dice(18)], NULL);
        if (part % 700 == 2) outcome(0, NULL, "customer=c1");
        int64_t due = steps * (part + 1) / parts - counts[0] - counts[1];
        for (bursar_reservation_t last = 0; due > 0; due--) {
            int who = (int)dice(OPEN);
            if (!open[who].id) open[who].parent = 0, open[who].id = open_session(0);
            if (dice(50) == 0) {
                bursar_charge_t c = BURSAR_CHARGE_INIT;
                c.nanos = (int64_t)dice(50000000);
                AGAIN(bursar_charge(rt, open[who].id, &c, NULL, NULL), "charge");
                counts[1]++;
                continue;
            }
            last = step(who, last && dice(12) == 0 ? last : 0);
        }
        late();
        __atomic_add_fetch(&passed, 3600 * SECOND / PARTS, __ATOMIC_ACQ_REL);
    }
    for (int k = 0; k < OPEN; k++) end(k);
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    const char *home = arguments[1], *what = arguments[2];
    bursar_error_t error = BURSAR_ERROR_INIT;
    if (strcmp(what, "fill") == 0) ago = HOURS * 3600 * SECOND;
    rt = open_home(home);
    if (strcmp(what, "make") == 0) {
        static const char sql[] = "SELECT count(*) FROM v_steps";
        bursar_query_t *query = NULL;
        size_t columns;
        if (bursar_query(rt, 0, sql, sizeof sql - 1, NULL, 0, 0, &query, &columns, &error) != BURSAR_OK) {
            fprintf(stderr, "year: %s\n", error.message);
            return 1;
        }
        bursar_query_close(query);
    } else if (strcmp(what, "fill") == 0) {
        live(count > 3 ? atoll(arguments[3]) : 3000000);
        printf("%lld steps and %lld charges; %lld left unsettled, of them %lld settled late; %lld outcomes\n",
               (long long)counts[0], (long long)counts[1], (long long)counts[2], (long long)counts[3], (long long)stated);
    } else if (strcmp(what, "keep") == 0) {
        char byte;
        while (read(0, &byte, 1) > 0) {}
    } else if (bursar_verify(rt, &error) != BURSAR_OK) {
        fprintf(stderr, "year: %s\n", error.message);
        return 1;
    }
    bursar_home_info_t info = {.size = sizeof info};
    need(bursar_home_info(rt, &info), "info");
    need(bursar_close(rt), "close");
    if (strcmp(what, "verify") == 0) unlink(info.segment_path); /* the last */
    return 0;
}
