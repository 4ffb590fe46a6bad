/* What is known of one coroutine: a plain record, kept by observers/sched. Times are clock ticks
 * (os/clock.h). */
#ifndef RTM_DATA_COROUTINE_H
#define RTM_DATA_COROUTINE_H

#include <stdbool.h>
#include <stdint.h>

struct lua_State;

enum rtm_coroutine_state {
    RTM_COROUTINE_NEVER_STARTED,
    RTM_COROUTINE_SUSPENDED,
    RTM_COROUTINE_NORMAL, /* it resumed another one and waits for it */
    RTM_COROUTINE_RUNNING,
    RTM_COROUTINE_DEAD,
};

struct rtm_coroutine {
    struct lua_State *thread;
    struct rtm_coroutine *resumer; /* while running or normal; NULL for the main thread */
    uint64_t id;                   /* 1, 2, 3 ... in order of birth; the main thread is 0 */
    uint64_t born_ns;              /* monotonic, to a few ms; 0: older than the observer */
    uint64_t switched_ticks;       /* when it last got or lost control; 0: never */
    uint64_t slice_ticks;          /* ran since it was resumed, without what it resumed */
    uint64_t run_ticks;            /* ran in all its life, up to its last switch */
    uint64_t switches;             /* how often it was resumed */
    uint32_t site;                 /* where it was created, an id of ground/intern; 0: unknown */
    uint8_t state;                 /* enum rtm_coroutine_state */
    bool is_closing;               /* dead, and its pending __close metamethods run */
};

#endif
