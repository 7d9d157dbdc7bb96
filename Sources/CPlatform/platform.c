#include "CPlatform.h"
#include <sys/mman.h>
void *bursar__map(size_t bytes) { void *p = mmap(0, bytes, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0); return p == MAP_FAILED ? 0 : p; }
