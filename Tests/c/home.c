/* SPDX-License-Identifier: Apache-2.0
 *
 * Homes: real processes on one home, forks, deaths, and each way in which a home could
 * split in two and must not.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "help.h"

#define PATH 512

/* ------------------------------------------------------------------- Helpers */

struct home {
    char folder[PATH]; /* of this test, removed at its end */
    char path[PATH];
};

static void join(char *out, const char *folder, const char *name) {
    size_t n = strlen(folder), m = strlen(name);
    memcpy(out, folder, n);
    out[n] = '/';
    memcpy(out + n + 1, name, m + 1);
}

static struct home new_home(void) {
    struct home h;
    signal(SIGPIPE, SIG_IGN);
    strcpy(h.folder, "/tmp/bursar-home-XXXXXX");
    check(mkdtemp(h.folder) != NULL);
    join(h.path, h.folder, "home");
    return h;
}

static void remove_tree(const char *path) {
    DIR *d = opendir(path);
    if (!d) {
        unlink(path);
        return;
    }
    struct dirent *e;
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        char inner[PATH];
        join(inner, path, e->d_name);
        struct stat s;
        if (lstat(inner, &s) == 0 && S_ISDIR(s.st_mode)) remove_tree(inner);
        else unlink(inner);
    }
    closedir(d);
    rmdir(path);
}

/* A line of the record: the value of `key`, or its replacement. */
static void record(const char *home, const char *key, char *out, const char *put) {
    char path[PATH], text[4096] = {0}, made[8192] = {0};
    join(path, home, "home");
    FILE *f = fopen(path, "r");
    if (!check(f != NULL)) return;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        size_t k = strlen(key);
        int is = strncmp(line, key, k) == 0 && line[k] == ' ';
        if (is && out) strcpy(out, line + k + 1);
        if (is && put) {
            strcat(made, key);
            strcat(made, " ");
            strcat(made, put);
        } else {
            strcat(made, line);
        }
        strcat(made, "\n");
    }
    if (!put) return;
    f = fopen(path, "w");
    if (!check(f != NULL)) return;
    fwrite(made, 1, strlen(made), f);
    fclose(f);
}

static void done_with(struct home *h) {
    char path[PATH], segment[PATH] = "";
    join(path, h->path, "home");
    struct stat s;
    if (lstat(path, &s) == 0) record(h->path, "segment", segment, NULL);
    if (segment[0]) unlink(segment);
    remove_tree(h->folder);
}

static bursar_open_options_t at(const char *path) {
    bursar_open_options_t o = BURSAR_OPEN_OPTIONS_INIT;
    o.home = text_of(path);
    o.undeclared = BURSAR_UNDECLARED_ALLOW;
    return o;
}

static bursar_runtime_t *open_home(const char *path) {
    bursar_open_options_t o = at(path);
    bursar_runtime_t *rt = NULL;
    bursar_error_t error = BURSAR_ERROR_INIT;
    if (!equal(bursar_open(&o, &rt, &error), BURSAR_OK)) fprintf(stderr, "  %s\n", error.message);
    return rt;
}

/* Opening fails with that status and words. */
static void refused_as(const bursar_open_options_t *o, bursar_status_t status, const char *words, const char *file,
                       int line) {
    bursar_runtime_t *rt = NULL;
    bursar_error_t error = BURSAR_ERROR_INIT;
    test_equal(bursar_open(o, &rt, &error), status, "bursar_open", file, line);
    test_has(error.message, error.message_len, words, file, line);
    if (getenv("SHOW")) printf("  %.*s\n", (int)error.message_len, error.message);
    if (rt) bursar_close(rt);
}
#define refuses(path, words)                                        \
    do {                                                            \
        bursar_open_options_t o_ = at(path);                        \
        refused_as(&o_, BURSAR_E_HOME, words, __FILE__, __LINE__);  \
    } while (0)

static bursar_home_info_t info_of(bursar_runtime_t *rt) {
    bursar_home_info_t info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    equal(bursar_home_info(rt, &info), BURSAR_OK);
    return info;
}

/* A process of its own, which says when it is ready and waits for its end. */
struct other {
    pid_t pid;
    int ready[2], go[2];
};

static void say(int fd) { check(write(fd, "x", 1) == 1); }
static int hear(int fd) {
    char c;
    return read(fd, &c, 1) == 1;
}

static struct other start_other(void (*body)(struct other *, void *), void *argument) {
    struct other o;
    check(pipe(o.ready) == 0 && pipe(o.go) == 0);
    fflush(NULL);
    o.pid = fork();
    if (o.pid == 0) {
        alarm(60);
        close(o.ready[0]);
        close(o.go[1]);
        test_failures = 0;
        body(&o, argument);
        fflush(NULL);
        _exit(test_failures ? 1 : 0);
    }
    close(o.ready[1]);
    close(o.go[0]);
    return o;
}

static int end_other(struct other *o) {
    int status = -1;
    if (write(o->go[1], "x", 1) < 0) status = -1; /* it may be dead */
    close(o->go[1]);
    close(o->ready[0]);
    waitpid(o->pid, &status, 0);
    return status;
}

/* Opens, tells, and stays until it is told. */
static void stay(struct other *o, void *path) {
    bursar_runtime_t *rt = open_home(path);
    say(o->ready[1]);
    hear(o->go[0]);
    equal(bursar_close(rt), BURSAR_OK);
}

static int segments_of(const char *id) {
    int n = 0;
    DIR *d = opendir("/dev/shm");
    struct dirent *e;
    while (d && (e = readdir(d))) n += strstr(e->d_name, id) != NULL;
    if (d) closedir(d);
    return n;
}

static void home_event(bursar_runtime_t *rt, const char *words) {
    bursar_event_t event;
    if (wait_event(rt, BURSAR_EVENT_HOME, &event)) {
        has(event.text, event.text_len < 255 ? event.text_len : 255, words);
        if (getenv("SHOW")) printf("  event: %s\n", event.text);
    }
}

/* --------------------------------------------------------------- Coming there */

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

struct spending {
    bursar_runtime_t *rt;
    bursar_id_t session;
    bursar_model_t dime;
    volatile int stops;
    int64_t spent;
};

static bursar_status_t dime(struct spending *s) {
    bursar_request_t q = request_of(s->dime, 0, 1);
    bursar_decision_t d = BURSAR_DECISION_INIT;
    bursar_status_t status = bursar_reserve(s->rt, s->session, &q, &d);
    if (status != BURSAR_OK) return status;
    bursar_usage_t u = usage_of(0, 1);
    status = bursar_settle(s->rt, d.reservation, &u, NULL);
    if (status == BURSAR_OK) __atomic_add_fetch(&s->spent, DOLLAR / 10, __ATOMIC_RELAXED);
    return status;
}

static struct spending spending_at(bursar_runtime_t *rt, const char *limits) {
    struct spending s;
    memset(&s, 0, sizeof s);
    s.rt = rt;
    price(rt, "dime", 0, DOLLAR / 10);
    s.dime = model(rt, "dime");
    budget(rt, "acme", limits);
    s.session = session(rt, "acme", 0, "");
    return s;
}

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

/* ---------------------------------------------------- Ways to split in two */

test("a segment that is gone while others use it is not replaced") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    char segment[PATH];
    record(h.path, "segment", segment, NULL);
    unlink(segment);
    refuses(h.path, "is gone while other processes are attached");
    equal(end_other(&o), 0);
    bursar_runtime_t *rt = open_home(h.path);
    home_event(rt, "the former one was removed");
    bursar_close(rt);
    done_with(&h);
}

test("a segment in another place than the others' is not used") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    char segment[PATH], away[PATH + 8];
    record(h.path, "segment", segment, NULL);
    strcpy(away, segment);
    strcat(away, ".away");
    check(rename(segment, away) == 0);
    int fd = open(segment, O_RDWR | O_CREAT, 0600);
    close(fd);
    refuses(h.path, "too short");
    check(rename(away, segment) == 0);
    equal(end_other(&o), 0);
    done_with(&h);
}

/* Opens, has the segment changed at `offset`, and opens again. */
static void corrupted(long offset, const char *words) {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    bursar_home_info_t info = info_of(rt);
    bursar_close(rt);
    FILE *f = fopen(info.segment_path, "r+");
    fseek(f, offset, SEEK_SET);
    unsigned char byte = (unsigned char)fgetc(f);
    fseek(f, offset, SEEK_SET);
    fputc(byte ^ 0x11, f);
    fclose(f);
    refuses(h.path, words);
    done_with(&h);
}

test("each word that says what a segment is must be right") {
    corrupted(0, "has magic");
    corrupted(8, "has layout");
    corrupted(16, "has segment id");
    corrupted(32, "has size");
    corrupted(40, "has size");
    corrupted(42, "has size");
    corrupted(43, "has sessions_max");
    corrupted(44, "has size");
    corrupted(47, "has reservations_max");
    corrupted(50, "has size");
    corrupted(56, "has home");
    corrupted(90, "has boot");
}

test("a truncated or longer segment is refused") {
    for (int i = 0; i < 3; i++) {
        struct home h = new_home();
        bursar_runtime_t *rt = open_home(h.path);
        bursar_home_info_t info = info_of(rt);
        bursar_close(rt);
        check(truncate(info.segment_path, i == 0 ? 0 : i == 1 ? 4096 : info.segment_bytes + 4096) == 0);
        refuses(h.path, i == 0 ? "too short" : "has size");
        done_with(&h);
    }
}

static void run(const char *command) { check(system(command) == 0); }

test("a copied home is refused, and its record removed makes it a home of its own") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    bursar_home_info_t info = info_of(rt);
    char command[PATH * 4], copy[PATH];
    join(copy, h.folder, "copy");
    snprintf(command, sizeof command, "cp -a %s %s", h.path, copy);
    run(command);
    refuses(copy, "copied");
    char name[PATH];
    join(name, copy, "home");
    unlink(name);
    bursar_runtime_t *other = open_home(copy);
    bursar_home_info_t theirs = info_of(other);
    check(strcmp(info.id, theirs.id) != 0);
    unlink(theirs.segment_path);
    bursar_close(other);
    bursar_close(rt);
    done_with(&h);
}

test("a lock file that was replaced is refused") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    char lock[PATH], other[PATH];
    join(lock, h.path, "lock");
    join(other, h.path, "other");
    close(open(other, O_RDWR | O_CREAT, 0600));
    check(rename(other, lock) == 0);
    refuses(h.path, "lock file replaced");
    equal(end_other(&o), 0);
    done_with(&h);
}

test("a record that is gone while others use the home is not replaced") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    char name[PATH], segment[PATH];
    record(h.path, "segment", segment, NULL);
    join(name, h.path, "home");
    unlink(name);
    refuses(h.path, "close them first");
    equal(end_other(&o), 0);
    unlink(segment);
    done_with(&h);
}

test("processes of another library version keep this one out, and alone it begins anew") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    record(h.path, "layout", NULL, "0123456789abcdef");
    refuses(h.path, "has layout 0123456789abcdef");
    equal(end_other(&o), 0);
    bursar_runtime_t *rt = open_home(h.path);
    home_event(rt, "another version of the library");
    equal(segments_of(info_of(rt).id), 1);
    bursar_close(rt);
    done_with(&h);
}

test("another boot's segment is replaced, and one whose processes are attached is another machine's") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    record(h.path, "boot", NULL, "00000000-0000-0000-0000-000000000000");
    refuses(h.path, "another machine or boot");
    equal(end_other(&o), 0);
    bursar_runtime_t *rt = open_home(h.path);
    home_event(rt, "the machine was started anew");
    equal(segments_of(info_of(rt).id), 1);
    bursar_close(rt);
    rt = open_home(h.path); /* and from now on it is there */
    bursar_close(rt);
    done_with(&h);
}

test("a record of another format, or a damaged one, is refused") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    record(h.path, "bursar-home", NULL, "2");
    refuses(h.path, "has format 2; this library knows 1");
    record(h.path, "bursar-home", NULL, "1");
    record(h.path, "lock", NULL, "12 x");
    refuses(h.path, "is malformed in line 3");
    done_with(&h);
}

test("a symbolic link, a file, and a directory of nobody are no homes") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    char other[PATH], deep[PATH];
    join(other, h.folder, "link");
    check(symlink(h.path, other) == 0);
    refuses(other, "is a symbolic link");
    join(other, h.path, "home");
    refuses(other, "is not a directory");
    join(other, h.folder, "missing");
    join(deep, other, "home");
    refuses(deep, "No such file or directory");
    bursar_open_options_t o = at("~/.bursar");
    refused_as(&o, BURSAR_E_INVALID, "begins with", __FILE__, __LINE__);
    done_with(&h);
}

test("a home or file that others may write is refused") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    chmod(h.path, 0777);
    refuses(h.path, "has mode 0777");
    chmod(h.path, 0770);
    refuses(h.path, "has mode 0770");
    chmod(h.path, 0700);
    char segment[PATH], lock[PATH];
    record(h.path, "segment", segment, NULL);
    chmod(segment, 0666);
    refuses(h.path, "has mode 0666; 0600 is right");
    chmod(segment, 0600);
    join(lock, h.path, "lock");
    char second[PATH];
    join(second, h.folder, "second");
    check(link(lock, second) == 0);
    refuses(h.path, "has 2 names");
    unlink(second);
    bursar_close(open_home(h.path));
    done_with(&h);
}

static void as_stranger(struct other *o, void *path) {
    hear(o->go[0]);
    check(setgid(65534) == 0 && setuid(65534) == 0);
    refuses(path, "belongs to user 0");
    chmod(path, 0700);
}

static void as_outsider(struct other *o, void *path) {
    hear(o->go[0]);
    check(setgid(65534) == 0 && setuid(65534) == 0);
    refuses(path, "Permission denied");
}

test("another user's home is refused, and root may attach to anybody's") {
    if (geteuid() != 0) return;
    struct home h = new_home();
    chmod(h.folder, 0755);
    bursar_close(open_home(h.path));
    chmod(h.path, 0755);
    struct other o = start_other(as_stranger, h.path);
    say(o.go[1]);
    equal(end_other(&o), 0);
    chmod(h.folder, 0700);
    o = start_other(as_outsider, h.path);
    say(o.go[1]);
    equal(end_other(&o), 0);
    done_with(&h);

    h = new_home();
    check(mkdir(h.path, 0700) == 0 && chown(h.path, 65534, 65534) == 0);
    bursar_runtime_t *rt = open_home(h.path);
    bursar_home_info_t info = info_of(rt);
    struct stat s;
    check(stat(info.segment_path, &s) == 0);
    equal(s.st_uid, 65534);
    const char *names[] = {"home", "lock", "bells"};
    for (int i = 0; i < 3; i++) {
        char path[PATH];
        join(path, h.path, names[i]);
        check(stat(path, &s) == 0);
        equal(s.st_uid, 65534);
    }
    bursar_close(rt);
    done_with(&h);
}

static void use_all_slots(struct other *o, void *path) {
    stay(o, path);
}

test("too many processes is an error with their ids") {
    struct home h = new_home();
    static struct other others[255];
    for (int i = 0; i < 255; i++) others[i] = start_other(use_all_slots, h.path);
    for (int i = 0; i < 255; i++) hear(others[i].ready[0]);
    bursar_open_options_t o = at(h.path);
    refused_as(&o, BURSAR_E_CAPACITY, "255 processes", __FILE__, __LINE__);
    /* One dies: its slot is taken over. */
    kill(others[7].pid, SIGKILL);
    end_other(&others[7]);
    bursar_runtime_t *rt = open_home(h.path);
    equal(info_of(rt).processes, 255);
    bursar_close(rt);
    for (int i = 0; i < 255; i++) {
        if (i != 7) equal(end_other(&others[i]), 0);
    }
    done_with(&h);
}

test("a segment that does not fit is an error with its bytes and the options") {
    struct home h = new_home();
    bursar_open_options_t o = at(h.path);
    o.sessions_max = 16777216;
    o.reservations_max = 524288;
    o.text_bytes_max = 0xFFFF0000u;
    char small[PATH], command[PATH * 2];
    join(small, h.folder, "small");
    mkdir(small, 0700);
    snprintf(command, sizeof command, "mount -t tmpfs -o size=1m none %s 2>/dev/null", small);
    if (geteuid() != 0 || system(command) != 0) {
        remove_tree(h.folder);
        return;
    }
    o = at(h.path);
    o.shm_dir = text_of(small);
    refused_as(&o, BURSAR_E_MEMORY, "lower sessions_max", __FILE__, __LINE__);
    o.reservations_max = 64;
    o.sessions_max = 16;
    o.text_bytes_max = 65536;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    bursar_home_info_t info = info_of(rt);
    has(info.segment_path, strlen(info.segment_path), small);
    bursar_close(rt);
    snprintf(command, sizeof command, "umount -l %s", small);
    run(command);
    done_with(&h);
}

test("a read-only file system is named") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    char command[PATH * 4];
    snprintf(command, sizeof command, "mount --bind %s %s 2>/dev/null && mount -o remount,ro,bind %s 2>/dev/null",
             h.folder, h.folder, h.folder);
    if (geteuid() != 0 || system(command) != 0) {
        done_with(&h);
        return;
    }
    refuses(h.path, "Read-only file system");
    snprintf(command, sizeof command, "umount -l %s", h.folder);
    run(command);
    done_with(&h);
}

test("a larger size than the segment's is told, and the segment stays") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    bursar_open_options_t o = at(h.path);
    o.sessions_max = 1000000;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    home_event(rt, "sessions_max is 1000000");
    bursar_close(rt);
    done_with(&h);
}

test("working alone is only for whoever asked for it, and is told") {
    struct home h = new_home();
    struct other other = start_other(stay, h.path);
    hear(other.ready[0]);
    char segment[PATH];
    record(h.path, "segment", segment, NULL);
    unlink(segment);
    for (int way = BURSAR_UNAVAILABLE_PRIVATE; way <= BURSAR_UNAVAILABLE_ALLOW; way++) {
        bursar_open_options_t o = at(h.path);
        o.on_unavailable = way;
        bursar_runtime_t *rt = NULL;
        need(bursar_open(&o, &rt, NULL), BURSAR_OK);
        equal(info_of(rt).flags, 0);
        home_event(rt, "is gone while other processes are attached");
        struct spending s = spending_at(rt, "$0.1");
        equal(dime(&s), BURSAR_OK);
        equal(dime(&s), way == BURSAR_UNAVAILABLE_ALLOW ? BURSAR_OK : BURSAR_E_REFUSED);
        bursar_close(rt);
    }
    bursar_open_options_t o = at(h.path);
    o.on_unavailable = 4;
    refused_as(&o, BURSAR_E_INVALID, "on_unavailable", __FILE__, __LINE__);
    equal(end_other(&other), 0);
    done_with(&h);
}

test("no descriptor is left by opening, forking and closing, and no segment by a kill") {
    struct home h = new_home();
    bursar_runtime_t *first = open_home(h.path);
    int before = 0;
    for (int i = 0; i < 300; i++) {
        if (i == 100) close(before = dup(0)); /* what others closed is gone by now */
        bursar_runtime_t *rt = open_home(h.path);
        info_of(rt);
        bursar_close(rt);
    }
    int after = dup(0);
    close(after);
    equal(after, before);
    equal(segments_of(info_of(first).id), 1);
    bursar_close(first);
    done_with(&h);
}
