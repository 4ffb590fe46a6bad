/* What the bindings share: how a native finds its context, and how it tells a failure. */
#ifndef RTM_BINDINGS_LARGS_H
#define RTM_BINDINGS_LARGS_H

#include <stdint.h>

#include "ground/error.h"
#include "vm/compat.h"

struct rtm_context;

/* The context of a native that was registered with it as its first upvalue. */
struct rtm_context *rtm_largs_context(lua_State *L);

/* Adds `functions` to the table at the stack's top, with the context as their first upvalue. */
void rtm_largs_register(lua_State *L, const luaL_Reg *functions, struct rtm_context *cx);

/* Pushes nil and the message; returns 2, for the native to return. */
int rtm_largs_failure(lua_State *L, const struct rtm_error *err);

/* table[name] = value, for the table at the stack's top. Integers are floats where Lua has no
 * others. */
void rtm_largs_set_integer(lua_State *L, const char *name, uint64_t value);
void rtm_largs_set_number(lua_State *L, const char *name, double value);
void rtm_largs_set_string(lua_State *L, const char *name, const char *value);

#endif
