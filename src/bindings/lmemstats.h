/* The heap and the collector in one table, as a native of rtmetrics.core:

     memstats() -> {alloc_bytes = ..., by_size = {{size, mallocs, frees}, ...}}; what cannot be
   known is not in it */
#ifndef RTM_BINDINGS_LMEMSTATS_H
#define RTM_BINDINGS_LMEMSTATS_H

struct lua_State;
struct rtm_context;

/* Adds the native to the table at the stack's top. Runs: VM thread. */
void rtm_lmemstats_register(struct lua_State *L, struct rtm_context *cx);

#endif
