/* What a byte stands for in packed literals: two symbols, the first below; 0 = itself.
 * All are 0 until tools/texts.py packs the literals of a library. Volatile, so that no
 * optimiser before it believes that they stay so. */
#ifndef BURSAR_TEXT_H
#define BURSAR_TEXT_H

#include <stdint.h>

extern __attribute__((visibility("hidden"))) const volatile uint16_t bursar__text_pairs[256];
static inline uint16_t bursar__text_pair(uint8_t symbol) { return bursar__text_pairs[symbol]; }

#endif
