#include "vm/compat.h"
#include "vm/resume_lua.h"
#include "vm/vm.h"

static const struct rtm_vm_traits traits = {
    .name = "Lua 5.1",
    .owns_coroutines = true,
};

const struct rtm_vm_traits *rtm_vm_traits(void)
{
    return &traits;
}

struct lua_State *rtm_vm_main_thread(struct lua_State *L)
{
    int is_main = lua_pushthread(L);
    lua_pop(L, 1);
    return is_main ? L : NULL;
}

enum rtm_vm_collector rtm_vm_collector(struct lua_State *L)
{
    (void)L; /* 5.1 has no way to ask */
    return RTM_VM_COLLECTOR_READY;
}

bool rtm_vm_may_resume(struct lua_State *L, struct lua_State *co, int nargs)
{
    enum rtm_coroutine_state state = co == L ? RTM_COROUTINE_RUNNING : rtm_vm_thread_state(co);
    if (!lua_checkstack(co, nargs))
        luaL_error(L, "too many arguments to resume");
    if (state == RTM_COROUTINE_SUSPENDED || state == RTM_COROUTINE_NEVER_STARTED) {
        lua_setlevel(L, co);
        return true;
    }
    lua_pushfstring(L, "cannot resume %s coroutine",
                    state == RTM_COROUTINE_RUNNING  ? "running"
                    : state == RTM_COROUTINE_NORMAL ? "normal"
                                                    : "dead");
    return false;
}

bool rtm_vm_may_return(struct lua_State *L, struct lua_State *co, int nresults)
{
    (void)co;
    if (!lua_checkstack(L, nresults + 1))
        luaL_error(L, "too many results to resume");
    return true;
}

int rtm_vm_raise_wrapped(struct lua_State *L, struct lua_State *co, struct rtm_vm_owner *owner)
{
    (void)co; /* a failed coroutine is left as it is */
    (void)owner;
    if (lua_isstring(L, -1)) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

void rtm_vm_check_body(struct lua_State *L)
{
    luaL_argcheck(L, lua_isfunction(L, 1) && !lua_iscfunction(L, 1), 1, "Lua function expected");
}

struct lua_State *rtm_vm_check_coroutine(struct lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argcheck(L, co, 1, "coroutine expected");
    return co;
}
