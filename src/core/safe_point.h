/* Work that a forked child has for Lua: the fork handler may not call it, a VM's next safe point
   may. */
#ifndef RTM_CORE_SAFE_POINT_H
#define RTM_CORE_SAFE_POINT_H

struct lua_State;

typedef void (*rtm_safe_point_function)(struct lua_State *L);

/* Has `run` called once by the first VM of the process that reaches its hook; a request that is
   still there is replaced. Allocates nothing. Runs: fork handler, in the child. */
void rtm_safe_point_request(rtm_safe_point_function run);

/* What is to be called now, or NULL; once only. Runs: VM thread. */
rtm_safe_point_function rtm_safe_point_take(void);

#endif
