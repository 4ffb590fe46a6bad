/* The collector of a stock Lua 5.4, watched through a few words and bytes of its global state.
   Their places are found by experiment in a scratch state, never taken from a table of versions;
   unless each search ends with exactly one candidate that stands a second experiment, there is no
   probe and what depends on it is `bad`.

   What the words mean (Lua 5.4, lstate.h, lgc.c): the bytes in use are total + debt; a collection
   is due when an allocation has made the debt positive; every collector run ends by setting the
   debt anew, which moves the same amount into total. */
#ifndef RTM_VM_GCPROBE_H
#define RTM_VM_GCPROBE_H

#include <stdbool.h>
#include <stdint.h>

struct lua_State;

/* Two neighbouring words of the VM. */
struct rtm_gcprobe_account {
    int64_t total; /* bytes in use less the debt: the heap size at which the collector works next */
    int64_t debt;  /* allocated and not yet paid for with collector work */
};

struct rtm_gcprobe {
    const struct rtm_gcprobe_account *account;
    const uint64_t *estimate; /* heap size after the last full cycle; minor collections leave it */
    const uint8_t *state;     /* phase of the cycle */
    const uint8_t *busy;      /* 1 exactly while the incremental collector works */
    const uint8_t *kind;      /* 0 incremental, 1 generational, as the collector works now */
    const uint8_t *stopped;   /* not 0 while the collector may not start */
    const uint8_t *pause;     /* a quarter of the pause, in percent of the live heap */
    const uint8_t *major; /* a quarter of the growth, in percent, that starts a major collection */
    uint8_t idle_state;   /* value of `state` between two full cycles */
    bool is_generational; /* what the program asked for; kept by the owner */
};

/* Places the probe on the VM of `main_thread`; false where there is none. Runs: VM thread. */
bool rtm_gcprobe_attach(struct rtm_gcprobe *probe, struct lua_State *main_thread);

/* True while the collector works, as seen from inside an allocator call. Inline:
 * bench/programs/binary_trees.lua. */
static inline bool rtm_gcprobe_is_working(const struct rtm_gcprobe *probe)
{
    return *probe->busy == 1 ||
           (probe->is_generational && *probe->state != 0 && *probe->state != probe->idle_state);
}

#endif
