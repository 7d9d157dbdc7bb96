/* SPDX-License-Identifier: Apache-2.0
 *
 * A home's ledger from C: queries with typed columns, what is wrong with them, outcomes;
 * and all of it in the children of forks.
 */
#include "home.h"

static bursar_status_t charge(bursar_runtime_t *rt, bursar_id_t s, int64_t nanos) {
    bursar_charge_t c = BURSAR_CHARGE_INIT;
    c.nanos = nanos;
    return bursar_charge(rt, s, &c, NULL, NULL);
}

static bursar_query_t *ask(bursar_runtime_t *rt, const char *sql) {
    bursar_query_t *query = NULL;
    bursar_error_t error = BURSAR_ERROR_INIT;
    size_t columns;
    if (!equal(bursar_query(rt, 0, sql, strlen(sql), NULL, 0, 0, &query, &columns, &error), BURSAR_OK)) {
        fprintf(stderr, "  %s\n", error.message);
    }
    return query;
}

/* The one integer that a query answers. */
static int64_t number(bursar_runtime_t *rt, const char *sql) {
    bursar_query_t *query = ask(rt, sql);
    const bursar_value_t *row = NULL;
    int64_t found = -1;
    if (query && equal(bursar_query_next(query, &row, NULL), BURSAR_OK) && row && row->type == BURSAR_VALUE_INTEGER) {
        found = row->integer;
    }
    bursar_query_close(query);
    return found;
}

static bursar_status_t state(bursar_runtime_t *rt, bursar_id_t s, const char *id, const char *value,
                             bursar_error_t *error) {
    bursar_outcome_t o = BURSAR_OUTCOME_INIT;
    o.name = BURSAR_TEXT("paid");
    o.id = text_of(id);
    o.session = s;
    o.value = text_of(value);
    return bursar_outcome(rt, &o, error);
}

test("a query's rows are typed, and its parameters too") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    budget(rt, "acme", "$10");
    bursar_id_t s = session(rt, "acme", 0, "");
    need(charge(rt, s, 7), BURSAR_OK);
    bursar_value_t given[4];
    memset(given, 0, sizeof given);
    given[0].type = BURSAR_VALUE_TEXT;
    given[0].text = BURSAR_TEXT("acme");
    given[1].type = BURSAR_VALUE_INTEGER;
    given[1].integer = INT64_MIN;
    given[2].type = BURSAR_VALUE_REAL;
    given[2].real = 0.5;
    const char *sql = "SELECT cost_nanos, workflow, ?2 least, ?3, ?4, x'0001', '' FROM v_steps WHERE workflow=?1";
    bursar_query_t *query = NULL;
    bursar_error_t error = BURSAR_ERROR_INIT;
    size_t columns = 0, len = 0;
    char name[32];
    need(bursar_query(rt, 0, sql, strlen(sql), given, 4, 0, &query, &columns, &error), BURSAR_OK);
    equal(columns, 7);
    equal(bursar_query_column(query, 2, name, sizeof name, &len), BURSAR_OK);
    check(strcmp(name, "least") == 0);
    equal(bursar_query_column(query, 0, name, 3, &len), BURSAR_E_BUFFER);
    equal(len, strlen("cost_nanos"));
    equal(bursar_query_column(query, 7, name, sizeof name, &len), BURSAR_E_NOT_FOUND);
    const bursar_value_t *row = NULL;
    need(bursar_query_next(query, &row, &error), BURSAR_OK);
    need(row != NULL, 1);
    equal(row[0].type, BURSAR_VALUE_INTEGER);
    equal(row[0].integer, 7);
    equal(row[1].type, BURSAR_VALUE_TEXT);
    has(row[1].text.data, row[1].text.len, "acme");
    equal(row[2].integer, INT64_MIN);
    equal(row[3].type, BURSAR_VALUE_REAL);
    check(row[3].real == 0.5);
    equal(row[4].type, BURSAR_VALUE_NULL);
    equal(row[5].type, BURSAR_VALUE_BLOB);
    equal(row[5].text.len, 2);
    equal(row[6].type, BURSAR_VALUE_TEXT);
    equal(row[6].text.len, 0);
    for (int k = 0; k < 2; k++) {
        need(bursar_query_next(query, &row, &error), BURSAR_OK);
        check(row == NULL);
    }
    /* It outlives the runtime. */
    bursar_query_t *later = ask(rt, "SELECT 1 UNION SELECT 2");
    equal(bursar_close(rt), BURSAR_OK);
    equal(bursar_query_next(later, &row, &error), BURSAR_OK);
    check(row != NULL);
    equal(bursar_query_close(later), BURSAR_OK);
    equal(bursar_query_close(query), BURSAR_OK);
    equal(bursar_query_close(NULL), BURSAR_OK);
    done_with(&h);
}

test("what is wrong with a query is said with line and column") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    bursar_query_t *query = NULL;
    bursar_error_t error = BURSAR_ERROR_INIT;
    size_t columns;
    equal(bursar_query(rt, 0, LIT("SELECT 1,\n nope FROM v_steps"), NULL, 0, 0, &query, &columns, &error),
          BURSAR_E_QUERY);
    equal(error.line, 2);
    equal(error.column, 2);
    has(error.message, error.message_len, "no such column: nope");
    check(query == NULL);
    equal(bursar_query(rt, 0, LIT("DELETE FROM steps"), NULL, 0, 0, &query, &columns, &error), BURSAR_E_QUERY);
    equal(bursar_query(rt, 2, LIT("SELECT 1"), NULL, 0, 0, &query, &columns, &error), BURSAR_E_INVALID);
    equal(bursar_query(rt, 0, LIT("SELECT ?"), NULL, 1, 0, &query, &columns, &error), BURSAR_E_INVALID);
    equal(bursar_query(rt, 0, LIT("SELECT 1"), NULL, 0, -1, &query, &columns, &error), BURSAR_E_INVALID);
    equal(bursar_query(rt, 0, LIT("SELECT 1"), NULL, 0, 0, NULL, &columns, &error), BURSAR_E_INVALID);
    equal(bursar_query_next(NULL, NULL, &error), BURSAR_E_INVALID);
    const char *endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT sum(i) FROM n";
    const bursar_value_t *row;
    need(bursar_query(rt, 0, endless, strlen(endless), NULL, 0, 20000000, &query, &columns, &error), BURSAR_OK);
    equal(bursar_query_next(query, &row, &error), BURSAR_E_QUERY);
    bursar_query_close(query);
    close_runtime(rt);
    bursar_runtime_t *alone = open_runtime(NULL);
    equal(bursar_query(alone, 0, LIT("SELECT 1"), NULL, 0, 0, &query, &columns, &error), BURSAR_E_UNSUPPORTED);
    close_runtime(alone);
    done_with(&h);
}

test("outcomes are stated once, with money that is read exactly") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    budget(rt, "acme", "$10");
    bursar_id_t s = session(rt, "acme", 0, "");
    bursar_error_t error = BURSAR_ERROR_INIT;
    equal(state(rt, s, "1", "$3.20", &error), BURSAR_OK);
    equal(state(rt, s, "1", "$3.20", &error), BURSAR_OK);
    equal(state(rt, s, "1", "$4", &error), BURSAR_E_CONFLICT);
    equal(error.values[0], 3200000000);
    equal(error.values[1], 4000000000);
    equal(state(rt, s, "2", "three", &error), BURSAR_E_MONEY_TEXT);
    equal(state(rt, 99, "2", "$1", &error), BURSAR_E_NOT_FOUND);
    bursar_outcome_t o = BURSAR_OUTCOME_INIT;
    equal(bursar_outcome(rt, &o, &error), BURSAR_E_INVALID);
    o.size = 4;
    equal(bursar_outcome(rt, &o, &error), BURSAR_E_SIZE);
    equal(number(rt, "SELECT count(*) FROM v_revisions"), 1);
    equal(number(rt, "SELECT value_nanos FROM v_outcomes"), 3200000000);
    close_runtime(rt);
    done_with(&h);
}

test("many outcomes are judged one by one, in structs of the caller's size") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    budget(rt, "acme", "$10");
    enum { count = 5, older = 144, newer = 160 };
    bursar_outcome_t o = BURSAR_OUTCOME_INIT;
    o.name = BURSAR_TEXT("paid");
    o.workflow = BURSAR_TEXT("acme");
    for (size_t size = older; size <= newer; size += 8) {
        _Alignas(8) char all[count * newer];
        bursar_error_t errors[count];
        int32_t results[count];
        memset(all, 0, sizeof all);
        memset(errors, 0, sizeof errors);
        for (size_t k = 0; k < count; k++) {
            o.size = (uint32_t)size;
            o.id = text_of((const char *[]){"a", "b", "a", "c", "d"}[k]);
            o.value = text_of((const char *[]){"$1", "ten", "$1", "$3", "$4"}[k]);
            o.state = k == 4 ? 9 : 0;
            memcpy(all + k * size, &o, size < sizeof o ? size : sizeof o);
            errors[k].size = sizeof errors[k];
        }
        const bursar_outcome_t *first = (const bursar_outcome_t *)(const void *)all;
        equal(bursar_outcomes(rt, first, count, results, errors), BURSAR_OK);
        int isFirst = size == older;
        equal(results[0], isFirst);
        equal(results[1], BURSAR_E_MONEY_TEXT);
        equal(results[2], 0);
        equal(results[3], isFirst);
        equal(results[4], BURSAR_E_INVALID);
        equal(errors[1].status, BURSAR_E_MONEY_TEXT);
        check(errors[1].message_len > 0 && errors[0].status == 0 && errors[2].status == 0);
        equal(bursar_outcomes(rt, first, count, NULL, NULL), BURSAR_OK);
        all[2 * size] ^= 8; /* another size than the first's */
        equal(bursar_outcomes(rt, first, 3, results, NULL), BURSAR_OK);
        equal(results[2], BURSAR_E_SIZE);
        const uint32_t wrong[] = {0, 4, 65544, UINT32_MAX - 7};
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
            memcpy(all, &wrong[k], sizeof wrong[k]);
            equal(bursar_outcomes(rt, first, 2, results, errors), BURSAR_OK);
            equal(results[0], BURSAR_E_SIZE);
            equal(results[1], BURSAR_E_SIZE);
        }
    }
    equal(bursar_outcomes(rt, &o, 0, NULL, NULL), BURSAR_OK);
    equal(number(rt, "SELECT count(*) FROM v_revisions"), 2);
    close_runtime(rt);
    done_with(&h);
}

test("children of a fork write, ask and state as any process does") {
    enum { children = 6, steps = 20 };
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    budget(rt, "acme", "$10");
    bursar_id_t s = session(rt, "acme", 0, "");
    for (int k = 0; k < children; k++) {
        need(charge(rt, s, 1), BURSAR_OK);
        if (k % 2) equal(number(rt, "SELECT count(*) FROM v_steps") >= k + 1, 1);
        fflush(NULL);
        if (fork() == 0) {
            alarm(120);
            test_failures = 0;
            bursar_id_t mine = session(rt, "acme", 0, "");
            char id[8] = {(char)('a' + k), 0};
            for (int i = 1; i <= steps; i++) {
                equal(charge(rt, mine, 1), BURSAR_OK);
                equal(number(rt, "SELECT count(*) FROM v_steps") >= i, 1);
            }
            equal(state(rt, mine, id, "$1", NULL), BURSAR_OK);
            equal(bursar_close(rt), BURSAR_OK);
            _exit(test_failures ? 1 : 0);
        }
    }
    for (int k = 0; k < children; k++) {
        int status = -1;
        check(wait(&status) > 0);
        equal(status, 0);
    }
    equal(number(rt, "SELECT sum(cost_nanos) FROM v_steps"), children * (steps + 1));
    equal(number(rt, "SELECT count(*) FROM v_outcomes WHERE workflow='acme'"), children);
    close_runtime(rt);
    done_with(&h);
}

test("a query that is open while its process forks is the parent's, and its ledger too") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    budget(rt, "acme", "$10");
    bursar_id_t s = session(rt, "acme", 0, "");
    need(charge(rt, s, 1), BURSAR_OK);
    bursar_query_t *query = ask(rt, "SELECT 1 UNION SELECT 2");
    const bursar_value_t *row;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        test_failures = 0;
        bursar_query_t *own = NULL;
        bursar_error_t error = BURSAR_ERROR_INIT;
        size_t columns;
        equal(bursar_query_next(query, &row, &error), BURSAR_E_FORKED);
        equal(bursar_query_close(query), BURSAR_E_FORKED);
        equal(bursar_query(rt, 0, LIT("SELECT 1"), NULL, 0, 0, &own, &columns, &error), BURSAR_E_FORKED);
        has(error.message, error.message_len, "forked");
        equal(charge(rt, s, 1), BURSAR_OK);
        _exit(test_failures ? 1 : 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    equal(status, 0);
    equal(bursar_query_next(query, &row, NULL), BURSAR_OK);
    check(row != NULL);
    equal(bursar_query_close(query), BURSAR_OK);
    equal(number(rt, "SELECT sum(cost_nanos) FROM v_steps"), 2);
    close_runtime(rt);
    done_with(&h);
}
