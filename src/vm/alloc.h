/* Lua's allocator, wrapped: each VM gets an entry function of its own from a fixed pool, so that
   the callback finds its context without touching the host's `ud` and without a lookup. The pool
   never moves and is never freed: an entry that something else still calls stays a pass-through. */
#ifndef RTM_VM_ALLOC_H
#define RTM_VM_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "ground/error.h"
#include "vm/stock_alloc.h"

struct lua_State;
struct rtm_alloc;

typedef void *(*rtm_alloc_observer)(void *ud, void *ptr, size_t osize, size_t nsize,
                                    struct rtm_alloc *alloc);

/* What stands in front of an allocator: one function for each kind of call (new block, other size,
 * free). */
struct rtm_alloc_observers {
    rtm_alloc_observer on_new, on_resize, on_free;
};

struct rtm_alloc {
    struct rtm_alloc_observers observers;
    rtm_alloc_function next; /* what was there before us */
    void *owner;             /* given at attach; the context */
    bool is_stock;           /* `next` is Lua's own function over the same malloc as ours */
    const void *main_thread; /* the block that holds it is the last one the VM frees */
    struct rtm_alloc *next_free;
} __attribute__((aligned(64)));

/* Does what Lua's own allocator does. It asks realloc(NULL, n) for new blocks; malloc is the faster
   way to the same block. Inline: bench/programs/binary_trees.lua. Runs: allocator. */
static inline void *rtm_alloc_stock(void *ptr, size_t nsize)
{
    if (nsize == 0) {
        free(ptr);
        return NULL;
    }
    return ptr ? realloc(ptr, nsize) : malloc(nsize);
}

/* Does what the allocator that we stand in front of would do. Inline: as above. Runs: allocator. */
static inline void *rtm_alloc_forward(struct rtm_alloc *alloc, void *ud, void *ptr, size_t osize,
                                      size_t nsize)
{
    return alloc->is_stock ? rtm_alloc_stock(ptr, nsize) : alloc->next(ud, ptr, osize, nsize);
}

/* Puts observers in front of the allocator of L's VM: `stock` where it is Lua's own, over the very
   malloc that we reach, `foreign` elsewhere. NULL with a reason when the pool is used up. Runs: VM
   thread. */
struct rtm_alloc *rtm_alloc_attach(struct lua_State *L, const struct rtm_alloc_observers *stock,
                                   const struct rtm_alloc_observers *foreign, void *owner,
                                   struct rtm_error *err);

/* Gives the former allocator back. Where somebody has put another one on top of ours meanwhile,
   ours stays as a pass-through until the VM dies; false then. Runs: VM thread. */
bool rtm_alloc_detach(struct lua_State *L, struct rtm_alloc *alloc);

/* The owner of the wrapper in front of L's VM, or NULL. Runs: VM thread. */
void *rtm_alloc_owner(struct lua_State *L);

#endif
