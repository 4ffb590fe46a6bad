#include "vm/compat.h"
#include "vm/resume_lua.h"
#include "vm/vm.h"

static const struct rtm_vm_traits traits = {
    .name = "Lua 5.3",
    /* protos carry the tag that follows the value kinds; upvalues are no objects of their own
       in 5.3 */
    .kind_tags = {[RTM_VM_KIND_STRING] = LUA_TSTRING,
                  [RTM_VM_KIND_TABLE] = LUA_TTABLE,
                  [RTM_VM_KIND_FUNCTION] = LUA_TFUNCTION,
                  [RTM_VM_KIND_USERDATA] = LUA_TUSERDATA,
                  [RTM_VM_KIND_THREAD] = LUA_TTHREAD,
                  [RTM_VM_KIND_PROTO] = LUA_NUMTAGS},
    .tells_kinds = true,
    .tells_threads = true,
    .owns_coroutines = true,
    .tells_stopped = true,
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
    return lua_gc(L, LUA_GCISRUNNING, 0) ? RTM_VM_COLLECTOR_READY : RTM_VM_COLLECTOR_STOPPED;
}

bool rtm_vm_may_resume(struct lua_State *L, struct lua_State *co, int nargs)
{
    const char *message = NULL;
    if (!lua_checkstack(co, nargs))
        message = "too many arguments to resume";
    else if (lua_status(co) == LUA_OK && lua_gettop(co) == 0)
        message = "cannot resume dead coroutine";
    if (message)
        lua_pushstring(L, message);
    return !message;
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
    (void)co; /* 5.3 leaves the failed coroutine as it is */
    (void)owner;
    if (lua_type(L, -1) == LUA_TSTRING) {
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
    luaL_argcheck(L, co, 1, "thread expected");
    return co;
}
