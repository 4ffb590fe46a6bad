/* Items of one size, handed out and taken back in constant time; their memory is kept until fini.
   One thread at a time. */
#ifndef RTM_GROUND_POOL_H
#define RTM_GROUND_POOL_H

#include <stddef.h>

#include "ground/check.h"

struct rtm_pool {
    size_t item_bytes;
    void *free_items; /* linked through their first word */
    void *chunks;     /* likewise */
};

/* `item_bytes` at least a pointer's size and a multiple of it. Allocates nothing yet. */
void rtm_pool_init(struct rtm_pool *pool, size_t item_bytes);
void rtm_pool_fini(struct rtm_pool *pool);

/* A zeroed item, or NULL without memory. */
void *rtm_pool_take(struct rtm_pool *pool) RTM_MUST_USE;
void rtm_pool_give(struct rtm_pool *pool, void *item);

#endif
