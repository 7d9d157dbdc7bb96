/* SQLite, and what of it Swift cannot call: macros that are pointers, and callbacks. */
#include <errno.h>
#include <sqlite3.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

static const int bursar__sqlite_taken = SQLITE_CONSTRAINT_PRIMARYKEY;

static inline int bursar__sqlite_bind_text(sqlite3_stmt *s, int i, const void *p, int n) {
    return sqlite3_bind_text(s, i, n ? p : "", n, SQLITE_TRANSIENT);
}
static inline int bursar__sqlite_bind_blob(sqlite3_stmt *s, int i, const void *p, int n) {
    return sqlite3_bind_blob(s, i, n ? p : "", n, SQLITE_TRANSIENT);
}

/* Closing it leaves the write-ahead log for others. */
static inline void bursar__sqlite_leave_log(sqlite3 *db) {
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}

static inline int bursar__sqlite_chmod(const char *path, int mode) { return chmod(path, (mode_t)mode); }

/* SQLite maps `-shm`, of which it makes sure by writing a byte to every 4 KiB. Where blocks are smaller,
 * or are copied when they are written, a full disk would be a SIGBUS when the rest is touched. So it is
 * touched here, by the kernel (Linux 5.14), which says that there is no room. */
static int (*bursar__sqlite_map)(sqlite3_file *, int, int, int, void volatile **);
static inline int bursar__sqlite_map_whole(sqlite3_file *file, int region, int bytes, int extend, void volatile **out) {
    int code = bursar__sqlite_map(file, region, bytes, extend, out);
    if (code || !*out || !madvise((void *)*out, (size_t)bytes, 23 /* MADV_POPULATE_WRITE */) || errno != EFAULT)
        return code;
    *out = 0;
    return SQLITE_FULL;
}
static inline void bursar__sqlite_populate(sqlite3 *db) {
    static sqlite3_io_methods ours;
    sqlite3_file *file = 0;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) || !file || !file->pMethods) return;
    if (file->pMethods->iVersion < 2 || (bursar__sqlite_map && bursar__sqlite_map != file->pMethods->xShmMap)) return;
    if (!__atomic_load_n(&ours.iVersion, __ATOMIC_ACQUIRE)) { /* threads that come at once write the same */
        bursar__sqlite_map = file->pMethods->xShmMap;
        memcpy(&ours.xClose, &file->pMethods->xClose, sizeof ours - offsetof(sqlite3_io_methods, xClose));
        ours.xShmMap = bursar__sqlite_map_whole;
        __atomic_store_n(&ours.iVersion, file->pMethods->iVersion, __ATOMIC_RELEASE);
    }
    file->pMethods = &ours;
}

/* Reading and computing, and nothing else: no writes, no other files, no settings. */
static inline int bursar__sqlite_authorize(void *unused, int action, const char *a, const char *b, const char *c,
                                           const char *d) {
    (void)unused, (void)a, (void)c, (void)d;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_FUNCTION: return b && !sqlite3_stricmp(b, "load_extension") ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_PRAGMA: return a && !b && !strcmp(a, "table_list") ? SQLITE_OK
                             : a && !strcmp(a, "table_info")       ? SQLITE_OK
                                                                   : SQLITE_DENY;
    default: return SQLITE_DENY;
    }
}

/* Ends a statement at *deadline, steady nanoseconds; 0 = never. */
static inline int bursar__sqlite_progress(void *deadline) {
    long long end = *(volatile long long *)deadline;
    struct timespec t;
    if (!end) return 0;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec >= end;
}

static inline void bursar__sqlite_guard(sqlite3 *db, long long *deadline) {
    sqlite3_set_authorizer(db, bursar__sqlite_authorize, 0);
    sqlite3_progress_handler(db, 10000, bursar__sqlite_progress, deadline);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 64 << 20);
}
