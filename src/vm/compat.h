/* Lua's headers, and the calls that older Luas spell otherwise. Included in vm/ and in the bindings
 * alone. */
#ifndef RTM_VM_COMPAT_H
#define RTM_VM_COMPAT_H

#include <lua.h>

#include <lauxlib.h>
#include <lualib.h>

#ifdef LUAJIT_VERSION_NUM
#define RTM_COMPAT_LUAJIT 1
#elif defined(__has_include)
#if __has_include(<luajit.h>)
#define RTM_COMPAT_LUAJIT 1
#endif
#endif

#if LUA_VERSION_NUM != 501 && LUA_VERSION_NUM != 503 && LUA_VERSION_NUM != 504
#error "rtmetrics supports Lua 5.1, 5.3, 5.4 and LuaJIT 2.1; this is another version"
#endif

#if LUA_VERSION_NUM == 501

#define LUA_OK 0

static inline int rtm_compat_resume(lua_State *co, lua_State *from, int nargs, int *nresults)
{
    (void)from; /* 5.1 takes the C call depth from lua_setlevel */
    int status = lua_resume(co, nargs);
    *nresults = lua_gettop(co);
    return status;
}

static inline void rtm_compat_rawgetp(lua_State *L, int index, const void *key)
{
    lua_pushlightuserdata(L, (void *)key);
    lua_rawget(L, index < 0 && index > LUA_REGISTRYINDEX ? index - 1 : index);
}

static inline void rtm_compat_rawsetp(lua_State *L, int index, const void *key)
{
    lua_pushlightuserdata(L, (void *)key);
    lua_insert(L, -2);
    lua_rawset(L, index < 0 && index > LUA_REGISTRYINDEX ? index - 1 : index);
}

static inline void rtm_compat_setfuncs(lua_State *L, const luaL_Reg *functions, int nupvalues)
{
    for (; functions->name; functions++) {
        for (int i = 0; i < nupvalues; i++)
            lua_pushvalue(L, -nupvalues);
        lua_pushcclosure(L, functions->func, nupvalues);
        lua_setfield(L, -(nupvalues + 2), functions->name);
    }
    lua_pop(L, nupvalues);
}

#define rtm_compat_rawlen(L, index) lua_objlen(L, index)
#define rtm_compat_optint(L, arg, fallback) luaL_optint(L, arg, fallback)
#define rtm_compat_pushint(L, value) lua_pushnumber(L, (lua_Number)(value))
#define rtm_compat_gc(L, what, a, b, c) lua_gc(L, what, a)

#else

static inline int rtm_compat_resume(lua_State *co, lua_State *from, int nargs, int *nresults)
{
#if LUA_VERSION_NUM == 503
    int status = lua_resume(co, from, nargs);
    *nresults = lua_gettop(co);
    return status;
#else
    return lua_resume(co, from, nargs, nresults);
#endif
}

#define rtm_compat_rawgetp(L, index, key) ((void)lua_rawgetp(L, index, key))
#define rtm_compat_rawsetp(L, index, key) lua_rawsetp(L, index, key)
#define rtm_compat_setfuncs(L, functions, nupvalues) luaL_setfuncs(L, functions, nupvalues)
#define rtm_compat_rawlen(L, index) lua_rawlen(L, index)
#define rtm_compat_optint(L, arg, fallback) ((int)luaL_optinteger(L, arg, fallback))
#define rtm_compat_pushint(L, value) lua_pushinteger(L, (lua_Integer)(value))
#if LUA_VERSION_NUM == 503
#define rtm_compat_gc(L, what, a, b, c) lua_gc(L, what, a)
#else
#define rtm_compat_gc(L, what, a, b, c) lua_gc(L, what, a, b, c)
#endif

#endif

#endif
