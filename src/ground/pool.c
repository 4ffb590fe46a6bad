#include "ground/pool.h"

#include <stdbool.h>
#include <string.h>

#include "ground/memory.h"

enum { ITEMS_PER_CHUNK = 64 };

void rtm_pool_init(struct rtm_pool *pool, size_t item_bytes)
{
    *pool = (struct rtm_pool){.item_bytes = item_bytes};
}

void rtm_pool_fini(struct rtm_pool *pool)
{
    while (pool->chunks) {
        void *chunk = pool->chunks;
        memcpy(&pool->chunks, chunk, sizeof(void *));
        rtm_memory_free(chunk);
    }
    pool->free_items = NULL;
}

static void link_item(struct rtm_pool *pool, void *item)
{
    memcpy(item, &pool->free_items, sizeof(void *));
    pool->free_items = item;
}

static bool add_chunk(struct rtm_pool *pool)
{
    char *chunk = rtm_memory_alloc(sizeof(void *) + ITEMS_PER_CHUNK * pool->item_bytes);
    if (!chunk)
        return false;
    memcpy(chunk, &pool->chunks, sizeof(void *));
    pool->chunks = chunk;
    for (size_t i = ITEMS_PER_CHUNK; i-- > 0;)
        link_item(pool, chunk + sizeof(void *) + i * pool->item_bytes);
    return true;
}

void *rtm_pool_take(struct rtm_pool *pool)
{
    if (!pool->free_items && !add_chunk(pool))
        return NULL;
    void *item = pool->free_items;
    memcpy(&pool->free_items, item, sizeof(void *));
    memset(item, 0, pool->item_bytes);
    return item;
}

void rtm_pool_give(struct rtm_pool *pool, void *item)
{
    link_item(pool, item);
}
