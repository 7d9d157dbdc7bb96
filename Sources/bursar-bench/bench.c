/* Benchmarks, through the public header only, each beside a baseline that does the
 * same number of bare atomic operations in the same process and the same run.
 *
 *     bursar-bench [round]...      all rounds, or those named: steps threads open memory
 *
 * A step is reserve + settle: per level one locked add when it is reserved and one
 * when it is settled, for each meter that is limited there, and two compare-and-
 * swaps on the record's word. The baseline does exactly these on words laid out
 * alike, and nothing else. Times are the least of seven runs; the spread is shown.
 * Steps run in bursts that fit the journal, and the folding between two bursts is
 * not part of the time; what folding costs stands on its own line.
 */
#define _GNU_SOURCE
#include "bursar.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 7, BURST = 4096, BURSTS = 24 };

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void need(bursar_status_t status, const char *what) {
    if (status == BURSAR_OK) return;
    fprintf(stderr, "bursar-bench: %s: %s\n", what, bursar_status_string(status));
    exit(1);
}

/* ------------------------------------------------------------- The baseline */

struct cell {
    _Alignas(64) atomic_llong word;
};
static struct cell levels[9];
struct record {
    _Alignas(64) atomic_llong word;
    char body[256];
};
static struct record *records;

static void bare_step(int depth, struct record *r) {
    long long expected = 0;
    atomic_compare_exchange_strong(&r->word, &expected, 1);
    for (int i = 0; i < depth; i++) atomic_fetch_add_explicit(&levels[i].word, 100, memory_order_release);
    atomic_store_explicit(&r->word, 2, memory_order_release);
    expected = 2;
    atomic_compare_exchange_strong(&r->word, &expected, 3);
    for (int i = 0; i < depth; i++) atomic_fetch_sub_explicit(&levels[i].word, 40, memory_order_release);
    atomic_store_explicit(&r->word, 0, memory_order_release);
}

/* ---------------------------------------------------------------- The steps */

struct work {
    bursar_runtime_t *rt;
    bursar_id_t session;
    bursar_model_t model;
    int depth;
    int bare;
    int first; /* of its records */
    double best, worst;
    pthread_barrier_t *gate;
};

static void *run(void *raw) {
    struct work *w = raw;
    bursar_request_t rq = BURSAR_REQUEST_INIT;
    rq.model = w->model;
    rq.input_tokens = 1200;
    rq.max_output_tokens = 1024;
    bursar_usage_t u = BURSAR_USAGE_INIT;
    u.input_tokens = 1200;
    u.output_tokens = 300;
    u.cache_read_input_tokens = 800;
    bursar_view_t v = BURSAR_VIEW_INIT;
    w->best = 1e18;
    w->worst = 0;
    for (int runs = -1; runs < RUNS; runs++) {
        double sum = 0;
        for (int burst = 0; burst < BURSTS; burst++) {
            pthread_barrier_wait(w->gate);
            double start = now_ns();
            if (w->bare) {
                for (int i = 0; i < BURST; i++) bare_step(w->depth, &records[w->first + i % 1024]);
            } else {
                for (int i = 0; i < BURST; i++) {
                    bursar_decision_t d = BURSAR_DECISION_INIT;
                    if (bursar_reserve(w->rt, w->session, &rq, &d) != BURSAR_OK) {
                        fprintf(stderr, "bursar-bench: refused, reason %d\n", d.reason);
                        exit(1);
                    }
                    bursar_settle(w->rt, d.reservation, &u, NULL);
                }
            }
            sum += now_ns() - start;
            pthread_barrier_wait(w->gate);
            if (!w->bare && w->first == 0) need(bursar_read(w->rt, w->session, &v), "read");
        }
        double each = sum / (BURST * BURSTS);
        if (runs < 0) continue; /* warm-up */
        if (each < w->best) w->best = each;
        if (each > w->worst) w->worst = each;
    }
    return NULL;
}

static double measure(int depth, int threads, int bare, int plain, double *out_worst) {
    bursar_open_options_t oo = BURSAR_OPEN_OPTIONS_INIT;
    oo.reservations_max = 65536;
    if (plain) oo.flags = BURSAR_OPEN_PLAIN_CHARGE;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&oo, &rt, NULL), "open");
    char path[128] = "";
    for (int i = 0; i < depth - 1; i++) {
        strcat(path, i ? "/level" : "level");
        bursar_budget_options_t bo = BURSAR_BUDGET_OPTIONS_INIT;
        bo.limits = BURSAR_TEXT("$1000000");
        need(bursar_budget_declare(rt, path, strlen(path), &bo, NULL, NULL), "declare");
    }
    bursar_model_t model;
    need(bursar_model_find(rt, "gpt-4o", 6, &model), "model");
    pthread_barrier_t gate;
    pthread_barrier_init(&gate, NULL, (unsigned)threads);
    struct work work[8];
    pthread_t ids[8];
    bursar_id_t shared = 0;
    for (int t = 0; t < threads; t++) {
        bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
        so.path = (bursar_text_t){path, strlen(path)};
        so.limits = BURSAR_TEXT("$1000000");
        if (!shared) need(bursar_session_open(rt, &so, &shared, NULL), "session");
        work[t] = (struct work){rt, shared, model, depth, bare, t * 1024, 0, 0, &gate};
    }
    for (int t = 0; t < threads; t++) pthread_create(&ids[t], NULL, run, &work[t]);
    double best = 0, worst = 0;
    for (int t = 0; t < threads; t++) {
        pthread_join(ids[t], NULL);
        if (work[t].best > best) best = work[t].best;
        if (work[t].worst > worst) worst = work[t].worst;
    }
    bursar_error_t e = BURSAR_ERROR_INIT;
    if (!bare) need(bursar_verify(rt, &e), e.message[0] ? e.message : "verify");
    bursar_close(rt);
    *out_worst = worst;
    return best;
}

static void steps(void) {
    printf("reserve + settle, pricing included, ns per step: best of %d runs (worst)\n", RUNS);
    printf("levels of budgets, and the session: levels + 1 words are changed, twice\n");
    printf("  %-8s %-8s %16s %16s %8s\n", "levels", "threads", "bare atomics", "bursar", "ratio");
    for (int threads = 1; threads <= 2; threads++)
        for (int depth = 1; depth <= 8; depth++) {
            if (depth == 6 || depth == 7) continue;
            double bw, w;
            double bare = measure(depth + 1, threads, 1, 0, &bw);
            double best = measure(depth + 1, threads, 0, 0, &w);
            printf("  %-8d %-8d %8.1f (%5.1f) %8.1f (%5.1f) %8.2f\n", depth, threads, bare, bw, best, w, best / bare);
        }
}

/* --------------------------------------------------------- Sustained, folded */

static void sustained(void) {
    bursar_runtime_t *rt = NULL;
    need(bursar_open(NULL, &rt, NULL), "open");
    bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
    so.path = BURSAR_TEXT("a/b/c/d");
    so.limits = BURSAR_TEXT("$1000000");
    bursar_id_t session;
    need(bursar_session_open(rt, &so, &session, NULL), "session");
    bursar_model_t model;
    need(bursar_model_find(rt, "gpt-4o", 6, &model), "model");
    bursar_request_t rq = BURSAR_REQUEST_INIT;
    rq.model = model;
    rq.input_tokens = 1200;
    rq.max_output_tokens = 1024;
    bursar_usage_t u = BURSAR_USAGE_INIT;
    u.input_tokens = 1200;
    u.output_tokens = 300;
    double start = now_ns();
    long n = 0;
    while (now_ns() - start < 1e9)
        for (int i = 0; i < 1000; i++, n++) {
            bursar_decision_t d = BURSAR_DECISION_INIT;
            if (bursar_reserve(rt, session, &rq, &d) != BURSAR_OK) exit(1);
            bursar_settle(rt, d.reservation, &u, NULL);
        }
    double each = (now_ns() - start) / (double)n;
    printf("sustained for a second, folding included: %.1f ns per step, %.2f million steps a second\n", each, 1e3 / each);
    bursar_close(rt);
}

/* --------------------------------------------------------- Opening, and size */

static void opening(void) {
    double best = 1e18;
    for (int i = 0; i < 20; i++) {
        double start = now_ns();
        bursar_runtime_t *rt = NULL;
        need(bursar_open(NULL, &rt, NULL), "open");
        double t = now_ns() - start;
        if (t < best) best = t;
        bursar_close(rt);
    }
    printf("open: %.3f ms (best of 20)\n", best / 1e6);
}

static long resident(void) {
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &ignored, &pages) != 2) exit(1);
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

static void memory(int count) {
    bursar_open_options_t oo = BURSAR_OPEN_OPTIONS_INIT;
    oo.sessions_max = (uint32_t)count + 1000;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&oo, &rt, NULL), "open");
    bursar_label_t label = {BURSAR_TEXT("feature"), BURSAR_TEXT("invoices")};
    bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
    so.path = BURSAR_TEXT("acme/support/triage");
    so.agent = BURSAR_TEXT("extractor");
    so.limits = BURSAR_TEXT("$2, 200 steps, 10h wall");
    so.labels = &label;
    so.label_count = 1;
    long before = resident();
    double start = now_ns();
    for (int i = 0; i < count; i++) {
        bursar_id_t s;
        need(bursar_session_open(rt, &so, &s, NULL), "session");
    }
    double opened = (now_ns() - start) / count;
    long after = resident();
    bursar_id_t team;
    need(bursar_budget_find(rt, "acme/support", 12, &team), "find");
    start = now_ns();
    need(bursar_kill(rt, team, NULL, 0), "kill");
    double killed = now_ns() - start;
    printf("%d live sessions (two limited meters, a deadline, a label): %.0f bytes each, opened in %.0f ns each; kill of the subtree %.1f us\n",
           count, (double)(after - before) / count, opened, killed / 1e3);
    bursar_close(rt);
}

static int wanted(int argc, char **argv, const char *round) {
    if (argc < 2) return 1;
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], round)) return 1;
    return 0;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    records = aligned_alloc(64, sizeof(struct record) * 8192);
    memset(records, 0, sizeof(struct record) * 8192);
    if (wanted(argc, argv, "steps")) steps();
    if (wanted(argc, argv, "sustained")) sustained();
    if (wanted(argc, argv, "open")) opening();
    if (wanted(argc, argv, "memory")) {
        memory(1000);
        memory(1000000);
    }
    return 0;
}
