/* collectgarbage, owned: each call of the program that makes the collector work is announced and
   timed. Does, returns and raises what Lua's own does. */
#ifndef RTM_VM_COLLECT_LUA_H
#define RTM_VM_COLLECT_LUA_H

#include <stdbool.h>

struct lua_State;
struct rtm_vm_owner;

/* Replaces the global function; gives it back where it still is ours. May raise for want of memory.
 * Runs: VM thread. */
void rtm_collect_lua_attach(struct lua_State *L, struct rtm_vm_owner *owner);
void rtm_collect_lua_detach(struct lua_State *L);

/* A full collection, announced like a call of the program; false where none can run (inside a
   finalizer). Raises what a finalizer raises. Runs: VM thread. */
bool rtm_collect_lua_run(struct lua_State *L, struct rtm_vm_owner *owner);

#endif
