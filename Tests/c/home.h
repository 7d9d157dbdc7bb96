/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of homes share: homes in a directory of their own, their records, and
 * other processes on them.
 */
#ifndef BURSAR_HOME_H
#define BURSAR_HOME_H

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "help.h"

#define PATH 512

struct home {
    char folder[PATH]; /* of this test, removed at its end */
    char path[PATH];
};

static inline void join(char *out, const char *folder, const char *name) {
    size_t n = strlen(folder), m = strlen(name);
    memcpy(out, folder, n);
    out[n] = '/';
    memcpy(out + n + 1, name, m + 1);
}

static inline struct home new_home(void) {
    struct home h;
    signal(SIGPIPE, SIG_IGN);
    strcpy(h.folder, "/tmp/bursar-home-XXXXXX");
    check(mkdtemp(h.folder) != NULL);
    join(h.path, h.folder, "home");
    return h;
}

static inline void remove_tree(const char *path) {
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
static inline void record(const char *home, const char *key, char *out, const char *put) {
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

static inline void done_with(struct home *h) {
    char path[PATH], segment[PATH] = "";
    join(path, h->path, "home");
    struct stat s;
    if (lstat(path, &s) == 0) record(h->path, "segment", segment, NULL);
    if (segment[0]) unlink(segment);
    remove_tree(h->folder);
}

static inline bursar_open_options_t at(const char *path) {
    bursar_open_options_t o = BURSAR_OPEN_OPTIONS_INIT;
    o.home = text_of(path);
    o.undeclared = BURSAR_UNDECLARED_ALLOW;
    return o;
}

static inline bursar_runtime_t *open_home(const char *path) {
    bursar_open_options_t o = at(path);
    bursar_runtime_t *rt = NULL;
    bursar_error_t error = BURSAR_ERROR_INIT;
    if (!equal(bursar_open(&o, &rt, &error), BURSAR_OK)) fprintf(stderr, "  %s\n", error.message);
    return rt;
}

/* Opening fails with that status and words. */
static inline void refused_as(const bursar_open_options_t *o, bursar_status_t status, const char *words, const char *file,
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

static inline bursar_home_info_t info_of(bursar_runtime_t *rt) {
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

static inline void say(int fd) { check(write(fd, "x", 1) == 1); }
static inline int hear(int fd) {
    char c;
    return read(fd, &c, 1) == 1;
}

static inline struct other start_other(void (*body)(struct other *, void *), void *argument) {
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

static inline int end_other(struct other *o) {
    int status = -1;
    if (write(o->go[1], "x", 1) < 0) status = -1; /* it may be dead */
    close(o->go[1]);
    close(o->ready[0]);
    waitpid(o->pid, &status, 0);
    return status;
}

/* Opens, tells, and stays until it is told. */
static inline void stay(struct other *o, void *path) {
    bursar_runtime_t *rt = open_home(path);
    say(o->ready[1]);
    hear(o->go[0]);
    equal(bursar_close(rt), BURSAR_OK);
}

static inline int segments_of(const char *id) {
    int n = 0;
    DIR *d = opendir("/dev/shm");
    struct dirent *e;
    while (d && (e = readdir(d))) n += strstr(e->d_name, id) != NULL;
    if (d) closedir(d);
    return n;
}

static inline void home_event(bursar_runtime_t *rt, const char *words) {
    bursar_event_t event;
    if (wait_event(rt, BURSAR_EVENT_HOME, &event)) {
        has(event.text, event.text_len < 255 ? event.text_len : 255, words);
        if (getenv("SHOW")) printf("  event: %s\n", event.text);
    }
}

/* ------------------------------------------------------------------- Spending */

struct spending {
    bursar_runtime_t *rt;
    bursar_id_t session;
    bursar_model_t dime;
    volatile int stops;
    int64_t spent;
};

static inline bursar_status_t dime(struct spending *s) {
    bursar_request_t q = request_of(s->dime, 0, 1);
    bursar_decision_t d = BURSAR_DECISION_INIT;
    bursar_status_t status = bursar_reserve(s->rt, s->session, &q, &d);
    if (status != BURSAR_OK) return status;
    bursar_usage_t u = usage_of(0, 1);
    status = bursar_settle(s->rt, d.reservation, &u, NULL);
    if (status == BURSAR_OK) __atomic_add_fetch(&s->spent, DOLLAR / 10, __ATOMIC_RELAXED);
    return status;
}

static inline struct spending spending_at(bursar_runtime_t *rt, const char *limits) {
    struct spending s;
    memset(&s, 0, sizeof s);
    s.rt = rt;
    price(rt, "dime", 0, DOLLAR / 10);
    s.dime = model(rt, "dime");
    budget(rt, "acme", limits);
    s.session = session(rt, "acme", 0, "");
    return s;
}

#endif
