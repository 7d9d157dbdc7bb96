/* What table.c holds; read through prices.c only.
 *
 * A set is one model's rows, standard variant first, each variant's tiers by
 * rising threshold. A row is encoded as
 *   1 byte   bits 0-1 variant, 2 chat, 3 the set's last row, 4-7 its tier: a number in price_tiers
 *   2 bytes  which of the twelve classes are named, little-endian; bit 0 is input
 *   each     a number in price_rates: 7 bits, and with the top bit set 7 more
 * and a class that is not named has the rate of its whole: see WHOLE in prices.c.
 *
 * Names stand in groups of PRICE_GROUP, in order of their bytes, the models' and
 * then, from a new group on, the aliases'. A name is written as how many bytes it
 * has in common with the one before it in its group, and the bytes that follow, up
 * to a 0, in symbols: one is two others (price_pairs), or where the first of these
 * is 0, the byte that the second says. */
#ifndef BURSAR_CPRICES_TABLE_H
#define BURSAR_CPRICES_TABLE_H

#include "CPrices.h"

#define HIDDEN __attribute__((visibility("hidden")))

enum { PRICE_GROUP = 16 };

extern HIDDEN const int64_t price_as_of;
extern HIDDEN const uint32_t price_models;
extern HIDDEN const uint32_t price_aliases;
extern HIDDEN const struct bursar__price_row price_dearest;
extern HIDDEN const uint32_t price_rates[];
extern HIDDEN const uint32_t price_tiers[];    /* tokens */
extern HIDDEN const uint8_t price_sets[];
extern HIDDEN const uint16_t price_first[];    /* by model: where its set begins in price_sets */
extern HIDDEN const uint16_t price_target[];   /* by alias: its model */
extern HIDDEN const uint16_t price_groups[];   /* where a group begins in price_text */
extern HIDDEN const uint8_t price_pairs[512];
extern HIDDEN const uint8_t price_text[];

#endif
