/* Coroutines, as natives of rtmetrics.core:

     coroutines_count() -> {live, created, dead, running, normal, suspended, never_started,
   missed_switches} | nil, message coroutines_list(with_threads) -> {{id, status, created_at, age,
   idle, switches, run_time, thread}, ...} | nil, message coroutines_chain() -> {id, ...} from the
   running one to the one that the main thread resumed | nil, message */
#ifndef RTM_BINDINGS_LCOROUTINE_H
#define RTM_BINDINGS_LCOROUTINE_H

struct lua_State;
struct rtm_context;

/* Adds the natives to the table at the stack's top. Runs: VM thread. */
void rtm_lcoroutine_register(struct lua_State *L, struct rtm_context *cx);

#endif
