#include "vm/resume_lua.h"

#include "ground/check.h"
#include "vm/announce.h"
#include "vm/compat.h"
#include "vm/events.h"
#include "vm/replaced.h"
#include "vm/vm.h"

#define GROUP "rtmetrics.replaced.coroutine"

/* Upvalues: the owner comes last, so that the thread of a wrapped coroutine stays the first. */
enum { RESUME_OWNER = 1, WRAP_THREAD = 1, WRAP_OWNER = 2 };

/* Number of results moved to L, or -1 with an error value there. */
static int resume(lua_State *L, lua_State *co, int nargs, struct rtm_vm_owner *owner)
{
    if (!rtm_vm_may_resume(L, co, nargs))
        return -1;
    bool is_announced = owner->events->on_resume(owner, L, co, 0);
    lua_xmove(L, co, nargs);
    int nresults = 0;
    int status = rtm_compat_resume(co, L, nargs, &nresults);
    if (is_announced && RTM_LIKELY(status == LUA_YIELD))
        owner->events->on_suspend(owner, co, RTM_COROUTINE_SUSPENDED);
    else if (is_announced)
        rtm_announce_return(owner, co, status);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!rtm_vm_may_return(L, co, nresults))
        return -1;
    lua_xmove(co, L, nresults);
    return nresults;
}

static int co_resume(lua_State *L)
{
    lua_State *co = rtm_vm_check_coroutine(L);
    int nresults =
        resume(L, co, lua_gettop(L) - 1, lua_touserdata(L, lua_upvalueindex(RESUME_OWNER)));
    lua_pushboolean(L, nresults >= 0);
    int returned = nresults >= 0 ? nresults : 1;
    lua_insert(L, -(returned + 1));
    return returned + 1;
}

static int call_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(WRAP_THREAD));
    struct rtm_vm_owner *owner = lua_touserdata(L, lua_upvalueindex(WRAP_OWNER));
    int nresults = resume(L, co, lua_gettop(L), owner);
    return nresults >= 0 ? nresults : rtm_vm_raise_wrapped(L, co, owner);
}

static lua_State *create(lua_State *L, struct rtm_vm_owner *owner)
{
    rtm_vm_check_body(L);
    lua_State *co = lua_newthread(L);
    owner->events->on_create(owner, L, co);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return co;
}

static int co_create(lua_State *L)
{
    create(L, lua_touserdata(L, lua_upvalueindex(RESUME_OWNER)));
    return 1;
}

static int co_wrap(lua_State *L)
{
    create(L, lua_touserdata(L, lua_upvalueindex(RESUME_OWNER)));
    lua_pushvalue(L, lua_upvalueindex(RESUME_OWNER));
    lua_pushcclosure(L, call_wrapped, WRAP_OWNER);
    return 1;
}

#if LUA_VERSION_NUM == 504

int rtm_resume_lua_close(struct lua_State *L, struct lua_State *co, struct rtm_vm_owner *owner)
{
    bool is_announced = owner->events->on_close_begin(owner, L, co);
    int status = lua_resetthread(co);
    if (is_announced)
        owner->events->on_close_end(owner, co);
    return status;
}

static int co_close(lua_State *L)
{
    lua_State *co = rtm_vm_check_coroutine(L);
    enum rtm_coroutine_state state = co == L ? RTM_COROUTINE_RUNNING : rtm_vm_thread_state(co);
    if (state == RTM_COROUTINE_RUNNING || state == RTM_COROUTINE_NORMAL)
        return luaL_error(L, "cannot close a %s coroutine",
                          state == RTM_COROUTINE_RUNNING ? "running" : "normal");
    int status = rtm_resume_lua_close(L, co, lua_touserdata(L, lua_upvalueindex(RESUME_OWNER)));
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK)
        return 1;
    lua_xmove(co, L, 1);
    return 2;
}

#endif

static const struct luaL_Reg functions[] = {
    {"resume", co_resume}, {"wrap", co_wrap}, {"create", co_create},
#if LUA_VERSION_NUM == 504
    {"close", co_close},
#endif
    {NULL, NULL},
};

/* Only where the library has a function do we stand in for it; create only where nothing else tells
 * new threads. */
static void replace(lua_State *L, const luaL_Reg *function, struct rtm_vm_owner *owner)
{
    if (function->func == co_create && rtm_vm_traits()->tells_threads)
        return;
    if (!rtm_replaced_push(L, function->name))
        return;
    lua_pop(L, 1);
    lua_pushlightuserdata(L, owner);
    lua_pushcclosure(L, function->func, 1);
    rtm_replaced_set(L, GROUP, function->name);
}

void rtm_resume_lua_attach(struct lua_State *L, struct rtm_vm_owner *owner)
{
    luaL_checkstack(L, 4, NULL);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, LUA_COLIBNAME);
    if (lua_istable(L, -1)) {
        for (const luaL_Reg *function = functions; function->name; function++)
            replace(L, function, owner);
    }
    lua_pop(L, 2);
}

void rtm_resume_lua_detach(struct lua_State *L)
{
    luaL_checkstack(L, 4, NULL);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, LUA_COLIBNAME);
    if (lua_istable(L, -1))
        rtm_replaced_restore(L, GROUP);
    lua_pop(L, 2);
}
