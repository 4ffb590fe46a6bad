#include "ground/memory.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Several VMs on several threads share these, so they are real read-modify-write atomics; our
 * requests are rare. */
static _Atomic uint64_t bytes_in_use;
static _Atomic uint64_t failed_requests;

#ifdef RTM_TEST_SEAMS
static _Atomic int64_t successes_left = INT64_MAX;
static _Atomic int64_t failures_left;

void rtm_memory_fail_after(uint64_t successes, uint64_t failures)
{
    atomic_store(&failures_left, (int64_t)failures);
    atomic_store(&successes_left, failures ? (int64_t)successes : INT64_MAX);
}

static bool may_allocate(void)
{
    if (atomic_fetch_sub(&successes_left, 1) > 0)
        return true;
    return atomic_fetch_sub(&failures_left, 1) <= 0;
}
#else
static bool may_allocate(void)
{
    return true;
}
#endif

static void *count_new(void *block, size_t old_bytes)
{
    if (!block) {
        atomic_fetch_add_explicit(&failed_requests, 1, memory_order_relaxed);
        return NULL;
    }
    atomic_fetch_add_explicit(&bytes_in_use, malloc_usable_size(block) - old_bytes,
                              memory_order_relaxed);
    return block;
}

void *rtm_memory_alloc(size_t size)
{
    return count_new(may_allocate() ? calloc(1, size) : NULL, 0);
}

void *rtm_memory_realloc(void *block, size_t size)
{
    size_t old_bytes = block ? malloc_usable_size(block) : 0;
    return count_new(may_allocate() ? realloc(block, size) : NULL, old_bytes);
}

void rtm_memory_free(void *block)
{
    if (block)
        atomic_fetch_sub_explicit(&bytes_in_use, malloc_usable_size(block), memory_order_relaxed);
    free(block);
}

uint64_t rtm_memory_bytes(void)
{
    return atomic_load_explicit(&bytes_in_use, memory_order_relaxed);
}

uint64_t rtm_memory_failures(void)
{
    return atomic_load_explicit(&failed_requests, memory_order_relaxed);
}
