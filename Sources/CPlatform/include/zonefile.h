/* Reads time zone files from the system's fixed places; no environment variable is looked at. */
#ifndef BURSAR_ZONEFILE_H
#define BURSAR_ZONEFILE_H

#include <stddef.h>
#include <stdint.h>

/* The longest zone name, in bytes. */
#define BURSAR__ZONE_NAME_MAX 64

/* No directory has a regular file of that name: -ENOENT. */
#define BURSAR__ZONE_NONE (-2)

/* Reads the file of the zone `name`, whose letters the caller has checked: no
   dot, no leading slash. Answers its size, BURSAR__ZONE_NONE, or another negative
   errno: -EFBIG when it is larger than `capacity`. */
int64_t bursar__zone_read(const uint8_t *name, size_t name_len, uint8_t *buffer, size_t capacity);

/* Writes the names of all installed zones, each followed by '\n', in no order
   and as many as fit. Answers the bytes written; 0 = none installed. */
size_t bursar__zone_names(uint8_t *buffer, size_t capacity);

#endif
