/* SPDX-License-Identifier: Apache-2.0
 *
 * A racer in C: racer HOME. See race.py.
 */
#include <bursar.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AGENTS 25

static bursar_runtime_t *rt;
static bursar_model_t dime;
static bursar_id_t sessions[AGENTS];
static pthread_barrier_t start;
static int admitted, refused;

static void need(bursar_status_t status, const char *what) {
    if (status == BURSAR_OK) return;
    fprintf(stderr, "racer in C: %s: %s\n", what, bursar_status_string(status));
    exit(1);
}

static void *agent(void *session) {
    bursar_request_t rq = BURSAR_REQUEST_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    rq.model = dime;
    rq.max_output_tokens = 10;
    pthread_barrier_wait(&start);
    bursar_status_t status = bursar_reserve(rt, *(bursar_id_t *)session, &rq, &d);
    if (status == BURSAR_E_REFUSED) {
        __atomic_add_fetch(&refused, 1, __ATOMIC_SEQ_CST);
        return NULL;
    }
    need(status, "reserve");
    __atomic_add_fetch(&admitted, 1, __ATOMIC_SEQ_CST);
    struct timespec latency = {0, 20000000}; /* how long the model takes */
    nanosleep(&latency, NULL);
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    usage.output_tokens = 10;
    need(bursar_settle(rt, d.reservation, &usage, NULL), "settle");
    return NULL;
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    options.home = (bursar_text_t){arguments[1], strlen(arguments[1])};
    if (bursar_open(&options, &rt, &error) != BURSAR_OK) {
        fprintf(stderr, "racer in C: %s\n", error.message);
        return 1;
    }
    bursar_rates_t rates = BURSAR_RATES_INIT;
    rates.request_nanos = 100000000;
    need(bursar_price_set(rt, "dime", 4, &rates, NULL), "price");
    need(bursar_model_find(rt, "dime", 4, &dime), "model");
    char path[256];
    while (fgets(path, sizeof path, stdin)) {
        bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
        so.path = (bursar_text_t){path, strcspn(path, "\n")};
        pthread_t threads[AGENTS];
        admitted = refused = 0;
        pthread_barrier_init(&start, NULL, AGENTS + 1);
        for (int k = 0; k < AGENTS; k++) {
            need(bursar_session_open(rt, &so, &sessions[k], NULL), "session");
            if (pthread_create(&threads[k], NULL, agent, &sessions[k])) return 1;
        }
        printf("ready\n");
        fflush(stdout);
        if (!fgets(path, sizeof path, stdin)) break;
        pthread_barrier_wait(&start);
        for (int k = 0; k < AGENTS; k++) {
            pthread_join(threads[k], NULL);
            need(bursar_session_close(rt, sessions[k]), "close");
        }
        pthread_barrier_destroy(&start);
        printf("%d %d\n", admitted, refused);
        fflush(stdout);
    }
    need(bursar_close(rt), "close the runtime");
    return 0;
}
