#include "vm/compat.h"
#include "vm/resume_lua.h"
#include "vm/vm.h"

static const struct rtm_vm_traits traits = {
    .name = "Lua 5.4",
    .kind_tags = {[RTM_VM_KIND_STRING] = LUA_TSTRING,
                  [RTM_VM_KIND_TABLE] = LUA_TTABLE,
                  [RTM_VM_KIND_FUNCTION] = LUA_TFUNCTION,
                  [RTM_VM_KIND_USERDATA] = LUA_TUSERDATA,
                  [RTM_VM_KIND_THREAD] = LUA_TTHREAD,
                  /* the two collectable kinds that no Lua value has, numbered after the others
                     (lobject.h) */
                  [RTM_VM_KIND_UPVALUE] = LUA_NUMTYPES,
                  [RTM_VM_KIND_PROTO] = LUA_NUMTYPES + 1},
    .tells_kinds = true,
    .tells_threads = true,
    .owns_coroutines = true,
    .tells_stopped = true,
    .has_generational = true,
};

const struct rtm_vm_traits *rtm_vm_traits(void)
{
    return &traits;
}

struct lua_State *rtm_vm_main_thread(struct lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main_thread = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main_thread;
}

enum rtm_vm_collector rtm_vm_collector(struct lua_State *L)
{
    int answer = lua_gc(L, LUA_GCISRUNNING);
    if (answer < 0)
        return RTM_VM_COLLECTOR_BUSY;
    return answer ? RTM_VM_COLLECTOR_READY : RTM_VM_COLLECTOR_STOPPED;
}

bool rtm_vm_may_resume(struct lua_State *L, struct lua_State *co, int nargs)
{
    if (lua_checkstack(co, nargs))
        return true;
    lua_pushliteral(L, "too many arguments to resume");
    return false;
}

bool rtm_vm_may_return(struct lua_State *L, struct lua_State *co, int nresults)
{
    if (lua_checkstack(L, nresults + 1))
        return true;
    lua_pop(co, nresults);
    lua_pushliteral(L, "too many results to resume");
    return false;
}

int rtm_vm_raise_wrapped(struct lua_State *L, struct lua_State *co, struct rtm_vm_owner *owner)
{
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) {
        status = rtm_resume_lua_close(L, co, owner);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

void rtm_vm_check_body(struct lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
}

struct lua_State *rtm_vm_check_coroutine(struct lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "thread");
    return co;
}
