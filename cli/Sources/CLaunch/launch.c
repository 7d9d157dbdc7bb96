// launch.h, for Linux. Between fork() and execve() only system calls: the parent has threads.

#define _GNU_SOURCE
#include "launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static sigset_t mask_before;
static int is_pipe_ignored;

// Before main() gives SIGPIPE another disposition, and the home opens files: none of these may become
// the standard output of who was started without one. To read and write is an error then, as it was.
__attribute__((constructor)) static void remember_start(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    struct sigaction action;
    is_pipe_ignored = sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static int *inherited;
static size_t inherited_count;

// Calls `each` with every open descriptor but the one that reads the list.
static int each_descriptor(int (*each)(int)) {
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return -1;
    for (struct dirent *entry; (entry = readdir(dir));) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(dir)) continue;
        if (each(fd) != 0) break;
    }
    return closedir(dir);
}

static int remember(int fd) {
    int *larger = realloc(inherited, (inherited_count + 1) * sizeof *larger);
    if (!larger) return -1;
    inherited = larger;
    inherited[inherited_count++] = fd;
    return 0;
}

static int keep_from_child(int fd) {
    for (size_t i = 0; i < inherited_count; i++)
        if (inherited[i] == fd) return 0;
    int flags = fcntl(fd, F_GETFD);
    if (flags >= 0 && !(flags & FD_CLOEXEC)) fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    return 0;
}

int launch_remember_descriptors(void) { return each_descriptor(remember); }

int launch_take_signals(const sigset_t *taken) {
    signal(SIGCHLD, SIG_DFL);  // who ignores it has no children to wait for
    if (sigprocmask(SIG_BLOCK, taken, &mask_before) != 0) return -1;
    return signalfd(-1, taken, SFD_CLOEXEC | SFD_NONBLOCK);
}

int launch_next_signal(int descriptor, int *is_from_kernel) {
    struct signalfd_siginfo info;
    if (read(descriptor, &info, sizeof info) != sizeof info) return 0;
    *is_from_kernel = info.ssi_code > 0;
    return (int)info.ssi_signo;
}

// execvp() without its shell: a file that is no program is an error.
static int execute(const char *const argv[], const char *const envp[], const char *path) {
    const char *name = argv[0];
    if (*name == 0) return ENOENT;
    if (strchr(name, '/')) {
        execve(name, (char *const *)argv, (char *const *)envp);
        return errno;
    }
    int error = ENOENT;
    char file[4096];
    size_t length = strlen(name);
    for (const char *at = path;; at++) {
        size_t count = strcspn(at, ":");
        if (count + length + 2 <= sizeof file) {
            memcpy(file, at, count);
            if (count > 0) file[count++] = '/';  // an empty part is the working directory
            memcpy(file + count, name, length + 1);
            execve(file, (char *const *)argv, (char *const *)envp);
            if (errno != ENOENT && errno != ENOTDIR && error != EACCES) error = errno;
            if (error != ENOENT && error != EACCES) return error;
        }
        at += strcspn(at, ":");
        if (*at == 0) return error;
    }
}

pid_t launch(const char *const argv[], const char *const envp[], const char *path, int *error, int *where) {
    int ends[2];
    *where = 0;
    each_descriptor(keep_from_child);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        *error = errno;
        return -1;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        int failed = 0;
        if (getppid() != parent) _exit(125);
        signal(SIGPIPE, is_pipe_ignored ? SIG_IGN : SIG_DFL);
        sigprocmask(SIG_SETMASK, &mask_before, NULL);
        failed = execute(argv, envp, path);
        while (write(ends[1], &failed, sizeof failed) < 0 && errno == EINTR) {}
        _exit(failed == ENOENT ? 127 : 126);
    }
    *error = pid < 0 ? errno : 0;
    close(ends[1]);
    if (pid > 0) {
        ssize_t count;
        while ((count = read(ends[0], error, sizeof *error)) < 0 && errno == EINTR) {}
        if (count == sizeof *error) {
            *where = 1;
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
            pid = -1;
        } else {
            *error = 0;
        }
    }
    close(ends[0]);
    return pid;
}

int launch_adopt_orphans(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1); }

int launch_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int launch_process_descriptor(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int launch_signal(int descriptor, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, descriptor, signal, NULL, 0);
}

pid_t launch_reap(int *status) { return waitpid(-1, status, WNOHANG); }

int launch_has_children(void) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

int launch_exit_code(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

int launch_is_stopped_apart(pid_t pid) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid == pid
           && getpgid(pid) != getpgrp();
}
