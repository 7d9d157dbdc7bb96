/* Plain append-only files: what open(), pread(), write() and ftruncate() cannot be called as from Swift. */
#ifndef BURSAR_LEDGERFILE_H
#define BURSAR_LEDGERFILE_H

#include <stddef.h>
#include <stdint.h>

/* A descriptor for reading and appending, mode 0600, never inherited; -errno. */
int32_t bursar__ledger_open(const char *path, int32_t make);
/* The least and the largest n of the files `<prefix>.<n>.log`, 0 and 0 when there is none; or -errno. */
int32_t bursar__ledger_range(const char *prefix, int64_t *out_first, int64_t *out_last);
/* The least id above `after` of a segment that `folder` has files `ledger.<id>.<n>.log` of; 0 = none; or -errno. */
int64_t bursar__ledger_segment(const char *folder, int64_t after);
void bursar__ledger_close(int32_t fd);
/* Bytes in the file; -errno. */
int64_t bursar__ledger_size(int32_t fd);
/* As many bytes from `offset` as there are, up to `count`; -errno. */
int64_t bursar__ledger_read(int32_t fd, void *bytes, size_t count, int64_t offset);
/* One write at the end. 0 = all of it was taken, else -errno: a part may stand there. */
int32_t bursar__ledger_append(int32_t fd, const void *bytes, size_t count);
/* Takes room for `bytes` from `offset` on, where the file system can; -errno. */
int32_t bursar__ledger_reserve(int32_t fd, int64_t offset, int64_t bytes);
int32_t bursar__ledger_cut(int32_t fd, int64_t size); /* 0, or -errno */

#endif
