#include "encoders/gzip.h"

#ifdef RTM_ZLIB

#include <limits.h>
#include <stdint.h>
#include <zlib.h>

#include "ground/memory.h"

/* A window of 8 KiB holds many lines of metrics, and the state is 69 KiB then instead of 261, for
   each page anew. Higher levels take twice the time and save a tenth. */
enum { LEVEL = 1, WINDOW_BITS = 13, AS_GZIP = 16, MEMORY_LEVEL = 6 };

static void *allocate(void *user, unsigned items, unsigned size)
{
    (void)user;
    return rtm_memory_alloc((size_t)items * size);
}

static void release(void *user, void *block)
{
    (void)user;
    rtm_memory_free(block);
}

bool rtm_gzip_write(struct rtm_buffer *out, const char *bytes, size_t length)
{
    z_stream stream = {.zalloc = allocate, .zfree = release};
    if (length > INT_MAX || !rtm_buffer_reserve(out, length))
        return false;
    if (deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS + AS_GZIP, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (unsigned)length;
    stream.next_out = (Bytef *)out->bytes + out->length;
    stream.avail_out = (unsigned)length;
    bool is_whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    out->length += is_whole ? stream.total_out : 0;
    deflateEnd(&stream);
    return is_whole;
}

#else

bool rtm_gzip_write(struct rtm_buffer *out, const char *bytes, size_t length)
{
    (void)out;
    (void)bytes;
    (void)length;
    return false;
}

#endif
