#define _GNU_SOURCE
#include "ledgerfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int32_t bursar__ledger_open(const char *path, int32_t make) {
    int fd = open(path, O_RDWR | O_APPEND | (make ? O_CREAT : 0) | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

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

int32_t bursar__ledger_reserve(int32_t fd, int64_t offset, int64_t bytes) {
    int rc;
    do rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, bytes);
    while (rc < 0 && errno == EINTR);
    return rc == 0 || errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}
void bursar__ledger_close(int32_t fd) { close(fd); }

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
