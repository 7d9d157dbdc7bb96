/* Access to the built-in price table: table.h says how it is encoded. */
#include "table.h"

#include <string.h>

uint32_t bursar__price_models(void) { return price_models; }
int64_t bursar__price_as_of(void) { return price_as_of; }
const struct bursar__price_row *bursar__price_dearest(void) { return &price_dearest; }

/* ---- Rows ---- */

enum { CLASSES = 12, NONE = CLASSES };
_Static_assert(offsetof(struct bursar__price_row, request_nanos) == (CLASSES - 1) * sizeof(int64_t),
               "a row begins with the rates of its classes");

/* The class whose rate an unnamed class has; NONE = it costs nothing. */
static const uint8_t WHOLE[CLASSES] = {NONE, NONE, 0, 0, 3, 1, 0, 2, 1, 0, 1, NONE};

uint32_t bursar__price_set(uint32_t model, struct bursar__price_row *out_rows) {
    if (!model || model > price_models) return 0;
    const uint8_t *code = &price_sets[price_first[model - 1]];
    uint16_t starts[4] = {0};
    uint16_t count = 0;
    uint8_t head;
    do {
        head = *code++;
        uint32_t named = code[0] | code[1] << 8;
        code += 2;
        int64_t rates[CLASSES + 1] = {0};
        for (uint32_t i = 0; i < CLASSES; i++) {
            rates[i] = rates[WHOLE[i]];
            if (!(named >> i & 1)) continue;
            uint32_t number = *code++;
            if (number & 128) number = (number & 127) | *code++ << 7;
            rates[i] = price_rates[number];
        }
        struct bursar__price_row *row = &out_rows[count];
        memset(row, 0, sizeof *row);
        memcpy(row, rates, CLASSES * sizeof *rates);
        row->above = price_tiers[head >> 4];
        row->variant = head & 3;
        row->chat = head >> 2 & 1;
        if (count && row->variant == row[-1].variant) row[-1].next_tier = 1;
        else starts[row->variant] = count;
        count++;
    } while (!(head & 8));
    out_rows->batch = starts[1];
    out_rows->flex = starts[2];
    out_rows->priority = starts[3];
    out_rows->rows = count;
    return count;
}

/* ---- Names ---- */

struct reader {
    const uint8_t *next;
    size_t len;
    int ended;
    uint8_t name[BURSAR__PRICE_NAME_MAX];
};

static struct reader group(uint32_t number) {
    return (struct reader){.next = &price_text[price_groups[number]]};
}

/* One symbol; pairs nest less than 256 deep. */
static void unpack(struct reader *reader, uint8_t symbol) {
    const uint8_t *pair = &price_pairs[2 * symbol];
    if (pair[0]) {
        unpack(reader, pair[0]);
        unpack(reader, pair[1]);
        return;
    }
    reader->ended = !symbol;
    if (symbol && reader->len < sizeof reader->name) reader->name[reader->len++] = symbol;
}

static void read(struct reader *reader) {
    reader->len = *reader->next++;
    do unpack(reader, *reader->next++);
    while (!reader->ended);
}

size_t bursar__price_name(uint32_t model, uint8_t *out_name) {
    if (!model || model > price_models) return 0;
    struct reader reader = group((model - 1) / PRICE_GROUP);
    for (uint32_t i = 0; i <= (model - 1) % PRICE_GROUP; i++) read(&reader);
    memcpy(out_name, reader.name, reader.len);
    return reader.len;
}

/* Whether a group may hold the name: whether its first one is not above it. */
static int begins_by(uint32_t number, const uint8_t *name, size_t len) {
    struct reader first = group(number);
    read(&first);
    int order = memcmp(first.name, name, first.len < len ? first.len : len);
    return order ? order < 0 : first.len <= len;
}

/* The place, from 1, of a name among `count` that begin at a group; 0 = it is not there. */
static uint32_t place(uint32_t from, uint32_t count, const uint8_t *name, size_t len) {
    uint32_t low = 0, high = (count + PRICE_GROUP - 1) / PRICE_GROUP;
    while (low < high) {  /* groups before low begin by the name, from high on none does */
        uint32_t middle = (low + high) / 2;
        if (begins_by(from + middle, name, len)) low = middle + 1;
        else high = middle;
    }
    if (!low) return 0;
    uint32_t first = (low - 1) * PRICE_GROUP;
    struct reader reader = group(from + low - 1);
    for (uint32_t i = first; i < count && i < first + PRICE_GROUP; i++) {
        read(&reader);
        if (reader.len == len && !memcmp(reader.name, name, len)) return i + 1;
    }
    return 0;
}

/* FNV-1a, 64 bits, over each name and its end. */
uint64_t bursar__price_fingerprint(void) {
    static uint64_t known; /* the same whoever computes it */
    uint64_t hash = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (hash) return hash;
    hash = 0xcbf29ce484222325u;
    uint8_t name[BURSAR__PRICE_NAME_MAX];
    for (uint32_t model = 1; model <= price_models; model++) {
        size_t len = bursar__price_name(model, name);
        for (size_t i = 0; i < len; i++) hash = (hash ^ name[i]) * 0x100000001b3u;
        hash = (hash ^ 0x100u) * 0x100000001b3u;
    }
    __atomic_store_n(&known, hash, __ATOMIC_RELAXED);
    return hash;
}

uint32_t bursar__price_find(const uint8_t *name, size_t len, int32_t *out_alias) {
    uint32_t model = place(0, price_models, name, len);
    *out_alias = 0;
    if (model) return model;
    uint32_t alias = place((price_models + PRICE_GROUP - 1) / PRICE_GROUP, price_aliases, name, len);
    if (!alias) return 0;
    *out_alias = 1;
    return price_target[alias - 1];
}
