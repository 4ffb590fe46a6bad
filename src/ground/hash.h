/* A keyed hash of bytes, and a table that finds an item by its hash: open addressing with linear
   probing, removal by shifting back, so that a lookup meets no tombstones. The table knows neither
   keys nor items; the caller says when an item is the one sought. Runs: any thread, one at a time.
 */
#ifndef RTM_GROUND_HASH_H
#define RTM_GROUND_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/check.h"

struct rtm_hash_slot {
    uint64_t hash;
    void *item; /* NULL: empty */
};

struct rtm_hash_table {
    struct rtm_hash_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

typedef bool (*rtm_hash_same)(const void *item, const void *key);

/* Mixes `length` bytes and the seed; the same on every call, not across versions of rtmetrics. */
uint64_t rtm_hash_bytes(const void *bytes, size_t length, uint64_t seed);

/* An empty table; allocates nothing yet. */
void rtm_hash_init(struct rtm_hash_table *table);

/* Frees the table, not the items. */
void rtm_hash_fini(struct rtm_hash_table *table);

/* Makes room for one more item; false where memory was refused, with the table as it was. */
bool rtm_hash_reserve(struct rtm_hash_table *table) RTM_MUST_USE;

/* Adds an item (not NULL) that is not there yet; rtm_hash_reserve has made the room. */
void rtm_hash_insert(struct rtm_hash_table *table, uint64_t hash, void *item);

/* The item of this hash that is the `same` as `key`, or NULL. */
void *rtm_hash_find(const struct rtm_hash_table *table, uint64_t hash, rtm_hash_same same,
                    const void *key);

/* Takes out an item that is there. */
void rtm_hash_remove(struct rtm_hash_table *table, uint64_t hash, const void *item);

#endif
