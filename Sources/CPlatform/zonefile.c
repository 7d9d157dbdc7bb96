/* Time zone files: reading one by its name, and listing the names there are. */
#define _GNU_SOURCE
#include "zonefile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const directories[] = {
    "/usr/share/zoneinfo",
    "/usr/lib/zoneinfo",
    "/usr/share/lib/zoneinfo",
    "/etc/zoneinfo",
};
#define DIRECTORIES (sizeof directories / sizeof *directories)

_Static_assert(BURSAR__ZONE_NONE == -ENOENT, "BURSAR__ZONE_NONE");

/* Not a terminal, a pipe or a device: O_NONBLOCK keeps even opening one from waiting. */
static int open_regular(const char *path, int64_t *out_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return errno == ENOTDIR ? -ENOENT : -errno;
    struct stat status;
    int rc = fstat(fd, &status) ? -errno : S_ISREG(status.st_mode) ? 0 : -ENOENT;
    if (rc) {
        close(fd);
        return rc;
    }
    *out_size = status.st_size;
    return fd;
}

static int64_t read_all(int fd, uint8_t *buffer, size_t capacity) {
    size_t size = 0;
    while (size < capacity) {
        ssize_t n = read(fd, buffer + size, capacity - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        size += (size_t)n;
    }
    return (int64_t)size;
}

int64_t bursar__zone_read(const uint8_t *name, size_t name_len, uint8_t *buffer, size_t capacity) {
    if (name_len == 0 || name_len > BURSAR__ZONE_NAME_MAX) return -ENOENT;
    for (size_t i = 0; i < DIRECTORIES; i++) {
        char path[64 + BURSAR__ZONE_NAME_MAX];
        size_t prefix = strlen(directories[i]);
        memcpy(path, directories[i], prefix);
        path[prefix] = '/';
        memcpy(path + prefix + 1, name, name_len);
        path[prefix + 1 + name_len] = 0;
        int64_t size = 0;
        int fd = open_regular(path, &size);
        if (fd == -ENOENT) continue;
        if (fd < 0) return fd;
        int64_t rc = size > (int64_t)capacity ? -EFBIG : read_all(fd, buffer, capacity);
        close(fd);
        return rc;
    }
    return -ENOENT;
}

struct list {
    uint8_t *buffer;
    size_t capacity, used;
};

/* Zone names and their areas begin with a capital and have no dot: what else
   lies there (tables, posix/, right/, localtime) is none. */
static int names_zone(const char *name) {
    return name[0] >= 'A' && name[0] <= 'Z' && !strchr(name, '.');
}

static void list(struct list *into, int directory, const char *prefix, int depth) {
    DIR *stream = fdopendir(directory);
    if (!stream) {
        close(directory);
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (!names_zone(entry->d_name)) continue;
        size_t before = strlen(prefix), own = strlen(entry->d_name);
        if (before + own + 2 > BURSAR__ZONE_NAME_MAX) continue;
        char name[BURSAR__ZONE_NAME_MAX + 2];
        memcpy(name, prefix, before);
        memcpy(name + before, entry->d_name, own + 1);
        int inner = -1;
        if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN)
            inner = openat(dirfd(stream), entry->d_name,
                           O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (inner >= 0 && depth == 0) {
            close(inner);
        } else if (inner >= 0) {
            memcpy(name + before + own, "/", 2);
            list(into, inner, name, depth - 1);
        } else if (entry->d_type != DT_DIR && into->capacity - into->used > before + own) {
            memcpy(into->buffer + into->used, name, before + own);
            into->used += before + own;
            into->buffer[into->used++] = '\n';
        }
    }
    closedir(stream);
}

size_t bursar__zone_names(uint8_t *buffer, size_t capacity) {
    struct list into = {buffer, capacity, 0};
    for (size_t i = 0; i < DIRECTORIES; i++) {
        int directory = open(directories[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory >= 0) list(&into, directory, "", 3);
    }
    return into.used;
}
