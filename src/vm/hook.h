/* The one-shot hook: wakes us at the next instruction, call or return of one thread, then is gone.
   A hook of somebody else (a debugger, luacov, an instruction limiter) is never touched: nothing is
   armed over it. */
#ifndef RTM_VM_HOOK_H
#define RTM_VM_HOOK_H

#include <stdbool.h>

struct lua_State;

/* Arms the hook on `thread`; true if it is armed now. The owner's on_hook is called once. Allocates
   nothing, calls nothing of Lua. Runs: VM thread, allocator. */
bool rtm_hook_arm(struct lua_State *thread);

/* Takes an armed hook off `thread`. Runs: VM thread. */
void rtm_hook_disarm(struct lua_State *thread);

#endif
