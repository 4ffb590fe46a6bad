#include "bindings/lprocess.h"

#include <stdbool.h>

#include "bindings/largs.h"
#include "os/malloc_stats.h"
#include "os/self.h"

static int threads(lua_State *L)
{
    enum { CAPACITY = 256 };
    struct rtm_error err;
    struct rtm_self_thread *list = lua_newuserdata(L, CAPACITY * sizeof *list);
    size_t listed, living;
    if (!rtm_self_list_threads(list, CAPACITY, &listed, &living, &err))
        return rtm_largs_failure(L, &err);
    lua_createtable(L, (int)listed, 0);
    for (size_t i = 0; i < listed; i++) {
        lua_createtable(L, 0, 5);
        rtm_largs_set_integer(L, "id", (uint64_t)list[i].id);
        rtm_largs_set_string(L, "name", list[i].name);
        rtm_largs_set_string(L, "state", rtm_self_thread_state(list[i].state));
        rtm_largs_set_number(L, "cpu_user", list[i].cpu_user_s);
        rtm_largs_set_number(L, "cpu_system", list[i].cpu_system_s);
        lua_rawseti(L, -2, (int)i + 1);
    }
    rtm_compat_pushint(L, living);
    return 2;
}

static int mallinfo(lua_State *L)
{
    struct rtm_error err;
    struct rtm_malloc_stats stats;
    if (!rtm_malloc_stats_read(&stats, &err))
        return rtm_largs_failure(L, &err);
    lua_createtable(L, 0, 9);
    rtm_largs_set_integer(L, "arena_bytes", stats.arena_bytes);
    rtm_largs_set_integer(L, "used_bytes", stats.used_bytes);
    rtm_largs_set_integer(L, "free_bytes", stats.free_bytes);
    rtm_largs_set_integer(L, "free_chunks", stats.free_chunks);
    rtm_largs_set_integer(L, "fast_free_bytes", stats.fast_free_bytes);
    rtm_largs_set_integer(L, "fast_free_chunks", stats.fast_free_chunks);
    rtm_largs_set_integer(L, "releasable_bytes", stats.releasable_bytes);
    rtm_largs_set_integer(L, "mapped_bytes", stats.mapped_bytes);
    rtm_largs_set_integer(L, "mapped_blocks", stats.mapped_blocks);
    return 1;
}

static const luaL_Reg natives[] = {{"threads", threads}, {"mallinfo", mallinfo}, {NULL, NULL}};

void rtm_lprocess_register(lua_State *L, struct rtm_context *cx)
{
    rtm_largs_register(L, natives, cx);
}
