/* rtmetrics.agent.native: the natives under lua/rtmetrics/agent.lua, which documents what programs
   see and has checked the options.

     start(handle, listen, socket_mode, max_connections, deadline, restarts, token, token_file,
           open_classes, hosts) -> handle, with address, url and generation | nil, message
     stop(generation) -> stopped?        0: whichever runs
     status() -> {running, address, url, pid, started, connections, accepted, requests, refused,
                  failed, evicted, sent_bytes} */
#include <stdio.h>
#include <string.h>

#include "agent/server.h"
#include "core/api.h"
#include "vm/compat.h"

/* A second copy of this library, loaded from another path, hands out the first one's natives: there
   is one agent in a process. */
#define MODULE_KEY "rtmetrics.agent.native"
#define USER_KEY "rtmetrics.agent.user"

enum { ARGUMENTS = 10, URL_MAX = RTM_LISTEN_TEXT_MAX + 16 };

static const struct rtm_api *api_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static int failure(lua_State *L, const struct rtm_error *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->text);
    return 2;
}

/* --- What runs */

/* A browser on this machine gets to all addresses by one of them. */
static bool format_url(char *url, const char *address)
{
    const char *port = strrchr(address, ':');
    if (!port || strncmp(address, "unix:", 5) == 0)
        return false;
    bool is_everywhere = strncmp(address, "[::]:", 5) == 0 || strncmp(address, "0.0.0.0:", 8) == 0;
    int host_bytes = is_everywhere ? 0 : (int)(port - address);
    snprintf(url, URL_MAX, "http://%.*s%s%s", host_bytes, address, is_everywhere ? "127.0.0.1" : "",
             port);
    return true;
}

static void set_address(lua_State *L, const char *address)
{
    char url[URL_MAX];
    lua_pushstring(L, address);
    lua_setfield(L, -2, "address");
    if (format_url(url, address)) {
        lua_pushstring(L, url);
        lua_setfield(L, -2, "url");
    }
}

static void set_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

static void set_count(lua_State *L, const char *name, uint64_t value)
{
    rtm_compat_pushint(L, value);
    lua_setfield(L, -2, name);
}

static int status(lua_State *L)
{
    const struct rtm_agent_stats *stats = api_of(L)->agent_stats;
    struct rtm_server_status status;
    rtm_server_status(&status);
    lua_newtable(L);
    lua_pushboolean(L, status.running);
    lua_setfield(L, -2, "running");
    if (status.running) {
        set_address(L, status.address);
        set_count(L, "pid", (uint64_t)status.pid);
        set_number(L, "started", status.started_s);
    }
    set_count(L, "connections", rtm_atomic_get(&stats->connections));
    set_count(L, "accepted", rtm_atomic_get(&stats->accepted));
    set_count(L, "requests", rtm_atomic_get(&stats->requests));
    set_count(L, "refused", rtm_atomic_get(&stats->refused));
    set_count(L, "failed", rtm_atomic_get(&stats->failed));
    set_count(L, "evicted", rtm_atomic_get(&stats->evicted));
    set_count(L, "sent_bytes", rtm_atomic_get(&stats->sent_bytes));
    return 1;
}

/* --- Start and stop */

static const char *text_argument(lua_State *L, int index, const char *fallback)
{
    size_t length;
    const char *text = luaL_optlstring(L, index, fallback, &length);
    luaL_argcheck(L, !text || strlen(text) == length, index, "text with a NUL in it");
    return text;
}

/* The texts stay alive with their table. */
static size_t read_hosts(lua_State *L, int index, const char **hosts)
{
    size_t count = rtm_compat_rawlen(L, index);
    luaL_argcheck(L, count <= RTM_GUARD_HOSTS_MAX, index, "too many hosts");
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, index, "a host that is no string");
        hosts[i] = text_argument(L, -1, NULL);
        lua_pop(L, 1);
    }
    return count;
}

static void read_options(lua_State *L, struct rtm_server_options *options, const char **hosts)
{
    *options = (struct rtm_server_options){
        .listen = text_argument(L, 2, NULL),
        .socket_mode = (mode_t)luaL_checknumber(L, 3),
        .max_connections = (unsigned)luaL_checknumber(L, 4),
        .deadline_s = luaL_checknumber(L, 5),
        .on_fork = lua_toboolean(L, 6) ? RTM_SERVER_RESTART : RTM_SERVER_STOP,
        .guard.token = text_argument(L, 7, NULL),
        .guard.token_file = text_argument(L, 8, NULL),
        .guard.open_classes = (unsigned)luaL_checknumber(L, 9),
        .guard.hosts = hosts,
    };
    luaL_checktype(L, 10, LUA_TTABLE);
    options->guard.host_count = read_hosts(L, 10, hosts);
}

/* describe(handle, status): may raise for want of memory. */
static int describe(lua_State *L)
{
    const struct rtm_server_status *status = lua_touserdata(L, 2);
    lua_settop(L, 1);
    set_number(L, "generation", (double)status->generation);
    set_address(L, status->address);
    return 0;
}

static int start(lua_State *L)
{
    struct rtm_server_options options;
    const char *hosts[RTM_GUARD_HOSTS_MAX];
    struct rtm_error err;
    struct rtm_server_status status;
    lua_settop(L, ARGUMENTS);
    luaL_checktype(L, 1, LUA_TTABLE);
    read_options(L, &options, hosts);
    /* all that Lua has to allocate for the call comes before the start */
    luaL_checkstack(L, 4, NULL);
    lua_pushcfunction(L, describe);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, &status);
    if (!rtm_server_start(api_of(L), &options, &status, &err))
        return failure(L, &err);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        rtm_server_stop(status.generation);
        return lua_error(L);
    }
    lua_settop(L, 1);
    return 1;
}

static int stop(lua_State *L)
{
    lua_pushboolean(L, rtm_server_stop((uint64_t)luaL_checknumber(L, 1)));
    return 1;
}

/* --- The module */

/* The VM as a user of the agent: its last one's end stops it. */
static int remove_user(lua_State *L)
{
    bool *is_counted = lua_touserdata(L, 1);
    if (*is_counted)
        rtm_server_remove_user();
    *is_counted = false;
    return 0;
}

static void add_user(lua_State *L)
{
    bool *is_counted = lua_newuserdata(L, sizeof *is_counted);
    *is_counted = false;
    lua_newtable(L);
    lua_pushcfunction(L, remove_user);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, USER_KEY);
    *is_counted = true; /* the registry holds it */
    rtm_server_add_user();
}

static const struct rtm_api *find_api(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "rtmetrics.core");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "api");
    const struct rtm_api *api = lua_touserdata(L, -1);
    if (!api || api->version != RTM_API_VERSION)
        luaL_error(L,
                   "rtmetrics.agent: it was built for another version of rtmetrics; install both "
                   "of the same version");
    lua_pop(L, 2);
    return api;
}

static const luaL_Reg natives[] = {
    {"start", start}, {"stop", stop}, {"status", status}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_rtmetrics_agent_native(lua_State *L);

int luaopen_rtmetrics_agent_native(lua_State *L)
{
    struct rtm_error err;
    lua_getfield(L, LUA_REGISTRYINDEX, MODULE_KEY);
    if (lua_istable(L, -1))
        return 1;
    const struct rtm_api *api = find_api(L);
    if (!rtm_server_init(&err))
        return luaL_error(L, "rtmetrics.agent: %s", err.text);
    lua_newtable(L);
    lua_pushlightuserdata(L, (void *)api);
    rtm_compat_setfuncs(L, natives, 1);
    add_user(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, MODULE_KEY);
    return 1;
}
