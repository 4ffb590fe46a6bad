/* Birth, start, stop and death of a context, in one order. */
#ifndef RTM_CORE_LIFECYCLE_H
#define RTM_CORE_LIFECYCLE_H

#include "core/context.h"
#include "ground/error.h"

/* Which observers to run. `sched_full`: own coroutine.* also where it costs compiled code (LuaJIT).
 */
struct rtm_lifecycle_choice {
    bool heap, gc, sched, sched_full, process;
};

/* The context of L's VM, made if there is none; nothing is observed yet. NULL with a reason where
   another copy of this library of another version has one. May raise for want of memory, leaving
   nothing behind. Runs: VM thread. */
struct rtm_context *rtm_lifecycle_open(struct lua_State *L, struct rtm_error *err);

/* Starts the chosen observers and stops the others. On failure all are stopped. May raise for want
   of memory; stop puts all back then. Runs: VM thread. */
bool rtm_lifecycle_start(struct rtm_context *cx, struct lua_State *L,
                         const struct rtm_lifecycle_choice *choice,
                         struct rtm_error *err) RTM_MUST_USE;

/* Gives the VM back as it was: allocator, library functions, hooks, patched symbols. Cumulative
 * figures stay. Runs: VM thread. */
void rtm_lifecycle_stop(struct rtm_context *cx, struct lua_State *L);

/* True once the VM is closing: nothing may be started any more. */
bool rtm_lifecycle_is_closed(const struct rtm_context *cx);

#endif
