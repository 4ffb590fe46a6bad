#include "core/agent_stats.h"

#include <stddef.h>

struct rtm_agent_stats rtm_agent_stats;

void rtm_agent_stats_reset_in_child(void)
{
    struct rtm_agent_stats *stats = &rtm_agent_stats;
    rtm_counter *const all[] = {&stats->running,  &stats->connections, &stats->accepted,
                                &stats->requests, &stats->refused,     &stats->failed,
                                &stats->evicted,  &stats->sent_bytes};
    RTM_STATIC_ASSERT(sizeof all / sizeof all[0] == sizeof *stats / sizeof(rtm_counter),
                      "each of them");
    for (size_t i = 0; i < RTM_COUNT_OF(all); i++)
        rtm_atomic_set(all[i], 0);
}
