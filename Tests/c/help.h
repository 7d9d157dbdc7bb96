/* SPDX-License-Identifier: Apache-2.0
 *
 * What the C tests share: text arguments, a runtime with simple prices, steps in
 * one line, and waits that end.
 */
#ifndef BURSAR_HELP_H
#define BURSAR_HELP_H

#include <bursar.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "test.h"

#define DOLLAR INT64_C(1000000000)
#define TOKEN INT64_C(1000) /* what a token of "plain" costs */

/* A literal as pointer and length. */
#define LIT(text) "" text, sizeof("" text) - 1

static inline bursar_text_t text_of(const char *s) {
    bursar_text_t t;
    t.data = s;
    t.len = strlen(s);
    return t;
}

static inline void price(bursar_runtime_t *rt, const char *name, int64_t picos, int64_t request_nanos) {
    bursar_rates_t rates = BURSAR_RATES_INIT;
    rates.input_picos = picos;
    rates.output_picos = picos;
    rates.request_nanos = request_nanos;
    equal(bursar_price_set(rt, name, strlen(name), &rates, NULL), BURSAR_OK);
}

static inline bursar_model_t model(bursar_runtime_t *rt, const char *name) {
    bursar_model_t m = 0;
    equal(bursar_model_find(rt, name, strlen(name), &m), BURSAR_OK);
    return m;
}

/* A runtime where a token of "plain" costs a thousand nano-dollars and a call of
 * "dime" ten cents. NULL options = all defaults. */
static inline bursar_runtime_t *open_runtime(const bursar_open_options_t *options) {
    bursar_runtime_t *rt = NULL;
    bursar_error_t error = BURSAR_ERROR_INIT;
    if (bursar_open(options, &rt, &error) != BURSAR_OK || !rt) {
        fprintf(stderr, "cannot open: %s\n", error.message);
        exit(1);
    }
    price(rt, "plain", 1000000, 0);
    price(rt, "dime", 0, DOLLAR / 10);
    return rt;
}

/* Closes a runtime whose books must balance. */
static inline void close_runtime(bursar_runtime_t *rt) {
    bursar_error_t error = BURSAR_ERROR_INIT;
    if (!equal(bursar_verify(rt, &error), BURSAR_OK)) fprintf(stderr, "  %s\n", error.message);
    equal(bursar_close(rt), BURSAR_OK);
}

static inline bursar_id_t budget(bursar_runtime_t *rt, const char *path, const char *limits) {
    bursar_budget_options_t options = BURSAR_BUDGET_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_id_t id = 0;
    options.limits = text_of(limits);
    if (!equal(bursar_budget_declare(rt, path, strlen(path), &options, &id, &error), BURSAR_OK)) {
        fprintf(stderr, "  %s: %s\n", path, error.message);
    }
    return id;
}

/* Under a path, or with `parent` as a child. */
static inline bursar_id_t session(bursar_runtime_t *rt, const char *path, bursar_id_t parent,
                                  const char *limits) {
    bursar_session_options_t options = BURSAR_SESSION_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_id_t id = 0;
    options.path = text_of(path);
    options.parent = parent;
    options.limits = text_of(limits);
    if (!equal(bursar_session_open(rt, &options, &id, &error), BURSAR_OK)) {
        fprintf(stderr, "  %s: %s\n", path, error.message);
    }
    return id;
}

static inline bursar_request_t request_of(bursar_model_t m, int64_t input, int64_t output) {
    bursar_request_t request = BURSAR_REQUEST_INIT;
    request.model = m;
    request.input_tokens = input;
    request.max_output_tokens = output;
    return request;
}

static inline bursar_usage_t usage_of(int64_t input, int64_t output) {
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    usage.input_tokens = input;
    usage.output_tokens = output;
    return usage;
}

/* Reserves; the decision is left in *out when it is given. */
static inline bursar_status_t reserve(bursar_runtime_t *rt, bursar_id_t s, bursar_request_t request,
                                      bursar_decision_t *out) {
    bursar_decision_t decision = BURSAR_DECISION_INIT;
    bursar_status_t status = bursar_reserve(rt, s, &request, &decision);
    if (out) *out = decision;
    return status;
}

static inline bursar_status_t settle(bursar_runtime_t *rt, bursar_reservation_t r, bursar_usage_t usage,
                                     bursar_receipt_t *out) {
    bursar_receipt_t receipt = BURSAR_RECEIPT_INIT;
    bursar_status_t status = bursar_settle(rt, r, &usage, &receipt);
    if (out) *out = receipt;
    return status;
}

static inline bursar_view_t view_of(bursar_runtime_t *rt, bursar_id_t id) {
    bursar_view_t view = BURSAR_VIEW_INIT;
    equal(bursar_read(rt, id, &view), BURSAR_OK);
    return view;
}

/* Takes events until one of `type` has come, or fails after ten seconds. */
static inline int wait_event(bursar_runtime_t *rt, int32_t type, bursar_event_t *out) {
    int32_t fd = -1;
    equal(bursar_events_fd(rt, &fd), BURSAR_OK);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t end = now.tv_sec + 10;
    while (now.tv_sec < end) {
        for (;;) {
            bursar_event_t event;
            memset(&event, 0, sizeof event);
            event.size = sizeof event;
            size_t count = 0;
            if (!equal(bursar_events_poll(rt, &event, 1, &count), BURSAR_OK)) return 0;
            if (count == 0) break;
            if (event.type != type) continue;
            if (out) *out = event;
            return 1;
        }
        struct pollfd wait = {fd, POLLIN, 0};
        poll(&wait, 1, 1000);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    return test_equal(0, type, "the awaited event", __FILE__, __LINE__);
}

#endif
