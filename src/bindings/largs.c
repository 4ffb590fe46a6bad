#include "bindings/largs.h"

struct rtm_context *rtm_largs_context(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

void rtm_largs_register(lua_State *L, const luaL_Reg *functions, struct rtm_context *cx)
{
    lua_pushlightuserdata(L, cx);
    rtm_compat_setfuncs(L, functions, 1);
}

int rtm_largs_failure(lua_State *L, const struct rtm_error *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->text);
    return 2;
}

void rtm_largs_set_integer(lua_State *L, const char *name, uint64_t value)
{
    rtm_compat_pushint(L, value);
    lua_setfield(L, -2, name);
}

void rtm_largs_set_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

void rtm_largs_set_string(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}
