/* SPDX-License-Identifier: Apache-2.0
 *
 * What workers write down, and judge.py reads: one write of 64 bytes with O_APPEND
 * per entry, which no kill can cut (a page is a multiple of it). What may change a
 * total is written down before and after, so that a kill leaves at most one thing
 * unknown per thread.
 */
#ifndef TORTURE_RECORD_H
#define TORTURE_RECORD_H

#include <stdint.h>

/*   kind  written                handle       amount            session  detail
 *   O     a home was opened      -            ns that it took   -        -
 *   S     a session was opened   its parent   budget (0, 1, 2)  itself   -
 *   X     it was closed          -            -                 itself   -
 *   w     before reserve         -            the most it holds itself   -
 *   G     granted                reservation  held              itself   flags: 1 held, 2 stream
 *   R     refused                -            status            itself   reason
 *   b     before begin           reservation  -                 itself   -
 *   s     before settle          reservation  what it costs     itself   -
 *   T     settled                reservation  cost              itself   overrun; flags: receipt's
 *   N     settle found nothing   reservation  -                 itself   status
 *   r, L  before, after release  reservation  -                 itself   status
 *   c, C  before, after charge   -            nanos             itself   refused; flags: 1 forced
 *         or many small steps    -            at most, exactly
 *   F     forked                 child        -                 -        -
 *   B     E_BUSY, tried again   -            times             itself   line
 *   E     must not happen        -            status            itself   line
 */
struct entry {
    uint32_t pid;
    uint16_t thread;
    char kind;
    uint8_t flags;
    int64_t handle, amount, session, detail;
    int64_t time; /* CLOCK_MONOTONIC, ns */
    int64_t padding[2];
};
_Static_assert(sizeof(struct entry) == 64, "an entry divides a page");

#endif
