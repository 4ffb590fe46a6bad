/* The guard from Lua: requests as tables, verdicts as tables. */
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "agent/guard.h"
#include "ground/memory.h"
#include "vm/compat.h"

#define TYPE "guard_probe"

static const char *const classes[] = {"metrics", "profile", "sensitive", "control"};

/* The table at the top still holds the text. */
static const char *text_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

static bool flag_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

static unsigned number_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    unsigned number = (unsigned)lua_tonumber(L, -1);
    lua_pop(L, 1);
    return number;
}

static size_t read_hosts(lua_State *L, const char **hosts, size_t most)
{
    size_t count = 0;
    lua_getfield(L, -1, "hosts");
    while (!lua_isnil(L, -1) && count < most) {
        lua_rawgeti(L, -1, (int)count + 1);
        hosts[count] = lua_tostring(L, -1);
        lua_pop(L, 1);
        if (!hosts[count])
            break;
        count++;
    }
    lua_pop(L, 1);
    return count;
}

static struct rtm_guard *guard_of(lua_State *L)
{
    return luaL_checkudata(L, 1, TYPE);
}

/* new{hosts=, token=, token_file=, open=bits, unix=, port=} -> guard or nil, message */
static int probe_new(lua_State *L)
{
    struct rtm_error err = {{0}};
    struct rtm_guard_options options = {0};
    const char *hosts[2 * RTM_GUARD_HOSTS_MAX];
    lua_settop(L, 1);
    luaL_checktype(L, 1, LUA_TTABLE);
    options.host_count = read_hosts(L, hosts, RTM_COUNT_OF(hosts));
    options.hosts = hosts;
    options.token = text_field(L, "token");
    options.token_file = text_field(L, "token_file");
    options.open_classes = number_field(L, "open");
    bool is_unix = flag_field(L, "unix");
    unsigned port = number_field(L, "port");
    struct rtm_guard *guard = lua_newuserdata(L, sizeof *guard);
    if (!rtm_guard_init(guard, &options, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    guard->is_unix = is_unix;
    guard->port = port;
    luaL_getmetatable(L, TYPE);
    lua_setmetatable(L, -2);
    return 1;
}

static int probe_collect(lua_State *L)
{
    rtm_guard_fini(guard_of(L));
    return 0;
}

static int probe_has_token(lua_State *L)
{
    lua_pushboolean(L, rtm_guard_has_token(guard_of(L)));
    return 1;
}

static void read_request(lua_State *L, struct rtm_guard_request *request)
{
    *request = (struct rtm_guard_request){
        .method = text_field(L, "method"),
        .version = text_field(L, "version"),
        .path = text_field(L, "path"),
        .has_nul = flag_field(L, "has_nul"),
        .host = text_field(L, "host"),
        .origin = text_field(L, "origin"),
        .fetch_site = text_field(L, "fetch_site"),
        .authorization = text_field(L, "authorization"),
        .content_length = text_field(L, "content_length"),
        .transfer_encoding = text_field(L, "transfer_encoding"),
        .is_framed_badly = flag_field(L, "is_framed_badly"),
        .local_host = text_field(L, "local_host"),
        .is_loopback = flag_field(L, "is_loopback"),
        .host_count = number_field(L, "host_count"),
        .authorization_count = number_field(L, "authorization_count"),
        .content_length_count = number_field(L, "content_length_count"),
        .transfer_encoding_count = number_field(L, "transfer_encoding_count"),
    };
}

static enum rtm_route_class class_of(const char *name)
{
    int class = 0;
    while (strcmp(classes[class], name) != 0)
        class += 1;
    return (enum rtm_route_class) class;
}

/* route = {class="control", methods=bits}, or nothing: there is no such page */
static bool read_route(lua_State *L, struct rtm_route *route)
{
    lua_getfield(L, -1, "route");
    bool is_there = lua_istable(L, -1);
    if (is_there) {
        *route = (struct rtm_route){
            .path = "/page",
            .help = "A page.",
            .class = class_of(text_field(L, "class")),
            .methods = number_field(L, "methods"),
        };
    }
    lua_pop(L, 1);
    return is_there;
}

static void push_verdict(lua_State *L, const struct rtm_guard_verdict *verdict)
{
    lua_newtable(L);
    lua_pushinteger(L, verdict->status);
    lua_setfield(L, -2, "status");
    lua_pushstring(L, verdict->text);
    lua_setfield(L, -2, "text");
    lua_pushstring(L, verdict->header_name);
    lua_setfield(L, -2, "header_name");
    lua_pushstring(L, verdict->header_value);
    lua_setfield(L, -2, "header_value");
    lua_pushboolean(L, verdict->must_close);
    lua_setfield(L, -2, "must_close");
}

/* guard:judge(request) -> verdict */
static int probe_judge(lua_State *L)
{
    struct rtm_guard_request request;
    struct rtm_route route;
    struct rtm_guard_verdict verdict;
    struct rtm_guard *guard = guard_of(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    read_request(L, &request);
    rtm_guard_judge(guard, &request, read_route(L, &route) ? &route : NULL, &verdict);
    push_verdict(L, &verdict);
    return 1;
}

/* parse_host(text) -> name, port; or nothing */
static int probe_parse_host(lua_State *L)
{
    struct rtm_guard_host host;
    if (!rtm_guard_host_parse(luaL_checkstring(L, 1), &host))
        return 0;
    lua_pushstring(L, host.name);
    lua_pushinteger(L, (lua_Integer)host.port);
    return 2;
}

/* fail_after(successes): our next request for memory after so many fails, and all after it; nil:
   none */
static int probe_fail_after(lua_State *L)
{
    bool is_off = lua_isnoneornil(L, 1);
    rtm_memory_fail_after(is_off ? 0 : (uint64_t)luaL_checkinteger(L, 1), is_off ? 0 : 1 << 30);
    return 0;
}

/* descriptors(n): no more than n from now on; without n: as many as before. For a process that is
   out of them. */
static int probe_descriptors(lua_State *L)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = lua_isnoneornil(L, 1) ? limit.rlim_max : (rlim_t)luaL_checkinteger(L, 1);
    lua_pushboolean(L, setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return 1;
}

static int probe_sleep_ms(lua_State *L)
{
    lua_Integer ms = luaL_checkinteger(L, 1);
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
    return 0;
}

static const luaL_Reg functions[] = {
    {"new", probe_new},
    {"parse_host", probe_parse_host},
    {"fail_after", probe_fail_after},
    {"descriptors", probe_descriptors},
    {"sleep_ms", probe_sleep_ms},
    {NULL, NULL},
};

static const luaL_Reg methods[] = {
    {"judge", probe_judge},
    {"has_token", probe_has_token},
    {"__gc", probe_collect},
    {NULL, NULL},
};

int luaopen_guard_probe(lua_State *L)
{
    luaL_newmetatable(L, TYPE);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    rtm_compat_setfuncs(L, methods, 0);
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
