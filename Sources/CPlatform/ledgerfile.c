#define _GNU_SOURCE
#include "ledgerfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int32_t bursar__ledger_open(const char *path) {
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
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
