/* Starting a child and signalling processes: what Swift cannot do, fork() and variadic
   system calls. */
#ifndef CLAUNCH_H
#define CLAUNCH_H

#include <signal.h>
#include <sys/types.h>

/* Descriptors that are open now belong to who started this process: a child gets these
   and no others. To be called before anything is opened. -1 = errno. */
int launch_remember_descriptors(void);

/* Blocks the signals of `taken`; a child has the mask of before. A descriptor to read
   them from (signalfd), or -1 = errno. */
int launch_take_signals(const sigset_t *taken);

/* The next signal that waits in such a descriptor, or 0. *is_from_kernel: no process sent it,
   so that the terminal's whole process group has it. */
int launch_next_signal(int descriptor, int *is_from_kernel);

/* Forks and executes `argv[0]`, which is looked up in `path` when it has no slash, in the
   caller's process group, with its descriptors and its signals as it got them. It gets
   SIGTERM when the caller dies. Its pid, or -1: *error is an errno value, and *where is 0 when no process
   could be made, 1 when it could not be executed. */
pid_t launch(const char *const argv[], const char *const envp[], const char *path, int *error, int *where);

/* Orphans below this process become its children, not init's. 0, or -1 = errno. */
int launch_adopt_orphans(void);

/* pipe2(2), closed in children. */
int launch_pipe(int ends[2]);

/* pidfd_open(2): a descriptor that goes on meaning this process when its number is used again. */
int launch_process_descriptor(pid_t pid);

/* pidfd_send_signal(2). */
int launch_signal(int descriptor, int signal);

/* Reaps one child that ended, without waiting: its pid and wait status, 0, or -1 = errno. */
pid_t launch_reap(int *status);

/* 1 while there is a child that runs or was not reaped: what no look through /proc can miss. */
int launch_has_children(void);

/* The exit code of a wait status as shells have it: the process's own, or 128 + its signal. */
int launch_exit_code(int status);

/* 1 when the child `pid` is stopped and in another process group than the caller, who therefore
   heard nothing of it. */
int launch_is_stopped_apart(pid_t pid);

/* Makes the terminal `descriptor` give keys as they are pressed, and shows another screen on it,
   until terminal_restore() or the process crashes. 0, or -1 = errno. */
int terminal_take(int descriptor);
void terminal_restore(void);

/* Its columns and rows. 0, or -1 when it is no terminal. */
int terminal_size(int descriptor, int *columns, int *rows);

/* A line on standard error with `text`, how much is done and since when: from one second on, until
   progress_end(), which takes it away. One at a time, and of one thread. */
void progress_begin(const char *text);

/* How much of how much is done; 0 = not known. */
void progress_count(long long part, long long whole);
void progress_end(void);

#endif
