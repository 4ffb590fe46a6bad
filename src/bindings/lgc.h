/* The collector, as natives of rtmetrics.core:

     gc()                          a full collection
     setgcpercent(n) -> previous   RTM_GCCONTROL_OFF is passed as -1
     freeosmemory() -> released | nil, message
     on_gc(function) -> reference  off_gc(reference)
     pauses() -> {{duration, end}, ...}, newest first, seconds and Unix seconds
     clock() -> monotonic seconds  wall() -> Unix seconds
     about() -> {vm, clock, clock_reason, gc_mode} */
#ifndef RTM_BINDINGS_LGC_H
#define RTM_BINDINGS_LGC_H

struct lua_State;
struct rtm_context;

/* Adds the natives to the table at the stack's top. Runs: VM thread. */
void rtm_lgc_register(struct lua_State *L, struct rtm_context *cx);

#endif
