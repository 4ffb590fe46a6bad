/* c_coroutines: coroutines that C makes with lua_newthread and runs with lua_resume, as HAProxy and
   cqueues do, and threads that are used again after lua_resetthread. `host` has what a script
   needs: host.new(f) thread   host.resume(thread, ...) status, ...   host.reset(thread) The script
   comes as the only argument. */
#include "hosts/host.h"

static lua_State *check_thread(lua_State *L)
{
    lua_State *thread = lua_tothread(L, 1);
    if (!thread)
        luaL_error(L, "thread expected");
    return thread;
}

static int new_thread(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *thread = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, thread, 1);
    return 1;
}

static int set_function(lua_State *L)
{
    lua_State *thread = check_thread(L);
    lua_pushvalue(L, 2);
    lua_xmove(L, thread, 1);
    return 0;
}

static int resume_thread(lua_State *L)
{
    lua_State *thread = check_thread(L);
    int arguments = lua_gettop(L) - 1, results = 0;
    lua_xmove(L, thread, arguments);
    int status = rtm_compat_resume(thread, L, arguments, &results);
    if (status != 0 && status != LUA_YIELD)
        results = 1;
    lua_pushinteger(L, status);
    lua_xmove(thread, L, results);
    return results + 1;
}

static int reset_thread(lua_State *L)
{
    lua_State *thread = check_thread(L);
#if LUA_VERSION_NUM >= 504
    lua_pushinteger(L, lua_resetthread(thread));
#else
    lua_settop(thread, 0);
    lua_pushinteger(L, lua_status(thread));
#endif
    return 1;
}

static const luaL_Reg functions[] = {{"new", new_thread},
                                     {"set", set_function},
                                     {"resume", resume_thread},
                                     {"reset", reset_thread},
                                     {NULL, NULL}};

int main(int argc, char **argv)
{
    if (argc != 2)
        host_fail("usage: c_coroutines SCRIPT");
    lua_State *L = host_open();
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    lua_setglobal(L, "host");
    if (luaL_loadfile(L, argv[1]) != 0 || lua_pcall(L, 0, 0, 0) != 0)
        host_fail("%s", host_message(L));
    lua_close(L);
    return 0;
}
