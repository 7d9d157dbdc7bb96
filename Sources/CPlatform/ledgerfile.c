#define _GNU_SOURCE
#include "CPlatform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new file belongs to whom its directory does; a group's (2770) to all of the group. */
static int32_t give(int fd, const char *path) {
    char folder[PATH_MAX];
    size_t n = (size_t)(strrchr(path, '/') - path);
    if (n >= sizeof folder) return -ENAMETOOLONG;
    memcpy(folder, path, n);
    folder[n] = 0;
    struct stat s;
    if (stat(folder, &s) < 0) return -errno;
    return bursar__give(fd, s.st_uid, s.st_gid, (s.st_mode & 02020) == 02020 ? 0660 : 0600);
}

static int32_t open_ledger(const char *path, int32_t make) {
    static const int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    int fd = open(path, flags);
    if (fd >= 0 || errno != ENOENT || !make) return fd < 0 ? -errno : fd;
    /* Whole before anybody can see it: a death in between must not leave a file that others may not open. */
    char new[PATH_MAX];
    if ((size_t)snprintf(new, sizeof new, "%s.%d", path, (int)getpid()) >= sizeof new) return -ENAMETOOLONG;
    unlink(new);
    fd = open(new, flags | O_CREAT | O_EXCL, 0600);
    int32_t code = fd < 0 ? -errno : give(fd, path);
    if (code == 0 && link(new, path) < 0 && errno != EEXIST) code = -errno;
    if (fd >= 0) close(fd);
    unlink(new);
    if (code < 0) return code;
    fd = open(path, flags);
    return fd < 0 ? -errno : fd;
}
int32_t bursar__ledger_open(const char *path, int32_t make) {
    int32_t fd = open_ledger(path, make);
    if (fd >= 0) bursar__keep_from_child(fd);
    return fd;
}
void bursar__ledger_close(int32_t fd) { bursar__close_kept(fd); }

int32_t bursar__ledger_range(const char *prefix, int64_t *out_first, int64_t *out_last) {
    char folder[4096];
    const char *slash = strrchr(prefix, '/');
    const char *name = slash ? slash + 1 : prefix;
    int count = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - prefix + 1) : 2, slash ? prefix : "./");
    if (count >= (int)sizeof folder) return -ENAMETOOLONG;
    DIR *all = opendir(folder);
    if (!all) return -errno;
    *out_first = *out_last = 0;
    size_t length = strlen(name);
    for (struct dirent *entry; (entry = readdir(all));) {
        long long n = 0;
        int end = 0;
        if (strncmp(entry->d_name, name, length)) continue;
        if (sscanf(entry->d_name + length, ".%18lld.log%n", &n, &end) != 1 || end == 0) continue;
        if (entry->d_name[length + (size_t)end] || n <= 0) continue;
        if (n < *out_first || *out_first == 0) *out_first = n;
        if (n > *out_last) *out_last = n;
    }
    closedir(all);
    return 0;
}

int64_t bursar__ledger_segment(const char *folder, int64_t after) {
    DIR *all = opendir(folder);
    if (!all) return -errno;
    int64_t least = 0;
    for (struct dirent *entry; (entry = readdir(all));) {
        long long id = 0, n = 0;
        int end = 0;
        if (sscanf(entry->d_name, "ledger.%19lld.%18lld.log%n", &id, &n, &end) != 2 || end == 0) continue;
        if (!entry->d_name[end] && n > 0 && id > after && (least == 0 || id < least)) least = id;
    }
    closedir(all);
    return least;
}

int32_t bursar__ledger_reserve(int32_t fd, int64_t offset, int64_t bytes) {
    int rc;
    do rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, bytes);
    while (rc < 0 && errno == EINTR);
    return rc == 0 || errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

int64_t bursar__ledger_size(int32_t fd) {
    struct stat s;
    return fstat(fd, &s) ? -errno : s.st_size;
}

int64_t bursar__ledger_read(int32_t fd, void *bytes, size_t count, int64_t offset) {
    size_t got = 0;
    while (got < count) {
        ssize_t n = pread(fd, (char *)bytes + got, count - got, offset + (int64_t)got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        got += (size_t)n;
    }
    return (int64_t)got;
}

int32_t bursar__ledger_append(int32_t fd, const void *bytes, size_t count) {
    ssize_t n;
    do n = write(fd, bytes, count);
    while (n < 0 && errno == EINTR);
    if (n < 0) return -errno;
    return (size_t)n == count ? 0 : -ENOSPC;
}

int32_t bursar__ledger_cut(int32_t fd, int64_t size) {
    int rc;
    do rc = ftruncate(fd, size);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}
