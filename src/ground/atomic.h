/* Counters with one writer (the thread that runs the VM now) and any number of readers: relaxed
   loads and stores, so an increment costs what a plain one costs, and a reader on another thread
   never sees half a value. */
#ifndef RTM_GROUND_ATOMIC_H
#define RTM_GROUND_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>

#include "ground/check.h"

typedef _Atomic uint64_t rtm_counter;

RTM_STATIC_ASSERT(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free");

static inline uint64_t rtm_atomic_get(const rtm_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void rtm_atomic_set(rtm_counter *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

/* Single writer only: not a read-modify-write operation. */
static inline void rtm_atomic_add(rtm_counter *counter, uint64_t amount)
{
    rtm_atomic_set(counter, rtm_atomic_get(counter) + amount);
}

#endif
