// Every function of the header, called by a program of bytes with what nobody should
// pass: NULL, structs of other sizes, ids of others, amounts at the ends of their range,
// texts that are none. One or two runtimes, private or on a home of their own, on the
// fuzzer's own loop or on their threads.
//
// Nothing may crash or hang, memory beyond what was passed stays unread, and in the end
// counters agree with the journal.

#include "fuzz.h"

#include <sys/stat.h>
#include <uv.h>

#define KEPT 16

static char base[64], home[80];

static struct {
    bursar_runtime_t *runtime[2];
    int closed[2];
    int threads;
    int closes;
    uv_loop_t loop;
    bursar_id_t ids[KEPT];
    bursar_reservation_t steps[KEPT];
    uint32_t id_at, step_at;
} s;

static void leave(void) { remove_all(base); }

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    snprintf(base, sizeof base, "/dev/shm/bursar-fuzz-%d", (int)getpid());
    snprintf(home, sizeof home, "%s/home", base);
    mkdir(base, 0700);
    atexit(leave);
    return 0;
}

static void on_event(void *user_data, const bursar_event_t *event) {
    volatile uint32_t sum = 0;
    (void)user_data;
    for (uint32_t i = 0; i < sizeof *event; i++) sum += ((const uint8_t *)event)[i];
}

/* One's own, one of the other runtime, one that was, one that never was. */
static int64_t take_kept(input_t *in, const int64_t *kept) {
    uint8_t how = take8(in);
    int64_t id = kept[how % KEPT];
    switch (how >> 4) {
    case 12: return id ^ (int64_t)1 << (take8(in) & 63);
    case 13: return id + 1;
    case 14: return take_amount(in);
    case 15: return 0;
    default: return id;
    }
}

static bursar_id_t take_id(input_t *in) { return take_kept(in, s.ids); }
static bursar_reservation_t take_step(input_t *in) { return take_kept(in, s.steps); }
static void keep_id(bursar_id_t id) { s.ids[s.id_at++ % KEPT] = id; }
static void keep_step(bursar_reservation_t id) {
    if (id) s.steps[s.step_at++ % KEPT] = id;
}

static bursar_text_t take_limits(input_t *in) { return take_text(in, WORDS(limit_words)); }
static bursar_text_t take_path(input_t *in) { return take_text(in, WORDS(path_words)); }
static bursar_text_t take_name(input_t *in) { return take_text(in, WORDS(name_words)); }

static void open_runtime(input_t *in, int k, int on_home) {
    bursar_open_options_t o = BURSAR_OPEN_OPTIONS_INIT;
    uint8_t how = take8(in);
    o.flags = how & 1 ? BURSAR_OPEN_OBSERVE : 0;
    if (on_home) o.home = keep_text(home, strlen(home));
    if (on_home) o.shm_dir = keep_text(base, strlen(base));
    o.role = how & 128 ? BURSAR_ROLE_AGENT : 0;
    if (how & 2) s.threads = 1;
    else o.loop = &s.loop;
    o.sessions_max = how & 4 ? 8 : 64;
    o.reservations_max = how & 8 ? 16 : 128;
    o.text_bytes_max = how & 16 ? 4096 : 65536;
    o.events_max = how & 32 ? 1 : 64;
    if (how & 64) {
        o.unknown_model = (int32_t)(take8(in) & 7) - 1;
        o.undeclared = (int32_t)(take8(in) & 3) - 1;
        o.reservation_ttl_ns = take_amount(in);
        o.sessions_max = take_number(in) & 0xFFFF;
        o.reservations_max = take_number(in) & 0xFFFF;
        o.text_bytes_max = take_number(in) & 0xFFFFF;
    }
    bursar_open_options_t *p = take_struct(in, &o, sizeof o);
    bursar_error_t error = BURSAR_ERROR_INIT;
    s.runtime[k] = NULL;
    bursar_status_t status = bursar_open(p, &s.runtime[k], &error);
    if ((status == BURSAR_OK) != (s.runtime[k] != NULL)) abort();
    s.closed[k] = status != BURSAR_OK;
    free(p);
    if (status == BURSAR_OK && take8(in) & 1) bursar_events_callback(s.runtime[k], on_event, NULL);
}

static bursar_request_t take_request(input_t *in) {
    bursar_request_t r = BURSAR_REQUEST_INIT;
    uint8_t how = take8(in);
    r.model = how & 1 ? 1 : (int32_t)take_number(in);
    r.max_output_tokens = 1 + take8(in);
    r.input_tokens = take8(in);
    if (how & 2) {
        r.flags = how & 4 ? take_number(in) : take8(in) & 63;
        r.tool = (int32_t)take_number(in);
        r.input_tokens = take_amount(in);
        r.input_tokens_upper = take_amount(in);
    }
    if (how & 8) {
        r.max_output_tokens = take_amount(in);
        r.min_output_tokens = take_amount(in);
        r.extra_nanos = take_amount(in);
    }
    if (how & 16) {
        r.units = take_amount(in);
        r.meter = (int32_t)take_number(in);
        r.choices = (int32_t)take_number(in);
        r.variant = (int32_t)take_number(in);
    }
    if (how & 32) {
        r.complexity = (int32_t)take_number(in);
        r.attempt = (int32_t)take_number(in);
        r.parent = take_step(in);
        r.ttl_ns = take_amount(in);
    }
    return r;
}

static bursar_usage_t take_usage(input_t *in) {
    bursar_usage_t u = BURSAR_USAGE_INIT;
    uint8_t how = take8(in);
    u.flags = how & 1 ? take_number(in) : 0;
    u.input_tokens = take8(in);
    u.output_tokens = take8(in);
    if (how & 2) {
        int64_t *fields = &u.input_tokens;
        for (int i = 0; i < 14; i++) {
            if (take8(in) & 1) fields[i] = take_amount(in);
        }
    }
    if (how & 4) u.key[0] = take8(in) & 3;
    return u;
}

static void reserve(input_t *in, bursar_runtime_t *rt, int settles) {
    bursar_request_t r = take_request(in);
    bursar_decision_t d = BURSAR_DECISION_INIT;
    bursar_request_t *request = take_struct(in, &r, sizeof r);
    bursar_decision_t *decision = take_struct(in, &d, sizeof d);
    bursar_id_t session = take_id(in);
    bursar_status_t status;
    if (settles) {
        bursar_usage_t u = take_usage(in);
        bursar_usage_t *usage = take_struct(in, &u, sizeof u);
        bursar_status_t settled;
        status = bursar_settle_and_reserve(rt, take_step(in), usage, NULL, take8(in) & 1 ? &settled : NULL, session,
                                           request, decision);
        free(usage);
    } else {
        status = bursar_reserve(rt, session, request, decision);
    }
    if (status == BURSAR_OK && decision->size >= 24) keep_step(decision->reservation);
    if (decision->size == sizeof *decision) {
        char why[400];
        size_t len;
        if (take8(in) & 1) bursar_decision_explain(rt, decision, why, take8(in), &len);
        if (take8(in) == 7) { /* one that nobody decided */
            for (int i = 0; i < 8; i++) ((uint8_t *)decision)[8 + take8(in) % 120] = take8(in);
            bursar_decision_explain(rt, decision, why, sizeof why, &len);
        }
    }
    free(request);
    free(decision);
}

static void open_session(input_t *in, bursar_runtime_t *rt) {
    bursar_session_options_t o = BURSAR_SESSION_OPTIONS_INIT;
    uint8_t how = take8(in);
    bursar_label_t *labels = NULL;
    o.path = take_path(in);
    if (how & 1) o.parent = take_id(in);
    if (how & 2) o.limits = take_limits(in);
    if (how & 4) o.agent = take_name(in);
    if (how & 8) o.ladder = take_name(in);
    if (how & 16) {
        o.label_count = take8(in) & 31;
        labels = malloc(sizeof *labels * (o.label_count + 1));
        for (uint32_t i = 0; i < o.label_count; i++) {
            labels[i].key = take_name(in);
            labels[i].value = take_name(in);
        }
        o.labels = take8(in) == 9 ? NULL : labels;
    }
    if (how & 32) o.holdback_nanos = take_amount(in);
    if (how & 64) o.complexity = (int32_t)take_number(in);
    if (how & 128) o.flags = take8(in) & 1;
    bursar_session_options_t *p = take_struct(in, &o, sizeof o);
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_id_t id = 0;
    if (bursar_session_open(rt, p, &id, take8(in) & 1 ? &error : NULL) == BURSAR_OK) keep_id(id);
    free(p);
    free(labels);
}

static void declare(input_t *in, bursar_runtime_t *rt) {
    bursar_budget_options_t o = BURSAR_BUDGET_OPTIONS_INIT;
    uint8_t how = take8(in);
    bursar_text_t path = take_path(in);
    o.flags = how & 3;
    if (how & 4) o.limits = take_limits(in);
    if (how & 8) {
        o.owner = take_name(in);
        o.cost_center = take_name(in);
        o.purpose = take_raw(in, 255);
    }
    if (how & 16) {
        for (int i = 0; i < 4; i++) o.top_rung[i] = take8(in);
        o.complexity = (int32_t)take_number(in);
    }
    bursar_budget_options_t *p = take_struct(in, &o, sizeof o);
    bursar_error_t e = BURSAR_ERROR_INIT;
    bursar_error_t *error = take_struct(in, &e, sizeof e);
    bursar_id_t id = 0;
    if (bursar_budget_declare(rt, path.data, path.len, how & 32 ? NULL : p, &id, error) == BURSAR_OK) keep_id(id);
    free(p);
    free(error);
}

/* A read into a buffer of just its size, or none. */
static char *take_buffer(input_t *in, size_t *capacity) {
    uint8_t how = take8(in);
    *capacity = how & 1 ? how : 512;
    return how == 255 ? NULL : malloc(*capacity ? *capacity : 1);
}

static void outcome(input_t *in, bursar_runtime_t *rt) {
    bursar_outcome_t o = BURSAR_OUTCOME_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    uint8_t how = take8(in);
    o.state = how & 64 ? (int32_t)take_number(in) : how & 7;
    o.name = take_name(in);
    if (how & 8) o.id = take_name(in);
    if (how & 16) o.session = take_id(in);
    if (how & 32) o.workflow = take_path(in);
    if (how & 128) {
        o.label = take_name(in);
        o.value = take_limits(in);
        o.by = take_name(in);
        o.reason = take_path(in);
        o.rework_nanos = take_amount(in);
        o.rework_ns = take_amount(in);
        o.at = take_amount(in);
    }
    bursar_outcome_t *p = take_struct(in, &o, sizeof o);
    bursar_outcome(rt, p, &error);
    free(p);
    bursar_outcome_t many[3] = {o, o, o};
    bursar_error_t errors[3] = {BURSAR_ERROR_INIT, BURSAR_ERROR_INIT, BURSAR_ERROR_INIT};
    int32_t results[3];
    many[1].id = take_name(in);
    many[2].state = take8(in) & 7;
    how = take8(in);
    if (how & 1) many[2].size = take8(in);
    bursar_outcomes(rt, many, how >> 1 & 3, how & 8 ? results : NULL, how & 16 ? errors : NULL);
}

static const char *const sql_words[] = {
    "SELECT * FROM v_steps", "SELECT ?,?", "SELECT workflow, sum(cost_nanos) FROM v_steps GROUP BY 1",
    "SELECT * FROM v_outcomes", "DELETE FROM steps", "SELECT 1; SELECT 2", "PRAGMA table_info(steps)",
    "SELECT * FROM v_workflow_value", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n",
};

static void query(input_t *in, bursar_runtime_t *rt) {
    bursar_text_t sql = take_text(in, WORDS(sql_words));
    bursar_value_t values[3];
    memset(values, 0, sizeof values);
    size_t count = take8(in) & 3, columns = 0, len;
    for (size_t k = 0; k < count; k++) {
        values[k].type = (int32_t)(take8(in) % 7) - 1;
        values[k].integer = take_amount(in);
        values[k].real = (double)values[k].integer / 3;
        values[k].text = take_name(in);
    }
    bursar_query_t *q = NULL;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_status_t status =
        bursar_query(rt, take8(in) & 3, sql.data ? sql.data : "", sql.data ? sql.len : 0, values, count, 20000000, &q, &columns, &error);
    if ((status == BURSAR_OK) != (q != NULL)) abort();
    if (!q) return;
    char name[16];
    for (size_t k = 0; k <= columns && k < 40; k++) bursar_query_column(q, k, name, k % 17, &len);
    const bursar_value_t *row = NULL;
    for (int k = 0; k < 50 && bursar_query_next(q, &row, &error) == BURSAR_OK && row; k++) {
        for (size_t c = 0; c < columns; c++) {
            volatile size_t sum = 0;
            for (size_t b = 0; b < row[c].text.len; b++) sum += (unsigned char)row[c].text.data[b];
        }
    }
    bursar_query_close(q);
}

static void look(input_t *in, bursar_runtime_t *rt) {
    size_t len = 0, capacity;
    char *out = take_buffer(in, &capacity);
    void *p = NULL;
    switch (take8(in) % 16) {
    case 14: outcome(in, rt); break;
    case 15: query(in, rt); break;
    case 0: {
        bursar_view_t v = BURSAR_VIEW_INIT;
        bursar_id_t id = take_id(in);
        p = take_struct(in, &v, sizeof v);
        if (take8(in) & 1) {
            bursar_views(rt, &id, 1, p);
        } else {
            bursar_read(rt, id, p);
        }
        break;
    }
    case 1: {
        bursar_meter_view_t v = BURSAR_METER_VIEW_INIT;
        bursar_meter_read(rt, take_id(in), (int32_t)take_number(in), p = take_struct(in, &v, sizeof v));
        break;
    }
    case 2: {
        bursar_limit_view_t v = {.size = sizeof v};
        bursar_limit_read(rt, take_id(in), take_number(in), p = take_struct(in, &v, sizeof v));
        break;
    }
    case 3:
    case 4: bursar_text_read(rt, take8(in) & 1 ? take_id(in) : take_number(in), (int32_t)take_number(in), out, out ? capacity : 0, &len); break;
    case 5: bursar_children(rt, take_id(in), (bursar_id_t *)(void *)out, out ? capacity / 8 : 0, &len); break;
    case 6: {
        bursar_spend_t v = {.size = sizeof v};
        bursar_spend_read(rt, take_number(in), p = take_struct(in, &v, sizeof v));
        break;
    }
    case 7: {
        bursar_health_t v = {.size = sizeof v};
        bursar_health(rt, p = take_struct(in, &v, sizeof v));
        break;
    }
    case 8: {
        bursar_event_t events[3] = {{.size = sizeof *events}, {.size = sizeof *events}, {.size = sizeof *events}};
        bursar_events_poll(rt, events, take8(in) & 3, &len);
        break;
    }
    case 9: {
        int32_t fd;
        bursar_events_fd(rt, &fd);
        break;
    }
    case 10: {
        bursar_home_info_t v = {.size = sizeof v};
        bursar_home_info(rt, p = take_struct(in, &v, sizeof v));
        break;
    }
    case 11: {
        bursar_process_t v = {.size = sizeof v};
        bursar_home_process(rt, take_number(in), p = take_struct(in, &v, sizeof v));
        break;
    }
    case 12: {
        bursar_text_t text = take_text(in, WORDS(limit_words));
        int64_t nanos = take_amount(in);
        bursar_error_t error = BURSAR_ERROR_INIT;
        bursar_limits_parse(take8(in) & 1 ? rt : NULL, take8(in) & 3, text.data, text.len, out, out ? capacity : 0, &len, &error);
        bursar_money_format(nanos, out, out ? capacity : 0, &len);
        bursar_money_parse(text.data, text.len, &nanos, &error);
        bursar_rate_parse(text.data, text.len, &nanos, take8(in) & 1 ? &error : NULL);
        break;
    }
    default: bursar_model_name(rt, (int32_t)take_number(in), out, out ? capacity : 0, &len);
    }
    free(p);
    free(out);
}

/* What was estimated, and what nobody did, is learnt, and the books of it add up. */
static void estimate(input_t *in, bursar_runtime_t *rt) {
    bursar_estimate_t e = BURSAR_ESTIMATE_INIT;
    uint8_t how = take8(in);
    e.model = how & 1 ? 1 + (take8(in) & 3) : (int32_t)take_number(in);
    e.session = how & 2 ? take8(in) & 3 : take_amount(in);
    e.bytes = how & 4 ? (int64_t)take_number(in) & INT32_MAX : take_amount(in);
    e.kind = how & 8 ? take8(in) & 3 : (int32_t)take_number(in);
    if (how & 16) e.fixed_tokens = how & 32 ? (int64_t)take_number(in) & INT32_MAX : take_amount(in);
    if (how & 64) e.conversation = (uint64_t)take_amount(in);
    bursar_estimate_t *p = take_struct(in, &e, sizeof e);
    if (bursar_estimate(rt, p) == BURSAR_OK && p->size == sizeof e) {
        if (p->tokens < 0 || p->tokens_max < p->tokens) abort();
        if (p->basis == 0 || p->span <= 0) abort();
    }
    how = take8(in);
    if (how == 7 && p->size == sizeof e) { /* made up */
        p->basis = take_number(in);
        p->tokens = take_amount(in);
        p->tokens_max = take_amount(in);
        p->span = take_amount(in);
    }
    for (int i = 0; i < (how & 15); i++) {
        int64_t tokens = how & 16 ? (int64_t)take_number(in) & INT32_MAX : take_amount(in);
        bursar_learn(rt, p, tokens, how & 32 ? (int64_t)take_number(in) & INT32_MAX : take_amount(in));
    }
    bursar_estimate_error_t seen = BURSAR_ESTIMATE_ERROR_INIT;
    bursar_estimate_error_t *q = take_struct(in, &seen, sizeof seen);
    if (bursar_estimate_error(rt, how & 64 ? e.model : 0, (int32_t)(how >> 7) - 1, q) == BURSAR_OK &&
        q->size == sizeof seen) {
        if (q->below > q->steps || q->median_ppm > q->p99_ppm || q->p99_ppm > 8000000) abort();
    }
    free(p);
    free(q);
}

static void price(input_t *in, bursar_runtime_t *rt) {
    bursar_text_t name = take_name(in);
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_rates_t r = BURSAR_RATES_INIT;
    int64_t nanos = 0;
    int32_t number = 0;
    size_t len, capacity;
    void *p = NULL;
    switch (take8(in) % 9) {
    case 8: estimate(in, rt); break;
    case 0: bursar_model_find(rt, name.data, name.len, &number); break;
    case 1: {
        int64_t *fields = &r.input_picos;
        for (int i = 0; i < 7; i++) fields[i] = take_amount(in);
        bursar_price_set(rt, name.data, name.len, p = take_struct(in, &r, sizeof r), &error);
        break;
    }
    case 2: bursar_price_get(rt, (int32_t)take_number(in), p = take_struct(in, &r, sizeof r)); break;
    case 3: {
        bursar_usage_t u = take_usage(in);
        bursar_price_quote(rt, (int32_t)take_number(in), (int32_t)take_number(in), p = take_struct(in, &u, sizeof u), &nanos);
        break;
    }
    case 4: bursar_tool_find(rt, name.data, name.len, &number, &error); break;
    case 5: bursar_tool_price_set(rt, (int32_t)take_number(in), take_amount(in)); break;
    case 6: bursar_meter_define(rt, name.data, name.len, &number, &error); break;
    default: {
        static const char *const books[] = {
            "{\"gpt-5\":{\"input_cost_per_token\":1e-6,\"output_cost_per_token\":2e-6}}",
            "{\"bursar\":1,\"models\":{}}", "{\"a\":{\"input_cost_per_token\":9e99}}", "[", "{\"\\ud800\":{}}",
        };
        bursar_text_t book = take_text(in, WORDS(books));
        char *out = take_buffer(in, &capacity);
        bursar_prices_load(rt, book.data, book.len, out, out ? capacity : 0, &len, &number, &error);
        free(out);
    }
    }
    free(p);
}

static void close_runtime(int k) {
    if (s.closed[k]) return;
    if (bursar_close(s.runtime[k]) != BURSAR_OK) abort();
    s.closed[k] = 1;
    s.closes++;
    uv_run(&s.loop, UV_RUN_NOWAIT);
}

static void call(input_t *in) {
    uint8_t op = take8(in);
    int k = op >> 7;
    bursar_runtime_t *rt = s.runtime[k];
    if (!rt) rt = s.runtime[k = !k];
    if (op == 255) rt = NULL; /* said not to be, answered all the same */
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_receipt_t receipt = BURSAR_RECEIPT_INIT;
    void *p = NULL;
    void *q = NULL;
    switch (op & 31) {
    case 0:
    case 1:
    case 2: reserve(in, rt, 0); break;
    case 3: reserve(in, rt, 1); break;
    case 4:
    case 5: {
        bursar_usage_t u = take_usage(in);
        bursar_settle(rt, take_step(in), p = take_struct(in, &u, sizeof u), q = take_struct(in, &receipt, sizeof receipt));
        break;
    }
    case 6: bursar_release(rt, take_step(in)); break;
    case 7: bursar_begin(rt, take_step(in)); break;
    case 8: {
        int32_t reason;
        bursar_stream(rt, take_step(in), take_amount(in), take8(in) & 1 ? &reason : NULL);
        break;
    }
    case 9: {
        bursar_charge_t c = BURSAR_CHARGE_INIT;
        bursar_decision_t d = BURSAR_DECISION_INIT;
        c.flags = take8(in) & 3;
        c.nanos = take_amount(in);
        c.tool = (int32_t)take8(in) & 3;
        if (take8(in) & 1) {
            c.meter = (int32_t)take_number(in);
            c.units = take_amount(in);
        }
        c.key[0] = take8(in) & 3;
        p = take_struct(in, &c, sizeof c);
        q = take_struct(in, &d, sizeof d);
        bursar_charge(rt, take_id(in), p, take8(in) & 1 ? q : NULL, &receipt);
        break;
    }
    case 10:
    case 11: open_session(in, rt); break;
    case 12:
    case 13: declare(in, rt); break;
    case 14: bursar_session_close(rt, take_id(in)); break;
    case 15: bursar_budget_remove(rt, take_id(in), &error); break;
    case 16: {
        bursar_text_t text = take_limits(in);
        bursar_limits_set(rt, take_id(in), text.data, text.len, &error);
        break;
    }
    case 17: {
        bursar_text_t text = take_limits(in), reason = take_name(in);
        bursar_top_up(rt, take_id(in), text.data, text.len, take_amount(in), reason.data, reason.len, &error);
        break;
    }
    case 18: bursar_observe(rt, take_id(in), (int32_t)take8(in) - 1); break;
    case 19: {
        bursar_text_t who = take_name(in);
        bursar_attend(rt, take_id(in), who.data, who.len);
        break;
    }
    case 20: {
        bursar_status_t (*const acts[])(bursar_runtime_t *, bursar_id_t, const char *, size_t) = {
            bursar_kill, bursar_revive, bursar_pause, bursar_resume};
        bursar_text_t reason = take_name(in);
        acts[take8(in) & 3](rt, take_id(in), reason.data, reason.len);
        break;
    }
    case 21:
    case 22: price(in, rt); break;
    case 23:
    case 24:
    case 25: look(in, rt); break;
    case 26: {
        bursar_text_t path = take_path(in);
        bursar_id_t id;
        if (bursar_budget_find(rt, path.data, path.len, &id) == BURSAR_OK) keep_id(id);
        break;
    }
    case 27: uv_run(&s.loop, UV_RUN_NOWAIT); break;
    case 28:
        bursar_verify(rt, &error);
        bursar_status_string((int32_t)take_number(in) - 40);
        if (bursar_version_number() != BURSAR_VERSION_NUMBER || bursar_abi_version() != BURSAR_ABI_VERSION) abort();
        break;
    case 29: bursar_events_callback(rt, take8(in) & 1 ? on_event : NULL, NULL); break;
    case 30:
        if (take8(in) < 32 && s.closes < 8) close_runtime(k);
        break;
    default: {
        char text[256];
        size_t len = 0;
        bursar_id_t id;
        if (bursar_session_environ(rt, take_id(in), text, take8(in), &len) == BURSAR_OK) {
            bursar_text_t line = take8(in) & 1 ? keep_text(text + len - 17, 16) : take_raw(in, 24);
            if (bursar_session_attach(rt, line.data, line.len, &id, &error) == BURSAR_OK) keep_id(id);
        }
    }
    }
    free(p);
    free(q);
}

/* Counters are what the journal says, whatever was asked for. */
static void check(int k) {
    bursar_error_t error = BURSAR_ERROR_INIT;
    if (s.closed[k]) return;
    bursar_status_t status = BURSAR_OK;
    for (int i = 0; i < (s.threads ? 20 : 1); i++) {
        status = bursar_verify(s.runtime[k], &error);
        if (status != BURSAR_E_CORRUPT) return;
        usleep(1000);
    }
    fprintf(stderr, "verify: %d %s\n", status, error.message);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_t in = {data, size};
    memset(&s, 0, sizeof s);
    uv_loop_init(&s.loop);
    uint8_t how = take8(&in);
    int on_home = (how & 7) == 7;
    open_runtime(&in, 0, on_home);
    s.closed[1] = 1;
    if (how & 8) open_runtime(&in, 1, on_home);
    if (s.runtime[0] || s.runtime[1]) {
        for (int i = 0; i < 200 && in.left > 0; i++) call(&in);
        check(0);
        check(1);
        close_runtime(0);
        close_runtime(1);
    }
    uv_run(&s.loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&s.loop) != 0) abort();
    free_texts();
    if (on_home) {  /* with its segment, which has a name of its own each time */
        remove_all(base);
        mkdir(base, 0700);
    }
    return 0;
}
