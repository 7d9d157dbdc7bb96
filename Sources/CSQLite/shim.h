/* SQLite, and what of it Swift cannot call: macros that are pointers, and callbacks. */
#include <sqlite3.h>
#include <string.h>
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
