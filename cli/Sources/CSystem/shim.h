/* What Swift cannot call or see of libc: variables of <stdio.h>, and strptime(). */
#ifndef CSYSTEM_SHIM_H
#define CSYSTEM_SHIM_H
#include <stdio.h>
#include <time.h>

char *strptime(const char *text, const char *format, struct tm *parts);

static inline int flush_output(void) { return fflush(stdout) != 0 || ferror(stdout); }
static inline void buffer_output(int by_line) { setvbuf(stdout, NULL, by_line ? _IOLBF : _IOFBF, 1 << 16); }
static inline void put_error(const char *line) { fprintf(stderr, "%s\n", line); }
#endif
