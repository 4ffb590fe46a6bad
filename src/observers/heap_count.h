/* Exact heap accounting: what the VM asked its allocator for and gave back, counted call by call. A
   growing realloc counts its growth as allocated, a shrinking one its loss as freed; neither is a
   new block. Single writer: the thread that runs the VM. */
#ifndef RTM_OBSERVERS_HEAP_COUNT_H
#define RTM_OBSERVERS_HEAP_COUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/atomic.h"
#include "ground/histogram.h"
#include "vm/vm.h"

struct rtm_heap_count {
    rtm_counter new_bytes, freed_bytes;    /* in whole blocks */
    rtm_counter grown_bytes, shrunk_bytes; /* by blocks that were resized */
    rtm_counter failures;                  /* requests that the allocator answered with NULL */
    rtm_counter
        blocks_by_tag[RTM_VM_TAGS]; /* new blocks by the allocator's tag; the sum is all of them */
    struct rtm_histogram_size allocs_by_size,
        frees_by_size; /* whole blocks, by the size asked for */
};

/* The three things that can happen; each touches as few counters as it can, what follows from
   others is computed when it is read. Inline: bench/programs/binary_trees.lua. Runs: allocator. */
static inline void rtm_heap_count_new(struct rtm_heap_count *heap, size_t tag, size_t bytes)
{
    rtm_atomic_add(&heap->new_bytes, bytes);
    rtm_atomic_add(&heap->blocks_by_tag[tag % RTM_VM_TAGS], 1);
    rtm_histogram_size_record(&heap->allocs_by_size, bytes);
}

static inline void rtm_heap_count_free(struct rtm_heap_count *heap, size_t bytes)
{
    rtm_atomic_add(&heap->freed_bytes, bytes);
    rtm_histogram_size_record(&heap->frees_by_size, bytes);
}

static inline void rtm_heap_count_resize(struct rtm_heap_count *heap, size_t old_bytes,
                                         size_t bytes)
{
    size_t change = bytes >= old_bytes ? bytes - old_bytes : old_bytes - bytes;
    rtm_atomic_add(bytes >= old_bytes ? &heap->grown_bytes : &heap->shrunk_bytes, change);
}

/* Bytes allocated and freed, resizes included. Runs: any. */
static inline uint64_t rtm_heap_count_allocs_bytes(const struct rtm_heap_count *heap)
{
    return rtm_atomic_get(&heap->new_bytes) + rtm_atomic_get(&heap->grown_bytes);
}

static inline uint64_t rtm_heap_count_frees_bytes(const struct rtm_heap_count *heap)
{
    return rtm_atomic_get(&heap->freed_bytes) + rtm_atomic_get(&heap->shrunk_bytes);
}

/* Blocks freed. Runs: any. */
uint64_t rtm_heap_count_frees(const struct rtm_heap_count *heap);

/* New blocks of one kind, of all kinds, and of any sort. Where the VM does not tell kinds the first
   two are 0. Runs: any. */
uint64_t rtm_heap_count_objects_of(const struct rtm_heap_count *heap, enum rtm_vm_kind kind);
uint64_t rtm_heap_count_objects(const struct rtm_heap_count *heap);
uint64_t rtm_heap_count_blocks(const struct rtm_heap_count *heap);

#endif
