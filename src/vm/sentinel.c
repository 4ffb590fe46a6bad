#include "vm/sentinel.h"

#include "vm/compat.h"
#include "vm/events.h"

#define KEY "rtmetrics.sentinel"

/* A userdata, since tables have no finalizers everywhere. The registry holds its metatable, and
   with it the permission to make a successor. */
static void make_sentinel(lua_State *L)
{
    lua_newuserdata(L, sizeof(void *));
    lua_getfield(L, LUA_REGISTRYINDEX, KEY);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

/* Observing may have been stopped and started since this one was made: then it has a successor of
 * another kind. */
static bool is_of_now(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, KEY);
    bool is_same = lua_getmetatable(L, 1) && lua_rawequal(L, -1, -2);
    lua_settop(L, 1);
    return is_same;
}

/* An error must not leave a finalizer: before 5.4 it would come out of whatever the program does.
   Without memory there is no successor, and cycles are not told until the next start; what counts
   them is bad from then on. */
static int make_successor(lua_State *L)
{
    make_sentinel(L);
    return 0;
}

static int on_finalized(lua_State *L)
{
    struct rtm_vm_owner *owner = lua_touserdata(L, lua_upvalueindex(1));
    if (!is_of_now(L))
        return 0;
    lua_pushvalue(L, lua_upvalueindex(2));
    bool goes_on = lua_pcall(L, 0, 0, 0) == LUA_OK;
    lua_settop(L, 1);
    owner->events->on_sentinel(owner, goes_on, L);
    return 0;
}

void rtm_sentinel_start(struct lua_State *L, struct rtm_vm_owner *owner)
{
    luaL_checkstack(L, 4, NULL);
    lua_createtable(L, 0, 1);
    lua_pushlightuserdata(L, owner);
    lua_pushcfunction(L, make_successor); /* at hand: nothing is made before it is called */
    lua_pushcclosure(L, on_finalized, 2);
    lua_setfield(L, -2, "__gc");
    lua_setfield(L, LUA_REGISTRYINDEX, KEY);
    make_sentinel(L);
}

void rtm_sentinel_stop(struct lua_State *L)
{
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, KEY);
}
