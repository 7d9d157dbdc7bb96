// What another process may have written into a home's segment: a valid segment is
// damaged before it is opened, and again between calls while it is used. Opening must
// end in an error or in a handle that works; no call may crash or hang.
//
// The segment is a picture of a home in the middle of its work, taken while steps were
// held, in flight and settled: whoever opens it finds a dead process in it. Every run
// begins with that picture. What a damaged word means is not known here: words that
// are not zero are hit more often than others.

#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <uv.h>

static char base[64], home[80];
static uint64_t *segment;        /* the file, mapped */
static uint64_t *picture;
static char ledger[400];         /* the home's file of what was folded, and what stood in it */
static uint8_t ledger_picture[1 << 16];
static size_t ledger_bytes;
static uint32_t *used;           /* the words of the picture that are not zero */
static uint32_t used_count, words;
static bursar_id_t ids[8];
static bursar_reservation_t steps[8];
static uv_loop_t loop;

static void leave(void) { remove_all(base); }

/* The ledger as it was, but for some bytes. */
static void write_ledger(input_t *in, int damaged) {
    static uint8_t bytes[sizeof ledger_picture];
    memcpy(bytes, ledger_picture, ledger_bytes);
    size_t end = ledger_bytes;
    for (int i = 0; i < damaged && ledger_bytes; i++) {
        uint32_t at = (uint32_t)take(in, 2);
        uint8_t how = take8(in);
        if (how == 0) end = at % ledger_bytes;
        else bytes[at % ledger_bytes] ^= how;
    }
    int fd = open(ledger, O_WRONLY | O_TRUNC);
    if (fd < 0) return;
    if (write(fd, bytes, end) < 0) abort();
    close(fd);
}

static bursar_status_t open_home(bursar_runtime_t **rt, int observes) {
    bursar_open_options_t o = BURSAR_OPEN_OPTIONS_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    o.flags = observes ? BURSAR_OPEN_OBSERVE : 0;
    o.home = (bursar_text_t){home, strlen(home)};
    o.shm_dir = (bursar_text_t){base, strlen(base)};
    o.loop = &loop;
    o.sessions_max = 64;
    o.reservations_max = 64;
    o.text_bytes_max = 16384;
    bursar_status_t status = bursar_open(&o, rt, &error);
    if (status != BURSAR_OK && error.message_len == 0) abort();
    return status;
}

static bursar_id_t budget(bursar_runtime_t *rt, const char *path, const char *limits) {
    bursar_budget_options_t o = BURSAR_BUDGET_OPTIONS_INIT;
    bursar_id_t id = 0;
    o.limits = (bursar_text_t){limits, strlen(limits)};
    o.owner = BURSAR_TEXT("support-platform");
    o.cost_center = BURSAR_TEXT("cc-1");
    if (bursar_budget_declare(rt, path, strlen(path), &o, &id, NULL) != BURSAR_OK) abort();
    return id;
}

static bursar_id_t session(bursar_runtime_t *rt, bursar_id_t parent, const char *limits) {
    bursar_session_options_t o = BURSAR_SESSION_OPTIONS_INIT;
    bursar_label_t label = {BURSAR_TEXT("team"), BURSAR_TEXT("red")};
    bursar_id_t id = 0;
    o.parent = parent;
    o.limits = (bursar_text_t){limits, strlen(limits)};
    o.agent = BURSAR_TEXT("agent");
    o.ladder = BURSAR_TEXT("gpt-5,gpt-5-mini");
    o.labels = &label;
    o.label_count = 1;
    o.holdback_nanos = 1000;
    if (bursar_session_open(rt, &o, &id, NULL) != BURSAR_OK) abort();
    return id;
}

static bursar_reservation_t reserve(bursar_runtime_t *rt, bursar_id_t id, uint32_t flags, int64_t output) {
    bursar_request_t r = BURSAR_REQUEST_INIT;
    bursar_decision_t d = BURSAR_DECISION_INIT;
    bursar_model_find(rt, "gpt-5", 5, &r.model);
    r.flags = flags;
    r.input_tokens = 100;
    r.max_output_tokens = output;
    if (bursar_reserve(rt, id, &r, &d) == BURSAR_OK) return d.reservation;
    char why[400];
    size_t len;
    bursar_decision_explain(rt, &d, why, sizeof why, &len);
    return 0;
}

static bursar_status_t settle(bursar_runtime_t *rt, bursar_reservation_t step, int64_t output) {
    bursar_usage_t u = BURSAR_USAGE_INIT;
    bursar_receipt_t receipt = BURSAR_RECEIPT_INIT;
    u.input_tokens = 100;
    u.output_tokens = output;
    return bursar_settle(rt, step, &u, &receipt);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    snprintf(base, sizeof base, "/dev/shm/bursar-fuzz-%d", (int)getpid());
    snprintf(home, sizeof home, "%s/home", base);
    mkdir(base, 0700);
    atexit(leave);
    uv_loop_init(&loop);

    bursar_runtime_t *rt;
    if (open_home(&rt, 0) != BURSAR_OK) abort();
    ids[0] = budget(rt, "acme", "$500/month alert 50% 80%, 20k steps/day");
    ids[1] = budget(rt, "acme/support", "$20/24h, 60 steps/min burst 10, 4 in_flight");
    ids[2] = budget(rt, "acme/research", "$2 then observe");
    ids[3] = session(rt, ids[1], "$2 downgrade 80%, 200 steps, 10m wall, 2m idle");
    ids[4] = session(rt, ids[3], "$0.50");
    ids[5] = session(rt, ids[2], "$1");
    ids[6] = session(rt, ids[2], "3 tool_calls");
    steps[0] = reserve(rt, ids[3], 0, 100);
    steps[1] = reserve(rt, ids[3], BURSAR_REQUEST_HOLD, 100);
    steps[2] = reserve(rt, ids[4], BURSAR_REQUEST_STREAM, 1000);
    steps[3] = reserve(rt, ids[5], 0, 100);
    steps[4] = reserve(rt, ids[5], 0, 100);
    settle(rt, steps[3], 100);
    settle(rt, steps[4], 2000);
    bursar_kill(rt, ids[6], "why", 3);
    bursar_top_up(rt, ids[0], "$5", 2, 1000000000, "more", 4, NULL);
    bursar_session_close(rt, ids[5]);
    uv_run(&loop, UV_RUN_NOWAIT);

    bursar_home_info_t info = {.size = sizeof info};
    if (bursar_home_info(rt, &info) != BURSAR_OK) abort();
    int fd = open(info.segment_path, O_RDWR);
    words = (uint32_t)(info.segment_bytes / 8);
    segment = mmap(NULL, words * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    picture = malloc(words * 8);
    used = malloc(words * sizeof *used);
    if (fd < 0 || segment == MAP_FAILED || !picture || !used) abort();
    memcpy(picture, segment, words * 8);
    for (uint32_t i = 0; i < words; i++) {
        if (picture[i]) used[used_count++] = i;
    }
    DIR *dir = opendir(home);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!strncmp(entry->d_name, "ledger", 6)) snprintf(ledger, sizeof ledger, "%s/%s", home, entry->d_name);
    }
    if (dir) closedir(dir);
    int ledger_fd = open(ledger, O_RDONLY);
    ssize_t got = ledger_fd < 0 ? 0 : read(ledger_fd, ledger_picture, sizeof ledger_picture);
    ledger_bytes = got > 0 ? (size_t)got : 0;
    if (bursar_close(rt) != BURSAR_OK) abort();
    uv_run(&loop, UV_RUN_DEFAULT);
    return 0;
}

/* One word, or half of one, becomes something else. */
static void damage(input_t *in) {
    uint8_t how = take8(in);
    uint32_t at = (uint32_t)take(in, 3);
    at = how & 128 ? at % words : used[at % used_count];
    uint64_t old = segment[at], new = old;
    switch (how & 15) {
    case 0: new = 0; break;
    case 1: new = UINT64_MAX; break;
    case 2: new = old ^ (uint64_t)1 << (take8(in) & 63); break;
    case 3: new = old + 1; break;
    case 4: new = old - 1; break;
    case 5: new = take(in, 8); break;
    case 6: new = take(in, 1); break;
    case 7: new = (uint64_t)take_amount(in); break;
    case 8: new = segment[used[take(in, 2) % used_count]]; break;
    case 9: new = (old & 0xFFFFFFFF) | (uint64_t)take_number(in) << 32; break;
    case 10: new = (old & ~(uint64_t)0xFFFFFFFF) | take_number(in); break;
    case 11: new = (old & ~((uint64_t)15 << 60)) | (uint64_t)take8(in) << 60; break;
    case 12: new = (old & ~((uint64_t)0xFFFF << 16)) | take(in, 2) << 16; break;
    case 13: new = old << 32 | old >> 32; break;
    case 14: new = (old & ~(uint64_t)0xFF) | take8(in); break;
    default: new = INT64_MAX;
    }
    __atomic_store_n(&segment[at], new, __ATOMIC_SEQ_CST);
}

static void call(input_t *in, bursar_runtime_t *rt) {
    static char text[4096];
    size_t len;
    bursar_error_t error = BURSAR_ERROR_INIT;
    uint8_t op = take8(in);
    bursar_id_t id = ids[op >> 5];
    bursar_reservation_t step = steps[op >> 5];
    bursar_id_t below[16];
    switch (op & 31) {
    case 0:
    case 1:
    case 2: steps[5 + (op >> 5) % 3] = reserve(rt, id, 0, take8(in)); break;
    case 3: steps[5] = reserve(rt, id, take8(in) & 63, take_amount(in)); break;
    case 4:
    case 5: settle(rt, step, take8(in)); break;
    case 6: bursar_release(rt, step); break;
    case 7: bursar_begin(rt, step); break;
    case 8: bursar_stream(rt, step, take8(in), NULL); break;
    case 9: {
        bursar_charge_t c = BURSAR_CHARGE_INIT;
        c.nanos = take8(in);
        c.flags = take8(in) & 1;
        c.key[0] = take8(in) & 1;
        bursar_charge(rt, id, &c, NULL, NULL);
        break;
    }
    case 10: {
        bursar_session_options_t o = BURSAR_SESSION_OPTIONS_INIT;
        o.parent = id;
        o.limits = BURSAR_TEXT("$1, 5 steps, 1m idle");
        o.agent = BURSAR_TEXT("another");
        bursar_session_open(rt, &o, &ids[7], &error);
        break;
    }
    case 11: bursar_session_close(rt, id); break;
    case 12: {
        static const char *const paths[] = {"acme/support", "acme/new", "other/team/x", "acme/research"};
        const char *path = paths[take8(in) & 3];
        bursar_budget_options_t o = BURSAR_BUDGET_OPTIONS_INIT;
        o.limits = BURSAR_TEXT("$30/24h, 7 tool_calls");
        o.flags = take8(in) & 1;
        bursar_budget_declare(rt, path, strlen(path), &o, &ids[7], &error);
        break;
    }
    case 13: bursar_budget_remove(rt, id, &error); break;
    case 14: bursar_limits_set(rt, id, "$3, 9 steps/min, 2 in_flight, $4/day", 36, &error); break;
    case 15: bursar_top_up(rt, id, "$1", 2, take_amount(in), NULL, 0, &error); break;
    case 16: bursar_observe(rt, take8(in) & 1 ? id : 0, take8(in) & 1); break;
    case 17: bursar_attend(rt, id, "me", 2); break;
    case 18: {
        bursar_status_t (*const acts[])(bursar_runtime_t *, bursar_id_t, const char *, size_t) = {
            bursar_kill, bursar_revive, bursar_pause, bursar_resume};
        acts[take8(in) & 3](rt, id, "because", 7);
        break;
    }
    case 19:
        for (int32_t which = 1; which <= 11; which++) bursar_text_read(rt, id, which, text, sizeof text, &len);
        break;
    case 20: bursar_children(rt, id, below, 16, &len); break;
    case 21: {
        bursar_view_t view = BURSAR_VIEW_INIT;
        bursar_limit_view_t limit = {.size = sizeof limit};
        bursar_meter_view_t meter = BURSAR_METER_VIEW_INIT;
        bursar_read(rt, id, &view);
        bursar_views(rt, &id, 1, &view);
        for (uint32_t i = 0; i < 8; i++) bursar_limit_read(rt, id, i, &limit);
        for (int32_t m = 0; m < 35; m++) bursar_meter_read(rt, id, m, &meter);
        break;
    }
    case 22: {
        bursar_spend_t row = {.size = sizeof row};
        bursar_spend_read(rt, take8(in) & 3, &row);
        break;
    }
    case 23: {
        static bursar_event_t events[16];
        for (int i = 0; i < 16; i++) events[i].size = sizeof *events;
        bursar_events_poll(rt, events, 16, &len);
        break;
    }
    case 24: {
        bursar_health_t health = {.size = sizeof health};
        bursar_home_info_t info = {.size = sizeof info};
        bursar_process_t process = {.size = sizeof process};
        bursar_health(rt, &health);
        bursar_home_info(rt, &info);
        for (uint32_t i = 0; i < 4; i++) bursar_home_process(rt, i, &process);
        break;
    }
    case 25: bursar_verify(rt, &error); break;
    case 26: bursar_budget_find(rt, "acme/support", 12, &ids[7]); break;
    case 27: {
        bursar_model_t model;
        bursar_tool_t tool;
        bursar_meter_t meter;
        text[0] = (char)('a' + take8(in) % 26);
        bursar_model_find(rt, text, 1, &model);
        bursar_tool_find(rt, text, 1, &tool, &error);
        bursar_meter_define(rt, text, 1, &meter, &error);
        bursar_model_name(rt, take8(in), text, sizeof text, &len);
        break;
    }
    case 28:
        bursar_session_environ(rt, id, text, sizeof text, &len);
        bursar_session_attach(rt, "0000000100000003", 16, &ids[7], &error);
        break;
    default: uv_run(&loop, UV_RUN_NOWAIT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_t in = {data, size};
    bursar_runtime_t *rt = NULL;
    bursar_id_t all_ids[8];
    bursar_reservation_t all_steps[8];
    memcpy(all_ids, ids, sizeof ids);
    memcpy(all_steps, steps, sizeof steps);
    memcpy(segment, picture, words * 8);
    uint8_t how = take8(&in);
    write_ledger(&in, how >> 6);
    for (int i = 0; i < (how & 7); i++) damage(&in);
    if (open_home(&rt, how & 8) == BURSAR_OK) {
        for (int i = 0; i < 100 && in.left > 0; i++) {
            if (take8(&in) & 1) damage(&in);
            else call(&in, rt);
        }
        if (bursar_close(rt) != BURSAR_OK) abort();
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    memcpy(ids, all_ids, sizeof ids);
    memcpy(steps, all_steps, sizeof steps);
    return 0;
}
