#include "vm/hook.h"

#include "vm/alloc.h"
#include "vm/attach.h"
#include "vm/compat.h"
#include "vm/events.h"

/* A thread that was created by one on which the hook was armed inherits it and comes here too;
   on_hook finds nothing to do then. */
static void on_hook(lua_State *L, lua_Debug *frame)
{
    (void)frame;
    lua_sethook(L, NULL, 0, 0);
    struct rtm_vm_owner *owner = rtm_alloc_owner(L); /* five times as fast as the registry */
    if (!owner)
        owner = rtm_attach_find(L, NULL);
    if (owner)
        owner->events->on_hook(owner, L);
}

bool rtm_hook_arm(struct lua_State *thread)
{
    lua_Hook present = lua_gethook(thread);
    if (present)
        return present == on_hook;
    /* the return event ends a pause inside a C function when the function does, not an instruction
     * later */
    lua_sethook(thread, on_hook, LUA_MASKCOUNT | LUA_MASKRET, 1);
    return true;
}

void rtm_hook_disarm(struct lua_State *thread)
{
    if (lua_gethook(thread) == on_hook)
        lua_sethook(thread, NULL, 0, 0);
}
