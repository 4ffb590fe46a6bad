/* Places in source code, each with a small id: where a coroutine was created. Bounded; id 0 is
   "unknown". One thread at a time. */
#ifndef RTM_DATA_SITE_H
#define RTM_DATA_SITE_H

#include <stddef.h>
#include <stdint.h>

#define RTM_SITE_SOURCE_BYTES 64

struct rtm_site {
    char source[RTM_SITE_SOURCE_BYTES]; /* as Lua prints it: "server.lua" or [string "..."] */
    int line;
};

struct rtm_site_table {
    struct rtm_site *sites; /* id 1 is sites[0] */
    uint32_t *slots;        /* hash to id; 0: free */
    size_t count, capacity;
    uint64_t dropped; /* additions that the cap or a lack of memory refused */
};

void rtm_site_init(struct rtm_site_table *table);
void rtm_site_fini(struct rtm_site_table *table);

/* The id of this source and line, added if it is new; 0 where the table is full. */
uint32_t rtm_site_intern(struct rtm_site_table *table, const char *source, int line);

/* What `id` stands for, borrowed until the next rtm_site_intern; NULL for 0. */
const struct rtm_site *rtm_site_get(const struct rtm_site_table *table, uint32_t id);

#endif
