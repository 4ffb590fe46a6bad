/* A map from addresses to pointers: open addressing, linear probing, no tombstones. Look-up inline,
   for the coroutine switch (bench/programs/pingpong.lua). One thread at a time. */
#ifndef RTM_GROUND_POINTER_MAP_H
#define RTM_GROUND_POINTER_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/check.h"

struct rtm_pointer_map_entry {
    const void *key; /* NULL: free */
    void *value;
};

struct rtm_pointer_map {
    struct rtm_pointer_map_entry *entries;
    unsigned shift; /* 64 - log2 of the number of entries */
    size_t mask;    /* number of entries - 1 */
    size_t count;
};

void rtm_pointer_map_init(struct rtm_pointer_map *map);
void rtm_pointer_map_fini(struct rtm_pointer_map *map);

static inline size_t rtm_pointer_map_slot(const struct rtm_pointer_map *map, const void *key)
{
    return (size_t)(((uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15)) >> map->shift);
}

/* The value of `key`, or NULL. */
static inline void *rtm_pointer_map_find(const struct rtm_pointer_map *map, const void *key)
{
    if (!map->entries)
        return NULL;
    for (size_t slot = rtm_pointer_map_slot(map, key); map->entries[slot].key;
         slot = (slot + 1) & map->mask) {
        if (map->entries[slot].key == key)
            return map->entries[slot].value;
    }
    return NULL;
}

/* Adds a key that is not there; false without memory. `key` and `value` are not NULL. */
bool rtm_pointer_map_add(struct rtm_pointer_map *map, const void *key, void *value) RTM_MUST_USE;

/* Takes `key` out if it is there. */
void rtm_pointer_map_remove(struct rtm_pointer_map *map, const void *key);

#endif
