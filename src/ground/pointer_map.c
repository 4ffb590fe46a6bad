#include "ground/pointer_map.h"

#include "ground/memory.h"

enum { FIRST_BITS = 6 };

void rtm_pointer_map_init(struct rtm_pointer_map *map)
{
    *map = (struct rtm_pointer_map){0};
}

void rtm_pointer_map_fini(struct rtm_pointer_map *map)
{
    rtm_memory_free(map->entries);
    *map = (struct rtm_pointer_map){0};
}

static void place(struct rtm_pointer_map *map, struct rtm_pointer_map_entry entry)
{
    size_t slot = rtm_pointer_map_slot(map, entry.key);
    while (map->entries[slot].key)
        slot = (slot + 1) & map->mask;
    map->entries[slot] = entry;
}

static bool grow(struct rtm_pointer_map *map)
{
    unsigned bits = map->entries ? 64 - map->shift + 1 : FIRST_BITS;
    size_t size = (size_t)1 << bits;
    struct rtm_pointer_map old = *map;
    struct rtm_pointer_map_entry *entries = rtm_memory_alloc(size * sizeof *entries);
    if (!entries)
        return false;
    map->entries = entries;
    map->shift = 64 - bits;
    map->mask = size - 1;
    for (size_t i = 0; old.entries && i <= old.mask; i++) {
        if (old.entries[i].key)
            place(map, old.entries[i]);
    }
    rtm_memory_free(old.entries);
    return true;
}

bool rtm_pointer_map_add(struct rtm_pointer_map *map, const void *key, void *value)
{
    /* three quarters full at most, so that a miss ends soon */
    if ((!map->entries || (map->count + 1) * 4 > (map->mask + 1) * 3) && !grow(map))
        return false;
    place(map, (struct rtm_pointer_map_entry){key, value});
    map->count++;
    return true;
}

/* Closes the gap that a removed entry leaves: each follower that may not stand behind a gap moves
   into it (Knuth, The Art of Computer Programming, vol. 3, 6.4, algorithm R). */
static void close_gap(struct rtm_pointer_map *map, size_t gap)
{
    for (size_t at = (gap + 1) & map->mask; map->entries[at].key; at = (at + 1) & map->mask) {
        size_t home = rtm_pointer_map_slot(map, map->entries[at].key);
        if (((at - home) & map->mask) >= ((at - gap) & map->mask)) {
            map->entries[gap] = map->entries[at];
            gap = at;
        }
    }
    map->entries[gap] = (struct rtm_pointer_map_entry){0};
}

void rtm_pointer_map_remove(struct rtm_pointer_map *map, const void *key)
{
    if (!map->entries)
        return;
    size_t slot = rtm_pointer_map_slot(map, key);
    while (map->entries[slot].key && map->entries[slot].key != key)
        slot = (slot + 1) & map->mask;
    if (!map->entries[slot].key)
        return;
    map->count--;
    close_gap(map, slot);
}
