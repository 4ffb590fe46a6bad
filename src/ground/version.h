/* Counters that are read together, without a lock that their writer would have to wait for: the
   writer makes a version odd, writes, and makes it even again; a reader takes what it read if it
   saw the same even version before and after. One writer, any number of readers. (H.-J. Boehm, "Can
   seqlocks get along with programming language memory models?", MSPC 2012: the variant without
   fences.) */
#ifndef RTM_GROUND_VERSION_H
#define RTM_GROUND_VERSION_H

#include <stdbool.h>

#include "ground/atomic.h"

typedef _Atomic uint32_t rtm_version;

/* Around the writes, each by rtm_version_set. Runs: the writer's thread. */
static inline void rtm_version_begin_write(rtm_version *version)
{
    uint32_t before = atomic_load_explicit(version, memory_order_relaxed);
    atomic_store_explicit(version, before + 1, memory_order_relaxed);
}

static inline void rtm_version_end_write(rtm_version *version)
{
    uint32_t before = atomic_load_explicit(version, memory_order_relaxed);
    atomic_store_explicit(version, before + 1, memory_order_release);
}

static inline void rtm_version_set(rtm_counter *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_release); /* not before the version is odd */
}

/* Around the reads, each by rtm_version_get: what was read belongs together if `end` is true. Runs:
   any. */
static inline uint32_t rtm_version_begin_read(const rtm_version *version)
{
    return atomic_load_explicit(version, memory_order_acquire);
}

static inline uint64_t rtm_version_get(const rtm_counter *counter)
{
    return atomic_load_explicit(counter,
                                memory_order_acquire); /* before the version is read again */
}

static inline bool rtm_version_end_read(const rtm_version *version, uint32_t begin)
{
    return begin % 2 == 0 && atomic_load_explicit(version, memory_order_relaxed) == begin;
}

/* Before the reader's try number `tries` (1, 2, 3 ...): gives the writer time to go on, more and
   more of it, as it may have lost its CPU in the middle. False: it has had 100 ms, and may be gone
   for good, as in the child of another thread's fork. Runs: any ordinary thread that is not the
   writer's. */
bool rtm_version_wait(unsigned tries);

#endif
