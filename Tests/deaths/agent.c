/* SPDX-License-Identifier: Apache-2.0
 *
 * An agent process for the torture of the ledger: threads that open sessions and sub-sessions
 * with labels, settle steps on time, twice and late, charge with keys, state outcomes and ask
 * the ledger, each acknowledgement written down, until it is killed or told to end.
 *
 *     agent HOME LOG SEED
 *
 * An entry is as in ../torture/record.h, with these besides:
 *
 *     kind  written                  handle   amount            session  detail
 *       C   charged                  -        nanos, of which a session has no two   status
 *       v   before an outcome        number   -                 itself   -
 *       V   it was stated            number   -                 itself   status
 *       Q   the ledger was asked     -        what it said      itself   what it must say, or status
 *       Y   an event of the ledger   -        its code          -        its type
 */
#define _GNU_SOURCE
#include <bursar.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "../torture/record.h"

#define THREADS 2
#define LATER 8 /* steps that a thread settles when they have run out */
#define MS INT64_C(1000000)

/* In the tight one nothing may pass its limit: nothing runs out there and is corrected later. */
enum { TIGHT, WIDE, TEAM };
static const char *const budgets[3] = {"deaths/tight", "deaths/wide", "deaths/team/mail"};
static const char *const customers[3] = {"globex", "hooli", "initech"};

static bursar_runtime_t *rt;
static bursar_model_t model;
static bursar_meter_t credits;
static int64_t input_nanos, output_nanos;
static int log_fd;
static volatile sig_atomic_t ending;

struct late { int64_t handle, session, due, input, output; };

struct agent {
    uint64_t random;
    int64_t seed, session, budget;
    int64_t sum;      /* of what the session's steps cost, where it is certain */
    int64_t charges, outcomes;
    struct late late[LATER];
    int thread, is_certain;
};

static bursar_text_t text(const char *s) { return (bursar_text_t){s, strlen(s)}; }

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static int64_t below(struct agent *a, int64_t n) {
    a->random ^= a->random << 13;
    a->random ^= a->random >> 7;
    a->random ^= a->random << 17;
    return (int64_t)((a->random >> 11) % (uint64_t)n);
}

static int chance(struct agent *a, int64_t percent) { return below(a, 100) < percent; }

static void pause_for(int64_t ns) {
    struct timespec t = {ns / (1000 * MS), ns % (1000 * MS)};
    nanosleep(&t, NULL);
}

static void write_down(char kind, int thread, int flags, int64_t handle, int64_t amount, int64_t session,
                       int64_t detail) {
    struct entry e = {(uint32_t)getpid(), (uint16_t)thread, kind, (uint8_t)flags, handle, amount,
                      session, detail, now(), {0, 0}};
    if (write(log_fd, &e, sizeof e) != (ssize_t)sizeof e) _exit(97);
}
#define note(a, kind, flags, handle, amount, detail) \
    write_down((kind), (a)->thread, (flags), (handle), (amount), (a)->session, (detail))
#define never(a, status) note((a), 'E', 0, 0, (status), __LINE__)

/* Whoever stands still, and is waited for, is not the torture's concern here. */
#define patiently(a, call) ({ \
    bursar_status_t status_ = (call); \
    for (int tries_ = 1; status_ == BURSAR_E_BUSY && tries_ < 6; tries_++) { \
        note((a), 'B', 0, 0, tries_, __LINE__); \
        status_ = (call); \
    } \
    status_; })

static int64_t open_session(struct agent *a, int64_t parent) {
    bursar_session_options_t options = BURSAR_SESSION_OPTIONS_INIT;
    bursar_label_t labels[2] = {{text("customer"), text(customers[below(a, 3)])}, {text("feature"), text("mail")}};
    options.path = text(budgets[a->budget]);
    options.parent = parent;
    options.agent = text(parent ? "sub-agent" : "agent");
    options.labels = labels;
    options.label_count = (uint32_t)below(a, 3);
    if (chance(a, 20)) options.limits = text("$50, 10m wall");
    int64_t id = 0;
    bursar_status_t status = patiently(a, bursar_session_open(rt, &options, &id, NULL));
    if (status != BURSAR_OK) {
        never(a, status);
        return 0;
    }
    a->session = id;
    note(a, 'S', 0, parent, a->budget, 0);
    return id;
}

static void close_session(struct agent *a, int64_t id) {
    a->session = id;
    bursar_status_t status = patiently(a, bursar_session_close(rt, id));
    if (status != BURSAR_OK) never(a, status);
    note(a, 'X', 0, 0, 0, 0);
}

static int64_t settle(struct agent *a, int64_t handle, int64_t input, int64_t output, int64_t units) {
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    bursar_receipt_t receipt = BURSAR_RECEIPT_INIT;
    usage.input_tokens = input;
    usage.output_tokens = output;
    usage.units = units;
    int64_t cost = input * input_nanos + output * output_nanos;
    note(a, 's', 0, handle, cost, 0);
    bursar_status_t status = bursar_settle(rt, handle, &usage, &receipt);
    if (status != BURSAR_OK) {
        if (status != BURSAR_E_NOT_FOUND && status != BURSAR_E_BUSY) never(a, status);
        note(a, 'N', 0, handle, 0, status);
        a->is_certain = 0;
        return 0;
    }
    if (receipt.cost_nanos != cost) never(a, BURSAR_E_CONFLICT);
    note(a, 'T', (int)receipt.flags, handle, receipt.cost_nanos, receipt.overrun_nanos);
    return cost;
}

/* What ran out a while ago is known at last. */
static void settle_late(struct agent *a, int all) {
    int64_t session = a->session, time = now();
    for (struct late *l = a->late; l < a->late + LATER; l++) {
        if (!l->handle || (!all && l->due > time)) continue;
        a->session = l->session;
        settle(a, l->handle, l->input, l->output, 0);
        l->handle = 0;
    }
    a->session = session;
}

static void step(struct agent *a, int attempt, int64_t parent) {
    bursar_request_t rq = BURSAR_REQUEST_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    rq.model = model;
    rq.input_tokens = 100 + below(a, 1900);
    rq.max_output_tokens = 20 + below(a, 400);
    rq.attempt = attempt;
    rq.parent = parent;
    if (chance(a, 20)) {
        rq.meter = credits;
        rq.units = 1 + below(a, 9);
    }
    struct late *late = NULL;
    if (a->budget != TIGHT && !rq.units && chance(a, 5))
        for (int k = 0; k < LATER && !late; k++)
            if (!a->late[k].handle) late = &a->late[k];
    if (late) rq.ttl_ns = (50 + below(a, 200)) * MS;
    note(a, 'w', 0, 0, rq.input_tokens * input_nanos + rq.max_output_tokens * output_nanos, 0);
    bursar_status_t status = bursar_reserve(rt, a->session, &rq, &d);
    if (status != BURSAR_OK) {
        note(a, 'R', 0, 0, status, d.reason);
        if (status != BURSAR_E_REFUSED) never(a, status);
        pause_for(below(a, 4 * MS));
        return;
    }
    note(a, 'G', 0, d.reservation, d.reserved_nanos, 0);
    int64_t output = below(a, d.max_output_tokens + 1);
    if (late) {
        *late = (struct late){d.reservation, a->session, now() + 600 * MS, rq.input_tokens, output};
        a->is_certain = 0;
        return;
    }
    if (chance(a, 60)) pause_for(below(a, chance(a, 5) ? 10 * MS : MS));
    if (chance(a, 5)) {
        note(a, 'r', 0, d.reservation, 0, 0);
        status = bursar_release(rt, d.reservation);
        if (status != BURSAR_OK && status != BURSAR_E_BUSY) never(a, status);
        note(a, 'L', 0, d.reservation, 0, status);
        return;
    }
    a->sum += settle(a, d.reservation, rq.input_tokens, output, rq.units);
    if (chance(a, 5)) settle(a, d.reservation, rq.input_tokens, output, rq.units); /* told twice */
    if (chance(a, 5) && attempt < 3) step(a, attempt + 1, d.reservation);
}

/* By key, and some of them again: once each. */
static void charge(struct agent *a) {
    bursar_charge_t charge = BURSAR_CHARGE_INIT;
    charge.nanos = 1000000 + ++a->charges;
    charge.key[0] = (uint64_t)a->session;
    charge.key[1] = (uint64_t)a->charges;
    note(a, 'c', 0, 0, charge.nanos, 0);
    bursar_status_t status = bursar_charge(rt, a->session, &charge, NULL, NULL);
    if (status == BURSAR_OK && chance(a, 50)) status = bursar_charge(rt, a->session, &charge, NULL, NULL);
    if (status != BURSAR_OK && status != BURSAR_E_REFUSED) never(a, status);
    if (status == BURSAR_OK) a->sum += charge.nanos;
    note(a, 'C', 0, 0, charge.nanos, status);
}

static void outcome(struct agent *a) {
    char id[64];
    bursar_outcome_t o = BURSAR_OUTCOME_INIT;
    int64_t number = (a->seed * THREADS + a->thread) << 24 | ++a->outcomes;
    snprintf(id, sizeof id, "%lld", (long long)number);
    o.name = text("mail_answered");
    o.id = text(id);
    o.session = a->session;
    if (chance(a, 80)) o.value = text("$0.000002500");
    note(a, 'v', 0, number, 0, 0);
    bursar_status_t status = bursar_outcome(rt, &o, NULL);
    if (status == BURSAR_OK && chance(a, 30)) status = bursar_outcome(rt, &o, NULL); /* told twice */
    note(a, 'V', 0, number, 0, status);
    if (status != BURSAR_OK && status != BURSAR_E_BUSY && status != BURSAR_E_HOME && status != BURSAR_E_CORRUPT)
        never(a, status);
}

/* The ledger says of the session all that was acknowledged before, and nothing more. */
static void ask(struct agent *a) {
    static const char sql[] = "SELECT (SELECT sum(cost_nanos) FROM steps t WHERE t.session=s.id) FROM sessions s "
                              "WHERE node=? AND segment=(SELECT max(segment) FROM sessions WHERE node=?1)";
    bursar_value_t which;
    memset(&which, 0, sizeof which);
    which.type = BURSAR_VALUE_INTEGER;
    which.integer = a->session;
    bursar_query_t *query = NULL;
    const bursar_value_t *row = NULL;
    size_t columns;
    bursar_status_t status = bursar_query(rt, 0, sql, sizeof sql - 1, &which, 1, 0, &query, &columns, NULL);
    if (status == BURSAR_OK) status = bursar_query_next(query, &row, NULL);
    int64_t said = status == BURSAR_OK && row && row[0].type == BURSAR_VALUE_INTEGER ? row[0].integer : 0;
    bursar_query_close(query);
    if (status != BURSAR_OK) {
        note(a, 'Q', 1, 0, 0, status);
        if (status != BURSAR_E_BUSY && status != BURSAR_E_HOME && status != BURSAR_E_CORRUPT) never(a, status);
    } else {
        note(a, 'Q', 0, 0, said, a->sum);
        if (a->is_certain && said != a->sum) never(a, BURSAR_E_CONFLICT);
    }
}

static void work(struct agent *a, int64_t steps) {
    a->sum = a->charges = 0;
    a->is_certain = 1;
    for (; steps > 0 && !ending; steps--) {
        int64_t what = below(a, 1000);
        if (what < 40) charge(a);
        else if (what < 46) outcome(a);
        else if (what < 52) ask(a);
        else step(a, 0, 0);
        settle_late(a, 0);
    }
}

static void *run(void *raw) {
    struct agent *a = raw;
    while (!ending) {
        a->budget = below(a, 3);
        int64_t own = open_session(a, 0);
        if (!own) return NULL;
        work(a, 20 + below(a, 100));
        if (chance(a, 40)) {
            int64_t child = open_session(a, own);
            work(a, 1 + below(a, 30));
            if (child && chance(a, 80)) close_session(a, child);
        }
        a->session = own;
        if (!chance(a, 10)) close_session(a, own); /* else it goes with the process */
    }
    settle_late(a, 1);
    return NULL;
}

static void heard(void *ignored, const bursar_event_t *event) {
    (void)ignored;
    if (event->type == BURSAR_EVENT_LEDGER || event->type == BURSAR_EVENT_HOME ||
        event->type == BURSAR_EVENT_CORRUPT)
        write_down('Y', 99, 0, 0, event->amount, 0, event->type);
}

static void end(int signal) {
    (void)signal;
    ending = 1;
}

int main(int count, char **arguments) {
    if (count != 4) return 64;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct sigaction action = {0};
    action.sa_handler = end;
    sigaction(SIGTERM, &action, NULL);
    log_fd = open(arguments[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct agent agents[THREADS] = {0}, *a = agents;
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    options.home = text(arguments[1]);
    bursar_status_t status = patiently(a, bursar_open(&options, &rt, &error));
    if (status != BURSAR_OK) {
        fprintf(stderr, "agent %d cannot open its home: %.*s\n", (int)getpid(), (int)error.message_len, error.message);
        never(a, status);
        return 96;
    }
    bursar_events_callback(rt, heard, NULL);
    bursar_rates_t rates = BURSAR_RATES_INIT;
    if (bursar_model_find(rt, "gpt-4o", 6, &model) != BURSAR_OK) never(a, 0);
    if (bursar_price_get(rt, model, &rates) != BURSAR_OK) never(a, 0);
    if (patiently(a, bursar_meter_define(rt, "credits", 7, &credits, NULL)) != BURSAR_OK) never(a, 0);
    input_nanos = rates.input_picos / 1000;
    output_nanos = rates.output_picos / 1000;
    pthread_t threads[THREADS];
    for (int k = 0; k < THREADS; k++) {
        agents[k].seed = strtoll(arguments[3], NULL, 10);
        agents[k].random = (uint64_t)agents[k].seed * 2654435769u + 88172645463325252u +
                           (uint64_t)k * 0x9E3779B97F4A7C15u;
        agents[k].thread = k;
        pthread_create(&threads[k], NULL, run, &agents[k]);
    }
    for (int k = 0; k < THREADS; k++) pthread_join(threads[k], NULL);
    status = bursar_close(rt);
    if (status != BURSAR_OK) never(a, status);
    return 0;
}
