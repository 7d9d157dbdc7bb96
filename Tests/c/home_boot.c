/* SPDX-License-Identifier: Apache-2.0
 *
 * Homes after the machine was started anew: what the ledger knows is there again, for
 * everybody who comes, whoever is killed on the way.
 */
#include "home.h"

#include <time.h>

/* Spends $4.20, cuts, tops up, kills; what is in flight at the end is one step of $0.10. */
static void work(const char *path) {
    bursar_runtime_t *rt = open_home(path);
    struct spending s = spending_at(rt, "$10/month, $8/day alert 50%");
    bursar_id_t acme = 0, team = budget(rt, "acme/team", "$1");
    equal(bursar_budget_find(rt, LIT("acme"), &acme), BURSAR_OK);
    for (int i = 0; i < 41; i++) equal(dime(&s), BURSAR_OK);
    bursar_request_t q = request_of(s.dime, 0, 1);
    bursar_decision_t d = BURSAR_DECISION_INIT;
    equal(bursar_reserve(rt, s.session, &q, &d), BURSAR_OK);
    equal(bursar_kill(rt, team, LIT("ran away")), BURSAR_OK);
    equal(bursar_close(rt), BURSAR_OK);
}

static void boot(const char *path) {
    char segment[PATH] = "";
    record(path, "segment", segment, NULL);
    record(path, "boot", NULL, "00000000-0000-0000-0000-000000000000");
    if (segment[0]) unlink(segment);
}

static void is_back(bursar_runtime_t *rt) {
    bursar_id_t acme = 0, team = 0;
    equal(bursar_budget_find(rt, LIT("acme"), &acme), BURSAR_OK);
    equal(bursar_budget_find(rt, LIT("acme/team"), &team), BURSAR_OK);
    bursar_view_t view = view_of(rt, acme);
    equal(view.spent_nanos, 42 * DOLLAR / 10);
    equal(view.remaining_nanos, 38 * DOLLAR / 10);
    equal(view.reserved_nanos, 0);
    equal(view.steps, 42);
    equal(view.output_tokens, 42);
    equal(view_of(rt, team).state, BURSAR_STATE_KILLED);
}

static void come(struct other *o, void *path) {
    say(o->ready[1]);
    hear(o->go[0]);
    bursar_runtime_t *rt = open_home(path);
    if (!check(rt != NULL)) return;
    is_back(rt);
    say(o->ready[1]);
    hear(o->go[0]);
    equal(bursar_close(rt), BURSAR_OK);
}

test("after a reboot all who come at once find one segment with what was there before") {
    struct home h = new_home();
    work(h.path);
    for (int round = 0; round < 5; round++) {
        boot(h.path);
        struct other o[4];
        for (int i = 0; i < 4; i++) o[i] = start_other(come, h.path);
        for (int i = 0; i < 4; i++) hear(o[i].ready[0]);
        for (int i = 0; i < 4; i++) say(o[i].go[1]);
        for (int i = 0; i < 4; i++) hear(o[i].ready[0]);
        bursar_runtime_t *rt = open_home(h.path);
        is_back(rt);
        equal(segments_of(info_of(rt).id), 1);
        bursar_close(rt);
        for (int i = 0; i < 4; i++) equal(end_other(&o[i]), 0);
    }
    done_with(&h);
}

test("whoever is killed while budgets are brought back, the next brings back the same") {
    struct home h = new_home();
    work(h.path);
    unsigned dice = 17;
    for (int round = 0; round < 60; round++) {
        boot(h.path);
        struct other o = start_other(come, h.path);
        hear(o.ready[0]);
        say(o.go[1]);
        dice = dice * 1103515245 + 12345;
        struct timespec t = {0, (long)(dice >> 8) % 80000000};
        nanosleep(&t, NULL);
        kill(o.pid, SIGKILL);
        end_other(&o);
        bursar_runtime_t *rt = open_home(h.path);
        if (!check(rt != NULL)) break;
        is_back(rt);
        bursar_close(rt);
    }
    done_with(&h);
}

#define MANY 150000 /* steps that fill some files of the outbox */

static int64_t written(bursar_runtime_t *rt) {
    static const char sql[] = "SELECT coalesce(sum(steps),0) FROM v_sessions";
    bursar_query_t *query = NULL;
    const bursar_value_t *row = NULL;
    size_t columns;
    int64_t steps = -1;
    if (bursar_query(rt, BURSAR_QUERY_AS_WRITTEN, sql, sizeof sql - 1, NULL, 0, 0, &query, &columns, NULL) == BURSAR_OK &&
        bursar_query_next(query, &row, NULL) == BURSAR_OK && row) {
        steps = row->integer;
    }
    bursar_query_close(query);
    return steps;
}

static void spend_much(struct other *o, void *path) {
    bursar_runtime_t *rt = open_home(path);
    struct spending s = spending_at(rt, "$1000000");
    for (int i = 0; i < MANY;) i += dime(&s) == BURSAR_OK;
    struct timespec t = {0, 20000000};
    for (int i = 0; i < 500 && written(rt) < MANY; i++) nanosleep(&t, NULL);
    equal(written(rt), MANY);
    say(o->ready[1]);
    hear(o->go[0]);
}

test("what the disk does not have of the database is in the outbox") {
    struct home h = new_home();
    struct other o = start_other(spend_much, h.path);
    hear(o.ready[0]);
    /* Not in a checkpoint: before SQLite writes a page of the database, the log that has it is
       on the disk. */
    char path[PATH];
    join(path, h.path, "ledger.db-shm");
    int shm = open(path, O_RDWR);
    struct flock checkpoints = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 121, .l_len = 1};
    equal(fcntl(shm, F_SETLKW, &checkpoints), 0);
    kill(o.pid, SIGKILL);
    end_other(&o);
    close(shm);
    /* As after a power cut: the write-ahead log was not on the disk. */
    boot(h.path);
    join(path, h.path, "ledger.db-wal");
    equal(unlink(path), 0);
    join(path, h.path, "ledger.db-shm");
    unlink(path);
    bursar_runtime_t *rt = open_home(h.path);
    if (check(rt != NULL)) {
        bursar_id_t acme = 0;
        equal(bursar_budget_find(rt, LIT("acme"), &acme), BURSAR_OK);
        equal(view_of(rt, acme).spent_nanos, MANY * (DOLLAR / 10));
        equal(bursar_verify(rt, NULL), BURSAR_OK);
    }
    bursar_close(rt);
    done_with(&h);
}

test("a home whose ledger is gone is refused, or private, as it was asked for") {
    struct home h = new_home();
    work(h.path);
    /* What the outbox had is in the database alone. */
    boot(h.path);
    bursar_close(open_home(h.path));
    static const char *const names[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm"};
    for (int i = 0; i < 3; i++) {
        char path[PATH];
        join(path, h.path, names[i]);
        unlink(path);
    }
    /* Who finds the segment needs no ledger. */
    bursar_runtime_t *rt = open_home(h.path);
    is_back(rt);
    bursar_close(rt);
    boot(h.path);
    for (int i = 0; i < 3; i++) {
        char path[PATH];
        join(path, h.path, names[i]);
        unlink(path);
    }
    refuses(h.path, "is gone; put it back, or remove");
    bursar_open_options_t o = at(h.path);
    o.on_unavailable = BURSAR_UNAVAILABLE_PRIVATE;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    home_event(rt, "is gone; put it back");
    bursar_close(rt);
    done_with(&h);
}
