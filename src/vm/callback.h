/* Lua functions that the program asked to have called after each cycle of the collector. */
#ifndef RTM_VM_CALLBACK_H
#define RTM_VM_CALLBACK_H

#include <stddef.h>

struct lua_State;

/* Adds the function at the stack's top, popping it; returns a number that removes it again. May
   raise for want of memory. Runs: VM thread. */
int rtm_callback_add(struct lua_State *L);
void rtm_callback_remove(struct lua_State *L, int reference);

/* Calls them all, each protected; returns how many raised. Runs: VM thread, at a safe point. */
size_t rtm_callback_run(struct lua_State *L);

#endif
