#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Leak checkers look into no mapping but those they are told of: the small ones hold pointers. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/lsan_interface.h>
#define HOLDS_POINTERS(bytes) ((bytes) < (16u << 20))
#endif
#endif

const volatile uint16_t bursar__text_pairs[256];

void *bursar__map(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
#ifdef HOLDS_POINTERS
    if (p != MAP_FAILED && HOLDS_POINTERS(bytes)) __lsan_register_root_region(p, bytes);
#endif
    return p == MAP_FAILED ? NULL : p;
}
void *bursar__map_file(int32_t fd, size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
#ifdef HOLDS_POINTERS
    if (p != MAP_FAILED && HOLDS_POINTERS(bytes)) __lsan_register_root_region(p, bytes);
#endif
    return p == MAP_FAILED ? NULL : p;
}
void bursar__map_clear(void *address, size_t bytes) {
    mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
void bursar__unmap(void *address, size_t bytes) {
#ifdef HOLDS_POINTERS
    if (HOLDS_POINTERS(bytes)) __lsan_unregister_root_region(address, bytes);
#endif
    munmap(address, bytes);
}

void *bursar__lock_new(void) {
    pthread_mutex_t *m = malloc(sizeof *m);
    if (m) pthread_mutex_init(m, NULL);
    return m;
}
void bursar__lock_free(void *lock) {
    if (!lock) return;
    pthread_mutex_destroy(lock);
    free(lock);
}
void bursar__lock(void *lock) { pthread_mutex_lock(lock); }
int32_t bursar__lock_try(void *lock) { return pthread_mutex_trylock(lock) == 0; }
void bursar__unlock(void *lock) { pthread_mutex_unlock(lock); }

struct start {
    void (*body)(void *);
    void *argument;
};
static void *run(void *raw) {
    struct start s = *(struct start *)raw;
    free(raw);
    s.body(s.argument);
    return NULL;
}
int32_t bursar__thread_start(void (*body)(void *), void *argument, uint64_t *out_thread) {
    struct start *s = malloc(sizeof *s);
    if (!s) return -ENOMEM;
    s->body = body;
    s->argument = argument;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t t;
    int rc = pthread_create(&t, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        free(s);
        return -rc;
    }
    pthread_setname_np(t, "bursar");
    *out_thread = (uint64_t)t;
    return 0;
}
void bursar__thread_join(uint64_t thread) { pthread_join((pthread_t)thread, NULL); }
uint64_t bursar__thread_self(void) { return (uint64_t)pthread_self(); }
void bursar__sleep(int64_t nanos) {
    struct timespec t = {nanos / 1000000000, nanos % 1000000000};
    nanosleep(&t, NULL);
}
/* sched_yield() gives a whole slice of this thread's time away, to each thread that wants to
 * run: milliseconds a turn on a busy machine, held against it later; and on Linux 6.18 many of
 * them keep other threads from running (zero_vruntime drifts; mended in 7.0). */
void bursar__thread_yield(void) { bursar__sleep(20000); }

int32_t bursar__eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }
void bursar__eventfd_signal(int32_t fd) {
    uint64_t one = 1;
    ssize_t n;
    do n = write(fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}
void bursar__eventfd_clear(int32_t fd) {
    uint64_t count;
    ssize_t n;
    do n = read(fd, &count, sizeof count);
    while (n < 0 && errno == EINTR);
}
void bursar__eventfd_wait(int32_t fd, int32_t milliseconds) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    poll(&p, 1, milliseconds);
}
void bursar__fd_close(int32_t fd) { close(fd); }
int32_t bursar__fd_copy(int32_t fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }

volatile uint32_t bursar__fork_count;
static void forked(void) {
    bursar__fork_count = bursar__fork_count + 1;
    bursar__fork_child();
}
static void watch(void) { pthread_atfork(bursar__fork_prepare, bursar__fork_parent, forked); }
void bursar__fork_watch(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch);
}

_Thread_local uint32_t bursar__record_hint __attribute__((tls_model("initial-exec"))) = UINT32_MAX;

uint32_t bursar__hint_start(uint32_t end, uint32_t slot) {
    static uint32_t threads;
    uint32_t stretches = end / 4096;
    uint32_t mine = __atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED) + slot - 1;
    /* Processes whose threads share a stretch start at different records of it. */
    uint32_t start = (stretches ? mine % stretches * 4096 : 0) + (slot - 1) % 16 * 256;
    bursar__record_hint = start < end ? start : 0;
    return bursar__record_hint;
}

int32_t bursar__is_utf8(const uint8_t *b, size_t count) {
    size_t i = 0;
    while (i < count) {
        uint8_t first = b[i];
        size_t more = first < 0x80 ? 0 : first >= 0xC2 && first < 0xE0 ? 1 : first >= 0xE0 && first < 0xF0 ? 2
                    : first >= 0xF0 && first < 0xF5 ? 3 : 9;
        if (more == 9 || i + more >= count + (more == 0)) return 0;
        for (size_t k = 1; k <= more; k++)
            if ((b[i + k] & 0xC0) != 0x80) return 0;
        if ((first == 0xE0 && b[i + 1] < 0xA0) || (first == 0xED && b[i + 1] > 0x9F) ||
            (first == 0xF0 && b[i + 1] < 0x90) || (first == 0xF4 && b[i + 1] > 0x8F)) return 0;
        i += more + 1;
    }
    return 1;
}
