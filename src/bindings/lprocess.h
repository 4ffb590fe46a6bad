/* The process, as natives of rtmetrics.core:

     threads() -> {{id, name, state, cpu_user, cpu_system}, ...}, number | nil, message
     mallinfo() -> {arena_bytes, used_bytes, ...} | nil, message */
#ifndef RTM_BINDINGS_LPROCESS_H
#define RTM_BINDINGS_LPROCESS_H

struct lua_State;
struct rtm_context;

/* Adds the natives to the table at the stack's top. Runs: VM thread. */
void rtm_lprocess_register(struct lua_State *L, struct rtm_context *cx);

#endif
