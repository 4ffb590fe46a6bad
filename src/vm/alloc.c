#include "vm/alloc.h"

#include <pthread.h>
#include <stdint.h>

#include "os/fork.h"
#include "vm/compat.h"
#include "vm/stock_alloc.h"
#include "vm/vm.h"

enum { POOL_SIZE = 1024 };

static struct rtm_alloc pool[POOL_SIZE];

static inline void *observe(void *ud, void *ptr, size_t osize, size_t nsize,
                            struct rtm_alloc *place)
{
    if (!nsize)
        return place->observers.on_free(ud, ptr, osize, nsize, place);
    if (ptr)
        return place->observers.on_resize(ud, ptr, osize, nsize, place);
    return place->observers.on_new(ud, ptr, osize, nsize, place);
}

/* The entry functions: each a jump to one of the observers of its own pool place. */
#define ENTRY(n)                                                                                   \
    static void *entry_##n(void *ud, void *ptr, size_t osize, size_t nsize)                        \
    {                                                                                              \
        return observe(ud, ptr, osize, nsize, &pool[0x##n]);                                       \
    }
#define NAME(n) entry_##n,
#define TIMES_16(what, h)                                                                          \
    what(h##0) what(h##1) what(h##2) what(h##3) what(h##4) what(h##5) what(h##6) what(h##7)        \
        what(h##8) what(h##9) what(h##a) what(h##b) what(h##c) what(h##d) what(h##e) what(h##f)
#define TIMES_256(what, h)                                                                         \
    TIMES_16(what, h##0)                                                                           \
    TIMES_16(what, h##1)                                                                           \
    TIMES_16(what, h##2)                                                                           \
    TIMES_16(what, h##3)                                                                           \
    TIMES_16(what, h##4)                                                                           \
    TIMES_16(what, h##5)                                                                           \
    TIMES_16(what, h##6)                                                                           \
    TIMES_16(what, h##7)                                                                           \
    TIMES_16(what, h##8)                                                                           \
    TIMES_16(what, h##9)                                                                           \
    TIMES_16(what, h##a)                                                                           \
    TIMES_16(what, h##b)                                                                           \
    TIMES_16(what, h##c)                                                                           \
    TIMES_16(what, h##d)                                                                           \
    TIMES_16(what, h##e)                                                                           \
    TIMES_16(what, h##f)
#define TIMES_1024(what) TIMES_256(what, 0) TIMES_256(what, 1) TIMES_256(what, 2) TIMES_256(what, 3)

TIMES_1024(ENTRY)

static const rtm_alloc_function entries[POOL_SIZE] = {TIMES_1024(NAME)};

static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct rtm_alloc *free_places;
static size_t places_used_once;

/* Entry address to pool place: open addressing, filled once. */
static struct {
    rtm_alloc_function entry;
    struct rtm_alloc *place;
} index_of_entries[POOL_SIZE * 2];
static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static bool has_fork_reset;

static size_t hash_entry(rtm_alloc_function entry)
{
    return (size_t)(((uint64_t)(uintptr_t)entry * UINT64_C(0x9E3779B97F4A7C15)) >> 53);
}

static void reset_after_fork(void)
{
    pthread_mutex_init(&pool_mutex, NULL);
}

static void fill_index(void)
{
    RTM_STATIC_ASSERT(POOL_SIZE * 2 == 1 << (64 - 53), "the hash spans the index");
    for (size_t i = 0; i < POOL_SIZE; i++) {
        size_t slot = hash_entry(entries[i]);
        while (index_of_entries[slot].entry)
            slot = (slot + 1) % (POOL_SIZE * 2);
        index_of_entries[slot].entry = entries[i];
        index_of_entries[slot].place = &pool[i];
    }
    has_fork_reset = rtm_fork_register(RTM_FORK_LOCKS, reset_after_fork, NULL);
}

static struct rtm_alloc *find_place(rtm_alloc_function entry)
{
    pthread_once(&index_once, fill_index);
    for (size_t slot = hash_entry(entry); index_of_entries[slot].entry;
         slot = (slot + 1) % (POOL_SIZE * 2)) {
        if (index_of_entries[slot].entry == entry)
            return index_of_entries[slot].place;
    }
    return NULL;
}

static struct rtm_alloc *take_place(void)
{
    pthread_mutex_lock(&pool_mutex);
    struct rtm_alloc *place = free_places;
    if (place)
        free_places = place->next_free;
    else if (places_used_once < POOL_SIZE)
        place = &pool[places_used_once++];
    pthread_mutex_unlock(&pool_mutex);
    return place;
}

static void give_place(struct rtm_alloc *place)
{
    pthread_mutex_lock(&pool_mutex);
    place->next_free = free_places;
    free_places = place;
    pthread_mutex_unlock(&pool_mutex);
}

struct rtm_alloc *rtm_alloc_attach(struct lua_State *L, const struct rtm_alloc_observers *stock,
                                   const struct rtm_alloc_observers *foreign, void *owner,
                                   struct rtm_error *err)
{
    void *ud = NULL;
    rtm_alloc_function next = lua_getallocf(L, &ud);
    pthread_once(&index_once, fill_index);
    if (!has_fork_reset) {
        rtm_error_set(err, "cannot watch the allocator: no fork handler could be installed");
        return NULL;
    }
    struct rtm_alloc *place = take_place();
    if (!place) {
        rtm_error_set(err, "cannot watch the allocator: %d VMs are watched already", POOL_SIZE);
        return NULL;
    }
    bool is_stock = rtm_stock_alloc_is(next, ud);
    *place = (struct rtm_alloc){.observers = is_stock ? *stock : *foreign,
                                .next = next,
                                .owner = owner,
                                .is_stock = is_stock,
                                .main_thread = rtm_vm_main_thread(L)};
    lua_setallocf(L, entries[place - pool], ud);
    return place;
}

/* For a wrapper that something else still calls: gives its place back when the VM frees its last
 * block. */
static void *pass_through(void *ud, void *ptr, size_t osize, size_t nsize, struct rtm_alloc *alloc)
{
    const char *block = ptr, *main_thread = alloc->main_thread;
    bool is_last = block && nsize == 0 && main_thread >= block && main_thread < block + osize;
    void *result = rtm_alloc_forward(alloc, ud, ptr, osize, nsize);
    if (is_last)
        give_place(alloc);
    return result;
}

bool rtm_alloc_detach(struct lua_State *L, struct rtm_alloc *alloc)
{
    void *ud = NULL;
    if (lua_getallocf(L, &ud) != entries[alloc - pool]) {
        alloc->owner = NULL;
        alloc->observers = (struct rtm_alloc_observers){pass_through, pass_through, pass_through};
        return false;
    }
    lua_setallocf(L, alloc->next, ud);
    alloc->owner = NULL;
    give_place(alloc);
    return true;
}

void *rtm_alloc_owner(struct lua_State *L)
{
    void *ud = NULL;
    struct rtm_alloc *place = find_place(lua_getallocf(L, &ud));
    return place ? place->owner : NULL;
}
