/* SPDX-License-Identifier: Apache-2.0
 *
 * Homes one of whose locks is held by somebody who does not go on: a process that was
 * stopped. Here the test itself holds it, through an open file of its own. What must not
 * wait for ever is ended by an alarm when it does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "home.h"

enum { FOLD = 0, CONFIG = 1, EVENTS = 3 };

/* Locks a byte of the home's lock file as another process would; -1 gives up. */
static int hold(const char *home, int byte) {
    char path[PATH];
    join(path, home, "lock");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    for (int i = 0; i < 100000; i++) {
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return fd;
        struct timespec pause = {0, 50000};
        nanosleep(&pause, NULL);
    }
    check(!"the byte could be locked");
    return fd;
}

static bursar_status_t charge(bursar_runtime_t *rt, bursar_id_t s, int64_t nanos, uint32_t flags) {
    bursar_charge_t c = BURSAR_CHARGE_INIT;
    c.nanos = nanos;
    c.flags = flags;
    return bursar_charge(rt, s, &c, NULL, NULL);
}


static int64_t committed(bursar_runtime_t *rt, bursar_id_t id) {
    bursar_meter_view_t view = BURSAR_METER_VIEW_INIT;
    equal(bursar_meter_read(rt, id, BURSAR_METER_COST, &view), BURSAR_OK);
    return view.committed;
}

/* Runs a test in a process that an alarm ends. */
static void within(int seconds, void (*body)(const char *)) {
    struct home h = new_home();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm((unsigned)seconds);
        test_failures = 0;
        body(h.path);
        fflush(NULL);
        _exit(test_failures ? 1 : 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    equal(status, 0);
    done_with(&h);
}

/* ---------------------------------------------------------------------- Steps */

static void step_often(const char *path) {
    bursar_open_options_t o = at(path);
    o.reservations_max = 512;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    budget(rt, "acme", "$1000000");
    bursar_id_t s = session(rt, "acme", 0, "");
    int fd = hold(path, CONFIG);
    for (int i = 0; i < 4000; i++) {
        /* A journal that is full for a moment is told, and passes. */
        bursar_status_t status = charge(rt, s, 1000, 0);
        for (int k = 0; status == BURSAR_E_REFUSED && k < 100; k++) status = charge(rt, s, 1000, 0);
        equal(status, BURSAR_OK);
    }
    close(fd);
    equal(committed(rt, s), 4000 * 1000);
    equal(bursar_verify(rt, NULL), BURSAR_OK);
    bursar_close(rt);
}
test("steps go on past a full journal while somebody has stopped in the middle of a change") {
    within(40, step_often);
}

static void overrun_often(const char *path) {
    bursar_runtime_t *rt = open_home(path);
    budget(rt, "acme", "$1");
    bursar_id_t s = session(rt, "acme", 0, "");
    int events = hold(path, EVENTS), config = hold(path, CONFIG);
    for (int i = 0; i < 1000; i++) equal(charge(rt, s, DOLLAR, BURSAR_CHARGE_FORCE), BURSAR_OK);
    close(config);
    close(events);
    equal(committed(rt, s), 1000 * DOLLAR);
    bursar_close(rt);
}
test("a thousand overruns are settled while somebody has stopped who tells of a change") {
    within(25, overrun_often);
}

static void correct_late(const char *path) {
    bursar_runtime_t *rt = open_home(path);
    bursar_id_t acme = budget(rt, "acme", "$100 per day");
    bursar_id_t s = session(rt, "acme", 0, "");
    price(rt, "dime", 0, DOLLAR / 10);
    bursar_request_t q = request_of(model(rt, "dime"), 0, 10);
    q.ttl_ns = 1;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    int32_t events;
    need(bursar_events_fd(rt, &events), BURSAR_OK);
    need(reserve(rt, s, q, &d), BURSAR_OK);
    bursar_event_t event;
    check(wait_event(rt, BURSAR_EVENT_ORPHAN, &event));
    bursar_health_t health;
    memset(&health, 0, sizeof health);
    health.size = sizeof health;
    for (int i = 0; i < 1000 && health.folds == 0; i++) {
        equal(bursar_health(rt, &health), BURSAR_OK);
        poll(NULL, 0, 10);
    }
    int64_t estimate = committed(rt, acme);
    check(estimate > 0);
    int fd = hold(path, CONFIG);
    /* Cheaper than was estimated, and in the journal until the bases can fall with it. */
    equal(settle(rt, d.reservation, usage_of(0, 1), NULL), BURSAR_OK);
    for (int i = 0; i < 20; i++) {
        equal(charge(rt, s, 1000, 0), BURSAR_OK);
        poll(NULL, 0, 20);
    }
    close(fd);
    check(wait_event(rt, BURSAR_EVENT_LATE, &event));
    equal(event.amount, DOLLAR / 10 - estimate);
    equal(committed(rt, acme), DOLLAR / 10 + 20 * 1000);
    equal(bursar_verify(rt, NULL), BURSAR_OK);
    bursar_close(rt);
}
test("a correction waits for who has stopped, and nothing else does") {
    within(40, correct_late);
}

/* -------------------------------------------------------------- Calls that wait */

struct call {
    bursar_runtime_t *rt;
    const char *path;
    int what;
    bursar_status_t status;
};

static void *make_call(void *raw) {
    struct call *c = raw;
    bursar_budget_options_t b = BURSAR_BUDGET_OPTIONS_INIT;
    bursar_session_options_t s = BURSAR_SESSION_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_id_t id;
    switch (c->what) {
    case 0: c->status = bursar_budget_declare(c->rt, LIT("new"), &b, &id, &error); break;
    case 1: c->status = bursar_verify(c->rt, &error); break;
    case 2:
        s.path = text_of("acme");
        c->status = bursar_session_open(c->rt, &s, &id, &error);
        break;
    default: c->status = bursar_budget_find(c->rt, LIT("acme"), &id); break;
    }
    if (c->status == BURSAR_E_BUSY && c->what < 3) has(error.message, error.message_len, "is it stopped?");
    return NULL;
}

static void wait_for(const char *path, int byte, int busy) {
    bursar_runtime_t *rt = open_home(path);
    budget(rt, "acme", "$1");
    int fd = hold(path, byte);
    struct call calls[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        calls[i] = (struct call){rt, path, i, 1};
        pthread_create(&threads[i], NULL, make_call, &calls[i]);
    }
    /* Another process comes and goes meanwhile. */
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        test_failures = 0;
        equal(bursar_close(open_home(path)), BURSAR_OK);
        _exit(test_failures ? 1 : 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    equal(status, 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        equal(calls[i].status, i < busy ? BURSAR_E_BUSY : BURSAR_OK);
    }
    equal(bursar_close(rt), BURSAR_OK);
    close(fd);
}

static void wait_for_config(const char *path) { wait_for(path, CONFIG, 4); }
static void wait_for_fold(const char *path) { wait_for(path, FOLD, 2); }
test("a change that waits for who has stopped in another is busy after ten seconds; open and close end") {
    within(50, wait_for_config);
}
test("a change that waits for a fold that has stopped is busy after ten seconds; open and close end") {
    within(50, wait_for_fold);
}

/* ---------------------------------------------------- What the leaving leave open */

static void leave_open(const char *path) {
    bursar_runtime_t *rt = open_home(path);
    budget(rt, "acme", "$1");
    int ready[2];
    check(pipe(ready) == 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        test_failures = 0;
        bursar_runtime_t *mine = open_home(path);
        bursar_id_t s = session(mine, "acme", 0, "");
        int held = hold(path, CONFIG);
        equal(bursar_close(mine), BURSAR_OK);
        check(write(ready[1], &s, sizeof s) == sizeof s);
        close(held);
        _exit(test_failures ? 1 : 0);
    }
    bursar_id_t s = 0;
    check(read(ready[0], &s, sizeof s) == sizeof s);
    int status = -1;
    waitpid(child, &status, 0);
    equal(status, 0);
    /* Whoever looks for the dead ends it. */
    status = BURSAR_OK;
    for (int i = 0; i < 1000 && status == BURSAR_OK; i++) {
        status = charge(rt, s, 1, 0);
        poll(NULL, 0, 10);
    }
    check(status == BURSAR_E_CLOSED || status == BURSAR_E_NOT_FOUND || status == BURSAR_E_REFUSED);
    equal(info_of(rt).processes, 1);
    bursar_close(rt);
}
test("a close that cannot end its sessions leaves them to the others, who end them") {
    within(40, leave_open);
}

struct visits {
    const char *path;
    int64_t until;
};
static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}
static void *visit(void *raw) {
    struct visits *v = raw;
    while (now_ns() < v->until) {
        bursar_runtime_t *rt = open_home(v->path);
        bursar_id_t s = session(rt, "acme", 0, "");
        poll(NULL, 0, 1);
        if (!equal(charge(rt, s, 1, 0), BURSAR_OK)) v->until = 0;
        bursar_close(rt);
    }
    return NULL;
}
static void come_and_go(const char *path) {
    bursar_runtime_t *rt = open_home(path);
    budget(rt, "acme", "$1");
    bursar_close(rt);
    int64_t until = now_ns() + 4 * INT64_C(1000000000);
    struct visits v[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        v[i] = (struct visits){path, until};
        pthread_create(&threads[i], NULL, visit, &v[i]);
    }
    while (now_ns() < until) {
        int fd = hold(path, CONFIG);
        poll(NULL, 0, 10);
        close(fd);
        poll(NULL, 0, 4);
    }
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    rt = open_home(path);
    equal(info_of(rt).processes, 1);
    bursar_close(rt);
}
test("threads that open and close one home never end each other's sessions") {
    within(50, come_and_go);
}

/* ------------------------------------------------------------ A kernel without room */

static int refusals; /* locks that are to be refused */
int fcntl(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    struct flock *lock = argument;
    if (command == F_OFD_SETLK && lock->l_type != F_UNLCK &&
        __atomic_fetch_sub(&refusals, 1, __ATOMIC_RELAXED) > 0) {
        errno = ENOLCK;
        return -1;
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

static void no_room(const char *path) {
    bursar_runtime_t *rt = open_home(path);
    bursar_id_t acme = budget(rt, "acme", "$1");
    bursar_id_t s = session(rt, "acme", 0, "");
    for (int i = 0; i < 20; i++) {
        __atomic_store_n(&refusals, 3, __ATOMIC_RELAXED);
        equal(bursar_budget_find(rt, LIT("acme"), &acme), BURSAR_OK);
    }
    __atomic_store_n(&refusals, 0, __ATOMIC_RELAXED);
    s = session(rt, "acme", 0, "");
    equal(charge(rt, s, 1, 0), BURSAR_OK);
    bursar_close(rt);
}
test("a kernel that has no room for a lock now takes no home away") {
    within(20, no_room);
}
