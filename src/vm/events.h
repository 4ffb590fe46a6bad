/* What a VM tells upwards: the functions that the context's owner gives at start. An owner begins
   with a struct rtm_vm_owner; vm/ hands its address around and looks at nothing else. All run on
   the VM's thread. */
#ifndef RTM_VM_EVENTS_H
#define RTM_VM_EVENTS_H

#include <stdbool.h>

#include "data/coroutine.h"

struct lua_State;
struct rtm_vm_owner;

/* What a call of collectgarbage asks for, where it can make the collector work or moves its
 * account. */
enum rtm_collect_what {
    RTM_COLLECT_FULL,
    RTM_COLLECT_STEP,
    RTM_COLLECT_STOP,
    RTM_COLLECT_RESTART,
    RTM_COLLECT_GENERATIONAL,
    RTM_COLLECT_INCREMENTAL,
    RTM_COLLECT_PARAMETER, /* does not work, but the pause may be another one */
};

struct rtm_vm_events {
    /* The VM is at an instruction of `thread`; the one-shot hook is disarmed already. May run Lua
     * code. */
    void (*on_hook)(struct rtm_vm_owner *owner, struct lua_State *thread);

    /* `from` (NULL: not known) is about to resume `thread`, which has `nargs` arguments on its
       stack already; if true, on_suspend is told its new state when control is back. */
    bool (*on_resume)(struct rtm_vm_owner *owner, struct lua_State *from, struct lua_State *thread,
                      int nargs);
    void (*on_suspend)(struct rtm_vm_owner *owner, struct lua_State *thread,
                       enum rtm_coroutine_state state);

    /* Instead of on_suspend: the VM has refused to resume `thread`, which is in `state`. */
    void (*on_refuse)(struct rtm_vm_owner *owner, struct lua_State *thread,
                      enum rtm_coroutine_state state);

    /* `by`, which runs now, created a thread: told where the allocator may not tell. */
    void (*on_create)(struct rtm_vm_owner *owner, struct lua_State *by, struct lua_State *thread);

    /* Around the closing of a thread; `end` only if `begin` returned true. */
    bool (*on_close_begin)(struct rtm_vm_owner *owner, struct lua_State *by,
                           struct lua_State *thread);
    void (*on_close_end)(struct rtm_vm_owner *owner, struct lua_State *thread);

    /* Around collectgarbage; `end` only if `begin` returned true. `end` may run Lua code. */
    bool (*on_collect_begin)(struct rtm_vm_owner *owner, enum rtm_collect_what what, int step_kb);
    void (*on_collect_end)(struct rtm_vm_owner *owner, enum rtm_collect_what what,
                           struct lua_State *L);

    /* A garbage sentinel was finalized: a cycle ended. Unless it goes on, there is no successor.
       May run Lua code. */
    void (*on_sentinel)(struct rtm_vm_owner *owner, bool goes_on, struct lua_State *L);

    /* A C library was loaded: symbols may have to be patched in it. */
    void (*on_load)(struct rtm_vm_owner *owner);
};

struct rtm_vm_owner {
    const struct rtm_vm_events *events;
};

#endif
