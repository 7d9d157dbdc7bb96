/* What table.c holds; read through prices.c only. */
#ifndef BURSAR_CPRICES_TABLE_H
#define BURSAR_CPRICES_TABLE_H

#include "CPrices.h"

#define HIDDEN __attribute__((visibility("hidden")))

extern HIDDEN const int64_t price_as_of;
extern HIDDEN const uint32_t price_models;     /* names 1 to here are models, */
extern HIDDEN const uint32_t price_names;      /* from there to here aliases */
extern HIDDEN const uint32_t price_slot_mask;
extern HIDDEN const struct bursar__price_row price_rows[];
extern HIDDEN const struct bursar__price_row price_dearest;
extern HIDDEN const uint16_t price_first[];    /* by model: its set's first row */
extern HIDDEN const uint16_t price_target[];   /* by alias: its model */
extern HIDDEN const uint16_t price_offset[];   /* by name: where it begins in price_text */
extern HIDDEN const char price_text[];
extern HIDDEN const uint16_t price_slots[];    /* names by FNV-1a hash, linear probing; 0 = empty */

#endif
