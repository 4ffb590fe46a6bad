#include "vm/load_lua.h"

#include <stdbool.h>

#include "vm/compat.h"
#include "vm/events.h"
#include "vm/replaced.h"

#define LIBRARY_GROUP "rtmetrics.replaced.package"
#define SEARCHER_GROUP "rtmetrics.replaced.searchers"

#if LUA_VERSION_NUM == 501
#define SEARCHERS "loaders"
#else
#define SEARCHERS "searchers"
#endif

/* Calls the function that we stand in for and tells the owner. */
static int load(lua_State *L)
{
    struct rtm_vm_owner *owner = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    owner->events->on_load(owner);
    return lua_gettop(L);
}

static bool push_package(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "package");
    lua_remove(L, -2);
    return lua_istable(L, -1);
}

/* With the function to stand in for at the top: puts our closure in its place. */
static void wrap_loader(lua_State *L, struct rtm_vm_owner *owner)
{
    lua_pushlightuserdata(L, owner);
    lua_insert(L, -2);
    lua_pushcclosure(L, load, 2);
}

static void wrap_loadlib(lua_State *L, struct rtm_vm_owner *owner)
{
    if (!rtm_replaced_push(L, "loadlib"))
        return;
    wrap_loader(L, owner);
    rtm_replaced_set(L, LIBRARY_GROUP, "loadlib");
}

/* The C searcher and the all-in-one searcher stand third and fourth (Lua manual,
 * package.searchers). */
static void wrap_searchers(lua_State *L, struct rtm_vm_owner *owner)
{
    enum { C_SEARCHER = 3, ROOT_SEARCHER = 4 };
    lua_getfield(L, -1, SEARCHERS);
    for (int i = C_SEARCHER; lua_istable(L, -1) && i <= ROOT_SEARCHER; i++) {
        lua_rawgeti(L, -1, i);
        if (!lua_iscfunction(L, -1)) {
            lua_pop(L, 1);
            continue;
        }
        wrap_loader(L, owner);
        rtm_replaced_seti(L, SEARCHER_GROUP, i);
    }
    lua_pop(L, 1);
}

void rtm_load_lua_attach(struct lua_State *L, struct rtm_vm_owner *owner)
{
    luaL_checkstack(L, 6, NULL);
    if (push_package(L)) {
        wrap_loadlib(L, owner);
        wrap_searchers(L, owner);
    }
    lua_pop(L, 1);
}

void rtm_load_lua_detach(struct lua_State *L)
{
    luaL_checkstack(L, 6, NULL);
    if (push_package(L)) {
        rtm_replaced_restore(L, LIBRARY_GROUP);
        lua_getfield(L, -1, SEARCHERS);
        if (lua_istable(L, -1))
            rtm_replaced_restore(L, SEARCHER_GROUP);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}
