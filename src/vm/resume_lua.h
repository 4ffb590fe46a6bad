/* coroutine.resume, wrap, close (and create, where the allocator does not tell new threads), owned:
   each switch between coroutines is announced. They do, return and raise what Lua's own do. */
#ifndef RTM_VM_RESUME_LUA_H
#define RTM_VM_RESUME_LUA_H

#include <stdbool.h>

struct lua_State;
struct rtm_vm_owner;

/* Replaces the functions of the coroutine library; gives them back where they still are ours.
   Functions that wrap has returned stay, and go on without announcements when the owner has none to
   make. May raise for want of memory. Runs: VM thread. */
void rtm_resume_lua_attach(struct lua_State *L, struct rtm_vm_owner *owner);
void rtm_resume_lua_detach(struct lua_State *L);

/* What depends on the version (puc54.c, puc53.c, puc51.c, luajit.c). */

/* Whether `co` can take `nargs` arguments and be resumed, as coroutine.resume checks it; if not,
   pushes the message (5.1 and LuaJIT raise for the arguments). */
bool rtm_vm_may_resume(struct lua_State *L, struct lua_State *co, int nargs);

/* Whether `nresults` results of `co` fit on L's stack; if not, takes them away and pushes the
 * message, or raises. */
bool rtm_vm_may_return(struct lua_State *L, struct lua_State *co, int nresults);

/* Raises, from a wrapped coroutine's function, the error value at L's top. */
int rtm_vm_raise_wrapped(struct lua_State *L, struct lua_State *co, struct rtm_vm_owner *owner);

/* Checks the argument of create and wrap. */
void rtm_vm_check_body(struct lua_State *L);

/* The name that an argument error gives to what was expected: "coroutine" or "thread". */
struct lua_State *rtm_vm_check_coroutine(struct lua_State *L);

/* L closes `co`, running its pending __close metamethods, announced; returns the status of the
 * closing. */
int rtm_resume_lua_close(struct lua_State *L, struct lua_State *co, struct rtm_vm_owner *owner);

#endif
