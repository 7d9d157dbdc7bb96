/* SPDX-License-Identifier: Apache-2.0
 *
 * A process for the torture: threads that do everything a program can do with a
 * home, until they are killed, stopped, told to end or have had enough.
 *
 *     worker [HOME]
 *
 * reads commands from its standard input, each a line:
 *
 *     log PATH       what is spawned from now on writes its entries there
 *     spawn SEED     forks a worker: a new process is a matter of microseconds
 *
 *     rest           waits until all are gone, and what they forked
 *     rest kill      the same, and does not let them wait
 *
 * and writes `start PID`, `exit PID STATUS` and, after rest, `rest KILLED 0`. It adopts
 * what its workers leave, and never opens the home itself. Without HOME a worker has
 * a private runtime.
 */
#define _GNU_SOURCE
#include <bursar.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "record.h"

#define THREADS 3
#define MS INT64_C(1000000)

/* In the tight one nothing may pass its limit for any reason: no overruns, no forced
 * charges, nothing that runs out and is corrected later. */
enum { TIGHT, MIDDLE, WIDE };
static const char *const budgets[3] = {"torture/tight", "torture/middle", "torture/wide"};

static bursar_text_t home;
static int log_fd = -1;
static volatile sig_atomic_t ending;
static bursar_runtime_t *shared; /* the worker's own runtime */
static bursar_model_t model;
static int64_t input_nanos, output_nanos; /* a token's */

/* The last step that a thread settled, for the others to settle again. */
static struct { int64_t handle, input, output, session; } settled[THREADS];
static pthread_mutex_t settled_lock = PTHREAD_MUTEX_INITIALIZER;

/* A thread of a worker. */
struct agent {
    bursar_runtime_t *rt;
    uint64_t random;
    int64_t session, budget;
    int thread;
};

static bursar_text_t text(const char *s) { return (bursar_text_t){s, strlen(s)}; }

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static uint64_t next(struct agent *a) {
    a->random ^= a->random << 13;
    a->random ^= a->random >> 7;
    a->random ^= a->random << 17;
    return a->random >> 11;
}

static int64_t below(struct agent *a, int64_t n) { return (int64_t)(next(a) % (uint64_t)n); }

/* Whether something of so many percent happens. */
static int chance(struct agent *a, int64_t percent) { return below(a, 100) < percent; }

static void pause_for(int64_t ns) {
    struct timespec t = {ns / (1000 * MS), ns % (1000 * MS)};
    nanosleep(&t, NULL);
}

static void note(struct agent *a, char kind, int flags, int64_t handle, int64_t amount, int64_t detail) {
    struct entry e = {(uint32_t)getpid(), (uint16_t)a->thread, kind, (uint8_t)flags, handle, amount,
                      a->session, detail, now(), {0, 0}};
    if (write(log_fd, &e, sizeof e) != (ssize_t)sizeof e) _exit(97);
}

/* What must not happen: the judge fails on it. */
#define never(a, status) note((a), 'E', 0, 0, (status), __LINE__)

static void expect(struct agent *a, bursar_status_t got, bursar_status_t want, int line) {
    if (got != want) note(a, 'E', 0, 0, got, line);
}
#define expect(a, got, want) expect((a), (got), (want), __LINE__)

/* Whoever holds the configuration's lock can be made to stand still longer than anybody waits:
 * by this tormentor, or with its processor. Then nothing changed, and the same is asked again;
 * six times in succession is a minute, and somebody keeps what nobody gives back. */
#define patiently(a, call) ({ \
    bursar_status_t status_ = (call); \
    for (int tries_ = 1; status_ == BURSAR_E_BUSY && tries_ < 6; tries_++) { \
        note((a), 'B', 0, 0, tries_, __LINE__); \
        status_ = (call); \
    } \
    status_; })

static bursar_runtime_t *open_home(struct agent *a) {
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_runtime_t *rt = NULL;
    options.home = home;
    int64_t before = now();
    bursar_status_t status = patiently(a, bursar_open(&options, &rt, &error));
    if (status != BURSAR_OK) {
        never(a, status);
        fprintf(stderr, "torture: worker %d cannot open: %s\n", (int)getpid(), error.message);
        _exit(96);
    }
    note(a, 'O', 0, 0, now() - before, 0);
    return rt;
}

static int64_t open_session(struct agent *a, int64_t parent) {
    bursar_session_options_t options = BURSAR_SESSION_OPTIONS_INIT;
    options.path = text(budgets[a->budget]);
    options.parent = parent;
    options.agent = text("worker");
    bursar_label_t label = {text("thread"), text("of a worker in C")};
    options.labels = &label;
    options.label_count = 1;
    if (chance(a, 30)) options.limits = text("$2, 5000 steps, 10m wall");
    int64_t id = 0;
    bursar_status_t status = patiently(a, bursar_session_open(a->rt, &options, &id, NULL));
    if (status == BURSAR_E_CLOSED && parent) return 0; /* a sibling closed the parent */
    expect(a, status, BURSAR_OK);
    if (status != BURSAR_OK) return 0;
    int64_t own = a->session;
    a->session = id;
    note(a, 'S', 0, parent, a->budget, 0);
    a->session = own;
    return id;
}

static void close_session(struct agent *a, int64_t id) {
    expect(a, patiently(a, bursar_session_close(a->rt, id)), BURSAR_OK);
    int64_t own = a->session;
    a->session = id;
    note(a, 'X', 0, 0, 0, 0);
    a->session = own;
}

static bursar_usage_t usage_of(int64_t input, int64_t output) {
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    usage.input_tokens = input;
    usage.output_tokens = output;
    return usage;
}

static int64_t cost_of(int64_t input, int64_t output) {
    return input * input_nanos + output * output_nanos;
}

/* Settles, and checks the answer. `again`: another thread settled it before. */
static void settle(struct agent *a, int64_t handle, int64_t input, int64_t output, int again) {
    bursar_usage_t usage = usage_of(input, output);
    bursar_receipt_t receipt = BURSAR_RECEIPT_INIT;
    int64_t cost = cost_of(input, output);
    note(a, 's', again, handle, cost, 0);
    bursar_status_t status = bursar_settle(a->rt, handle, &usage, &receipt);
    if (status == BURSAR_OK) {
        if (receipt.cost_nanos != cost) never(a, BURSAR_E_CONFLICT);
        if (again && !(receipt.flags & BURSAR_RECEIPT_REPLAY)) never(a, status);
        note(a, 'T', (int)receipt.flags, handle, receipt.cost_nanos, receipt.overrun_nanos);
        return;
    }
    /* Long after: another step has its place. Busy: somebody stopped in the middle of it. */
    if (status != BURSAR_E_NOT_FOUND && status != BURSAR_E_BUSY) never(a, status);
    note(a, 'N', again, handle, 0, status);
}

static void settle_again(struct agent *a) {
    pthread_mutex_lock(&settled_lock);
    int k = (int)below(a, THREADS);
    int64_t handle = settled[k].handle, input = settled[k].input, output = settled[k].output;
    int64_t session = settled[k].session;
    pthread_mutex_unlock(&settled_lock);
    if (!handle) return;
    int64_t own = a->session;
    a->session = session;
    settle(a, handle, input, output, 1);
    a->session = own;
}

/* One step, from reserve to whatever becomes of it. */
static void step(struct agent *a) {
    bursar_request_t rq = BURSAR_REQUEST_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    rq.model = model;
    rq.input_tokens = 100 + below(a, 1900);
    rq.max_output_tokens = 20 + below(a, 400);
    int held = chance(a, 10), stream = !held && chance(a, 20);
    int brief = a->budget == WIDE && chance(a, 10);
    if (held) rq.flags |= BURSAR_REQUEST_HOLD;
    if (stream) rq.flags |= BURSAR_REQUEST_STREAM;
    if (brief) rq.ttl_ns = (100 + below(a, 300)) * MS;
    note(a, 'w', 0, 0, cost_of(rq.input_tokens, rq.max_output_tokens), 0);
    bursar_status_t status = bursar_reserve(a->rt, a->session, &rq, &d);
    if (status != BURSAR_OK) {
        note(a, 'R', 0, 0, status, d.reason);
        if (status != BURSAR_E_REFUSED && status != BURSAR_E_NOT_FOUND) never(a, status);
        if (chance(a, 50)) pause_for(below(a, 2 * MS));
        return;
    }
    note(a, 'G', held | stream << 1, d.reservation, d.reserved_nanos, 0);
    int64_t output = d.max_output_tokens ? below(a, d.max_output_tokens + 1) : 0;
    if (a->budget != TIGHT && chance(a, 5)) output += 1 + below(a, 200); /* an overrun */
    if (held) {
        if (chance(a, 30)) pause_for(below(a, 3 * MS));
        note(a, 'b', 0, d.reservation, 0, 0);
        status = bursar_begin(a->rt, d.reservation);
        if (status == BURSAR_E_EXPIRED) return;
        expect(a, status, BURSAR_OK);
    }
    for (int64_t seen = 0; stream && seen < output && seen < d.max_output_tokens; seen += 50) {
        int32_t reason = 0;
        status = bursar_stream(a->rt, d.reservation, seen, &reason);
        if (status == BURSAR_E_REFUSED || status == BURSAR_E_EXPIRED) break;
        expect(a, status, BURSAR_OK);
    }
    if (chance(a, 40)) pause_for(below(a, chance(a, 10) ? 20 * MS : MS));
    int64_t fate = below(a, 100);
    if (fate < 12) {
        note(a, 'r', 0, d.reservation, 0, 0);
        status = bursar_release(a->rt, d.reservation);
        if (status != BURSAR_OK && status != BURSAR_E_CONFLICT && status != BURSAR_E_NOT_FOUND
            && status != BURSAR_E_BUSY && status != BURSAR_E_EXPIRED) never(a, status);
        note(a, 'L', 0, d.reservation, 0, status);
    } else if (fate >= 15 || !brief) { /* else it is left: its time to live ends it */
        settle(a, d.reservation, rq.input_tokens, output, 0);
        pthread_mutex_lock(&settled_lock);
        if (a->thread < THREADS) {
            settled[a->thread].handle = d.reservation;
            settled[a->thread].input = rq.input_tokens;
            settled[a->thread].output = output;
            settled[a->thread].session = a->session;
        }
        pthread_mutex_unlock(&settled_lock);
    }
}

static void charge(struct agent *a) {
    bursar_charge_t charge = BURSAR_CHARGE_INIT;
    charge.nanos = 1000 + below(a, 5000000);
    int forced = a->budget == WIDE && chance(a, 20);
    if (forced) charge.flags = BURSAR_CHARGE_FORCE;
    note(a, 'c', forced, 0, charge.nanos, 0);
    bursar_status_t status = bursar_charge(a->rt, a->session, &charge, NULL, NULL);
    if (status != BURSAR_OK && status != BURSAR_E_REFUSED) never(a, status);
    note(a, 'C', forced, 0, charge.nanos, status);
}

/* Many small steps and nothing written down between them, so that a kill meets them in
 * the middle of a call. Together they are one charge. */
static void spin(struct agent *a) {
    bursar_request_t rq = BURSAR_REQUEST_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    bursar_usage_t usage = usage_of(1, 0);
    int64_t times = below(a, 4000), spent = 0;
    rq.model = model;
    rq.input_tokens = 1;
    note(a, 'c', 0, 0, (times + 1) * input_nanos, 0);
    for (; times > 0; times--) {
        if (times % 64 == 0 && chance(a, 10)) {
            bursar_session_options_t options = BURSAR_SESSION_OPTIONS_INIT;
            options.parent = a->session;
            options.limits = text("$1, 10m wall");
            int64_t child;
            if (patiently(a, bursar_session_open(a->rt, &options, &child, NULL)) == BURSAR_OK)
                expect(a, patiently(a, bursar_session_close(a->rt, child)), BURSAR_OK);
        }
        bursar_status_t status = bursar_reserve(a->rt, a->session, &rq, &d);
        if (status == BURSAR_E_REFUSED) continue;
        expect(a, status, BURSAR_OK);
        if (times % 8) {
            expect(a, bursar_release(a->rt, d.reservation), BURSAR_OK);
        } else {
            expect(a, bursar_settle(a->rt, d.reservation, &usage, NULL), BURSAR_OK);
            spent += input_nanos;
        }
    }
    note(a, 'C', 0, 0, spent, 0);
}

/* Whoever kills sees the very next reserve refused. */
static void kill_and_revive(struct agent *a) {
    int64_t id = a->session;
    int whole = chance(a, 10);
    if (whole && bursar_budget_find(a->rt, budgets[a->budget], strlen(budgets[a->budget]), &id)
        != BURSAR_OK) never(a, 0);
    expect(a, patiently(a, bursar_kill(a->rt, id, "torture", 7)), BURSAR_OK);
    bursar_request_t rq = BURSAR_REQUEST_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    rq.model = model;
    rq.input_tokens = 1;
    /* A budget may be revived by another meanwhile. */
    if (!whole && bursar_reserve(a->rt, a->session, &rq, &d) != BURSAR_E_REFUSED) never(a, 0);
    if (chance(a, 30)) pause_for(below(a, MS));
    expect(a, patiently(a, bursar_revive(a->rt, id, "torture", 7)), BURSAR_OK);
}

/* A second runtime of the same process on the same home. */
static void second_runtime(struct agent *a) {
    bursar_runtime_t *first = a->rt;
    a->rt = open_home(a);
    for (int64_t k = below(a, 4); k > 0; k--) step(a);
    expect(a, bursar_close(a->rt), BURSAR_OK);
    a->rt = first;
}

/* A child of fork while the other threads are busy: it is another process of the home. */
static void fork_child(struct agent *a) {
    int lingers = chance(a, 20), dies_with_us = chance(a, 50);
    pid_t child = fork();
    if (child < 0) return;
    if (child == 0) {
        if (dies_with_us) prctl(PR_SET_PDEATHSIG, SIGKILL);
        a->thread += 100;
        note(a, 'F', 0, getpid(), 0, 0);
        int64_t parents = a->session;
        if (chance(a, 70)) {
            int64_t own = open_session(a, 0);
            if (own) a->session = own;
            for (int64_t k = below(a, 20); k > 0; k--) step(a);
            if (own && chance(a, 50)) close_session(a, own);
        }
        a->session = parents;
        if (lingers) pause_for(1200 * MS); /* holding whatever it has got */
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
}

static void *run(void *raw) {
    struct agent *a = raw;
    while (!ending) {
        a->budget = below(a, 3);
        a->session = open_session(a, 0);
        if (!a->session) return NULL;
        int64_t own = a->session, child = 0;
        for (int64_t k = 5 + below(a, 60); k > 0 && !ending; k--) {
            int64_t what = below(a, 1000);
            if (what < 20) charge(a);
            else if (what >= 900) spin(a);
            else if (what < 60) settle_again(a);
            else if (what < 70) kill_and_revive(a);
            else if (what < 74) second_runtime(a);
            else if (what < 77 && home.len) fork_child(a);
            else if (what < 90 && !child) {
                child = open_session(a, own);
                if (child) a->session = child;
            } else if (what < 100 && child) {
                a->session = own;
                close_session(a, child);
                child = 0;
            } else step(a);
        }
        a->session = own;
        if (!chance(a, 10)) close_session(a, own); /* else it goes with the process */
    }
    return NULL;
}

static void end(int signal) {
    (void)signal;
    ending = 1;
}

/* Where it crashed: lines that addr2line reads. Swift keeps frame pointers, but no tables. */
static void crash(int signal, siginfo_t *info, void *raw) {
    void *frames[32];
    int count = 0;
    (void)info;
#if defined __x86_64__
    ucontext_t *context = raw;
    void **frame = (void **)context->uc_mcontext.gregs[REG_RBP];
    frames[count++] = (void *)context->uc_mcontext.gregs[REG_RIP];
    frames[count++] = *(void **)context->uc_mcontext.gregs[REG_RSP]; /* before its frame was made */
    while (count < 32 && frame && (uintptr_t)frame % 8 == 0) {
        frames[count++] = frame[1];
        if ((uintptr_t)*frame <= (uintptr_t)frame) break;
        frame = *frame;
    }
#else
    (void)raw;
    count = backtrace(frames, 32);
#endif
    backtrace_symbols_fd(frames, count, 2);
    _exit(128 + signal);
}

/* A worker's life. */
static void live(uint64_t seed) {
    struct agent agents[THREADS];
    struct agent first = {0};
    first.random = seed * 2654435769u + 88172645463325252u;
    first.thread = THREADS;
    struct sigaction action = {0};
    action.sa_handler = end;
    sigaction(SIGTERM, &action, NULL);
    action.sa_sigaction = crash;
    action.sa_flags = (int)SA_RESETHAND | SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGTRAP, &action, NULL);
    sigaction(SIGABRT, &action, NULL);
    first.rt = shared = open_home(&first);
    bursar_rates_t rates = BURSAR_RATES_INIT;
    expect(&first, bursar_model_find(shared, "gpt-4o", 6, &model), BURSAR_OK);
    expect(&first, bursar_price_get(shared, model, &rates), BURSAR_OK);
    input_nanos = rates.input_picos / 1000;
    output_nanos = rates.output_picos / 1000;
    pthread_t threads[THREADS];
    for (int k = 0; k < THREADS; k++) {
        agents[k] = first;
        agents[k].thread = k;
        agents[k].random += (uint64_t)k * 0x9E3779B97F4A7C15u;
        pthread_create(&threads[k], NULL, run, &agents[k]);
    }
    /* Some end by themselves, cleanly or by leaving everything as it is. */
    int64_t most = chance(&first, 30) ? below(&first, 1000) * MS : 3600 * 1000 * MS;
    int64_t until = now() + most;
    while (!ending && now() < until) pause_for(5 * MS);
    if (!ending && chance(&first, 30)) _exit(0);
    ending = 1;
    for (int k = 0; k < THREADS; k++) pthread_join(threads[k], NULL);
    if (chance(&first, 80)) expect(&first, bursar_close(shared), BURSAR_OK);
    exit(0);
}

/* ---- The process that workers are forked from ---- */

static void spawn(uint64_t seed) {
    pid_t child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
        dup2(nothing, 0);
        close(nothing);
        close(1);
        live(seed);
    }
    printf("start %d\n", (int)child);
}

/* Kills every child that there is; how many. */
static int kill_children(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "r");
    int pid, killed = 0;
    while (file && fscanf(file, "%d", &pid) == 1) killed += kill(pid, SIGKILL) == 0;
    if (file) fclose(file);
    return killed;
}

static void wait_for_all(int kills) {
    int status, killed = 0;
    do {
        if (kills) killed += kill_children();
        pid_t gone = waitpid(-1, &status, 0); /* what it leaves is ours before this returns */
        if (gone > 0) printf("exit %d %d\n", (int)gone, status);
        else if (errno != EINTR) break;
    } while (1);
    printf("rest %d 0\n", killed);
}

static void command(char *line) {
    if (strncmp(line, "rest", 4) == 0) wait_for_all(line[4] == ' ');
    if (strncmp(line, "spawn ", 6) == 0) spawn(strtoull(line + 6, NULL, 10));
    if (strncmp(line, "log ", 4) == 0) {
        if (log_fd >= 0) close(log_fd);
        log_fd = open(line + 4, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0) exit(95);
    }
}

int main(int count, char **arguments) {
    void *frame;
    backtrace(&frame, 1); /* loads what it needs now */
    if (count > 1) home = text(arguments[1]);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    struct pollfd polls[2] = {{0, POLLIN, 0}, {signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0}};
    char buffer[4096];
    size_t held = 0;
    for (;;) {
        fflush(stdout);
        if (poll(polls, 2, -1) < 0 && errno != EINTR) return 1;
        struct signalfd_siginfo info;
        while (read(polls[1].fd, &info, sizeof info) > 0) {}
        int status;
        pid_t gone;
        while ((gone = waitpid(-1, &status, WNOHANG)) > 0) printf("exit %d %d\n", (int)gone, status);
        if (!(polls[0].revents & (POLLIN | POLLHUP))) continue;
        ssize_t got = read(0, buffer + held, sizeof buffer - 1 - held);
        if (got <= 0) return 0;
        held += (size_t)got;
        buffer[held] = 0;
        char *line = buffer, *newline;
        for (; (newline = strchr(line, '\n')); line = newline + 1) {
            *newline = 0;
            command(line);
        }
        held = strlen(line);
        memmove(buffer, line, held);
    }
}
