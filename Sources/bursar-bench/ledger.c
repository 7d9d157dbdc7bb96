/* SPDX-License-Identifier: Apache-2.0
 *
 * What a ledger costs, and how soon a step is in it. `make bench-ledger` runs it.
 *
 *     ledger HOME [SECONDS [RATE [PROCESSES [PROBES]]]]
 *
 * Processes reserve and settle priced steps in a home at a steady rate, in a burst each
 * millisecond; the home's elected writer has them in SQLite. By turns with bursts in the
 * home there are bursts of the same steps in a private runtime, which has no ledger:
 * what else runs on the machine meets both. A process of its own settles single steps at
 * random moments, and another, which knows nothing but the file, looks with SQL when each
 * is there: while nothing else happens, and at the full rate.
 */
#define _GNU_SOURCE
#include <bursar.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS INT64_C(1000000)
#define SECOND INT64_C(1000000000)
#define PROCESSES_MAX 8
#define PROBES_MAX 65536
#define SAMPLES_MAX 1048576
#define MARKS 65536 /* one each millisecond: how much was settled by then */
#define TREES 64    /* agents of a process; each has sub-agents */
#define SUBS 3

static int64_t clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}
static int64_t now(void) { return clock_ns(CLOCK_MONOTONIC); }
static int64_t cpu(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

static void rest(int64_t ns) {
    if (ns <= 0) return;
    struct timespec t = {ns / SECOND, ns % SECOND};
    nanosleep(&t, NULL);
}

static void need(bursar_status_t status, const char *what) {
    if (status == BURSAR_OK) return;
    fprintf(stderr, "bench-ledger: %s: %s\n", what, bursar_status_string(status));
    exit(1);
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Nanoseconds for each step, of bursts of one kind. */
struct samples {
    int64_t steps, wall, cpu;
    int32_t count;
    float each[SAMPLES_MAX];
};

struct worker {
    int64_t settled __attribute__((aligned(64)));
    int64_t refused, late; /* refused for want of room; bursts that began a millisecond late or more */
    int64_t threads[64][3]; /* of the process, at its end: id, nanoseconds of processor time, 1 = had it before the home */
    int32_t thread_count;
    struct samples home, alone;
};

/* What all processes see. */
static struct {
    int32_t ready, phase; /* 1: probes alone, 2: the load too, 3: all was settled, 4: the end */
    int64_t probe_count;  /* settled so far */
    struct { int64_t at, unix_at, phase; } probes[PROBES_MAX];
    int64_t seen_count;
    int64_t seen[PROBES_MAX];
    struct { int64_t at, settled; } marks[MARKS];
    int64_t mark_count;
    int64_t rows, lag_rows_max, lag_ns_max, lag_samples, caught_up_after, reader_cpu;
    double lag_rows_sum;
    char segment[4096];
    struct worker workers[PROCESSES_MAX];
} *all;

static int64_t load(int64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static void store(int64_t *p, int64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static int32_t phase(void) { return __atomic_load_n(&all->phase, __ATOMIC_ACQUIRE); }
static void ready(void) { __atomic_add_fetch(&all->ready, 1, __ATOMIC_ACQ_REL); }

static int64_t settled(int processes) {
    int64_t sum = load(&all->probe_count);
    for (int k = 0; k < processes; k++) sum += load(&all->workers[k].settled);
    return sum;
}

static uint64_t seed = 7;
static uint64_t dice(uint64_t most) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % most;
}

/* ---- A runtime and its agents ---- */

struct side {
    bursar_runtime_t *rt;
    bursar_id_t sessions[TREES * SUBS];
    bursar_model_t models[3];
};

static bursar_runtime_t *open_runtime(const char *home) {
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_runtime_t *rt = NULL;
    if (home) options.home = (bursar_text_t){home, strlen(home)};
    options.reservations_max = 16384; /* both alike */
    if (bursar_open(&options, &rt, &error) != BURSAR_OK) {
        fprintf(stderr, "bench-ledger: %s\n", error.message);
        exit(1);
    }
    return rt;
}

/* Five levels: acme, acme/support, acme/support/triage, an agent, a sub-agent. */
static void open_side(struct side *side, const char *home, int number) {
    static const char *const paths[] = {"acme", "acme/support", "acme/support/triage"};
    static const char *const models[] = {"gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5"};
    bursar_runtime_t *rt = side->rt = open_runtime(home);
    for (int k = 0; k < 3; k++) {
        bursar_budget_options_t bo = BURSAR_BUDGET_OPTIONS_INIT;
        bo.limits = BURSAR_TEXT("$4000000, 4000000000 steps");
        bo.owner = BURSAR_TEXT("ada");
        need(bursar_budget_declare(rt, paths[k], strlen(paths[k]), &bo, NULL, NULL), "budget");
        need(bursar_model_find(rt, models[k], strlen(models[k]), &side->models[k]), "model");
    }
    for (int k = 0; k < TREES; k++) {
        char agent[24], customer[24];
        bursar_label_t labels[2] = {{BURSAR_TEXT("customer"), {customer, 0}}, {BURSAR_TEXT("feature"), BURSAR_TEXT("mail")}};
        labels[0].value.len = (size_t)snprintf(customer, sizeof customer, "c%d", k % 40);
        bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
        so.path = BURSAR_TEXT("acme/support/triage");
        so.agent = (bursar_text_t){agent, (size_t)snprintf(agent, sizeof agent, "agent-%d-%d", number, k % 8)};
        so.limits = BURSAR_TEXT("$1000000");
        so.labels = labels;
        so.label_count = 2;
        bursar_id_t parent;
        need(bursar_session_open(rt, &so, &parent, NULL), "session");
        so.parent = parent;
        for (int sub = 0; sub < SUBS; sub++) {
            so.agent = (bursar_text_t){agent, (size_t)snprintf(agent, sizeof agent, "sub-agent-%d", sub)};
            need(bursar_session_open(rt, &so, &side->sessions[k * SUBS + sub], NULL), "sub-agent");
        }
    }
}

static bursar_status_t step(struct side *side, bursar_id_t session, int64_t input) {
    bursar_request_t rq = BURSAR_REQUEST_INIT;
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    rq.model = side->models[dice(3)];
    rq.input_tokens = input;
    rq.max_output_tokens = 700;
    bursar_status_t status = bursar_reserve(side->rt, session, &rq, &d);
    if (status != BURSAR_OK) return status;
    usage.input_tokens = input;
    usage.cache_read_input_tokens = (int64_t)dice((uint64_t)input + 1);
    usage.output_tokens = (int64_t)dice(700);
    usage.reasoning_output_tokens = usage.output_tokens / 3;
    return bursar_settle(side->rt, d.reservation, &usage, NULL);
}

static void burst(struct side *side, int count, struct samples *samples, int64_t *refused, int64_t *counter) {
    int64_t wall = now(), mine = cpu();
    for (int k = 0; k < count; k++) {
        bursar_id_t session = side->sessions[dice(TREES * SUBS)];
        int64_t input = (int64_t)dice(3000) + 1;
        while (step(side, session, input) != BURSAR_OK) {
            if (++*refused > 10000000) need(BURSAR_E_REFUSED, "a step");
            sched_yield();
        }
    }
    mine = cpu() - mine;
    wall = now() - wall;
    if (counter) store(counter, *counter + count);
    samples->steps += count;
    samples->wall += wall;
    samples->cpu += mine;
    if (samples->count < SAMPLES_MAX) samples->each[samples->count++] = (float)mine / (float)count;
}

/* ---- Threads ---- */

/* Notes the process's threads and the processor time of each. */
static void look_at_threads(struct worker *worker, int isBefore) {
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        int64_t id = atoll(entry->d_name), ns = 0;
        if (id == 0 || id == getpid()) continue;
        char path[64];
        snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat", id);
        FILE *file = fopen(path, "r");
        if (!file || fscanf(file, "%ld", &ns) != 1) ns = 0;
        if (file) fclose(file);
        int k = 0;
        while (k < worker->thread_count && worker->threads[k][0] != id) k++;
        if (k == 64) continue;
        if (k == worker->thread_count) {
            worker->thread_count++;
            worker->threads[k][0] = id;
            worker->threads[k][2] = isBefore;
        }
        worker->threads[k][1] = ns;
    }
    if (tasks) closedir(tasks);
}

/* ---- A process with agents ---- */

static void work(const char *home, int number, int seconds, int rate) {
    struct worker *me = &all->workers[number];
    struct side *in_home = calloc(1, sizeof *in_home), *alone = calloc(1, sizeof *alone);
    struct samples *warm = calloc(1, sizeof *warm);
    seed = (uint64_t)number * 77 + 1;
    open_side(alone, NULL, number);
    burst(alone, 2000, warm, &me->refused, NULL);
    rest(200 * MS);
    look_at_threads(me, 1);
    open_side(in_home, home, number);
    burst(in_home, 2000, warm, &me->refused, &me->settled);
    bursar_home_info_t info = {.size = sizeof info};
    need(bursar_home_info(in_home->rt, &info), "info");
    snprintf(all->segment, sizeof all->segment, "%s", info.segment_path);
    rest(400 * MS);
    ready();
    while (phase() < 2) rest(MS);
    int64_t begin = now(), next = begin, done = 0;
    for (int64_t tick = 1; next < begin + seconds * SECOND; tick++) {
        next = begin + tick * MS;
        int64_t due = (next - begin) * rate / SECOND - done;
        if (due > 4096) due = 4096; /* after a pause: not all at once */
        burst(in_home, (int)due, &me->home, &me->refused, &me->settled);
        done += due;
        burst(alone, (int)due, &me->alone, &me->refused, NULL);
        if (number == 0 && all->mark_count < MARKS) {
            int64_t k = all->mark_count;
            all->marks[k].at = now();
            all->marks[k].settled = settled(PROCESSES_MAX);
            store(&all->mark_count, k + 1);
        }
        int64_t left = next - now();
        if (left < -MS) me->late++;
        rest(left);
    }
    look_at_threads(me, 0);
    ready();
    while (phase() < 4) rest(10 * MS);
    look_at_threads(me, 0);
    bursar_close(in_home->rt);
    bursar_close(alone->rt);
}

/* ---- Single steps at random moments ---- */

static void probe(const char *home, int probes, int seconds) {
    struct side *side = calloc(1, sizeof *side);
    seed = 991;
    open_side(side, home, 99);
    rest(300 * MS);
    ready();
    while (phase() < 1) rest(MS);
    for (int turn = 1; turn <= 2; turn++) {
        while (phase() < turn) rest(MS);
        /* 5 to 35 ms while nothing else happens; as many in the time of the load, else. */
        int64_t mean = turn == 1 ? 20 * MS : seconds * SECOND * 9 / 10 / probes;
        for (int k = 0; k < probes; k++) {
            rest((int64_t)dice((uint64_t)mean) + mean / 2);
            int64_t n = load(&all->probe_count);
            /* Its number is what it says that it read. */
            need(step(side, side->sessions[0], 1000000 + n), "probe");
            all->probes[n].at = now();
            all->probes[n].unix_at = clock_ns(CLOCK_REALTIME);
            all->probes[n].phase = turn;
            store(&all->probe_count, n + 1);
        }
        ready();
    }
    while (phase() < 4) rest(10 * MS);
    bursar_close(side->rt);
}

/* ---- Who reads: a connection of its own, and SQL ---- */

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK) {
        fprintf(stderr, "bench-ledger: %s\n", sqlite3_errmsg(db));
        exit(1);
    }
    return s;
}

static int64_t ask(sqlite3_stmt *s, int64_t a, int64_t b, int64_t c) {
    sqlite3_bind_int64(s, 1, a);
    sqlite3_bind_int64(s, 2, b);
    sqlite3_bind_int64(s, 3, c);
    int64_t answer = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_reset(s);
    return answer;
}

static void look(const char *home) {
    char path[4096];
    snprintf(path, sizeof path, "%s/ledger.db", home);
    sqlite3 *db = NULL;
    while (access(path, R_OK)) rest(MS);
    rest(500 * MS);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) exit(1);
    sqlite3_busy_timeout(db, 1000);
    sqlite3_stmt *one = prepare(db, "SELECT count(*) FROM v_steps WHERE settled_at BETWEEN ? AND ? AND input_tokens=?");
    sqlite3_stmt *sum = prepare(db, "SELECT sum(steps) FROM v_sessions");
    ready();
    int64_t seen = 0, mark = 0, next_sum = 0, ended = 0;
    while (phase() < 4) {
        while (seen < load(&all->probe_count)) {
            int64_t at = all->probes[seen].unix_at; /* the step's clock ticks every 4 ms */
            if (ask(one, at - 12 * MS, at + 4 * MS, 1000000 + seen) != 1) break;
            all->seen[seen] = now();
            store(&all->seen_count, ++seen);
        }
        int64_t t = now();
        if (phase() >= 2 && t >= next_sum) {
            next_sum = t + 100 * MS;
            int64_t before = settled(PROCESSES_MAX), rows = ask(sum, 0, 0, 0), marks = load(&all->mark_count);
            t = now();
            while (mark + 1 < marks && all->marks[mark + 1].settled <= rows) mark++;
            int64_t lag = before - rows, lag_ns = marks && rows < before ? t - all->marks[mark].at : 0;
            store(&all->rows, rows);
            if (phase() == 2) {
                if (lag > all->lag_rows_max) all->lag_rows_max = lag;
                if (lag_ns > all->lag_ns_max) all->lag_ns_max = lag_ns;
                all->lag_rows_sum += (double)lag;
                all->lag_samples++;
            } else {
                if (!ended) ended = t;
                if (lag <= 0 && !load(&all->caught_up_after)) store(&all->caught_up_after, t - ended + 1);
            }
        }
        rest(MS);
    }
    all->reader_cpu = cpu();
    sqlite3_finalize(one);
    sqlite3_finalize(sum);
    sqlite3_close(db);
}

/* ---- What came out ---- */

static int by_float(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void show_load(void) {
    char text[64] = "";
    FILE *file = fopen("/proc/loadavg", "r");
    if (file && fgets(text, sizeof text, file)) text[strcspn(text, "\n")] = 0;
    if (file) fclose(file);
    printf("load average: %s\n", text);
}

static void show_probes(int turn, const char *when) {
    static int64_t took[PROBES_MAX];
    int count = 0;
    for (int64_t k = 0; k < all->seen_count; k++)
        if (all->probes[k].phase == turn) took[count++] = all->seen[k] - all->probes[k].at;
    if (count == 0) return;
    qsort(took, (size_t)count, sizeof *took, by_value);
    printf("settled to visible in SQL, %s: %.1f ms (median), %.1f ms (p99), %.1f ms (most) of %d steps, aim: p99 within 250 ms\n",
           when, (double)took[count / 2] / 1e6, (double)took[count * 99 / 100] / 1e6, (double)took[count - 1] / 1e6, count);
}

static int64_t size_of(const char *home, const char *name) {
    char path[4096];
    struct stat s;
    snprintf(path, sizeof path, "%s/%s", home, name);
    return stat(path, &s) ? 0 : s.st_size;
}

static struct samples *show_samples(struct samples *s, int processes, size_t offset, const char *what) {
    memset(s, 0, sizeof *s);
    for (int k = 0; k < processes; k++) {
        const struct samples *from = (const void *)((const char *)&all->workers[k] + offset);
        s->steps += from->steps;
        s->wall += from->wall;
        s->cpu += from->cpu;
        for (int i = 0; i < from->count && s->count < SAMPLES_MAX; i++) s->each[s->count++] = from->each[i];
    }
    qsort(s->each, (size_t)s->count, sizeof *s->each, by_float);
    printf("  %s: %.0f ns (median of bursts), %.0f ns (mean), %.0f ns (p99 of bursts); %.0f ns by the wall clock; %lld steps\n",
           what, s->each[s->count / 2], (double)s->cpu / (double)s->steps, s->each[s->count * 99L / 100],
           (double)s->wall / (double)s->steps, (long long)s->steps);
    return s;
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    const char *home = arguments[1];
    int seconds = count > 2 ? atoi(arguments[2]) : 60, rate = count > 3 ? atoi(arguments[3]) : 200000;
    int processes = count > 4 ? atoi(arguments[4]) : 1, probes = count > 5 ? atoi(arguments[5]) : 2000;
    if (processes < 1 || processes > PROCESSES_MAX || probes < 1 || probes * 2 > PROBES_MAX) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    show_load();
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return 1;
    pid_t children[PROCESSES_MAX + 2];
    for (int k = 0; k < processes + 2; k++) {
        children[k] = fork();
        if (children[k] < 0) return 1;
        if (children[k]) {
            /* The first worker makes the home, and its runtime keeps it. */
            while (__atomic_load_n(&all->ready, __ATOMIC_ACQUIRE) <= k) {
                if (waitpid(-1, NULL, WNOHANG) > 0) return 1;
                rest(10 * MS);
            }
            continue;
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (k < processes) work(home, k, seconds, rate / processes);
        else if (k == processes) probe(home, probes, seconds);
        else look(home);
        exit(0);
    }
    int there = processes + 2;
    for (int turn = 1; turn <= 2; turn++) {
        __atomic_store_n(&all->phase, turn, __ATOMIC_RELEASE);
        there += turn == 1 ? 1 : processes + 1;
        while (__atomic_load_n(&all->ready, __ATOMIC_ACQUIRE) < there) {
            if (waitpid(-1, NULL, WNOHANG) > 0) return 1;
            rest(50 * MS);
        }
        if (turn == 1) rest(500 * MS);
    }
    int64_t steps = settled(processes), behind = steps - load(&all->rows);
    __atomic_store_n(&all->phase, 3, __ATOMIC_RELEASE);
    for (int k = 0; k < 600 && !load(&all->caught_up_after); k++) rest(100 * MS);
    int64_t rows = load(&all->rows), wal = size_of(home, "ledger.db-wal");
    __atomic_store_n(&all->phase, 4, __ATOMIC_RELEASE);
    int failed = 0, status;
    while (wait(&status) > 0) failed |= status;

    int64_t late = 0, refused = 0;
    for (int k = 0; k < processes; k++) late += all->workers[k].late, refused += all->workers[k].refused;
    printf("%lld steps settled by %d %s in %d s (%lld asked for each second; %lld bursts late by 1 ms or more, %lld steps "
           "refused for want of room and tried again), %lld in SQL%s\n",
           (long long)steps, processes, processes == 1 ? "process" : "processes", seconds, (long long)rate, (long long)late,
           (long long)refused, (long long)rows, rows == steps ? ": all of them" : ": STEPS ARE MISSING");
    printf("the database was behind by %.0f steps (mean), %lld (most), %.0f ms (most); at the last settle by %lld, and had "
           "everything %.0f ms later\n",
           all->lag_rows_sum / (double)(all->lag_samples ? all->lag_samples : 1), (long long)all->lag_rows_max,
           (double)all->lag_ns_max / 1e6, (long long)behind, (double)load(&all->caught_up_after) / 1e6);
    printf("reserve + settle, processor time of the thread:\n");
    static struct samples in_home, alone;
    show_samples(&in_home, processes, offsetof(struct worker, home), "in the home, with its ledger");
    show_samples(&alone, processes, offsetof(struct worker, alone), "without a ledger (private)  ");
    printf("  ratio: %.3f of medians, %.3f of means, aim: 1.10\n", in_home.each[in_home.count / 2] / alone.each[alone.count / 2],
           (double)in_home.cpu / (double)in_home.steps / ((double)alone.cpu / (double)alone.steps));
    for (int k = 0; k < processes; k++) {
        struct worker *w = &all->workers[k];
        printf("process %d, processor time of its threads for a step of all:", k + 1);
        for (int i = 0, n = 0; i < w->thread_count; i++) {
            /* In the order in which they began. */
            const char *name = w->threads[i][2] ? "private loop" : n++ == 0 ? "loop (fold)" : "writer";
            printf(" %s %.0f ns,", name, (double)w->threads[i][1] / (double)steps);
        }
        printf(" itself %.0f ns\n", (double)w->home.cpu / (double)steps);
    }
    show_probes(1, "nothing else happens");
    show_probes(2, "at the full rate");
    printf("ledger.db: %.1f MB, %.1f bytes a step; ledger.db-wal: %.1f MB at the end\n", (double)size_of(home, "ledger.db") / 1e6,
           (double)size_of(home, "ledger.db") / (double)rows, (double)wal / 1e6);
    show_load();
    unlink(all->segment);
    return failed || rows != steps;
}
