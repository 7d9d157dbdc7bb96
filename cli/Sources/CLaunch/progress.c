// launch.h: a line on the terminal that says that long work goes on, written by a thread of its own.

#include "launch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static pthread_t thread;
static int is_on;     // the caller's thread only
static int is_ended;  // guarded by lock
static char what[200];
static _Atomic long long done, total;

static size_t grouped(char *out, long long number) {
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%lld", number < 0 ? 0 : number);
    size_t at = 0;
    for (int k = 0; k < count; k++) {
        if (k > 0 && (count - k) % 3 == 0) out[at++] = ',';
        out[at++] = digits[k];
    }
    out[at] = 0;
    return at;
}

static void put(long seconds) {
    char line[320], a[40], b[40];
    int at = snprintf(line, sizeof line, "%s", what);
    long long part = atomic_load_explicit(&done, memory_order_relaxed);
    long long whole = atomic_load_explicit(&total, memory_order_relaxed);
    grouped(a, part);
    grouped(b, whole);
    if (whole > 0) at += snprintf(line + at, sizeof line - (size_t)at, ", %s of %s", a, b);
    else if (part > 0) at += snprintf(line + at, sizeof line - (size_t)at, ", %s", a);
    at += seconds < 60 ? snprintf(line + at, sizeof line - (size_t)at, ", %lds", seconds)
                       : snprintf(line + at, sizeof line - (size_t)at, ", %ldm %lds", seconds / 60, seconds % 60);
    // Cut, so that it stays one line; between characters.
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 && at >= size.ws_col) {
        at = size.ws_col - 1;
        while (at > 0 && ((unsigned char)line[at] & 0xC0) == 0x80) at--;
    }
    char out[340];
    int count = snprintf(out, sizeof out, "\r%.*s\033[K", at, line);
    if (write(STDERR_FILENO, out, (size_t)count) < 0) return;
}

static void *show(void *unused) {
    (void)unused;
    struct timespec begin, next;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int is_shown = 0;
    pthread_mutex_lock(&lock);
    // From one second on, five times a second.
    for (next = begin, next.tv_sec++; !is_ended;) {
        if (pthread_cond_timedwait(&wake, &lock, &next) == 0) continue;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        put(now.tv_sec - begin.tv_sec - (now.tv_nsec < begin.tv_nsec));
        is_shown = 1;
        next.tv_nsec += 200000000;
        if (next.tv_nsec >= 1000000000) next.tv_nsec -= 1000000000, next.tv_sec++;
    }
    pthread_mutex_unlock(&lock);
    if (is_shown && write(STDERR_FILENO, "\r\033[K", 4) < 0) return NULL;
    return NULL;
}

void progress_begin(const char *text) {
    if (is_on) progress_end();
    snprintf(what, sizeof what, "%s", text);
    progress_count(0, 0);
    is_ended = 0;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &attributes);
    pthread_condattr_destroy(&attributes);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    is_on = pthread_create(&thread, NULL, show, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void progress_count(long long part, long long whole) {
    atomic_store_explicit(&done, part, memory_order_relaxed);
    atomic_store_explicit(&total, whole, memory_order_relaxed);
}

void progress_end(void) {
    if (!is_on) return;
    is_on = 0;
    pthread_mutex_lock(&lock);
    is_ended = 1;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&wake);
}
