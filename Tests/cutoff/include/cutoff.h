/* For tests: what a mapping looked like before one of the stores that a call makes to it. That is what others
 * find when the process is killed there. Linux on x86-64 only. */
#ifndef CUTOFF_H
#define CUTOFF_H

#include <stddef.h>
#include <stdint.h>

/* Calls body(context) with `bytes` from `base` (whole pages) watched. Before the store number `at`, counted from 0,
 * they are copied to `image`, and the size of the file `fd` (-1 = none) to `*size`. Returns how many stores there
 * were; -1 where this cannot be done. One call at a time, of one thread. */
int64_t cutoff_run(void *base, size_t bytes, int64_t at, void *image, int32_t fd, int64_t *size,
                   void (*body)(void *), void *context);

#endif
