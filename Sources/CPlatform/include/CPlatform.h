#ifndef BURSAR_CPLATFORM_H
#define BURSAR_CPLATFORM_H
#include <stdint.h>
#include <stddef.h>
#include <time.h>
static inline int64_t bursar__clock_ns(int32_t which) { struct timespec t; clock_gettime(which, &t); return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }
void *bursar__map(size_t bytes);
#endif
