#include "ground/hash.h"

#include <string.h>

#include "ground/memory.h"

enum { CAPACITY_MIN = 8 };

/* The high and low half of a 128-bit product, folded: every input bit reaches every output bit. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word_at(const unsigned char *bytes, size_t length)
{
    uint64_t word = 0;
    memcpy(&word, bytes, length);
    return word;
}

uint64_t rtm_hash_bytes(const void *bytes, size_t length, uint64_t seed)
{
    static const uint64_t odd_a = UINT64_C(0xa0761d6478bd642f);
    static const uint64_t odd_b = UINT64_C(0xe7037ed1a0b428db);
    const unsigned char *p = bytes;
    uint64_t hash = seed ^ fold(length ^ odd_a, odd_b);
    for (; length >= 8; p += 8, length -= 8)
        hash = fold(hash ^ word_at(p, 8), odd_a);
    if (length)
        hash = fold(hash ^ word_at(p, length), odd_a);
    return fold(hash ^ odd_b, odd_a);
}

void rtm_hash_init(struct rtm_hash_table *table)
{
    *table = (struct rtm_hash_table){0};
}

void rtm_hash_fini(struct rtm_hash_table *table)
{
    rtm_memory_free(table->slots);
    rtm_hash_init(table);
}

static void place(struct rtm_hash_table *table, uint64_t hash, void *item)
{
    size_t mask = table->capacity - 1, i = hash & mask;
    while (table->slots[i].item)
        i = (i + 1) & mask;
    table->slots[i] = (struct rtm_hash_slot){hash, item};
}

bool rtm_hash_reserve(struct rtm_hash_table *table)
{
    if (table->capacity && (table->count + 1) * 4 <= table->capacity * 3)
        return true;
    struct rtm_hash_table bigger = {
        .capacity = table->capacity ? table->capacity * 2 : CAPACITY_MIN, .count = table->count};
    bigger.slots = rtm_memory_alloc(bigger.capacity * sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].item)
            place(&bigger, table->slots[i].hash, table->slots[i].item);
    }
    rtm_memory_free(table->slots);
    *table = bigger;
    return true;
}

void rtm_hash_insert(struct rtm_hash_table *table, uint64_t hash, void *item)
{
    RTM_ASSERT(item && table->count < table->capacity);
    place(table, hash, item);
    table->count++;
}

void *rtm_hash_find(const struct rtm_hash_table *table, uint64_t hash, rtm_hash_same same,
                    const void *key)
{
    if (!table->capacity)
        return NULL;
    size_t mask = table->capacity - 1;
    for (size_t i = hash & mask; table->slots[i].item; i = (i + 1) & mask) {
        if (table->slots[i].hash == hash && same(table->slots[i].item, key))
            return table->slots[i].item;
    }
    return NULL;
}

void rtm_hash_remove(struct rtm_hash_table *table, uint64_t hash, const void *item)
{
    size_t mask = table->capacity - 1, hole = hash & mask;
    while (table->slots[hole].item != item) {
        RTM_ASSERT(table->slots[hole].item);
        hole = (hole + 1) & mask;
    }
    /* Whatever follows without a gap may have been pushed past the hole: it moves back, unless its
       own place lies behind the hole. */
    for (size_t i = (hole + 1) & mask; table->slots[i].item; i = (i + 1) & mask) {
        size_t home = table->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole] = (struct rtm_hash_slot){0};
    table->count--;
}
