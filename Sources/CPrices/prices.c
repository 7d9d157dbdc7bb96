/* Access to the built-in price table. */
#include "table.h"

#include <string.h>

uint32_t bursar__price_models(void) { return price_models; }
int64_t bursar__price_as_of(void) { return price_as_of; }
const struct bursar__price_row *bursar__price_dearest(void) { return &price_dearest; }

const struct bursar__price_row *bursar__price_set(uint32_t model) {
    return model && model <= price_models ? &price_rows[price_first[model - 1]] : NULL;
}

const char *bursar__price_name(uint32_t model, size_t *out_len) {
    if (!model || model > price_models) {
        *out_len = 0;
        return NULL;
    }
    *out_len = price_offset[model] - price_offset[model - 1];
    return &price_text[price_offset[model - 1]];
}

/* FNV-1a, 64 bits, over each name and its end. */
uint64_t bursar__price_fingerprint(void) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint32_t model = 1, i = 0; model <= price_models; model++) {
        for (; i < price_offset[model]; i++) hash = (hash ^ (uint8_t)price_text[i]) * 0x100000001b3u;
        hash = (hash ^ 0x100u) * 0x100000001b3u;
    }
    return hash;
}

/* The table is at most half full, so a probe ends. */
uint32_t bursar__price_find(const uint8_t *name, size_t len, int32_t *out_alias) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++) hash = (hash ^ name[i]) * 16777619u;
    *out_alias = 0;
    for (uint32_t slot = hash & price_slot_mask;; slot = (slot + 1) & price_slot_mask) {
        uint32_t n = price_slots[slot];
        if (!n) return 0;
        uint32_t start = price_offset[n - 1];
        if (price_offset[n] - start != len || memcmp(&price_text[start], name, len)) continue;
        if (n <= price_models) return n;
        *out_alias = 1;
        return price_target[n - 1 - price_models];
    }
}
