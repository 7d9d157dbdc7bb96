/* SPDX-License-Identifier: Apache-2.0
 *
 * Homes that are taken away under a running process, homes of several users, and what
 * is no home.
 */
#include "home.h"

static bursar_status_t charge(bursar_runtime_t *rt, bursar_id_t s, int64_t nanos, uint32_t flags) {
    bursar_charge_t c = BURSAR_CHARGE_INIT;
    c.nanos = nanos;
    c.flags = flags;
    return bursar_charge(rt, s, &c, NULL, NULL);
}

/* ------------------------------------------------------------------ Taken away */

static void take_segment(struct home *h) {
    char segment[PATH];
    record(h->path, "segment", segment, NULL);
    unlink(segment);
}
static void take_all(struct home *h) {
    take_segment(h);
    remove_tree(h->path);
}
static void take_lock(struct home *h) {
    char lock[PATH], new_lock[PATH];
    join(lock, h->path, "lock");
    join(new_lock, h->path, "lock.new");
    int fd = open(new_lock, O_RDWR | O_CREAT, 0600);
    close(fd);
    check(rename(new_lock, lock) == 0);
}

test("a home that is taken away under a running process grants nothing more, and says so") {
    static void (*const ways[])(struct home *) = {take_segment, take_all, take_lock};
    for (int way = 0; way < 3; way++) {
        struct home h = new_home();
        bursar_runtime_t *rt = open_home(h.path);
        budget(rt, "acme", "$1");
        bursar_id_t s = session(rt, "acme", 0, "");
        price(rt, "dime", 0, DOLLAR / 10);
        bursar_request_t dime = request_of(model(rt, "dime"), 0, 1);
        bursar_decision_t held;
        equal(reserve(rt, s, dime, &held), BURSAR_OK);
        equal(charge(rt, s, DOLLAR / 10, 0), BURSAR_OK);
        ways[way](&h);
        home_event(rt, way < 2 ? "is gone" : "was replaced");
        equal(reserve(rt, s, dime, NULL), BURSAR_E_HOME);
        equal(charge(rt, s, DOLLAR / 10, 0), BURSAR_E_HOME);
        bursar_charge_t keyed = BURSAR_CHARGE_INIT;
        keyed.nanos = DOLLAR / 10;
        keyed.key[0] = 7;
        equal(bursar_charge(rt, s, &keyed, NULL, NULL), BURSAR_E_HOME);
        /* What has happened is recorded still. */
        equal(charge(rt, s, DOLLAR / 10, BURSAR_CHARGE_FORCE), BURSAR_OK);
        equal(settle(rt, held.reservation, usage_of(0, 1), NULL), BURSAR_OK);
        if (way == 0) refuses(h.path, "is gone: it was the segment of this process's home");
        bursar_close(rt);
        done_with(&h);
    }
}

/* ------------------------------------------------------------------ Users, groups */

struct user {
    const char *path;
    uid_t user;
    gid_t group;
};

static void spend_as(struct other *o, void *raw) {
    struct user *u = raw;
    hear(o->go[0]);
    if (u->user) check(setgid(u->group) == 0 && setuid(u->user) == 0);
    bursar_runtime_t *rt = open_home(u->path);
    budget(rt, "acme", "$1000");
    bursar_id_t s = session(rt, "acme", 0, "");
    /* More than the journal has places for: this needs the ledger. */
    for (int i = 0; i < 20000; i++) {
        if (!equal(charge(rt, s, 1000, 0), BURSAR_OK)) break;
    }
    bursar_event_t event = {.size = sizeof event};
    size_t count = 1;
    while (equal(bursar_events_poll(rt, &event, 1, &count), BURSAR_OK) && count) {
        check(event.type != BURSAR_EVENT_LEDGER && event.type != BURSAR_EVENT_CORRUPT);
        event.size = sizeof event;
    }
    bursar_close(rt);
}

/* A directory of another user's, to become a home: 0 where that needs root. */
static int users_home(struct home *h, uid_t owner, mode_t mode) {
    if (geteuid() != 0) {
        puts("SKIPPED: needs root");
        return 0;
    }
    *h = new_home();
    check(chmod(h->folder, 0755) == 0 && mkdir(h->path, 0700) == 0);
    check(chown(h->path, owner, 65534) == 0 && chmod(h->path, mode) == 0);
    return 1;
}

/* Each user spends from the home, one after the other; `before` have done so. */
static void spend_by_turns(struct home *h, const uid_t *users, int count, gid_t group, int before) {
    for (int i = 0; i < count; i++) {
        struct user u = {h->path, users[i], group};
        struct other o = start_other(spend_as, &u);
        say(o.go[1]);
        equal(end_other(&o), 0);
    }
    bursar_runtime_t *rt = open_home(h->path);
    bursar_id_t acme = 0;
    equal(bursar_budget_find(rt, LIT("acme"), &acme), BURSAR_OK);
    equal(view_of(rt, acme).spent_nanos, (before + count) * INT64_C(20000000));
    bursar_close(rt);
}

test("what root does first in a user's home does not stand in the user's way") {
    struct home h;
    if (!users_home(&h, 65534, 0700)) return;
    spend_by_turns(&h, (uid_t[]){0, 65534, 0}, 3, 65534, 0);
    done_with(&h);
}

test("two users of a group spend from one home, whoever comes first") {
    struct home h;
    if (!users_home(&h, 65533, 02770)) return;
    bursar_open_options_t o = at(h.path);
    o.flags = BURSAR_OPEN_GROUP;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    bursar_close(rt);
    spend_by_turns(&h, (uid_t[]){65532, 65533, 65532}, 3, 65534, 0);
    done_with(&h);
}

test("an agent sets a tool's first price, and changes none; it observes nothing") {
    struct home h = new_home();
    bursar_open_options_t o = at(h.path);
    o.role = BURSAR_ROLE_AGENT;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    bursar_tool_t tool = 0;
    equal(bursar_tool_find(rt, LIT("search"), &tool, NULL), BURSAR_OK);
    equal(bursar_tool_price_set(rt, tool, DOLLAR), BURSAR_OK);
    equal(bursar_tool_price_set(rt, tool, DOLLAR), BURSAR_OK);
    equal(bursar_tool_price_set(rt, tool, 0), BURSAR_E_ROLE);
    bursar_budget_options_t b = BURSAR_BUDGET_OPTIONS_INIT;
    b.limits = text_of("$1");
    b.flags = BURSAR_BUDGET_OBSERVE;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_id_t id;
    equal(bursar_budget_declare(rt, LIT("acme"), &b, &id, &error), BURSAR_E_ROLE);
    has(error.message, error.message_len, "may not declare an observed budget");
    bursar_close(rt);
    done_with(&h);
}

test("what a record says leads nobody to other files") {
    struct home h;
    if (!users_home(&h, 65534, 0700)) return;
    bursar_close(open_home(h.path));
    char mine[PATH], segment[PATH], away[PATH * 2];
    join(mine, h.folder, "precious");
    close(open(mine, O_RDWR | O_CREAT, 0600));
    record(h.path, "segment", segment, mine);
    record(h.path, "boot", NULL, "00000000-0000-0000-0000-000000000000");
    refuses(h.path, "only if shm_dir names it");
    struct stat s;
    check(stat(mine, &s) == 0 && s.st_uid == 0);
    /* In the right directory, but not a segment's name, or not this home's. */
    snprintf(away, sizeof away, "%s.away", segment);
    check(rename(segment, away) == 0);
    record(h.path, "segment", NULL, away);
    bursar_close(open_home(h.path));
    check(stat(mine, &s) == 0);
    unlink(away);
    record(h.path, "segment", NULL, "/dev/shm/bursar-test-precious");
    record(h.path, "boot", NULL, "00000000-0000-0000-0000-000000000000");
    close(open("/dev/shm/bursar-test-precious", O_RDWR | O_CREAT, 0600));
    bursar_close(open_home(h.path));
    check(unlink("/dev/shm/bursar-test-precious") == 0);
    done_with(&h);
}

static void squat(struct other *o, void *segment) {
    hear(o->go[0]);
    check(setgid(65533) == 0 && setuid(65533) == 0);
    char new[PATH + 8];
    snprintf(new, sizeof new, "%s.new", (char *)segment);
    int fd = open(new, O_RDWR | O_CREAT, 0666);
    check(fd >= 0 && open(segment, O_RDWR | O_CREAT, 0666) >= 0);
    close(fd);
}

test("a stranger who takes the segment's name first keeps nobody out") {
    struct home h;
    if (!users_home(&h, 65534, 0700)) return;
    spend_by_turns(&h, (uid_t[]){65534}, 1, 65534, 0);
    char segment[PATH], new[PATH + 8];
    record(h.path, "segment", segment, NULL);
    unlink(segment);
    struct other o = start_other(squat, segment);
    say(o.go[1]);
    equal(end_other(&o), 0);
    record(h.path, "boot", NULL, "00000000-0000-0000-0000-000000000000");
    spend_by_turns(&h, (uid_t[]){65534}, 1, 65534, 1);
    snprintf(new, sizeof new, "%s.new", segment);
    check(unlink(new) == 0 && unlink(segment) == 0);
    done_with(&h);
}

/* ------------------------------------------------------------------ What is no home */

test("a directory that has other files is no home, and stays as it was") {
    struct home h = new_home();
    char mine[PATH];
    check(mkdir(h.path, 0755) == 0);
    join(mine, h.path, "thesis.txt");
    close(open(mine, O_RDWR | O_CREAT, 0644));
    refuses(h.path, "has files that are not a home's (`thesis.txt`)");
    struct stat s;
    check(stat(h.path, &s) == 0);
    equal(s.st_mode & 07777, 0755);
    equal(rmdir(h.path), -1);
    unlink(mine);
    equal(rmdir(h.path), 0); /* nothing else was left there */
    check(mkdir(h.path, 0755) == 0);
    bursar_open_options_t o = at(h.path);
    o.shm_dir = text_of("/nope");
    refused_as(&o, BURSAR_E_HOME, "/nope", __FILE__, __LINE__);
    check(stat(h.path, &s) == 0);
    equal(s.st_mode & 07777, 0755);
    bursar_close(open_home(h.path)); /* and now it may */
    done_with(&h);
}

test("a home that must be there is not made") {
    struct home h = new_home();
    bursar_open_options_t o = at(h.path);
    o.flags = BURSAR_OPEN_EXISTING;
    refused_as(&o, BURSAR_E_HOME, "No such file", __FILE__, __LINE__);
    check(mkdir(h.path, 0700) == 0);
    refused_as(&o, BURSAR_E_HOME, "is no home", __FILE__, __LINE__);
    bursar_close(open_home(h.path));
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    bursar_close(rt);
    done_with(&h);
}

test("a process that sees another shared memory than the home's is refused, also alone") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    record(h.path, "shm", NULL, "4242");
    refuses(h.path, "than this process sees (a container?)");
    done_with(&h);
}

test("a segment on a disk, and wishes that a home does not have, are told") {
    struct home h = new_home();
    bursar_open_options_t o = at(h.path);
    o.shm_dir = text_of(h.folder);
    bursar_runtime_t *rt = NULL, *second = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    char path[PATH + 64];
    snprintf(path, sizeof path, "stat -f -c %%T %s | grep -q tmpfs", h.folder);
    if (system(path) != 0) home_event(rt, "no memory file system");
    o.flags = BURSAR_OPEN_OBSERVE;
    need(bursar_open(&o, &second, NULL), BURSAR_OK);
    home_event(second, "observing was asked for");
    bursar_close(second);
    bursar_close(rt);
    done_with(&h);
}

test("a path with a control byte is no home's") {
    bursar_open_options_t o = at("/tmp/a\nBURSAR_SESSION=1");
    refused_as(&o, BURSAR_E_INVALID, "control byte", __FILE__, __LINE__);
}
