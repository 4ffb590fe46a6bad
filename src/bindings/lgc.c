#include "bindings/lgc.h"

#include <limits.h>
#include <stdbool.h>

#include "bindings/largs.h"
#include "core/runtime.h"

static int gc(lua_State *L)
{
    rtm_runtime_collect(rtm_largs_context(L), L);
    return 0;
}

static int setgcpercent(lua_State *L)
{
    int percent = (int)luaL_checkinteger(L, 1);
    int64_t previous;
    if (!rtm_runtime_set_percent(rtm_largs_context(L), L, percent, &previous))
        lua_pushnil(L);
    else
        rtm_compat_pushint(L, previous == INT64_MAX ? -1 : previous);
    return 1;
}

static int freeosmemory(lua_State *L)
{
    struct rtm_error err;
    bool released;
    if (!rtm_runtime_free_os_memory(rtm_largs_context(L), L, &released, &err))
        return rtm_largs_failure(L, &err);
    lua_pushboolean(L, released);
    return 1;
}

static int on_gc(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    rtm_compat_pushint(L, rtm_runtime_add_callback(rtm_largs_context(L), L));
    return 1;
}

static int off_gc(lua_State *L)
{
    rtm_runtime_remove_callback(rtm_largs_context(L), L, (int)luaL_checkinteger(L, 1));
    return 0;
}

static int pauses(lua_State *L)
{
    struct rtm_context *cx = rtm_largs_context(L);
    double duration_s, end_s;
    lua_newtable(L);
    for (int i = 0; rtm_runtime_recent_pause(cx, (unsigned)i, &duration_s, &end_s); i++) {
        lua_createtable(L, 2, 0);
        lua_pushnumber(L, duration_s);
        lua_rawseti(L, -2, 1);
        lua_pushnumber(L, end_s);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int monotonic(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)rtm_runtime_monotonic_ns() / 1e9);
    return 1;
}

static int wall(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)rtm_runtime_wall_ns() / 1e9);
    return 1;
}

static int about(lua_State *L)
{
    struct rtm_runtime_about about;
    rtm_runtime_describe(rtm_largs_context(L), &about);
    lua_createtable(L, 0, 5);
    rtm_largs_set_string(L, "vm", about.vm);
    rtm_largs_set_string(L, "clock", about.clock);
    rtm_largs_set_string(L, "clock_reason", about.clock_reason);
    rtm_largs_set_string(L, "gc_mode", about.gc_mode);
    rtm_largs_set_string(L, "allocator", about.allocator);
    return 1;
}

static const luaL_Reg natives[] = {{"gc", gc},
                                   {"setgcpercent", setgcpercent},
                                   {"freeosmemory", freeosmemory},
                                   {"on_gc", on_gc},
                                   {"off_gc", off_gc},
                                   {"pauses", pauses},
                                   {"clock", monotonic},
                                   {"wall", wall},
                                   {"about", about},
                                   {NULL, NULL}};

void rtm_lgc_register(lua_State *L, struct rtm_context *cx)
{
    rtm_largs_register(L, natives, cx);
}
