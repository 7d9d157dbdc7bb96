#define _GNU_SOURCE
#include "CPlatform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define TEXT(path) ((const char *)(path))
static int32_t answer(int rc) { return rc < 0 ? -errno : rc; }

int32_t bursar__open(const uint8_t *path, int32_t what) {
    static const int flags[] = {O_RDONLY | O_DIRECTORY, O_RDONLY | O_NONBLOCK, O_RDWR | O_NONBLOCK,
                                O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_NONBLOCK};
    return answer(open(TEXT(path), flags[what] | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600));
}
int32_t bursar__make_directory(const uint8_t *path, uint32_t mode) { return answer(mkdir(TEXT(path), mode)); }
int32_t bursar__make_fifo(const uint8_t *path) { return answer(mkfifo(TEXT(path), 0600)); }
int32_t bursar__rename(const uint8_t *from, const uint8_t *to) { return answer(rename(TEXT(from), TEXT(to))); }
int32_t bursar__link(const uint8_t *from, const uint8_t *to) { return answer(link(TEXT(from), TEXT(to))); }
int32_t bursar__unlink(const uint8_t *path) { return answer(unlink(TEXT(path))); }

static int32_t describe(int rc, const struct stat *s, struct bursar__file *out) {
    if (rc < 0) return -errno;
    *out = (struct bursar__file){s->st_dev, s->st_ino, s->st_size, s->st_mode & S_IFMT,
                                 s->st_mode & 07777, s->st_uid, s->st_gid, (uint32_t)s->st_nlink};
    return 0;
}
int32_t bursar__stat(const uint8_t *path, struct bursar__file *out) {
    struct stat s;
    return describe(lstat(TEXT(path), &s), &s, out);
}
int32_t bursar__fstat(int32_t fd, struct bursar__file *out) {
    struct stat s;
    return describe(fstat(fd, &s), &s, out);
}
int32_t bursar__give(int32_t fd, uint32_t owner, uint32_t group, uint32_t mode) {
    struct stat s;
    if (fstat(fd, &s) < 0) return -errno;
    if ((s.st_uid != owner || s.st_gid != group) && fchown(fd, geteuid() == 0 ? owner : (uid_t)-1, group) < 0)
        return -errno;
    return answer(fchmod(fd, mode));
}
int64_t bursar__real_path(const uint8_t *path, uint8_t *out, size_t capacity) {
    char *real = realpath(TEXT(path), NULL);
    if (!real) return -errno;
    size_t n = strlen(real);
    if (n <= capacity) memcpy(out, real, n);
    free(real);
    return n <= capacity ? (int64_t)n : -ENAMETOOLONG;
}

/* Numbers of linux/magic.h and of the projects themselves. */
const char *bursar__unsuitable(uint64_t type) {
    switch ((uint32_t)type) {
    case 0x6969: return "NFS";
    case 0x517B: case 0xFF534D42: case 0xFE534D42: return "SMB";
    case 0x65735546: return "FUSE";
    case 0x01021997: return "9p";
    case 0x5346414F: case 0x6B414653: return "AFS";
    case 0x0BD00BD0: return "Lustre";
    case 0x00C36400: return "Ceph";
    case 0x01161970: return "GFS2";
    case 0x7461636F: return "OCFS2";
    case 0x73757245: return "Coda";
    case 0x47504653: return "GPFS";
    case 0x19830326: return "BeeGFS";
    case 0x786F4256: return "vboxsf";
    default: return NULL;
    }
}
uint64_t bursar__file_system(int32_t fd) {
    struct statfs s;
    return fstatfs(fd, &s) < 0 ? 0 : (uint64_t)s.f_type;
}
bool bursar__is_memory(uint64_t type) {
    return (uint32_t)type == 0x01021994 || (uint32_t)type == 0x858458F6 || (uint32_t)type == 0x958458F6;
}
int64_t bursar__foreign_name(const uint8_t *directory, uint8_t *out, size_t capacity) {
    static const char *const ours[] = {".", "..", "lock", "bells", "home.new"};
    DIR *stream = opendir(TEXT(directory));
    if (!stream) return -errno;
    int64_t n = 0;
    for (struct dirent *entry; n == 0 && (entry = readdir(stream));) {
        bool known = strncmp(entry->d_name, "ledger.", 7) == 0;
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) known |= strcmp(entry->d_name, ours[i]) == 0;
        if (known) continue;
        n = (int64_t)strnlen(entry->d_name, capacity);
        memcpy(out, entry->d_name, (size_t)n);
    }
    closedir(stream);
    return n;
}

int32_t bursar__record_parse(const char *text, struct bursar__record *out) {
    static const char lines[] = {0, 1, 2, 2, 3, 4, 5, 6, 7, 8}; /* by fields read */
    int end = 0;
    int fields = sscanf(text,
                        "bursar-home %" SCNd32 "\nid %32[0-9a-f]\nlock %" SCNu64 " %" SCNu64 "\nboot %36[0-9a-f-]\n"
                        "segment %1199[^\n]\nshm %" SCNu64 "\nsegment_id %" SCNd64 "\nlayout %" SCNx64 "%n",
                        &out->format, out->id, &out->lock_device, &out->lock_inode, out->boot, out->segment,
                        &out->shm_device, &out->segment_id, &out->layout, &end);
    if (fields == 9 && end && strlen(out->id) == 32 && out->segment[0] == '/') return 0;
    return lines[fields < 0 ? 0 : fields] + 1;
}
int32_t bursar__record_print(const struct bursar__record *r, char *out, size_t capacity) {
    return snprintf(out, capacity,
                    "bursar-home %" PRId32 "\nid %s\nlock %" PRIu64 " %" PRIu64 "\nboot %s\nsegment %s\n"
                    "shm %" PRIu64 "\nsegment_id %" PRId64 "\nlayout %016" PRIx64 "\n",
                    r->format, r->id, r->lock_device, r->lock_inode, r->boot, r->segment, r->shm_device,
                    r->segment_id, r->layout);
}

int64_t bursar__read(int32_t fd, void *out, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = read(fd, (char *)out + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        done += (size_t)n;
    }
    return (int64_t)done;
}
int32_t bursar__write_all(int32_t fd, const void *data, size_t bytes) {
    while (bytes) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? -errno : -EIO;
        data = (const char *)data + n;
        bytes -= (size_t)n;
    }
    return 0;
}
int32_t bursar__sync(int32_t fd) { return answer(fsync(fd)); }
int32_t bursar__allocate(int32_t fd, int64_t bytes) {
    int rc;
    do rc = posix_fallocate(fd, 0, bytes);
    while (rc == EINTR);
    return -rc;
}

uint32_t bursar__user(void) { return geteuid(); }
uint32_t bursar__process(void) { return (uint32_t)getpid(); }
int32_t bursar__random(void *out, size_t bytes) { return getrandom(out, bytes, 0) == (ssize_t)bytes ? 0 : -EIO; }
size_t bursar__errno_text(int32_t code, uint8_t *out, size_t capacity) {
    char buffer[128];
    const char *text = strerror_r(code, buffer, sizeof buffer);
    size_t n = strlen(text);
    if (n > capacity) n = capacity;
    memcpy(out, text, n);
    return n;
}

int32_t bursar__lock_byte(int32_t fd, uint64_t inode, int64_t byte, int32_t what) {
    static const short kinds[] = {F_UNLCK, F_RDLCK, F_WRLCK};
    struct stat s;
    /* A host that closes every descriptor it sees closes ours too, and the next file gets its number. */
    if (fstat(fd, &s) < 0 || s.st_ino != inode) return -EBADF;
    struct flock lock = {.l_type = kinds[what], .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int rc;
    do rc = fcntl(fd, F_OFD_SETLK, &lock);
    while (rc < 0 && what == BURSAR__UNLOCK && (errno == EINTR || errno == ENOLCK));
    /* A kernel that has no room for a lock now takes none away that is ours. */
    return rc == 0 ? 0 : errno == EBADF ? -EBADF : BURSAR__TAKEN;
}

/* What fork finds whole: the registry of homes and the price books, and the descriptors
   below, whose lock is taken last and under which no other is. */
static pthread_mutex_t still = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t keeping = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static struct { int fd; ino_t inode; } kept[1024];
static int kept_count;

void bursar__still_lock(void) { pthread_mutex_lock(&still); }
void bursar__still_unlock(void) { pthread_mutex_unlock(&still); }
void bursar__home_lock(void) { pthread_mutex_lock(&opening); }
void bursar__home_unlock(void) { pthread_mutex_unlock(&opening); }

/* Unless the host closed it, and the number is another file's now. */
static void let_go(int i) {
    struct stat s;
    if (fstat(kept[i].fd, &s) == 0 && s.st_ino == kept[i].inode) close(kept[i].fd);
}
static int keep(int fd) {
    struct stat s;
    if (kept_count == (int)(sizeof kept / sizeof *kept) || fstat(fd, &s) < 0) return -EMFILE;
    kept[kept_count].fd = fd;
    kept[kept_count++].inode = s.st_ino;
    return 0;
}
int32_t bursar__keep_from_child(int32_t fd) {
    pthread_mutex_lock(&keeping);
    int rc = keep(fd);
    pthread_mutex_unlock(&keeping);
    return rc;
}
/* Opened and noted in one: no fork comes between. */
int32_t bursar__open_lock(const uint8_t *path) {
    pthread_mutex_lock(&keeping);
    int fd = open(TEXT(path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    int rc = fd < 0 ? -errno : keep(fd);
    if (fd >= 0 && rc < 0) close(fd);
    pthread_mutex_unlock(&keeping);
    return rc < 0 ? rc : fd;
}
static bool forget(int fd, bool closes) {
    pthread_mutex_lock(&keeping);
    int i = 0;
    while (i < kept_count && kept[i].fd != fd) i++;
    bool found = i < kept_count;
    if (found) {
        if (closes) let_go(i);
        kept[i] = kept[--kept_count];
    }
    pthread_mutex_unlock(&keeping);
    return found;
}
void bursar__close_kept(int32_t fd) {
    if (!forget(fd, true)) close(fd); /* there was no room to note it */
}
void bursar__forget_kept(int32_t fd) { forget(fd, false); }
static void (*fork_before)(void), (*fork_after)(void);
static bool fork_held; /* since fork_before(); guarded by keeping */
static int database_count, database_inherited;

void bursar__fork_hooks(void (*before)(void), void (*after)(void)) {
    /* The same every time, by any thread. */
    __atomic_store_n(&fork_after, after, __ATOMIC_RELAXED);
    __atomic_store_n(&fork_before, before, __ATOMIC_RELEASE); /* with the loads below */
}
void bursar__database_count(int32_t change) { __atomic_fetch_add(&database_count, change, __ATOMIC_SEQ_CST); }
int32_t bursar__database_inherited(void) { return database_inherited; }

void bursar__fork_prepare(void) {
    void (*before)(void) = __atomic_load_n(&fork_before, __ATOMIC_ACQUIRE);
    if (before) before();
    bursar__still_lock();
    pthread_mutex_lock(&keeping);
    fork_held = before != NULL;
}
static void fork_ended(bool held) {
    if (held) __atomic_load_n(&fork_after, __ATOMIC_RELAXED)();
}
void bursar__fork_parent(void) {
    bool held = fork_held;
    pthread_mutex_unlock(&keeping);
    bursar__still_unlock();
    fork_ended(held);
}
/* Async-signal-safe but for the mutexes, which nobody else can be at. */
void bursar__fork_child(void) {
    for (int i = 0; i < kept_count; i++) let_go(i);
    kept_count = 0;
    pthread_mutex_init(&still, NULL);
    pthread_mutex_init(&keeping, NULL);
    pthread_mutex_init(&opening, NULL);
    if (database_count) database_inherited = 1;
    fork_ended(fork_held);
}

void bursar__bell_ring(int32_t fd) {
    uint8_t one = 1;
    ssize_t n;
    do n = write(fd, &one, 1);
    while (n < 0 && errno == EINTR);
}
void bursar__bell_drain(int32_t fd) {
    uint8_t rings[256];
    ssize_t n;
    do n = read(fd, rings, sizeof rings);
    while (n == (ssize_t)sizeof rings || (n < 0 && errno == EINTR));
}
