/* Files, locks and identities of a home. Paths are NUL-terminated; what fails
   answers a negative errno. Every descriptor closes on exec. */
#ifndef BURSAR_HOME_H
#define BURSAR_HOME_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

struct bursar__file {
    uint64_t device, inode;
    int64_t bytes;
    uint32_t kind; /* of S_IFMT */
    uint32_t mode, owner, group, links;
};

#define BURSAR__DIRECTORY 0 /* of bursar__open: what is opened, and how */
#define BURSAR__READ 1
#define BURSAR__WRITE 2     /* reading and writing, it must exist */
#define BURSAR__NEW 3       /* the same, it must not exist */
#define BURSAR__BELL 4      /* a FIFO, both ends, never waits */

/* No symbolic link is followed at the path's end. */
int32_t bursar__open(const uint8_t *path, int32_t what);
int32_t bursar__make_directory(const uint8_t *path, uint32_t mode);
int32_t bursar__make_fifo(const uint8_t *path);
int32_t bursar__rename(const uint8_t *from, const uint8_t *to);
/* Gives a file a second name, which must be free. */
int32_t bursar__link(const uint8_t *from, const uint8_t *to);
int32_t bursar__unlink(const uint8_t *path);
int32_t bursar__stat(const uint8_t *path, struct bursar__file *out); /* not through a link */
int32_t bursar__fstat(int32_t fd, struct bursar__file *out);
/* Sets owner, where we are root, and mode. */
int32_t bursar__give(int32_t fd, uint32_t owner, uint32_t group, uint32_t mode);
/* The path without links and dots; its length. */
int64_t bursar__real_path(const uint8_t *path, uint8_t *out, size_t capacity);
/* What a home says of itself: see Record.swift. Texts are NUL-terminated. */
struct bursar__record {
    uint64_t lock_device, lock_inode, shm_device, layout;
    int64_t segment_id;
    int32_t format;
    char id[33], boot[37], segment[1200];
};
/* 0, or the number of the line that is malformed. */
int32_t bursar__record_parse(const char *text, struct bursar__record *out);
/* The text's length; `capacity` takes any. */
int32_t bursar__record_print(const struct bursar__record *record, char *out, size_t capacity);

/* What kind of unsuitable file system it is, or NULL: a network's cannot be shared. */
const char *bursar__unsuitable(uint64_t type);
uint64_t bursar__file_system(int32_t fd);
bool bursar__is_memory(uint64_t type);
/* The name of a file in the directory that a home has no such of: its length, 0 = none. */
int64_t bursar__foreign_name(const uint8_t *directory, uint8_t *out, size_t capacity);

int64_t bursar__read(int32_t fd, void *out, size_t bytes); /* from the start */
int32_t bursar__write_all(int32_t fd, const void *data, size_t bytes);
int32_t bursar__sync(int32_t fd);
/* Takes room for every byte: 0, or -ENOSPC. */
int32_t bursar__allocate(int32_t fd, int64_t bytes);

uint32_t bursar__user(void);
uint32_t bursar__process(void);
int32_t bursar__random(void *out, size_t bytes);
/* The system's words for an errno (positive). */
size_t bursar__errno_text(int32_t code, uint8_t *out, size_t capacity);

#define BURSAR__UNLOCK 0
#define BURSAR__SHARE 1
#define BURSAR__LOCK 2
#define BURSAR__TAKEN 1 /* another process has it */
/* A lock of the open file, on one byte; never waits. 0, BURSAR__TAKEN, or -EBADF
   when the descriptor is no longer that file's. */
int32_t bursar__lock_byte(int32_t fd, uint64_t inode, int64_t byte, int32_t what);
/* Opens the lock file, making it where there is none, and has the child of every
   fork close it: else the child would keep its parent's locks. */
int32_t bursar__open_lock(const uint8_t *path);
/* The same for another descriptor that a child must not keep; 0, or -EMFILE. */
int32_t bursar__keep_from_child(int32_t fd);
/* Closes one of these; or lets it be, when somebody else closes it. */
void bursar__close_kept(int32_t fd);
void bursar__forget_kept(int32_t fd);

/* Held while fork() runs: what it guards is whole in the child. Short, and a leaf. */
void bursar__still_lock(void);
void bursar__still_unlock(void);
/* Guards opening a home. May be held long; a child's is free. */
void bursar__home_lock(void);
void bursar__home_unlock(void);

/* Called before fork(), and after it in parent and child. */
void bursar__fork_hooks(void (*before)(void), void (*after)(void));
/* How many connections to databases there are, grows or shrinks; whether the parent had one
   while it forked this process, so that what SQLite knows of locks is not true here. */
void bursar__database_count(int32_t change);
int32_t bursar__database_inherited(void);

/* What fork() does about all this: see platform.c. */
void bursar__fork_prepare(void);
void bursar__fork_parent(void);
void bursar__fork_child(void);

/* One byte into a bell. */
void bursar__bell_ring(int32_t fd);
void bursar__bell_drain(int32_t fd);

#endif
