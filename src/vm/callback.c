#include "vm/callback.h"

#include "vm/compat.h"

#define KEY "rtmetrics.callbacks"

static void push_list(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, KEY);
    if (lua_istable(L, -1))
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, KEY);
}

int rtm_callback_add(struct lua_State *L)
{
    luaL_checkstack(L, 3, NULL);
    push_list(L);
    lua_insert(L, -2);
    int reference = luaL_ref(L, -2);
    lua_pop(L, 1);
    return reference;
}

void rtm_callback_remove(struct lua_State *L, int reference)
{
    luaL_checkstack(L, 3, NULL);
    push_list(L);
    luaL_unref(L, -1, reference);
    lua_pop(L, 1);
}

/* By number, not by next: a callback may add and remove callbacks. */
static size_t call_all(lua_State *L, int list)
{
    size_t errors = 0;
    for (int i = 1; i <= (int)rtm_compat_rawlen(L, list); i++) {
        lua_rawgeti(L, list, i);
        if (!lua_isfunction(L, -1) || lua_pcall(L, 0, 0, 0) == LUA_OK) {
            lua_settop(L, list);
            continue;
        }
        errors++;
        lua_settop(L, list);
    }
    return errors;
}

size_t rtm_callback_run(struct lua_State *L)
{
    if (!lua_checkstack(L, LUA_MINSTACK))
        return 0;
    int top = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, KEY);
    size_t errors = lua_istable(L, -1) ? call_all(L, top + 1) : 0;
    lua_settop(L, top);
    return errors;
}
