#include "vm/sentinel.h"

#include "vm/compat.h"
#include "vm/events.h"

#define KEY "rtmetrics.sentinel"

/* The sentinel is a table where tables have finalizers, a userdata elsewhere. The registry holds
   the metatable, and with it the permission to make a successor. */
static bool make_sentinel(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, KEY);
    bool goes_on = lua_istable(L, -1);
    if (goes_on) {
        lua_newuserdata(L, sizeof(void *));
        lua_insert(L, -2);
        lua_setmetatable(L, -2);
    }
    lua_pop(L, 1);
    return goes_on;
}

static int on_finalized(lua_State *L)
{
    struct rtm_vm_owner *owner = lua_touserdata(L, lua_upvalueindex(1));
    if (make_sentinel(L))
        owner->events->on_sentinel(owner, L);
    return 0;
}

void rtm_sentinel_start(struct lua_State *L, struct rtm_vm_owner *owner)
{
    luaL_checkstack(L, 4, NULL);
    lua_createtable(L, 0, 1);
    lua_pushlightuserdata(L, owner);
    lua_pushcclosure(L, on_finalized, 1);
    lua_setfield(L, -2, "__gc");
    lua_setfield(L, LUA_REGISTRYINDEX, KEY);
    make_sentinel(L);
}

void rtm_sentinel_stop(struct lua_State *L)
{
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, KEY);
}
