/* SPDX-License-Identifier: Apache-2.0
 *
 * Estimates: what is reserved before anything is known, what a conversation, a kind, a
 * model and a count teach, media, bad input, and many threads.
 */
#include <pthread.h>

#include "help.h"

static bursar_estimate_t asked(bursar_model_t m, bursar_id_t session, int64_t bytes) {
    bursar_estimate_t e = BURSAR_ESTIMATE_INIT;
    e.model = m;
    e.session = session;
    e.bytes = bytes;
    return e;
}

static bursar_estimate_t estimate(bursar_runtime_t *rt, bursar_estimate_t e) {
    equal(bursar_estimate(rt, &e), BURSAR_OK);
    check(e.tokens >= 0 && e.tokens_max >= e.tokens);
    return e;
}

static bursar_estimate_error_t error_of(bursar_runtime_t *rt, bursar_model_t m, int32_t kind) {
    bursar_estimate_error_t x = BURSAR_ESTIMATE_ERROR_INIT;
    equal(bursar_estimate_error(rt, m, kind, &x), BURSAR_OK);
    return x;
}

/* A conversation of `steps` inputs, each `bytes` longer, at `per` bytes to a token. */
static void talk(bursar_runtime_t *rt, bursar_estimate_t e, int steps, int64_t bytes, int64_t per) {
    for (int i = 0; i < steps; i++) {
        e.bytes += bytes;
        e = estimate(rt, e);
        equal(bursar_learn(rt, &e, e.bytes / per, 20), BURSAR_OK);
    }
}

test("before anything is known a token for every second byte is reserved, of wide text for every byte") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_estimate_t e = estimate(rt, asked(model(rt, "plain"), 1, 100000));
    equal(e.tokens, 31250);
    equal(e.tokens_max, 100000 / 2 + 256 * 3 / 16);
    e.kind = BURSAR_CONTENT_WIDE;
    equal(estimate(rt, e).tokens_max, 100000 + 256 * 11 / 16);
    e.fixed_tokens = 5000;
    equal(estimate(rt, e).tokens_max, 105000 + 256 * 11 / 16);
    e = asked(e.model, 0, 1000);
    e.kind = BURSAR_CONTENT_COUNTED;
    equal(estimate(rt, e).tokens, 1000);
    equal(estimate(rt, e).tokens_max, 1250 + 256 / 16);
    close_runtime(rt);
}

test("a conversation's next input is its last one and what is new") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_model_t m = model(rt, "plain");
    talk(rt, asked(m, 1, 50000), 300, 500, 4);
    bursar_estimate_t e = estimate(rt, asked(m, 1, 200500));
    check(e.tokens >= 50125 - 30 && e.tokens <= 50125 + 30);
    check(e.tokens_max < 50125 * 101 / 100);
    /* another session, another conversation and another model know nothing of it */
    check(estimate(rt, asked(m, 2, 200500)).tokens_max > 60000);
    e.conversation = 7;
    check(estimate(rt, e).tokens_max > 60000);
    check(estimate(rt, asked(model(rt, "dime"), 1, 200500)).tokens_max > 100000);
    /* the session was cut down to a tenth: judged by its own rate, with room above */
    e = estimate(rt, asked(m, 1, 20000));
    check(e.tokens > 4500 && e.tokens < 5500 && e.tokens_max > 5000);
    close_runtime(rt);
}

test("a model's rate is learnt for each kind of content") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_model_t m = model(rt, "plain");
    bursar_estimate_t text = asked(m, 0, 4000), json = asked(m, 0, 4000);
    json.kind = BURSAR_CONTENT_JSON;
    for (int i = 0; i < 2000; i++) {
        text = estimate(rt, text);
        equal(bursar_learn(rt, &text, 1000, 0), BURSAR_OK);
        json = estimate(rt, json);
        equal(bursar_learn(rt, &json, 2000, 0), BURSAR_OK);
    }
    text = estimate(rt, text);
    json = estimate(rt, json);
    check(text.tokens > 990 && text.tokens < 1010 && text.tokens_max < 1100);
    check(json.tokens > 1980 && json.tokens < 2020 && json.tokens_max < 2200);
    equal(error_of(rt, m, BURSAR_CONTENT_JSON).steps, 2000);
    bursar_estimate_error_t x = error_of(rt, m, -1);
    equal(x.steps, 4000);
    equal(x.pairs, 2);
    equal(x.input_tokens, 2000 * 3000);
    check(x.reserved_tokens > x.input_tokens);
    check(x.below <= 4000 / 400 && x.median_ppm < 20000 && x.p99_ppm >= x.median_ppm);
    equal(error_of(rt, model(rt, "dime"), -1).steps, 0);
    close_runtime(rt);
}

test("one in 400 at most is reserved too low, whoever tries to have it otherwise") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_model_t m = model(rt, "plain");
    int64_t below = 0, steps = 20000;
    for (int64_t i = 0, bytes = 1000, last = 0; i < steps; i++) {
        bytes += 1000;
        bursar_estimate_t e = estimate(rt, asked(m, 1, bytes));
        /* one token more than is reserved wherever a byte still has a token */
        int64_t billed = e.tokens_max + 1 <= last + 1000 ? e.tokens_max + 1 : e.tokens;
        if (billed < 1) billed = 1;
        below += billed > e.tokens_max;
        equal(bursar_learn(rt, &e, billed, 0), BURSAR_OK);
        last = billed;
    }
    check(below > 10); /* it was worth trying */
    check(below <= steps / 400 + 5);
    equal(error_of(rt, 0, -1).below, below);
    close_runtime(rt);
}

test("pictures count at their size until they are billed, and teach nothing of text") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_model_t m = model(rt, "plain");
    talk(rt, asked(m, 1, 8000), 100, 400, 4);
    int64_t steps = error_of(rt, m, -1).steps, bytes = 48400;
    bursar_estimate_t e = asked(m, 1, bytes);
    e.fixed_tokens = 5000;
    e = estimate(rt, e);
    check(e.tokens > 12100 + 4900 && e.tokens_max >= 12100 + 5000);
    equal(bursar_learn(rt, &e, 12100 + 800, 20), BURSAR_OK); /* it was small */
    equal(error_of(rt, m, -1).steps, steps);
    e.bytes += 400;
    e = estimate(rt, e);
    check(e.tokens > 12200 + 700 && e.tokens < 12200 + 900);
    equal(bursar_learn(rt, &e, 12200 + 800, 20), BURSAR_OK);
    equal(error_of(rt, m, -1).steps, steps + 1);
    e.bytes += 400;
    e.fixed_tokens = 0; /* it was taken out: nothing is promised for that */
    check(estimate(rt, e).tokens_max >= 12300 + 700);
    close_runtime(rt);
}

test("another model that was granted learns for itself") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_model_t wanted = model(rt, "plain"), granted = model(rt, "dime");
    bursar_estimate_t e = estimate(rt, asked(wanted, 1, 40000));
    e.model = granted;
    equal(bursar_learn(rt, &e, 20000, 10), BURSAR_OK);
    equal(error_of(rt, wanted, -1).steps, 0);
    equal(error_of(rt, granted, -1).steps, 1);
    check(estimate(rt, asked(granted, 1, 40000)).tokens >= 20000);
    close_runtime(rt);
}

test("what cannot be an input is refused and teaches nothing") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_model_t m = model(rt, "plain");
    bursar_estimate_t good = asked(m, 1, 1000), e = good;
#define BAD(field, value, want)                                  \
    do {                                                         \
        e = good;                                                \
        e.field = value;                                         \
        equal(bursar_estimate(rt, &e), want);                    \
        equal(bursar_learn(rt, &e, 10, 10), want);               \
    } while (0)
    BAD(model, 0, BURSAR_E_NOT_FOUND);
    BAD(model, -1, BURSAR_E_NOT_FOUND);
    BAD(model, INT32_MAX, BURSAR_E_NOT_FOUND);
    BAD(session, -1, BURSAR_E_INVALID);
    BAD(bytes, -1, BURSAR_E_INVALID);
    BAD(bytes, INT64_C(1) << 31, BURSAR_E_INVALID);
    BAD(bytes, INT64_MAX, BURSAR_E_INVALID);
    BAD(fixed_tokens, -1, BURSAR_E_INVALID);
    BAD(fixed_tokens, INT64_MIN, BURSAR_E_INVALID);
    BAD(kind, -1, BURSAR_E_INVALID);
    BAD(kind, 256, BURSAR_E_INVALID);
    BAD(size, 4, BURSAR_E_SIZE);
    equal(bursar_learn(rt, &good, -1, 0), BURSAR_E_INVALID);
    equal(bursar_learn(rt, &good, 0, -1), BURSAR_E_INVALID);
    equal(bursar_learn(rt, &good, INT64_C(1) << 31, 0), BURSAR_E_INVALID);
    equal(bursar_learn(rt, &good, 0, 0), BURSAR_OK); /* nothing billed, nothing learnt */
    equal(error_of(rt, 0, -1).steps, 0);
    /* the ends of what is allowed, made up or not */
    e = good;
    e.bytes = e.fixed_tokens = INT32_MAX;
    e.kind = BURSAR_CONTENT_COUNTED;
    for (int i = 0; i < 200; i++) {
        e = estimate(rt, e);
        equal(bursar_learn(rt, &e, i % 3 ? INT32_MAX : 1, INT32_MAX), BURSAR_OK);
        e.bytes = i % 5 ? INT32_MAX : 0;
        e.fixed_tokens = i % 7 ? 0 : INT32_MAX;
    }
    e.basis = UINT32_MAX;
    e.span = e.tokens = e.tokens_max = INT64_MAX;
    equal(bursar_learn(rt, &e, 5, 5), BURSAR_OK);
    equal(bursar_estimate_error(rt, -5, 999, &(bursar_estimate_error_t)BURSAR_ESTIMATE_ERROR_INIT), BURSAR_OK);
    close_runtime(rt);
}

test("more conversations and models than there is room for are only judged less well") {
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_model_t m = model(rt, "plain");
    for (int64_t s = 1; s <= 40000; s++) {
        bursar_estimate_t e = asked(m, s, 10000);
        equal(bursar_learn(rt, &e, 2500, 10), BURSAR_OK);
    }
    int64_t known = 0;
    for (int64_t s = 30001; s <= 40000; s++) known += estimate(rt, asked(m, s, 10400)).tokens_max < 2800;
    check(known > 8000);
    for (int32_t kind = 0; kind < 256; kind++) {
        bursar_estimate_t e = asked(1 + kind % 7, 0, 1000);
        e.kind = kind;
        equal(bursar_learn(rt, &e, 400, 0), BURSAR_OK);
        e.model = 9;
        equal(bursar_learn(rt, &e, 400, 0), BURSAR_OK);
    }
    equal(error_of(rt, 0, -1).pairs, 256);
    equal(error_of(rt, 0, -1).steps, 40000 + 512);
    close_runtime(rt);
}

static struct {
    bursar_runtime_t *rt;
    bursar_model_t model;
} shared;

static void *learner(void *argument) {
    for (int i = 0; i < 5000; i++) {
        bursar_estimate_t e = estimate(shared.rt, asked(shared.model, (intptr_t)argument & 1, 1000 + i));
        equal(bursar_learn(shared.rt, &e, 300 + i / 4, 10), BURSAR_OK);
    }
    return NULL;
}

test("threads learn at once, and no step is lost") {
    shared.rt = open_runtime(NULL);
    shared.model = model(shared.rt, "plain");
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, learner, (void *)i);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    bursar_estimate_error_t x = error_of(shared.rt, shared.model, -1);
    equal(x.steps, 20000);
    check(x.below <= 20000 / 400 + 10);
    close_runtime(shared.rt);
}
