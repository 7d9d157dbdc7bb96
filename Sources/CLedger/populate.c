/* SQLite maps `-shm`, of which it makes sure by writing a byte to every 4 KiB. Where blocks are smaller, or
 * are copied when they are written, a full disk would be a SIGBUS when the rest is touched: the end of the
 * process. So the kernel touches it here (Linux 5.14), and says that there is no room. */
#include "CLedger.h"

#include <errno.h>
#include <sqlite3.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define POPULATE_WRITE 23 /* MADV_POPULATE_WRITE */

static sqlite3_io_methods methods;
static int (*map)(sqlite3_file *, int, int, int, void volatile **);

static int map_whole(sqlite3_file *file, int region, int bytes, int extend, void volatile **out) {
    int code = map(file, region, bytes, extend, out);
    if (code || !*out || !madvise((void *)*out, (size_t)bytes, POPULATE_WRITE) || errno != EFAULT) return code;
    *out = NULL;
    return SQLITE_FULL;
}

void bursar__sqlite_populate(void *db) {
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) || !file || !file->pMethods) return;
    if (!__atomic_load_n(&methods.iVersion, __ATOMIC_ACQUIRE)) { /* threads that come at once write the same */
        map = file->pMethods->xShmMap;
        memcpy(&methods.xClose, &file->pMethods->xClose, sizeof methods - offsetof(sqlite3_io_methods, xClose));
        methods.xShmMap = map_whole;
        __atomic_store_n(&methods.iVersion, file->pMethods->iVersion, __ATOMIC_RELEASE);
    }
    if (file->pMethods->xShmMap == map) file->pMethods = &methods;
}
