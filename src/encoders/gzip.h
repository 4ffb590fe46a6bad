/* Bytes as gzip (RFC 1952), by zlib. Where the build did not find zlib, everything goes
   uncompressed. Runs: any thread. */
#ifndef RTM_ENCODERS_GZIP_H
#define RTM_ENCODERS_GZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/buffer.h"

/* Appends `length` bytes, compressed. False where they cannot be: no zlib in this build, no memory,
   or they would not be shorter; what `out` holds then is of no use. */
bool rtm_gzip_write(struct rtm_buffer *out, const char *bytes, size_t length) RTM_MUST_USE;

#endif
