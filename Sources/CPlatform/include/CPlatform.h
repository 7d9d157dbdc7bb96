/* The few C calls that Swift cannot make: variadic, macro-only or thread-local. Umbrella of this target's headers. */
#ifndef BURSAR_CPLATFORM_H
#define BURSAR_CPLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "home.h"
#include "ledgerfile.h"
#include "text.h"
#include "zonefile.h"

#define BURSAR__CLOCK_UNIX 0   /* CLOCK_REALTIME */
#define BURSAR__CLOCK_STEADY 1 /* CLOCK_MONOTONIC */

/* Nanoseconds; the coarse forms are a few milliseconds late and cost 3 ns. */
static inline int64_t bursar__clock(int32_t which) {
    struct timespec t;
    clock_gettime(which == BURSAR__CLOCK_UNIX ? CLOCK_REALTIME : CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static inline int64_t bursar__clock_steady_coarse(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Anonymous zeroed memory that takes room only where touched; NULL = none. */
void *bursar__map(size_t bytes);
/* A file's bytes, shared with all who map it; NULL = no room. */
void *bursar__map_file(int32_t fd, size_t bytes);
/* Gives the pages back; the addresses stay valid and read as zero. */
void bursar__map_clear(void *address, size_t bytes);
void bursar__unmap(void *address, size_t bytes);

/* A mutex as an opaque block; never recursive. */
void *bursar__lock_new(void);
void bursar__lock_free(void *lock);
void bursar__lock(void *lock);
int32_t bursar__lock_try(void *lock); /* 1 = taken */
void bursar__unlock(void *lock);

/* Starts a thread with all signals blocked; 0 = started. Join once. */
int32_t bursar__thread_start(void (*body)(void *), void *argument, uint64_t *out_thread);
void bursar__thread_join(uint64_t thread);
uint64_t bursar__thread_self(void);
void bursar__thread_yield(void); /* lets others run for some microseconds */
void bursar__sleep(int64_t nanos); /* may end early */

/* A descriptor that is readable while its count is above 0; -1 = none. */
int32_t bursar__eventfd(void);
void bursar__eventfd_signal(int32_t fd);
void bursar__eventfd_clear(int32_t fd);
void bursar__eventfd_wait(int32_t fd, int32_t milliseconds); /* -1 = for ever; may end early */
void bursar__fd_close(int32_t fd);
int32_t bursar__fd_copy(int32_t fd); /* the same file, closed by exec; -1 = no more descriptors */

/* Grows by one in the child of every fork. */
extern volatile uint32_t bursar__fork_count;
void bursar__fork_watch(void);
static inline uint32_t bursar__forks(void) { return bursar__fork_count; }

/* Where this thread looks first for a free journal record. */
extern _Thread_local uint32_t bursar__record_hint __attribute__((tls_model("initial-exec")));
static inline uint32_t bursar__hint_get(void) { return bursar__record_hint; }
/* Where the calling thread of a process in `slot` starts its own stretch of `end` records. */
uint32_t bursar__hint_start(uint32_t end, uint32_t slot);
static inline void bursar__hint_set(uint32_t hint) { bursar__record_hint = hint; }

/* 1 = the bytes are well-formed UTF-8 (Unicode 15, table 3-7). */
int32_t bursar__is_utf8(const uint8_t *bytes, size_t count);

/* Fetches a line for writing ahead of its use. */
static inline void bursar__prefetch_write(const void *address) { __builtin_prefetch(address, 1, 3); }
static inline void bursar__cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
