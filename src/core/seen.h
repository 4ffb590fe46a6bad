/* When a VM was last seen to do something, told to a reader on another thread: is it stuck, and
   since when? What is not known is not told; where only bounds are known, bounds are told.
   Allocations carry no time. They are found by comparing the counters of two looks: what changed
   between two looks happened between these two moments. */
#ifndef RTM_CORE_SEEN_H
#define RTM_CORE_SEEN_H

#include <stdbool.h>
#include <stdint.h>

struct rtm_context;

struct rtm_seen {
    /* Control last went from one coroutine to another so long ago. Unknown where coroutines are not
       observed, or there was no switch yet. */
    bool knows_switch;
    double switch_ago_s;

    /* The collector last ended a cycle so long ago. Unknown where cycles are not seen, or there was
       none yet. */
    bool knows_cycle;
    double cycle_ago_s;

    /* The VM last allocated, resized or freed a block at least `alloc_least_s` and at most
       `alloc_most_s` ago. The first is 0 where the counters have moved since the look before. */
    bool knows_alloc;
    double alloc_least_s, alloc_most_s;
};

/* The state as of `now_ns`, when the VM surely ran: it is on its thread now. Runs: VM thread, while
   the context is not published. */
void rtm_seen_begin(struct rtm_context *cx, uint64_t now_ns);

/* Looks at the VM; `now_ns` is rtm_clock_monotonic_ns. Two looks close to each other tell close
   bounds. Runs: any thread, in a visit. */
void rtm_seen_look(struct rtm_context *cx, uint64_t now_ns, struct rtm_seen *seen);

#endif
