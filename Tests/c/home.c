/* SPDX-License-Identifier: Apache-2.0
 *
 * Homes: real processes, forks and deaths on one home.
 */
#include <pthread.h>
#include <spawn.h>

#include "home.h"

struct seen {
    uint32_t slot;
    int64_t segment;
};

static void race(struct other *o, void *path) {
    hear(o->go[0]);
    bursar_runtime_t *rt = open_home(path);
    bursar_home_info_t info = info_of(rt);
    struct seen seen = {info.slot, info.segment_id};
    check(write(o->ready[1], &seen, sizeof seen) == sizeof seen);
    hear(o->go[0]);
    bursar_close(rt);
}

test("sixteen processes that make one home together have one segment and a slot each") {
    for (int round = 0; round < 5; round++) {
        struct home h = new_home();
        struct other others[16];
        for (int i = 0; i < 16; i++) others[i] = start_other(race, h.path);
        for (int i = 0; i < 16; i++) say(others[i].go[1]);
        struct seen seen[16];
        for (int i = 0; i < 16; i++) {
            memset(&seen[i], 0, sizeof seen[i]);
            check(read(others[i].ready[0], &seen[i], sizeof seen[i]) == sizeof seen[i]);
            check(seen[i].slot > 0 && seen[i].segment == seen[0].segment);
            for (int k = 0; k < i; k++) check(seen[k].slot != seen[i].slot);
        }
        bursar_runtime_t *rt = open_home(h.path);
        bursar_home_info_t info = info_of(rt);
        equal(info.processes, 17);
        equal(info.segment_id, seen[0].segment);
        equal(segments_of(info.id), 1);
        for (int i = 0; i < 16; i++) {
            say(others[i].go[1]);
            equal(end_other(&others[i]), 0);
        }
        equal(info_of(rt).processes, 1);
        bursar_close(rt);
        done_with(&h);
    }
}

test("a home is 0700, its files 0600, and its segment takes at most 16 MiB") {
    struct home h = new_home();
    umask(0);
    bursar_runtime_t *rt = open_home(h.path);
    umask(022);
    bursar_home_info_t info = info_of(rt);
    struct stat s;
    check(stat(h.path, &s) == 0);
    equal(s.st_mode & 07777, 0700);
    check(stat(info.segment_path, &s) == 0);
    equal(s.st_mode & 07777, 0600);
    equal(s.st_size, info.segment_bytes);
    check(s.st_size <= 16 << 20);
    check((int64_t)s.st_blocks * 512 >= s.st_size);
    const char *names[] = {"home", "lock"};
    for (int i = 0; i < 2; i++) {
        char path[PATH];
        join(path, h.path, names[i]);
        check(stat(path, &s) == 0);
        equal(s.st_mode & 07777, 0600);
    }
    bursar_close(rt);
    done_with(&h);
}

test("a home made for a group is 2770, and its files 0660") {
    struct home h = new_home();
    bursar_open_options_t o = at(h.path);
    o.flags = BURSAR_OPEN_GROUP;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    bursar_home_info_t info = info_of(rt);
    check(info.flags & BURSAR_HOME_GROUP);
    struct stat s;
    check(stat(h.path, &s) == 0);
    equal(s.st_mode & 07777, 02770);
    check(stat(info.segment_path, &s) == 0);
    equal(s.st_mode & 07777, 0660);
    bursar_close(rt);
    rt = open_home(h.path);
    check(info_of(rt).flags & BURSAR_HOME_GROUP);
    bursar_close(rt);
    done_with(&h);
}

test("opening a home twice in one process, by whatever path, is one process to others") {
    struct home h = new_home();
    char other[PATH], link[PATH];
    join(link, h.folder, "link");
    check(symlink(h.folder, link) == 0);
    join(other, link, "home");
    bursar_runtime_t *one = open_home(h.path), *two = open_home(other);
    equal(info_of(one).slot, info_of(two).slot);
    equal(info_of(one).processes, 1);
    equal(bursar_close(one), BURSAR_OK);
    equal(info_of(two).processes, 1);
    struct other child = start_other(stay, h.path);
    hear(child.ready[0]);
    equal(info_of(two).processes, 2);
    equal(end_other(&child), 0);
    equal(bursar_close(two), BURSAR_OK);
    bursar_runtime_t *again = open_home(h.path);
    equal(info_of(again).processes, 1);
    bursar_close(again);
    done_with(&h);
}

test("who attaches is named, and has a role") {
    struct home h = new_home();
    bursar_open_options_t o = at(h.path);
    o.name = text_of("billing worker with a rather long name");
    o.role = BURSAR_ROLE_AGENT;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    bursar_process_t process;
    memset(&process, 0, sizeof process);
    process.size = sizeof process;
    need(bursar_home_process(rt, 0, &process), BURSAR_OK);
    equal(process.pid, getpid());
    equal(process.role, BURSAR_ROLE_AGENT);
    equal(process.slot, info_of(rt).slot);
    equal(strcmp(process.name, "billing worker with a ra"), 0);
    equal(bursar_home_process(rt, 1, &process), BURSAR_E_NOT_FOUND);
    bursar_close(rt);
    done_with(&h);
}

test("an agent neither raises, revives nor removes") {
    struct home h = new_home();
    bursar_open_options_t o = at(h.path);
    o.role = BURSAR_ROLE_AGENT;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    bursar_id_t id = budget(rt, "acme", "$5");
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_budget_options_t replace = BURSAR_BUDGET_OPTIONS_INIT;
    replace.flags = BURSAR_BUDGET_REPLACE;
    replace.limits = text_of("$50");
    equal(bursar_budget_declare(rt, LIT("acme"), &replace, NULL, &error), BURSAR_E_ROLE);
    has(error.message, error.message_len, "role agent");
    equal(bursar_budget_remove(rt, id, NULL), BURSAR_E_ROLE);
    equal(bursar_limits_set(rt, id, LIT("$50"), NULL), BURSAR_E_ROLE);
    equal(bursar_top_up(rt, id, LIT("$5"), 0, NULL, 0, NULL), BURSAR_E_ROLE);
    equal(bursar_observe(rt, id, 1), BURSAR_E_ROLE);
    equal(bursar_kill(rt, id, NULL, 0), BURSAR_OK);
    equal(bursar_revive(rt, id, NULL, 0), BURSAR_E_ROLE);
    equal(bursar_pause(rt, id, NULL, 0), BURSAR_OK);
    equal(bursar_resume(rt, id, NULL, 0), BURSAR_E_ROLE);
    bursar_close(rt);
    done_with(&h);
}

test("a top-up ends at its time although nobody has the home open") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    bursar_id_t id = budget(rt, "acme", "$5/day");
    equal(bursar_top_up(rt, id, LIT("$5"), 50000000, NULL, 0, NULL), BURSAR_OK);
    bursar_close(rt);
    nanosleep(&(struct timespec){0, 60000000}, NULL);
    rt = open_home(h.path);
    bursar_limit_view_t limit = {.size = sizeof limit};
    equal(bursar_limit_read(rt, id, 0, &limit), BURSAR_OK);
    equal(limit.extra, 0);
    bursar_close(rt);
    done_with(&h);
}

/* ---------------------------------------------------------------- Life, death */

static void stay_until_killed(struct other *o, void *path) {
    bursar_runtime_t *rt = open_home(path);
    info_of(rt);
    say(o->ready[1]);
    hear(o->go[0]);
    pause();
}

test("a killed process's slot is free for the next that opens") {
    struct home h = new_home();
    struct other others[4];
    for (int i = 0; i < 4; i++) others[i] = start_other(stay_until_killed, h.path);
    for (int i = 0; i < 4; i++) hear(others[i].ready[0]);
    for (int i = 0; i < 3; i++) {
        kill(others[i].pid, SIGKILL);
        end_other(&others[i]);
    }
    bursar_runtime_t *rt = open_home(h.path);
    equal(info_of(rt).processes, 2);
    kill(others[3].pid, SIGKILL);
    end_other(&others[3]);
    bursar_close(rt);
    rt = open_home(h.path);
    equal(info_of(rt).processes, 1);
    bursar_close(rt);
    done_with(&h);
}

test("a program that is started gets no descriptor of the home") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    /* Not by fork(), whose child closes them itself. */
    char *arguments[] = {"sh", "-c", "ls -l /proc/self/fd | grep -q bursar && exit 1; exit 0", NULL};
    char *environment[] = {NULL};
    pid_t child;
    int status = -1;
    check(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environment) == 0);
    waitpid(child, &status, 0);
    equal(status, 0);
    bursar_close(rt);
    done_with(&h);
}

test("a second descriptor of the lock file that comes and goes takes no lock away") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    char lock[PATH];
    join(lock, h.path, "lock");
    close(open(lock, O_RDWR));
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    equal(info_of(rt).processes, 2);
    equal(end_other(&o), 0);
    bursar_close(rt);
    done_with(&h);
}

/* ----------------------------------------------------------------------- Fork */

test("a child of fork takes a slot of its own and spends from the same budget") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    struct spending s = spending_at(rt, "$1");
    for (int i = 0; i < 4; i++) equal(dime(&s), BURSAR_OK);
    uint32_t slot = info_of(rt).slot;
    int ready[2], go[2];
    check(pipe(ready) == 0 && pipe(go) == 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        test_failures = 0;
        for (int i = 0; i < 4; i++) equal(dime(&s), BURSAR_OK);
        check(info_of(rt).slot != slot);
        equal(info_of(rt).processes, 2);
        bursar_process_t p;
        int found = 0;
        for (uint32_t k = 0;; k++) {
            memset(&p, 0, sizeof p);
            p.size = sizeof p;
            if (bursar_home_process(rt, k, &p) != BURSAR_OK) break;
            if (p.pid == (uint32_t)getpid()) found = p.forked_from == slot;
        }
        check(found);
        say(ready[1]);
        hear(go[0]);
        equal(bursar_close(rt), BURSAR_OK);
        _exit(test_failures ? 1 : 0);
    }
    hear(ready[0]);
    equal(dime(&s), BURSAR_OK);
    equal(dime(&s), BURSAR_OK);
    equal(dime(&s), BURSAR_E_REFUSED);
    say(go[1]);
    int status = -1;
    waitpid(child, &status, 0);
    equal(status, 0);
    equal(info_of(rt).processes, 1);
    equal(info_of(rt).slot, slot);
    bursar_close(rt);
    done_with(&h);
}

/* Who attends to what is due for all, as the segment says. */
static uint32_t keeper(const char *home) {
    char segment[PATH] = "";
    record(home, "segment", segment, NULL);
    uint32_t slot = 0;
    int fd = open(segment, O_RDONLY);
    check(fd >= 0 && pread(fd, &slot, sizeof slot, 1028) == sizeof slot);
    close(fd);
    return slot;
}
static int keeps(const char *home, uint32_t slot) {
    struct timespec pause = {0, 10000000};
    for (int k = 0; k < 1000 && keeper(home) != slot; k++) nanosleep(&pause, NULL);
    return keeper(home) == slot;
}
static int descriptors(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

test("a child of fork is no keeper, becomes one when its parent dies, and has no more open") {
    struct home h = new_home();
    int ready[2], go[2];
    check(pipe(ready) == 0 && pipe(go) == 0);
    fflush(NULL);
    pid_t parent = fork();
    if (parent == 0) {
        alarm(60);
        bursar_runtime_t *rt = open_home(h.path);
        struct spending s = spending_at(rt, "$1");
        equal(dime(&s), BURSAR_OK);
        int32_t fd;
        equal(bursar_events_fd(rt, &fd), BURSAR_OK);
        check(keeps(h.path, info_of(rt).slot));
        bursar_spend_t row;
        memset(&row, 0, sizeof row);
        row.size = sizeof row;
        bursar_spend_read(rt, 0, &row); /* the ledger is open */
        int before = descriptors();
        uint32_t slot = info_of(rt).slot;
        if (fork() == 0) {
            alarm(60);
            test_failures = 0;
            equal(dime(&s), BURSAR_OK);
            equal(bursar_events_fd(rt, &fd), BURSAR_OK);
            bursar_spend_read(rt, 0, &row);
            check(descriptors() <= before);
            if (fork() == 0) { /* one that comes and goes */
                check(info_of(rt).slot != slot);
                equal(bursar_close(rt), BURSAR_OK);
                _exit(test_failures ? 1 : 0);
            }
            int status = -1;
            wait(&status);
            equal(status, 0);
            equal(keeper(h.path), slot);
            say(ready[1]);
            hear(go[0]);
            check(keeps(h.path, info_of(rt).slot));
            equal(bursar_close(rt), BURSAR_OK);
            check(write(ready[1], test_failures ? "n" : "y", 1) == 1);
            _exit(0);
        }
        pause();
    }
    hear(ready[0]);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    say(go[1]);
    char c = 0;
    close(ready[1]);
    check(read(ready[0], &c, 1) == 1 && c == 'y');
    close(ready[0]);
    close(go[0]);
    close(go[1]);
    done_with(&h);
}

test("a parent's death is seen while its child of fork lives on") {
    struct home h = new_home();
    int ready[2], go[2];
    check(pipe(ready) == 0 && pipe(go) == 0);
    fflush(NULL);
    pid_t parent = fork();
    if (parent == 0) {
        alarm(60);
        bursar_runtime_t *rt = open_home(h.path);
        info_of(rt);
        if (fork() == 0) {
            alarm(60);
            close(go[1]);
            say(ready[1]);
            hear(go[0]); /* until the test ends; it never calls */
            _exit(0);
        }
        pause();
    }
    hear(ready[0]);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    bursar_runtime_t *rt = open_home(h.path);
    equal(info_of(rt).processes, 1);
    bursar_close(rt);
    close(go[1]);
    done_with(&h);
}

static void *spend_on(void *raw) {
    struct spending *s = raw;
    for (int i = 0; !s->stops; i++) {
        if (i < 1000) equal(dime(s), BURSAR_OK);
        bursar_model_t m;
        equal(bursar_model_find(s->rt, LIT("gpt-4o"), &m), BURSAR_OK);
        struct timespec pause = {0, 20000};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void *spend_twenty(void *raw) {
    struct spending *s = raw;
    for (int i = 0; i < 20; i++) {
        bursar_model_t m;
        equal(dime(s), BURSAR_OK);
        equal(bursar_model_find(s->rt, LIT("gpt-4o"), &m), BURSAR_OK);
    }
    return NULL;
}

test("children forked while other threads call spend on, each on its own") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    bursar_runtime_t *two = open_home(h.path);
    struct spending s = spending_at(rt, "");
    struct spending t = s;
    t.rt = two;
    price(two, "dime", 0, DOLLAR / 10);
    t.dime = model(two, "dime");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, spend_on, i % 2 ? &t : &s);
    for (int i = 0; i < 40; i++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            test_failures = 0;
            /* Two threads, two handles: both come to each at once. */
            pthread_t more[2];
            pthread_create(&more[0], NULL, spend_twenty, &s);
            pthread_create(&more[1], NULL, spend_twenty, &t);
            spend_twenty(&t);
            pthread_join(more[0], NULL);
            pthread_join(more[1], NULL);
            check(info_of(rt).slot == info_of(two).slot);
            if (i % 2) check(bursar_close(rt) == BURSAR_OK && bursar_close(two) == BURSAR_OK);
            _exit(test_failures ? 1 : 0);
        }
        int status = -1;
        waitpid(child, &status, 0);
        equal(status, 0);
    }
    s.stops = t.stops = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    bursar_meter_view_t view = BURSAR_METER_VIEW_INIT;
    need(bursar_meter_read(rt, s.session, BURSAR_METER_COST, &view), BURSAR_OK);
    equal(view.committed, s.spent + t.spent + 40 * 60 * (DOLLAR / 10));
    bursar_close(rt);
    bursar_close(two);
    done_with(&h);
}

test("a private runtime stays the parent's") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_home_info_t info = info_of(rt);
    equal(info.flags & BURSAR_HOME_SHARED, 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        info.size = sizeof info;
        _exit(bursar_home_info(rt, &info) == BURSAR_E_FORKED && bursar_close(rt) == BURSAR_E_FORKED ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    equal(status, 0);
    bursar_close(rt);
}

test("a step of a dead process is not priced by the sets of who has its slot now") {
    struct home h = new_home();
    int told[2];
    check(pipe(told) == 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        bursar_runtime_t *rt = open_home(h.path);
        bursar_request_t rq = BURSAR_REQUEST_INIT;
        bursar_decision_t d = BURSAR_DECISION_INIT;
        price(rt, "one", 1000000, 0); /* prices of its own, in an order of its own */
        rq.model = model(rt, "one");
        rq.input_tokens = 1000;
        need(bursar_reserve(rt, session(rt, "acme", 0, ""), &rq, &d), BURSAR_OK);
        int64_t said[2] = {d.reservation, info_of(rt).slot};
        check(write(told[1], said, sizeof said) == sizeof said);
        _exit(0);
    }
    int64_t said[2] = {0, 0};
    check(read(told[0], said, sizeof said) == sizeof said);
    waitpid(child, NULL, 0);
    bursar_runtime_t *rt = open_home(h.path);
    for (int k = 0; k < 600 && info_of(rt).slot != said[1]; k++) {
        bursar_close(rt);
        rt = open_home(h.path);
    }
    equal(info_of(rt).slot, said[1]);
    price(rt, "other", 9000000, 0);
    price(rt, "one", 2000000, 0);
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    usage.input_tokens = 1000;
    bursar_receipt_t receipt = BURSAR_RECEIPT_INIT;
    need(bursar_settle(rt, said[0], &usage, &receipt), BURSAR_OK);
    check(receipt.flags & BURSAR_RECEIPT_LATE);
    equal(receipt.cost_nanos, 2000000);
    bursar_close(rt);
    close(told[0]);
    close(told[1]);
    done_with(&h);
}
