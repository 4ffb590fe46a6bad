/* Metrics, as natives of rtmetrics.core:

     describe() -> {{name, description, kind, unit, cumulative}, ...}
     read(samples) -> samples     fills value and kind of each; an array of names gives a new list
     render(accept) -> body, content type | nil, message */
#ifndef RTM_BINDINGS_LMETRICS_H
#define RTM_BINDINGS_LMETRICS_H

struct lua_State;
struct rtm_context;

/* Adds the natives to the table at the stack's top. Runs: VM thread. */
void rtm_lmetrics_register(struct lua_State *L, struct rtm_context *cx);

#endif
