#include "vm/attach.h"

#include <string.h>

#include "vm/compat.h"
#include "vm/events.h"

/* Registry keys are texts, not addresses: a second copy of this library, loaded from another path,
   must find the first one's block instead of wrapping the VM twice. */
#define OWNER_KEY "rtmetrics.owner"
#define VERSION_KEY "rtmetrics.version"
#define THREAD_KEY "rtmetrics.thread"

typedef void (*closing_function)(struct rtm_vm_owner *owner, lua_State *L);

struct closing {
    closing_function on_close;
};

static void *get_block(lua_State *L, const char *key)
{
    lua_getfield(L, LUA_REGISTRYINDEX, key);
    void *block = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return block;
}

struct rtm_vm_owner *rtm_attach_find(struct lua_State *L, const char **version)
{
    struct rtm_vm_owner *owner = get_block(L, OWNER_KEY);
    if (version)
        *version = owner ? get_block(L, VERSION_KEY) : NULL;
    return owner;
}

static int close_owner(lua_State *L)
{
    struct rtm_vm_owner *owner = lua_touserdata(L, 1);
    lua_getmetatable(L, 1);
    lua_getfield(L, -1, "closing");
    struct closing *closing = lua_touserdata(L, -1);
    if (closing->on_close) {
        closing_function on_close = closing->on_close;
        closing->on_close = NULL;
        on_close(owner, L);
    }
    return 0;
}

struct rtm_vm_owner *rtm_attach_new(struct lua_State *L, size_t bytes, const char *version,
                                    void (*on_close)(struct rtm_vm_owner *owner,
                                                     struct lua_State *L))
{
    luaL_checkstack(L, 6, NULL);
    struct rtm_vm_owner *owner = lua_newuserdata(L, bytes);
    memset(owner, 0, bytes);
    lua_createtable(L, 0, 3);
    struct closing *closing = lua_newuserdata(L, sizeof *closing);
    closing->on_close = NULL;
    lua_setfield(L, -2, "closing");
    lua_pushcfunction(L, close_owner);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_pushlightuserdata(L, (void *)version);
    lua_setfield(L, LUA_REGISTRYINDEX, VERSION_KEY);
    lua_setfield(L, LUA_REGISTRYINDEX, OWNER_KEY);
    closing->on_close =
        on_close; /* not before: what raised above leaves a block that nobody knows */
    return owner;
}

void rtm_attach_pin(struct lua_State *L)
{
    luaL_checkstack(L, 1, NULL);
    lua_pushthread(L);
    lua_setfield(L, LUA_REGISTRYINDEX, THREAD_KEY);
}
