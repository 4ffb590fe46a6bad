#include "vm/collect_lua.h"

#include <stdbool.h>
#include <stddef.h>

#include "ground/check.h"
#include "vm/compat.h"
#include "vm/events.h"
#include "vm/replaced.h"

#define GROUP "rtmetrics.replaced.collectgarbage"

enum answer { ANSWER_NUMBER, ANSWER_KBYTES, ANSWER_BOOLEAN, ANSWER_MODE };

struct option {
    const char *name;
    int request;
    enum answer answer;
    int announced; /* an rtm_collect_what, or -1 */
};

static const struct option options[] = {
    {"stop", LUA_GCSTOP, ANSWER_NUMBER, RTM_COLLECT_STOP},
    {"restart", LUA_GCRESTART, ANSWER_NUMBER, RTM_COLLECT_RESTART},
    {"collect", LUA_GCCOLLECT, ANSWER_NUMBER, RTM_COLLECT_FULL},
    {"count", LUA_GCCOUNT, ANSWER_KBYTES, -1},
    {"step", LUA_GCSTEP, ANSWER_BOOLEAN, RTM_COLLECT_STEP},
    {"setpause", LUA_GCSETPAUSE, ANSWER_NUMBER, RTM_COLLECT_PARAMETER},
    {"setstepmul", LUA_GCSETSTEPMUL, ANSWER_NUMBER, -1},
#ifdef LUA_GCISRUNNING
    {"isrunning", LUA_GCISRUNNING, ANSWER_BOOLEAN, -1},
#endif
#ifdef LUA_GCGEN
    {"generational", LUA_GCGEN, ANSWER_MODE, RTM_COLLECT_GENERATIONAL},
    {"incremental", LUA_GCINC, ANSWER_MODE, RTM_COLLECT_INCREMENTAL},
#endif
    {NULL, 0, 0, -1},
};

static const struct option *check_option(lua_State *L)
{
    const char *names[RTM_COUNT_OF(options)];
    for (size_t i = 0; i < RTM_COUNT_OF(options); i++)
        names[i] = options[i].name;
    if (!lua_isnoneornil(L, 1))
        luaL_checkstring(L, 1); /* LuaJIT's luaL_checkoption would take the default for a table */
    return &options[luaL_checkoption(L, 1, "collect", names)];
}

/* Lua reads one number for most options, two or three for the modes; asking for more would raise
 * where it does not. */
static int optional_number(lua_State *L, const struct option *option, int arg)
{
    int last = option->answer == ANSWER_MODE ? 4 : 2;
    bool is_read = arg <= last;
#if LUA_VERSION_NUM == 504
    is_read = option->request == LUA_GCINC   ? arg <= 4
              : option->request == LUA_GCGEN ? arg <= 3
                                             : arg == 2 && (option->request == LUA_GCSTEP ||
                                                            option->request == LUA_GCSETPAUSE ||
                                                            option->request == LUA_GCSETSTEPMUL);
#endif
    return is_read ? rtm_compat_optint(L, arg, 0) : 0;
}

static void push_answer(lua_State *L, const struct option *option, int result)
{
#if LUA_VERSION_NUM == 504
    if (result == -1) { /* asked inside a finalizer */
        luaL_pushfail(L);
        return;
    }
#endif
    switch (option->answer) {
    case ANSWER_KBYTES:
        lua_pushnumber(L, (lua_Number)result + (lua_Number)lua_gc(L, LUA_GCCOUNTB, 0) / 1024);
        break;
    case ANSWER_BOOLEAN:
        lua_pushboolean(L, result);
        break;
#ifdef LUA_GCGEN
    case ANSWER_MODE:
        lua_pushstring(L, result == LUA_GCGEN ? "generational" : "incremental");
        break;
#endif
    default:
        rtm_compat_pushint(L, result);
        break;
    }
}

/* Before 5.4 an error in a finalizer comes out of a call that collects: it is caught, so that the
   end is told, and raised again. The function for that is at hand as an upvalue: nothing is
   allocated for the call. */
enum { UP_OWNER = 1, UP_PROTECTED };

#if LUA_VERSION_NUM == 504

static void push_protected(lua_State *L)
{
    lua_pushnil(L);
}

static int collect(lua_State *L, int what, const int numbers[3], int *result)
{
    *result = lua_gc(L, what, numbers[0], numbers[1], numbers[2]);
    return LUA_OK;
}

#else

static int collect_protected(lua_State *L)
{
    int *result = lua_touserdata(L, 1);
    *result = lua_gc(L, *result, (int)lua_tointeger(L, 2));
    return 0;
}

static void push_protected(lua_State *L)
{
    lua_pushcfunction(L, collect_protected);
}

static int collect(lua_State *L, int what, const int numbers[3], int *result)
{
    *result = what;
    luaL_checkstack(L, 3, NULL);
    lua_pushvalue(L, lua_upvalueindex(UP_PROTECTED));
    lua_pushlightuserdata(L, result);
    lua_pushinteger(L, numbers[0]);
    return lua_pcall(L, 2, 0, 0);
}

#endif

static int collect_announced(lua_State *L, const struct option *option, const int numbers[3])
{
    struct rtm_vm_owner *owner = lua_touserdata(L, lua_upvalueindex(UP_OWNER));
    enum rtm_collect_what what = (enum rtm_collect_what)option->announced;
    bool is_announced = owner->events->on_collect_begin(owner, what, numbers[0]);
    int result;
    int status = collect(L, option->request, numbers, &result);
    if (is_announced)
        owner->events->on_collect_end(owner, what, L);
    return status == LUA_OK ? result : lua_error(L);
}

static int collectgarbage(lua_State *L)
{
    const struct option *option = check_option(L);
    int numbers[] = {optional_number(L, option, 2), optional_number(L, option, 3),
                     optional_number(L, option, 4)};
    int result = option->announced >= 0
                     ? collect_announced(L, option, numbers)
                     : rtm_compat_gc(L, option->request, numbers[0], numbers[1], numbers[2]);
    push_answer(L, option, result);
    return 1;
}

/* The same from our own code: what collectgarbage("collect") does. */
static int collect_all(lua_State *L)
{
    static const struct option full = {"collect", LUA_GCCOLLECT, ANSWER_NUMBER, RTM_COLLECT_FULL};
    static const int none[3] = {0, 0, 0};
    lua_pushboolean(L, collect_announced(L, &full, none) >= 0);
    return 1;
}

static void push_globals(lua_State *L)
{
#if LUA_VERSION_NUM == 501
    lua_pushvalue(L, LUA_GLOBALSINDEX);
#else
    lua_pushglobaltable(L);
#endif
}

void rtm_collect_lua_attach(struct lua_State *L, struct rtm_vm_owner *owner)
{
    luaL_checkstack(L, 4, NULL);
    push_globals(L);
    if (rtm_replaced_push(L, "collectgarbage")) {
        lua_pop(L, 1);
        lua_pushlightuserdata(L, owner);
        push_protected(L);
        lua_pushcclosure(L, collectgarbage, 2);
        rtm_replaced_set(L, GROUP, "collectgarbage");
    }
    lua_pop(L, 1);
}

void rtm_collect_lua_detach(struct lua_State *L)
{
    luaL_checkstack(L, 2, NULL);
    push_globals(L);
    rtm_replaced_restore(L, GROUP);
    lua_pop(L, 1);
}

bool rtm_collect_lua_run(struct lua_State *L, struct rtm_vm_owner *owner)
{
    luaL_checkstack(L, 4, NULL);
    lua_pushlightuserdata(L, owner);
    push_protected(L);
    lua_pushcclosure(L, collect_all, 2);
    lua_call(L, 0, 1);
    bool has_run = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return has_run;
}
