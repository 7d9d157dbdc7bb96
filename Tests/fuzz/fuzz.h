// What the fuzzers share: a program is a string of bytes, and each value that a
// call gets is taken from it, mostly a hostile one.

#ifndef FUZZ_H
#define FUZZ_H

#include <bursar.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

typedef struct input {
    const uint8_t *at;
    size_t left;
} input_t;

static inline uint8_t take8(input_t *in) {
    if (in->left == 0) return 0;
    in->left--;
    return *in->at++;
}

static inline uint64_t take(input_t *in, int bytes) {
    uint64_t n = 0;
    for (int i = 0; i < bytes; i++) n |= (uint64_t)take8(in) << (8 * i);
    return n;
}

/* A number: the ends, zero, small ones, round ones, anything. */
static inline int64_t take_amount(input_t *in) {
    uint8_t how = take8(in);
    switch (how & 15) {
    case 0: return 0;
    case 1: return -1;
    case 2: return INT64_MAX;
    case 3: return INT64_MIN;
    case 4: return INT64_MAX - (how >> 4);
    case 5: return (int64_t)1 << (how >> 2);
    case 6: return -((int64_t)1 << (how >> 2));
    case 7: return (int64_t)take(in, 8);
    case 8: return (int64_t)take(in, 4);
    case 9: return (int64_t)take8(in) * 1000000000;
    case 10: return (int64_t)take(in, 2) * 1000000;
    default: return (int64_t)take(in, 1 + (how >> 6));
    }
}

static inline uint32_t take_number(input_t *in) {
    uint8_t how = take8(in);
    if (how < 160) return how & 15;
    if (how < 200) return (uint32_t)1 << (how & 31);
    if (how < 220) return UINT32_MAX - (how & 3);
    return (uint32_t)take(in, 4);
}

/* A piece of the input as text, in memory of just its size. Freed by free_texts(). */
#define TEXTS_MAX 4096
static void *texts[TEXTS_MAX];
static int texts_count;

static inline bursar_text_t keep_text(const void *data, size_t len) {
    if (texts_count == TEXTS_MAX) return (bursar_text_t){NULL, 0};
    char *copy = malloc(len ? len : 1);
    if (!copy) abort();
    if (len) memcpy(copy, data, len);
    texts[texts_count++] = copy;
    return (bursar_text_t){copy, len};
}

static inline void free_texts(void) {
    while (texts_count) free(texts[--texts_count]);
}

static inline bursar_text_t take_raw(input_t *in, size_t most) {
    size_t len = take8(in);
    if (len > most) len = most;
    if (len > in->left) len = in->left;
    bursar_text_t text = keep_text(in->at, len);
    in->at += len;
    in->left -= len;
    return text;
}

static inline bursar_text_t take_text(input_t *in, const char *const *words, int count) {
    uint8_t how = take8(in);
    if (how == 0) return (bursar_text_t){NULL, 0};
    if (how == 1) return (bursar_text_t){NULL, take_number(in)};
    if (how == 2) return (bursar_text_t){"x", 0};
    if (how < 32) return take_raw(in, 255);
    const char *word = words[how % count];
    return keep_text(word, strlen(word));
}

/* Memory of exactly the size that a struct claims, so that reading on is noticed.
   Fields come from `from`; the size field and the tail from the input. */
static inline void *take_struct(input_t *in, const void *from, size_t known) {
    uint8_t how = take8(in);
    uint32_t size = (uint32_t)known;
    if (how >= 232) {
        size = how < 240 ? (uint32_t)(how - 232) : how < 248 ? (uint32_t)take8(in) : (uint32_t)known + take8(in);
    } else if (how == 231) {
        size = UINT32_MAX; /* too large to be looked at */
    }
    size_t bytes = size == UINT32_MAX ? known : size < 8 ? 8 : size;
    uint8_t *p = malloc(bytes);
    if (!p) abort();
    memset(p, how == 255 ? 1 : 0, bytes);
    memcpy(p, from, bytes < known ? bytes : known);
    memcpy(p, &size, sizeof size);
    return p;
}

#define WORDS(list) list, (int)(sizeof list / sizeof *list)

static const char *const limit_words[] __attribute__((unused)) = {
    "$1",        "$0.000000001",  "$500/month@Europe/Berlin from 15 alert 50% 80%",
    "$20/24h",   "2M tokens/day", "200 steps, 10m wall",
    "3 steps",   "60 steps/min burst 10", "4 in_flight",
    "2m idle",   "30m unattended", "10 calls(web_search)/session",
    "5 credits", "$2 downgrade 80% then pause", "100k tokens then observe",
    "$9223372036", "1 step/s",    "$1/day, $2/month, 5k output_tokens/hour, 3 in_flight",
    "1ms wall",  "7 input_tokens, 9 fresh_tokens/5m", "$0", "$3/week alert 1% 99%",
};
static const char *const path_words[] __attribute__((unused)) = {
    "acme", "acme/support", "acme/support/triage", "a/b/c/d/e/f/g/h", "a/b/c/d/e/f/g/h/i", "", "/", "a//b", "x\n",
};
static const char *const name_words[] __attribute__((unused)) = {
    "gpt-5",  "gpt-5-mini", "claude-haiku-4-5", "no-such-model", "web_search", "credits", "gpt-5,gpt-5-mini",
    "gpt-5, no-such-model", "openai/gpt-5", "a,b,c,d,e,f,g,h,i", "team", "\xff\xfe",
};

/* A file or a folder with all in it. */
static inline void remove_all(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) {
        unlink(path);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        char below[512];
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        remove_all(below);
    }
    closedir(dir);
    rmdir(path);
}

#endif
