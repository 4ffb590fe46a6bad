/* Whether an allocator is Lua's own, over the very malloc that we reach: only then may its work be
   done by calling realloc and free directly. A wrong yes would hand blocks of one malloc to
   another, so it is proven: it is the function that luaL_newstate installs, the object that holds
   it is bound to our realloc and free, and when it is called, it calls them. */
#ifndef RTM_VM_STOCK_ALLOC_H
#define RTM_VM_STOCK_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

typedef void *(*rtm_alloc_function)(void *ud, void *ptr, size_t osize, size_t nsize);

/* The first question about a function takes about 0.2 ms, later ones the time of making a Lua
   state. Runs: VM thread, in an ordinary call. */
bool rtm_stock_alloc_is(rtm_alloc_function function, const void *ud);

#endif
