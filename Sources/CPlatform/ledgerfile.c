#define _GNU_SOURCE
#include "CPlatform.h"

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

static int32_t open_ledger(const char *path) {
    static const int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    int fd = open(path, flags);
    if (fd >= 0 || errno != ENOENT) return fd < 0 ? -errno : fd;
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
int32_t bursar__ledger_open(const char *path) {
    int32_t fd = open_ledger(path);
    if (fd >= 0) bursar__keep_from_child(fd);
    return fd;
}
void bursar__ledger_close(int32_t fd) { bursar__close_kept(fd); }

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
