#include "vm/announce.h"

#include "vm/compat.h"
#include "vm/events.h"
#include "vm/vm.h"

/* Of a thread that lua_resume has refused: the message is all that it added to the stack. */
static enum rtm_coroutine_state state_refused(lua_State *thread)
{
    if (lua_status(thread) == LUA_YIELD)
        return RTM_COROUTINE_SUSPENDED;
    return rtm_vm_is_startable(thread, 1) ? RTM_COROUTINE_NEVER_STARTED : RTM_COROUTINE_DEAD;
}

void rtm_announce_return(struct rtm_vm_owner *owner, struct lua_State *thread, int status)
{
    if (status == LUA_YIELD)
        owner->events->on_suspend(owner, thread, RTM_COROUTINE_SUSPENDED);
    else if (status == LUA_OK || lua_status(thread) > LUA_YIELD)
        owner->events->on_suspend(owner, thread, RTM_COROUTINE_DEAD);
    else
        owner->events->on_refuse(owner, thread, state_refused(thread));
}
