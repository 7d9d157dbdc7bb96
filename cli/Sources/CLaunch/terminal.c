// launch.h: the terminal of a program that draws its whole screen.

#include "launch.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static volatile sig_atomic_t taken = -1;

// Another screen, no cursor, no wrapping; and back.
static const char enter[] = "\033[?1049h\033[?25l\033[?7l\033[2J";
static const char leave[] = "\033[?7h\033[?25h\033[?1049l";

static void put(int descriptor, const char *text, size_t count) {
    while (count > 0) {
        ssize_t done = write(descriptor, text, count);
        if (done <= 0) return;
        text += done;
        count -= (size_t)done;
    }
}

void terminal_restore(void) {
    if (taken < 0) return;
    int descriptor = taken;
    taken = -1;
    tcsetattr(descriptor, TCSAFLUSH, &before);
    put(descriptor, leave, sizeof leave - 1);
}

static void crash(int number) {
    terminal_restore();
    signal(number, SIG_DFL);
    raise(number);
}

int terminal_take(int descriptor) {
    if (taken < 0 && tcgetattr(descriptor, &before) != 0) return -1;
    struct termios raw = before;
    raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_oflag &= ~(tcflag_t)OPOST;
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(descriptor, TCSAFLUSH, &raw) != 0) return -1;
    taken = descriptor;
    const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], crash);
    put(descriptor, enter, sizeof enter - 1);
    return 0;
}

int terminal_size(int descriptor, int *columns, int *rows) {
    struct winsize size;
    if (ioctl(descriptor, TIOCGWINSZ, &size) != 0) return -1;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return 0;
}
