#include "bindings/lroutes.h"

#include <string.h>

#include "bindings/largs.h"
#include "core/routes.h"

static const struct {
    const char *name;
    enum rtm_route_method method;
} methods[] = {
    {"GET", RTM_ROUTE_GET},
    {"HEAD", RTM_ROUTE_HEAD},
    {"POST", RTM_ROUTE_POST},
};

static enum rtm_route_method method_of(const char *name)
{
    for (size_t i = 0; i < RTM_COUNT_OF(methods); i++) {
        if (strcmp(methods[i].name, name) == 0)
            return methods[i].method;
    }
    return 0;
}

/* --- answers --- */

static int push_response(lua_State *L)
{
    const struct rtm_route_response *response = lua_touserdata(L, 1);
    lua_pushinteger(L, response->status);
    lua_createtable(L, 0, (int)response->header_count);
    for (unsigned i = 0; i < response->header_count; i++)
        rtm_largs_set_string(L, response->headers[i].name, response->headers[i].value);
    lua_pushlstring(L, response->body.length ? response->body.bytes : "", response->body.length);
    return 3;
}

/* Before the answer is there: what may raise for want of memory. */
static void prepare(lua_State *L, struct rtm_route_response *response)
{
    lua_pushcfunction(L, push_response);
    lua_pushlightuserdata(L, response);
}

/* Pushing may raise, and finalizers may run in it: nothing is held but the response, which goes
   either way. */
static int finish(lua_State *L, struct rtm_route_response *response)
{
    int status = lua_pcall(L, 1, 3, 0);
    rtm_routes_release(response);
    return status == LUA_OK ? 3 : lua_error(L);
}

/* A text with a NUL in it is none that C code could compare. */
static const char *check_path(lua_State *L, int index)
{
    size_t length;
    const char *path = luaL_checklstring(L, index, &length);
    return strlen(path) == length ? path : "";
}

static int answer(lua_State *L)
{
    struct rtm_route_request request = {.method = method_of(luaL_checkstring(L, 1)),
                                        .path = check_path(L, 2),
                                        .query = luaL_optstring(L, 3, NULL),
                                        .accept = luaL_optstring(L, 4, NULL),
                                        .accept_encoding = luaL_optstring(L, 5, NULL)};
    struct rtm_route_response response;
    prepare(L, &response);
    rtm_routes_answer(&request, &response);
    return finish(L, &response);
}

static int refuse(lua_State *L)
{
    struct rtm_route_response response;
    int status = (int)luaL_checkinteger(L, 1);
    const char *text = luaL_checkstring(L, 2);
    prepare(L, &response);
    rtm_routes_refuse(&response, status, text);
    return finish(L, &response);
}

/* --- the table --- */

static void set_methods(lua_State *L, unsigned allowed)
{
    int count = 0;
    lua_newtable(L);
    for (size_t i = 0; i < RTM_COUNT_OF(methods); i++) {
        if (!(allowed & methods[i].method))
            continue;
        lua_pushstring(L, methods[i].name);
        lua_rawseti(L, -2, ++count);
    }
    lua_setfield(L, -2, "methods");
}

static void push_route(lua_State *L, const struct rtm_route *route)
{
    lua_createtable(L, 0, 4);
    rtm_largs_set_string(L, "path", route->path);
    rtm_largs_set_string(L, "help", route->help);
    rtm_largs_set_string(L, "class", rtm_routes_class_name(route->class));
    set_methods(L, route->methods);
}

static int routes(lua_State *L)
{
    lua_newtable(L);
    for (size_t i = 0; i < rtm_routes_count(); i++) {
        push_route(L, rtm_routes_describe(i));
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_newtable(L);
    for (int class = 0; class < RTM_ROUTE_CLASSES; class ++) {
        lua_pushstring(L, rtm_routes_class_name((enum rtm_route_class) class));
        lua_rawseti(L, -2, class + 1);
    }
    return 2;
}

static const luaL_Reg natives[] = {
    {"answer", answer}, {"refuse", refuse}, {"routes", routes}, {NULL, NULL}};

void rtm_lroutes_register(lua_State *L, struct rtm_context *cx)
{
    rtm_largs_register(L, natives, cx);
}
