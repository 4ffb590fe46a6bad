#include "data/site.h"

#include <stdbool.h>
#include <string.h>

#include "ground/memory.h"

enum { FIRST_CAPACITY = 64, MAX_SITES = 1 << 14 };

void rtm_site_init(struct rtm_site_table *table)
{
    *table = (struct rtm_site_table){0};
}

void rtm_site_fini(struct rtm_site_table *table)
{
    rtm_memory_free(table->sites);
    rtm_memory_free(table->slots);
    *table = (struct rtm_site_table){0};
}

/* Eight bytes at a time: sources are up to 60 bytes long, and this runs at each birth. */
static uint64_t hash_site(const char *source, size_t length, int line)
{
    uint64_t hash = (uint64_t)(unsigned)line * UINT64_C(0x9E3779B97F4A7C15) + length;
    for (size_t at = 0; at < length; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, source + at, length - at < sizeof word ? length - at : sizeof word);
        hash = (hash ^ word) * UINT64_C(0xFF51AFD7ED558CCD);
        hash ^= hash >> 32;
    }
    return hash;
}

/* The slot that holds this site, or the free one where it belongs. */
static uint32_t *find_slot(const struct rtm_site_table *table, const char *source, int line)
{
    size_t mask = table->capacity * 2 - 1;
    size_t at = hash_site(source, strlen(source), line) & mask;
    for (; table->slots[at]; at = (at + 1) & mask) {
        const struct rtm_site *site = &table->sites[table->slots[at] - 1];
        if (site->line == line && strcmp(site->source, source) == 0)
            break;
    }
    return &table->slots[at];
}

static bool grow(struct rtm_site_table *table)
{
    size_t capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY;
    if (capacity > MAX_SITES)
        return false;
    uint32_t *slots = rtm_memory_alloc(capacity * 2 * sizeof *slots);
    struct rtm_site *sites =
        slots ? rtm_memory_realloc(table->sites, capacity * sizeof *sites) : NULL;
    if (!sites) {
        rtm_memory_free(slots);
        return false;
    }
    rtm_memory_free(table->slots);
    table->slots = slots;
    table->sites = sites;
    table->capacity = capacity;
    for (uint32_t id = 1; id <= table->count; id++)
        *find_slot(table, sites[id - 1].source, sites[id - 1].line) = id;
    return true;
}

uint32_t rtm_site_intern(struct rtm_site_table *table, const char *source, int line)
{
    uint32_t known = table->capacity ? *find_slot(table, source, line) : 0;
    if (known)
        return known;
    if (table->count == table->capacity && !grow(table)) {
        table->dropped++;
        return 0;
    }
    uint32_t *slot = find_slot(table, source, line);
    struct rtm_site *site = &table->sites[table->count];
    *site = (struct rtm_site){.line = line};
    memcpy(site->source, source, strnlen(source, RTM_SITE_SOURCE_BYTES - 1));
    *slot = (uint32_t)++table->count;
    return *slot;
}

const struct rtm_site *rtm_site_get(const struct rtm_site_table *table, uint32_t id)
{
    return id && id <= table->count ? &table->sites[id - 1] : NULL;
}
