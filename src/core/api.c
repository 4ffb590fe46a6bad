#include "core/api.h"

#include "core/safe_point.h"

const struct rtm_api rtm_api = {
    .version = RTM_API_VERSION,
    .find_route = rtm_routes_find,
    .answer = rtm_routes_answer,
    .refuse = rtm_routes_refuse,
    .add_header = rtm_routes_add_header,
    .release = rtm_routes_release,
    .agent_stats = &rtm_agent_stats,
    .at_safe_point = rtm_safe_point_request,
};
