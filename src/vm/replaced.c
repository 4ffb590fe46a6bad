#include "vm/replaced.h"

/* registry[group] = { [name] = { ours, theirs } } */
static void push_group(lua_State *L, const char *group)
{
    lua_getfield(L, LUA_REGISTRYINDEX, group);
    if (lua_istable(L, -1))
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, group);
}

/* Raw accesses only: the tables are the program's, and their metatables may do anything.

   Stack: table, our function, key. */
static void set(lua_State *L, const char *group)
{
    luaL_checkstack(L, 6, NULL);
    int key = lua_gettop(L), ours = key - 1, table = key - 2;
    push_group(L, group);
    lua_pushvalue(L, key);
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, ours);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, key);
    lua_rawget(L, table);
    lua_rawseti(L, -2, 2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    lua_insert(L, -2);
    lua_rawset(L, table);
}

bool rtm_replaced_push(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (lua_iscfunction(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

void rtm_replaced_set(lua_State *L, const char *group, const char *name)
{
    lua_pushstring(L, name);
    set(L, group);
}

void rtm_replaced_seti(lua_State *L, const char *group, int place)
{
    lua_pushinteger(L, place);
    set(L, group);
}

void rtm_replaced_restore(lua_State *L, const char *group)
{
    luaL_checkstack(L, 8, NULL);
    int table = lua_gettop(L);
    push_group(L, group);
    for (lua_pushnil(L); lua_next(L, table + 1); lua_pop(L, 1)) {
        lua_rawgeti(L, -1, 1);
        lua_pushvalue(L, -3);
        lua_rawget(L, table);
        if (lua_rawequal(L, -1, -2)) {
            lua_pushvalue(L, -4);
            lua_rawgeti(L, -4, 2);
            lua_rawset(L, table);
        }
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, group);
}
