/* SPDX-License-Identifier: Apache-2.0
 *
 * A test framework in one header.
 *
 *     test("a released step costs nothing") {
 *         need(bursar_open(NULL, &rt, NULL), BURSAR_OK);
 *         equal(view.spent_nanos, 0);
 *         check(view.steps == 1);
 *     }
 *
 * check and equal record a failure and go on, from any thread; need leaves the
 * test. Each file of tests is one program; an argument runs the tests whose
 * sentence has it.
 */
#ifndef BURSAR_TEST_H
#define BURSAR_TEST_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct test_case {
    const char *sentence;
    void (*body)(void);
    struct test_case *next;
};
static struct test_case *test_first, **test_last = &test_first;
static int test_failures;

static inline void test_add(struct test_case *one) {
    *test_last = one;
    test_last = &one->next;
}

#define TEST_JOIN(a, b) a##b
#define TEST_NAME(a, b) TEST_JOIN(a, b)
#define test(text)                                                                         \
    static void TEST_NAME(test_body_, __LINE__)(void);                                     \
    static struct test_case TEST_NAME(test_case_, __LINE__) = {                            \
        text, TEST_NAME(test_body_, __LINE__), NULL};                                      \
    __attribute__((constructor)) static void TEST_NAME(test_add_, __LINE__)(void) {        \
        test_add(&TEST_NAME(test_case_, __LINE__));                                        \
    }                                                                                      \
    static void TEST_NAME(test_body_, __LINE__)(void)

static inline int test_check(int holds, const char *text, const char *file, int line) {
    if (holds) return 1;
    __atomic_add_fetch(&test_failures, 1, __ATOMIC_RELAXED);
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
    return 0;
}

static inline int test_equal(int64_t got, int64_t want, const char *text, const char *file, int line) {
    if (got == want) return 1;
    __atomic_add_fetch(&test_failures, 1, __ATOMIC_RELAXED);
    fprintf(stderr, "%s:%d: %s is %" PRId64 ", want %" PRId64 "\n", file, line, text, got, want);
    return 0;
}

static inline int test_has(const char *text, size_t len, const char *words, const char *file, int line) {
    size_t n = strlen(words);
    for (size_t i = 0; i + n <= len; i++) {
        if (memcmp(text + i, words, n) == 0) return 1;
    }
    __atomic_add_fetch(&test_failures, 1, __ATOMIC_RELAXED);
    fprintf(stderr, "%s:%d: \"%.*s\" has no \"%s\"\n", file, line, (int)len, text, words);
    return 0;
}

#define check(condition) test_check((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define equal(got, want) test_equal((int64_t)(got), (int64_t)(want), #got, __FILE__, __LINE__)
#define has(text, len, words) test_has(text, len, words, __FILE__, __LINE__)
#define need(got, want)                 \
    do {                                \
        if (!equal(got, want)) return;  \
    } while (0)

int main(int count, char **arguments) {
    int run = 0, failed = 0;
    for (struct test_case *one = test_first; one; one = one->next) {
        if (count > 1 && !strstr(one->sentence, arguments[1])) continue;
        int before = __atomic_load_n(&test_failures, __ATOMIC_RELAXED);
        one->body();
        run++;
        if (__atomic_load_n(&test_failures, __ATOMIC_RELAXED) != before) {
            failed++;
            fprintf(stderr, "FAILED: %s\n", one->sentence);
        }
    }
    if (failed) {
        printf("%d of %d tests failed\n", failed, run);
        return 1;
    }
    printf("%d tests passed\n", run);
    return 0;
}

#endif
