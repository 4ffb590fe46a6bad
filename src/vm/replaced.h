/* Functions of Lua's libraries that we stand in for: put in place, remembered, and given back where
   they are still ours. Runs: VM thread; may raise for want of memory. */
#ifndef RTM_VM_REPLACED_H
#define RTM_VM_REPLACED_H

#include <stdbool.h>

#include "vm/compat.h"

/* Pushes the C function in field `name` of the table at the stack's top; false, pushing nothing, if
 * it is none. */
bool rtm_replaced_push(lua_State *L, const char *name);

/* Sets field `name` of the table at the stack's top to the function above it, which it pops, and
   remembers what was there under `name` in a registry table of ours called `group`. */
void rtm_replaced_set(lua_State *L, const char *group, const char *name);

/* The same for a place in an array. */
void rtm_replaced_seti(lua_State *L, const char *group, int place);

/* Gives back, in the table at the stack's top, all fields of `group` that still hold our functions.
 */
void rtm_replaced_restore(lua_State *L, const char *group);

#endif
