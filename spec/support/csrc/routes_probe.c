/* Pages and their encoders with what a spec makes up; a copy of the core that can be made to fail
   for want of memory; further VMs in the process. */
#include <string.h>

#include "core/pages.h"
#include "encoders/accept.h"
#include "encoders/gzip.h"
#include "encoders/html.h"
#include "encoders/json.h"
#include "ground/memory.h"
#include "vm/compat.h"

enum { TEXT_MAX = 64 << 20, PROFILES_MAX = 8 };

static int push_buffer(lua_State *L, struct rtm_buffer *buffer)
{
    if (buffer->failed)
        lua_pushnil(L);
    else
        lua_pushlstring(L, buffer->length ? buffer->bytes : "", buffer->length);
    rtm_buffer_fini(buffer);
    return 1;
}

/* accepts_gzip(header or nil) -> boolean */
static int accepts_gzip(lua_State *L)
{
    size_t length = 0;
    const char *header = luaL_optlstring(L, 1, NULL, &length);
    lua_pushboolean(L, rtm_accept_gzip(header, length));
    return 1;
}

/* gzip(text) -> text | nil */
static int gzip(lua_State *L)
{
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    struct rtm_buffer out;
    rtm_buffer_init(&out, TEXT_MAX);
    if (!rtm_gzip_write(&out, text, length))
        out.failed = true;
    return push_buffer(L, &out);
}

/* html(text) -> text */
static int html(lua_State *L)
{
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    struct rtm_buffer out;
    rtm_buffer_init(&out, TEXT_MAX);
    rtm_html_write_text(&out, text, length);
    return push_buffer(L, &out);
}

static void write_value(lua_State *L, struct rtm_json *json)
{
    size_t length = 0;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
    if (text)
        rtm_json_write_text(json, text, length);
    else if (lua_type(L, -1) == LUA_TNUMBER)
        rtm_json_write_double(json, lua_tonumber(L, -1));
    else
        rtm_json_write_null(json);
}

/* json({{name, value}, ...}) -> text: an object; numbers, texts, false for null */
static int json_object(lua_State *L)
{
    struct rtm_buffer out;
    struct rtm_json json;
    int count = (int)rtm_compat_rawlen(L, 1);
    rtm_buffer_init(&out, TEXT_MAX);
    rtm_json_begin(&json, &out);
    rtm_json_open(&json, '{');
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        lua_rawgeti(L, -1, 1);
        rtm_json_write_name(&json, lua_tostring(L, -1));
        lua_rawgeti(L, -2, 2);
        write_value(L, &json);
        lua_pop(L, 3);
    }
    rtm_json_close(&json, '}');
    return push_buffer(L, &out);
}

/* json_uint(high, low) -> the text of high * 2^32 + low */
static int json_uint(lua_State *L)
{
    struct rtm_buffer out;
    struct rtm_json json;
    uint64_t high = (uint64_t)luaL_checknumber(L, 1);
    rtm_buffer_init(&out, TEXT_MAX);
    rtm_json_begin(&json, &out);
    rtm_json_write_uint(&json, high << 32 | (uint64_t)luaL_checknumber(L, 2));
    return push_buffer(L, &out);
}

/* link(path, help, class) -> a row of the index */
static int link_row(lua_State *L)
{
    struct rtm_route route = {.path = luaL_checkstring(L, 1), .help = luaL_checkstring(L, 2)};
    struct rtm_buffer out;
    rtm_buffer_init(&out, TEXT_MAX);
    rtm_pages_write_link(&out, &route, luaL_checkstring(L, 3));
    return push_buffer(L, &out);
}

static uint64_t count_seven(void)
{
    return 7;
}

/* profiles({{name, help}, ...}) -> the page; each counts 7, but for one whose name is "profile" */
static int profiles_page(lua_State *L)
{
    struct rtm_profile_row profiles[PROFILES_MAX];
    const struct rtm_profile_row *list[PROFILES_MAX];
    struct rtm_buffer out;
    int count = (int)rtm_compat_rawlen(L, 1);
    luaL_argcheck(L, count <= PROFILES_MAX, 1, "too many");
    luaL_checkstack(L, 3 * PROFILES_MAX, NULL);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 1, i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        const char *name = lua_tostring(L, -2);
        profiles[i] =
            (struct rtm_profile_row){.name = name,
                                     .help = lua_tostring(L, -1),
                                     .count = strcmp(name, "profile") ? count_seven : NULL};
        list[i] = &profiles[i];
    }
    rtm_buffer_init(&out, TEXT_MAX);
    rtm_pages_write_profiles(&out, list, (size_t)count);
    return push_buffer(L, &out);
}

int luaopen_rtmetrics_core(lua_State *L);

/* core() -> the natives of this copy, which `fail_after` concerns */
static int core(lua_State *L)
{
    return luaopen_rtmetrics_core(L);
}

/* fail_after(successes, failures) */
static int fail_after(lua_State *L)
{
    rtm_memory_fail_after((uint64_t)luaL_checknumber(L, 1), (uint64_t)luaL_checknumber(L, 2));
    return 0;
}

/* memory() -> bytes in use, requests that failed */
static int memory(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)rtm_memory_bytes());
    lua_pushnumber(L, (lua_Number)rtm_memory_failures());
    return 2;
}

static struct {
    lua_Alloc allocate;
    void *user;
    size_t limit;
} real;

static void *allocate_up_to(void *user, void *block, size_t old_size, size_t size)
{
    (void)user;
    return size > real.limit ? NULL : real.allocate(real.user, block, old_size, size);
}

/* starve(limit, function, ...) -> as pcall, while the VM gets no block of more than `limit` bytes
 */
static int starve(lua_State *L)
{
    real.limit = (size_t)luaL_checknumber(L, 1);
    real.allocate = lua_getallocf(L, &real.user);
    lua_setallocf(L, allocate_up_to, NULL);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    lua_setallocf(L, real.allocate, real.user);
    lua_pushboolean(L, status == LUA_OK);
    lua_replace(L, 1);
    return lua_gettop(L);
}

/* new_vm(code) -> a light userdata for close_vm; the code has run in a VM of its own */
static int new_vm(lua_State *L)
{
    const char *code = luaL_checkstring(L, 1);
    lua_State *other = luaL_newstate();
    luaL_argcheck(L, other, 1, "no VM to be had");
    luaL_openlibs(other);
    if (luaL_loadstring(other, code) != LUA_OK || lua_pcall(other, 0, 0, 0) != LUA_OK) {
        lua_pushstring(L, lua_tostring(other, -1));
        lua_close(other);
        return lua_error(L);
    }
    lua_pushlightuserdata(L, other);
    return 1;
}

static int close_vm(lua_State *L)
{
    lua_close(lua_touserdata(L, 1));
    return 0;
}

static const luaL_Reg functions[] = {{"accepts_gzip", accepts_gzip},
                                     {"gzip", gzip},
                                     {"html", html},
                                     {"json", json_object},
                                     {"json_uint", json_uint},
                                     {"link", link_row},
                                     {"profiles", profiles_page},
                                     {"core", core},
                                     {"fail_after", fail_after},
                                     {"memory", memory},
                                     {"starve", starve},
                                     {"new_vm", new_vm},
                                     {"close_vm", close_vm},
                                     {NULL, NULL}};

int luaopen_routes_probe(lua_State *L)
{
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
