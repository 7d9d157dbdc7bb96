/* SPDX-License-Identifier: Apache-2.0
 *
 * The limit grammar: the project's table, row by row, through the library. The
 * file is LIMITS_TSV in the environment, or Tests/limits.tsv.
 */
#include "help.h"

/* Undoes \t, \n, \r, \\ and \xHH in place; returns the length. */
static size_t unescape(char *text) {
    char *out = text;
    for (char *in = text; *in; in++) {
        if (*in != '\\') {
            *out++ = *in;
            continue;
        }
        in++;
        if (*in == 'x') {
            char hex[3] = {in[1], in[2], 0};
            *out++ = (char)strtol(hex, NULL, 16);
            in += 2;
        } else {
            *out++ = *in == 't' ? '\t' : *in == 'n' ? '\n' : *in == 'r' ? '\r' : *in;
        }
    }
    *out = 0;
    return (size_t)(out - text);
}

static void row(bursar_runtime_t *rt, char **cells, int number) {
    uint32_t flags = strcmp(cells[0], "session") == 0 ? BURSAR_LIMITS_SESSION : 0;
    size_t length = unescape(cells[1]), expected = unescape(cells[3]), out = 0, again = 0;
    char text[1024], second[1024];
    bursar_error_t error = BURSAR_ERROR_INIT;
    int before = test_failures;
    bursar_status_t status =
        bursar_limits_parse(rt, flags, cells[1], length, text, sizeof text, &out, &error);
    if (strcmp(cells[2], "ok") == 0) {
        if (equal(status, BURSAR_OK)) {
            check(out == expected && memcmp(text, cells[3], out) == 0);
            equal(bursar_limits_parse(rt, flags, text, out, second, sizeof second, &again, NULL), BURSAR_OK);
            check(again == out && memcmp(text, second, out) == 0);
        }
    } else {
        equal(status, BURSAR_E_LIMIT_TEXT);
        equal(error.status, BURSAR_E_LIMIT_TEXT);
        equal(error.column, strtol(cells[4], NULL, 10));
        equal(error.message_len, strlen(error.message));
        has(error.message, error.message_len, cells[3]);
    }
    if (test_failures != before) fprintf(stderr, "  in row %d: %s\n", number, cells[1]);
}

test("limit text means what the table says") {
    const char *name = getenv("LIMITS_TSV");
    FILE *file = fopen(name ? name : "Tests/limits.tsv", "r");
    check(file != NULL);
    if (!file) return;
    bursar_runtime_t *rt = open_runtime(NULL);
    bursar_meter_t meter;
    equal(bursar_meter_define(rt, LIT("credits"), &meter, NULL), BURSAR_OK);
    equal(bursar_meter_define(rt, LIT("gpu_seconds"), &meter, NULL), BURSAR_OK);
    char line[4096];
    int number = 0, rows = 0;
    while (fgets(line, sizeof line, file)) {
        number++;
        line[strcspn(line, "\n")] = 0;
        if (!line[0] || line[0] == '#') continue;
        char *cells[5] = {line, NULL, NULL, NULL, NULL};
        for (int i = 1; i < 5; i++) {
            char *tab = strchr(cells[i - 1], '\t');
            check(tab != NULL);
            if (!tab) return;
            *tab = 0;
            cells[i] = tab + 1;
        }
        row(rt, cells, number);
        rows++;
    }
    fclose(file);
    check(rows >= 200);
    close_runtime(rt);
}

test("a buffer that is too small gets the length that is needed") {
    char text[4];
    size_t len = 0;
    equal(bursar_limits_parse(NULL, 0, LIT("$500/month"), text, sizeof text, &len, NULL), BURSAR_E_BUFFER);
    check(len >= 10);
    equal(bursar_limits_parse(NULL, 0, LIT("$500/month"), NULL, 0, &len, NULL), BURSAR_E_BUFFER);
    check(len >= 10);
}
