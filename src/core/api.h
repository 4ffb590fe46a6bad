/* What the core offers to our other shared objects, and to FFI users: one versioned struct of
   functions, handed over inside Lua as the light userdata `require("rtmetrics.core").api`. A user
   checks `version` first. Lua loads each module with private symbols, so there is no other way. */
#ifndef RTM_CORE_API_H
#define RTM_CORE_API_H

#include <stdint.h>

#include "core/agent_stats.h"
#include "core/routes.h"

struct lua_State;

/* Changes with the meaning or place of any member, and of what the members point to. */
#define RTM_API_VERSION UINT32_C(1)

struct rtm_api {
    uint32_t version;

    /* core/routes.h */
    const struct rtm_route *(*find_route)(const char *path);
    void (*answer)(const struct rtm_route_request *request, struct rtm_route_response *response);
    void (*refuse)(struct rtm_route_response *response, int status, const char *text);
    void (*add_header)(struct rtm_route_response *response, const char *name, const char *value);
    void (*release)(struct rtm_route_response *response);

    /* core/agent_stats.h */
    struct rtm_agent_stats *agent_stats;

    /* In a forked child: has `run` called once, when a VM of it gets to its next instruction or
       return (whichever VM is first, on its thread); it may not raise. Where somebody else's debug
       hook is in the place, with the next hook of ours. Allocates nothing. Runs: fork handler. */
    void (*at_safe_point)(void (*run)(struct lua_State *L));
};

extern const struct rtm_api rtm_api __attribute__((visibility("hidden")));

#endif
