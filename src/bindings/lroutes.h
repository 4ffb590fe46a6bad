/* Pages, as natives for lua/rtmetrics/http.lua, which documents what programs see.

     answer(method, path, query, accept, accept_encoding) -> status, {name = value}, body
            the path decoded and without query; nil where the request has no such thing
     refuse(status, text) -> status, {name = value}, body
     routes() -> {{path, help, class, methods = {"GET", ...}}, ...}, {class, ...} */
#ifndef RTM_BINDINGS_LROUTES_H
#define RTM_BINDINGS_LROUTES_H

struct lua_State;
struct rtm_context;

/* Adds the natives to the table at the stack's top. Runs: VM thread. */
void rtm_lroutes_register(struct lua_State *L, struct rtm_context *cx);

#endif
