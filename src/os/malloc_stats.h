/* The C library's allocator: what it holds, and giving back what it can. Only glibc's, and only
   while the process really uses it (jemalloc and others may have taken malloc's place).

   Both calls visit every free chunk under malloc's own locks: 8 ms for half a million of them,
   while other threads wait. So: on request only, never at a scrape. Runs: any thread but in a
   signal handler or the allocator. */
#ifndef RTM_OS_MALLOC_STATS_H
#define RTM_OS_MALLOC_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "ground/check.h"
#include "ground/error.h"

/* Over all arenas. */
struct rtm_malloc_stats {
    uint64_t arena_bytes; /* got from the system for ordinary blocks */
    uint64_t used_bytes;  /* of these, in use, with malloc's own overhead */
    uint64_t free_bytes;  /* of these, free */
    uint64_t free_chunks;
    uint64_t fast_free_bytes; /* free, in the lists of small chunks that are not merged */
    uint64_t fast_free_chunks;
    uint64_t releasable_bytes; /* at the end of the first arena: what a trim gives back at least */
    uint64_t mapped_bytes;     /* large blocks with a mapping each */
    uint64_t mapped_blocks;
};

/* Returns false with `err` set where malloc is not glibc's, or is older than 2.33. */
bool rtm_malloc_stats_read(struct rtm_malloc_stats *stats, struct rtm_error *err) RTM_MUST_USE;

/* Gives free pages back to the system. Sets `*released` to whether there were any. Returns false
   with `err` set where malloc is not glibc's. */
bool rtm_malloc_stats_trim(bool *released, struct rtm_error *err) RTM_MUST_USE;

#endif
