#include <stdint.h>
int64_t bursar_probe(int64_t n);
