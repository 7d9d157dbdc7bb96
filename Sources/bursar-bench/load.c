/* How long a program waits before it has a runtime: dlopen() and bursar_open(), in
 * a process that had neither the library nor libuv. One figure per process; the
 * Makefile runs it often and prints the least.
 *
 *     bursar-load path/to/libbursar.so
 */
#define _GNU_SOURCE
#include "bursar.h"

#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    double start = now_us();
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) {
        fprintf(stderr, "bursar-load: %s\n", dlerror());
        return 1;
    }
    bursar_status_t (*open)(const bursar_open_options_t *, bursar_runtime_t **, bursar_error_t *);
    *(void **)&open = dlsym(library, "bursar_open");
    double loaded = now_us();
    bursar_runtime_t *rt = NULL;
    if (!open || open(NULL, &rt, NULL) != BURSAR_OK) return 1;
    printf("%.0f %.0f\n", loaded - start, now_us() - loaded);
    return 0;
}
