#include "CLedger.h"

#include <stdint.h>

extern const uint8_t ledger_pairs[256][2];
extern const uint16_t ledger_starts[];
extern const uint8_t ledger_text[];

size_t bursar__sql_text(enum bursar__sql which, char *out) {
    size_t len = 0;
    for (const uint8_t *next = &ledger_text[ledger_starts[which]]; *next; next++) {
        uint8_t waiting[64]; /* second halves; pairs nest no deeper than there are */
        uint32_t depth = 0;
        uint8_t symbol = *next;
        for (;;) {
            while (ledger_pairs[symbol][1] && depth < sizeof waiting) {
                waiting[depth++] = ledger_pairs[symbol][1];
                symbol = ledger_pairs[symbol][0];
            }
            if (len < BURSAR__SQL_MAX - 1) out[len++] = (char)symbol;
            if (!depth) break;
            symbol = waiting[--depth];
        }
    }
    out[len] = 0;
    return len;
}
