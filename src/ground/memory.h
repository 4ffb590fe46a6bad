/* The memory that rtmetrics itself uses: counted, so that our own cost is a metric, and failable,
   so that a test can make the n-th request fail. Never Lua's allocator. Runs: any but a signal
   handler. */
#ifndef RTM_GROUND_MEMORY_H
#define RTM_GROUND_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "ground/check.h"

/* Zeroed block of `size` > 0 bytes, or NULL. The caller owns it and gives it back to
 * rtm_memory_free. */
void *rtm_memory_alloc(size_t size) RTM_MUST_USE;

/* Resizes a block of ours (or makes one from NULL), keeping its contents; new bytes are undefined.
   NULL on failure, with the old block untouched. */
void *rtm_memory_realloc(void *block, size_t size) RTM_MUST_USE;

/* Gives a block back; NULL is allowed. */
void rtm_memory_free(void *block);

/* Bytes in use now, as malloc rounds them. */
uint64_t rtm_memory_bytes(void);

/* Requests that failed so far. */
uint64_t rtm_memory_failures(void);

#ifdef RTM_TEST_SEAMS
/* Test builds only: after `successes` more requests, the next `failures` of them fail (0: none). */
void rtm_memory_fail_after(uint64_t successes, uint64_t failures);
#endif

#endif
