/* SPDX-License-Identifier: Apache-2.0
 *
 * A few hundred agents on the program's own libuv loop, and no thread of Bursar's.
 *
 *     cc examples/agents.c -o agents $(pkg-config --cflags --libs bursar libuv)
 *
 * Each agent takes up to forty steps: it reserves, a timer stands for the model's
 * latency, and the timer's callback settles. Three teams have budgets of $5, $6 and
 * $2.50 under a company of $12; every tenth agent never stops by itself. Halfway a
 * timer kills one team, whose agents learn it at their next reserve. At the end:
 * spend by group, and a check that no budget was exceeded.
 */
#include <bursar.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define AGENTS 300
#define STEPS 40
#define KILL_AFTER_MS 400

struct agent {
    uv_timer_t timer;
    int index;
    int runaway;
    int steps;
    bursar_id_t session;
    bursar_decision_t decision; /* of the step in flight */
};

enum outcome { FINISHED, EXCEEDED, KILLED, OTHER, OUTCOMES };

static const struct team {
    const char *path, *agent, *limits;
} teams[] = {
    {"acme/support/triage", "triage", "$5 alert 80%"},
    {"acme/sales/research", "researcher", "$6 alert 80%"},
    {"acme/ops/cleanup", "cleaner", "$2.50 alert 80%, 40 in_flight"},
};
enum { TEAMS = sizeof teams / sizeof *teams };

static bursar_runtime_t *runtime;
static bursar_model_t models[2];
static bursar_id_t company, budgets[TEAMS];
static int64_t granted_steps, downgraded, waits;
static int ended[TEAMS][OUTCOMES], running;
static struct agent agents[AGENTS];
static uv_timer_t killer;

static void need(bursar_status_t status, const char *what, const bursar_error_t *error) {
    if (status == BURSAR_OK) return;
    fprintf(stderr, "%s: %s\n", what, error && error->message_len ? error->message : bursar_status_string(status));
    exit(1);
}

static bursar_text_t text(const char *s) {
    bursar_text_t t = {s, strlen(s)};
    return t;
}

static void think(uv_timer_t *timer);

static void retire(struct agent *agent, enum outcome outcome) {
    ended[agent->index % TEAMS][outcome]++;
    need(bursar_session_close(runtime, agent->session), "close a session", NULL);
    uv_close((uv_handle_t *)&agent->timer, NULL);
    if (--running == 0 && !uv_is_closing((uv_handle_t *)&killer)) uv_close((uv_handle_t *)&killer, NULL);
}

/* The model has answered: settle what was used, and go on. */
static void answered(uv_timer_t *timer) {
    struct agent *agent = timer->data;
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    usage.input_tokens = 1500 + 100 * agent->steps;
    usage.cache_read_input_tokens = 100 * agent->steps;
    usage.output_tokens = agent->decision.max_output_tokens / 2;
    need(bursar_settle(runtime, agent->decision.reservation, &usage, NULL), "settle", NULL);
    agent->steps++;
    think(timer);
}

/* The next step: reserve its worst case, or see why not. */
static void think(uv_timer_t *timer) {
    struct agent *agent = timer->data;
    if (agent->steps >= STEPS && !agent->runaway) {
        retire(agent, FINISHED);
        return;
    }
    bursar_request_t request = BURSAR_REQUEST_INIT;
    request.model = models[0];
    request.input_tokens = 1500 + 100 * agent->steps;
    request.max_output_tokens = 600;
    request.min_output_tokens = 200;
    agent->decision = (bursar_decision_t)BURSAR_DECISION_INIT;
    bursar_decision_t *d = &agent->decision;
    bursar_status_t status = bursar_reserve(runtime, agent->session, &request, d);
    if (status == BURSAR_OK) {
        granted_steps++;
        if (d->verdict == BURSAR_VERDICT_DOWNGRADE) downgraded++;
        uv_timer_start(timer, answered, (uint64_t)(5 + agent->index % 17), 0);
    } else if (status != BURSAR_E_REFUSED) {
        need(status, "reserve", NULL);
    } else if (d->verdict == BURSAR_VERDICT_THROTTLE || (d->flags & BURSAR_DECISION_TRANSIENT)) {
        waits++;
        uint64_t ms = (uint64_t)(d->retry_after_ns / 1000000) + 3;
        uv_timer_start(timer, think, ms, 0);
    } else {
        retire(agent, d->reason == BURSAR_REASON_KILLED  ? KILLED
                      : d->reason == BURSAR_REASON_LIMIT ? EXCEEDED
                                                         : OTHER);
    }
}

static void kill_one_team(uv_timer_t *timer) {
    static const char reason[] = "the on-call engineer pulled the plug";
    need(bursar_kill(runtime, budgets[1], reason, sizeof reason - 1), "kill", NULL);
    uv_close((uv_handle_t *)timer, NULL);
}

static void on_event(void *data, const bursar_event_t *event) {
    (void)data;
    if (event->type == BURSAR_EVENT_THRESHOLD) {
        printf("  event: %s has used %d %% of its budget\n", event->path, event->percent);
    } else if (event->type == BURSAR_EVENT_KILL) {
        printf("  event: %s was killed: %s\n", event->path, event->text);
    }
}

static void open_everything(uv_loop_t *loop) {
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    options.loop = loop;
    need(bursar_open(&options, &runtime, &error), "open", &error);
    need(bursar_events_callback(runtime, on_event, NULL), "events", NULL);

    static const char *names[2] = {"example-large", "example-small"};
    static const int64_t picos[2] = {3000000, 250000}; /* $3.00/M and $0.25/M */
    for (int i = 0; i < 2; i++) {
        bursar_rates_t rates = BURSAR_RATES_INIT;
        rates.input_picos = picos[i];
        rates.cache_read_picos = picos[i] / 10;
        rates.output_picos = 5 * picos[i];
        need(bursar_price_set(runtime, names[i], strlen(names[i]), &rates, &error), "price", &error);
        need(bursar_model_find(runtime, names[i], strlen(names[i]), &models[i]), "model", NULL);
    }
    bursar_budget_options_t budget = BURSAR_BUDGET_OPTIONS_INIT;
    budget.limits = BURSAR_TEXT("$12 downgrade 40%");
    need(bursar_budget_declare(runtime, "acme", 4, &budget, &company, &error), "budget", &error);
    for (int i = 0; i < TEAMS; i++) {
        budget.limits = text(teams[i].limits);
        need(bursar_budget_declare(runtime, teams[i].path, strlen(teams[i].path), &budget, &budgets[i], &error),
             teams[i].path, &error);
    }
    for (int i = 0; i < AGENTS; i++) {
        struct agent *agent = &agents[i];
        bursar_session_options_t session = BURSAR_SESSION_OPTIONS_INIT;
        session.path = text(teams[i % TEAMS].path);
        session.agent = text(teams[i % TEAMS].agent);
        session.limits = BURSAR_TEXT("$0.25, 400 steps");
        session.ladder = BURSAR_TEXT("example-large,example-small");
        need(bursar_session_open(runtime, &session, &agent->session, &error), "session", &error);
        agent->index = i;
        agent->runaway = i % 10 == 0;
        uv_timer_init(loop, &agent->timer);
        agent->timer.data = agent;
        uv_timer_start(&agent->timer, think, (uint64_t)(i % 50), 0);
        running++;
    }
    uv_timer_init(loop, &killer);
    uv_timer_start(&killer, kill_one_team, KILL_AFTER_MS, 0);
}

static int report(void) {
    char amount[32], limit[32];
    size_t len;
    printf("\n%-22s %-11s %6s %10s %10s\n", "workflow", "agent", "steps", "spent", "saved");
    bursar_spend_t row;
    for (uint32_t i = 0;; i++) {
        memset(&row, 0, sizeof row);
        row.size = sizeof row;
        if (bursar_spend_read(runtime, i, &row) != BURSAR_OK) break;
        printf("%-22s %-11s %6" PRId64 " %10.4f %10.4f\n", row.path, row.agent, row.steps,
               (double)row.cost_nanos / 1e9, (double)(row.asked_cost_nanos - row.cost_nanos) / 1e9);
    }
    printf("\n%-22s %9s %9s %9s %9s\n", "team", "finished", "exceeded", "killed", "other");
    for (int i = 0; i < TEAMS; i++) {
        printf("%-22s %9d %9d %9d %9d\n", teams[i].path, ended[i][FINISHED], ended[i][EXCEEDED],
               ended[i][KILLED], ended[i][OTHER]);
    }
    printf("\n%" PRId64 " steps granted, %" PRId64 " of them downgraded; %" PRId64 " waits\n\n", granted_steps,
           downgraded, waits);

    int exceeded = 0;
    for (int i = -1; i < TEAMS; i++) {
        bursar_limit_view_t view;
        memset(&view, 0, sizeof view);
        view.size = sizeof view;
        need(bursar_limit_read(runtime, i < 0 ? company : budgets[i], 0, &view), "limit", NULL);
        need(bursar_money_format(view.committed, amount, sizeof amount, &len), "money", NULL);
        printf("%-22s %.*s", i < 0 ? "acme" : teams[i].path, (int)len, amount);
        need(bursar_money_format(view.amount, limit, sizeof limit, &len), "money", NULL);
        printf(" of %.*s%s\n", (int)len, limit, view.committed > view.amount ? "  EXCEEDED" : "");
        exceeded |= view.committed > view.amount;
    }
    bursar_error_t error = BURSAR_ERROR_INIT;
    need(bursar_verify(runtime, &error), "verify", &error);
    puts(exceeded ? "A budget was exceeded." : "No budget was exceeded, and the books balance.");
    return exceeded;
}

int main(void) {
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0) return 1;
    open_everything(&loop);
    while (running > 0) uv_run(&loop, UV_RUN_ONCE);
    int failed = report();
    need(bursar_close(runtime), "close", NULL);
    uv_run(&loop, UV_RUN_DEFAULT); /* lets the handles of runtime and timers go */
    return uv_loop_close(&loop) != 0 || failed;
}
