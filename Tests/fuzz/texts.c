// The parsers: limit text, amounts and rates, price books, paths, what a sub-agent finds in
// its environment. The first byte says which; the rest is the text, in memory of just its size.
//
// Besides not crashing: what a parser writes it reads back as the same.

#include "fuzz.h"

static bursar_runtime_t *runtime;
static uint32_t names;

static void open_runtime(void) {
    bursar_open_options_t options = BURSAR_OPEN_OPTIONS_INIT;
    options.sessions_max = 64;
    options.reservations_max = 64;
    options.text_bytes_max = 65536;
    if (bursar_open(&options, &runtime, NULL) != BURSAR_OK) abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    open_runtime();
    return 0;
}

static void limits(bursar_runtime_t *rt, uint32_t flags, bursar_text_t text) {
    char canonical[4096], again[4096];
    size_t len, again_len;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_status_t status = bursar_limits_parse(rt, flags, text.data, text.len, canonical, sizeof canonical, &len, &error);
    if (status != BURSAR_OK) {
        if (status == BURSAR_E_LIMIT_TEXT && (error.column < 1 || (size_t)error.column > text.len + 1)) abort();
        return;
    }
    error = (bursar_error_t)BURSAR_ERROR_INIT;
    status = bursar_limits_parse(rt, flags, canonical, len, again, sizeof again, &again_len, &error);
    if (status == BURSAR_OK && again_len == len && memcmp(canonical, again, len) == 0) return;
    fprintf(stderr, "%d %s\n`%.*s`\n`%.*s`\n", status, error.message, (int)len, canonical, (int)again_len, again);
    abort();
}

static void money(bursar_text_t text) {
    int64_t nanos, same;
    char out[64];
    size_t len;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_rate_parse(text.data, text.len, &nanos, &error);
    if (bursar_money_parse(text.data, text.len, &nanos, &error) != BURSAR_OK) return;
    if (bursar_money_format(nanos, out, sizeof out, &len) != BURSAR_OK) abort();
    if (bursar_money_parse(out, len, &same, &error) == BURSAR_OK && same == nanos) return;
    fprintf(stderr, "%lld is written %.*s\n", (long long)nanos, (int)len, out);
    abort();
}

/* All or nothing: a book that is refused leaves the prices as they are. */
static void prices(bursar_text_t text) {
    char report[256];
    size_t len;
    int32_t models = 0;
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_rates_t before = BURSAR_RATES_INIT, after = BURSAR_RATES_INIT;
    bursar_model_t model;
    if (bursar_model_find(runtime, "gpt-5", 5, &model) != BURSAR_OK) abort();
    bursar_price_get(runtime, model, &before);
    bursar_status_t status = bursar_prices_load(runtime, text.data, text.len, report, sizeof report, &len, &models, &error);
    bursar_price_get(runtime, model, &after);
    if (status == BURSAR_OK || status == BURSAR_E_BUFFER) {
        bursar_close(runtime);
        open_runtime();
    } else if (memcmp(&before, &after, sizeof after) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    bursar_text_t text = keep_text(data + 1, size - 1);
    bursar_error_t error = BURSAR_ERROR_INIT;
    bursar_id_t id;
    int32_t number;
    switch (data[0] % 8) {
    case 0: limits(NULL, 0, text); break;
    case 1: limits(NULL, BURSAR_LIMITS_SESSION, text); break;
    case 2: limits(runtime, 0, text); break;
    case 3: money(text); break;
    case 4:
    case 5: prices(text); break;
    case 6:
        if (bursar_budget_declare(runtime, text.data, text.len, NULL, &id, &error) == BURSAR_OK) {
            char path[4096];
            size_t len;
            if (bursar_text_read(runtime, id, BURSAR_TEXT_PATH, path, sizeof path, &len) != BURSAR_OK) abort();
            bursar_id_t found;
            if (bursar_budget_find(runtime, path, len, &found) != BURSAR_OK || found != id) abort();
        } else if (error.status == BURSAR_E_CAPACITY) {
            bursar_close(runtime);
            open_runtime();
        }
        break;
    default:
        bursar_session_attach(runtime, text.data, text.len, &id, &error);
        bursar_model_find(runtime, text.data, text.len, &number);
        bursar_tool_find(runtime, text.data, text.len, &number, &error);
        if (++names % 1024 == 0) { /* names are kept for a runtime's life */
            bursar_close(runtime);
            open_runtime();
        }
    }
    free_texts();
    return 0;
}
