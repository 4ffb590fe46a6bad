#include "observers/heap_count.h"

uint64_t rtm_heap_count_objects_of(const struct rtm_heap_count *heap, enum rtm_vm_kind kind)
{
    uint8_t tag = rtm_vm_traits()->kind_tags[kind];
    return tag ? rtm_atomic_get(&heap->blocks_by_tag[tag]) : 0;
}

uint64_t rtm_heap_count_objects(const struct rtm_heap_count *heap)
{
    uint64_t objects = 0;
    for (enum rtm_vm_kind kind = 0; kind < RTM_VM_KINDS; kind++)
        objects += rtm_heap_count_objects_of(heap, kind);
    return objects;
}

uint64_t rtm_heap_count_blocks(const struct rtm_heap_count *heap)
{
    uint64_t blocks = 0;
    for (unsigned tag = 0; tag < RTM_VM_TAGS; tag++)
        blocks += rtm_atomic_get(&heap->blocks_by_tag[tag]);
    return blocks;
}

uint64_t rtm_heap_count_frees(const struct rtm_heap_count *heap)
{
    uint64_t blocks = 0;
    for (unsigned i = 0; i < RTM_HISTOGRAM_SIZE_COUNTS; i++)
        blocks += rtm_atomic_get(&heap->frees_by_size.counts[i]);
    return blocks;
}
