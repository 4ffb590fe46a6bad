/* rtmetrics.core: the natives under lua/rtmetrics/, which document what programs see.

     start(heap, gc, sched, sched_full, process) -> true | nil, message      stop()
     api: struct rtm_api of core/api.h, for our other shared objects and FFI users */
#include <stdbool.h>

#include "bindings/largs.h"
#include "bindings/lcoroutine.h"
#include "bindings/lgc.h"
#include "bindings/lmemstats.h"
#include "bindings/lmetrics.h"
#include "bindings/lprocess.h"
#include "bindings/lroutes.h"
#include "bindings/lseries.h"
#include "core/api.h"
#include "core/lifecycle.h"

/* Starting makes closures and tables, and may raise half-way for want of memory: it runs protected,
 * and is undone then. */
static int start_protected(lua_State *L)
{
    struct rtm_context *cx = lua_touserdata(L, 1);
    struct rtm_lifecycle_choice choice = {.heap = lua_toboolean(L, 2),
                                          .gc = lua_toboolean(L, 3),
                                          .sched = lua_toboolean(L, 4),
                                          .sched_full = lua_toboolean(L, 5),
                                          .process = lua_toboolean(L, 6)};
    struct rtm_error err;
    if (rtm_lifecycle_start(cx, L, &choice, &err)) {
        lua_pushboolean(L, true);
        return 1;
    }
    return rtm_largs_failure(L, &err);
}

static int stop_protected(lua_State *L)
{
    rtm_lifecycle_stop(lua_touserdata(L, 1), L);
    return 0;
}

static int start(lua_State *L)
{
    struct rtm_context *cx = rtm_largs_context(L);
    lua_settop(L, 5);
    lua_pushcfunction(L, start_protected);
    lua_insert(L, 1);
    lua_pushlightuserdata(L, cx);
    lua_insert(L, 2);
    if (lua_pcall(L, 6, 2, 0) == LUA_OK)
        return 2;
    lua_pushcfunction(L, stop_protected);
    lua_pushlightuserdata(L, cx);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        lua_pop(L, 1); /* the first error tells more */
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

static int stop(lua_State *L)
{
    rtm_lifecycle_stop(rtm_largs_context(L), L);
    return 0;
}

static const luaL_Reg natives[] = {{"start", start}, {"stop", stop}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_rtmetrics_core(lua_State *L);

/* A second copy of this library, loaded from another path, hands out the first one's natives: what
   the first has patched and replaced, its own code must give back. */
#define MODULE_KEY "rtmetrics.core"

int luaopen_rtmetrics_core(lua_State *L)
{
    struct rtm_error err;
    lua_getfield(L, LUA_REGISTRYINDEX, MODULE_KEY);
    if (lua_istable(L, -1))
        return 1;
    struct rtm_context *cx = rtm_lifecycle_open(L, &err);
    if (!cx)
        return luaL_error(L, "%s", err.text);
    lua_newtable(L);
    rtm_largs_register(L, natives, cx);
    rtm_lgc_register(L, cx);
    rtm_lmetrics_register(L, cx);
    rtm_lcoroutine_register(L, cx);
    rtm_lmemstats_register(L, cx);
    rtm_lprocess_register(L, cx);
    rtm_lroutes_register(L, cx);
    rtm_lseries_register(L, &cx->series);
    lua_pushlightuserdata(L, (void *)&rtm_api);
    lua_setfield(L, -2, "api");
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, MODULE_KEY);
    return 1;
}
