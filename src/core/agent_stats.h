/* What the process's HTTP agent counts, for the table of metrics. Static in the core, so that the
   figures outlive the agent and need no agent to be read. Writer: the agent's thread. */
#ifndef RTM_CORE_AGENT_STATS_H
#define RTM_CORE_AGENT_STATS_H

#include "ground/atomic.h"
#include "ground/check.h"

struct rtm_agent_stats {
    rtm_counter running;     /* 1 while an agent serves in this process */
    rtm_counter connections; /* open now */
    rtm_counter accepted;    /* connections, ever */
    rtm_counter requests;    /* answered, refused ones included */
    rtm_counter refused;     /* of the requests: 4xx */
    rtm_counter failed;      /* of the requests: 5xx */
    rtm_counter evicted;     /* connections closed to make room, or for being too slow */
    rtm_counter sent_bytes;  /* of bodies */
};

/* The parent's figures are not the child's. Runs: a forked child. */
void rtm_agent_stats_reset_in_child(void);

extern struct rtm_agent_stats rtm_agent_stats __attribute__((visibility("hidden")));

#endif
