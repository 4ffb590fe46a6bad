/* clang-format off */
/* The collector, watched from the allocator: cycles, pauses, their time. A pause is one run of the
   collector, from the moment the VM enters it to the moment it goes on with the program.

   A pause is bracketed between an opening and a closing:

     state       event                                               -> state
     CLOSED      an allocation takes the debt above zero             -> AUTOMATIC
     CLOSED      the allocator fails                                 -> EMERGENCY
     CLOSED      a free while the collector works, unannounced       -> UNSEEN
     AUTOMATIC   another such allocation, the collector has not run  -> AUTOMATIC, opened anew
     AUTOMATIC   the hook finds that the collector has not run       -> AUTOMATIC, an upper bound
     AUTOMATIC, EMERGENCY, UNSEEN   it is found to have run          -> CLOSED, recorded
     EMERGENCY   the next request shows that it has not run          -> CLOSED
     any         collectgarbage is called                            -> FORCED
     FORCED      collectgarbage returns                              -> CLOSED, recorded if it ran

   "Has run" is judged by three signs: total changed, the debt is not what the last call left, or a
   free came while the collector worked. All three are needed: a full cycle at a steady heap leaves
   total and debt as they were.

   Runs: VM thread (allocator, hook, collectgarbage); counters may be read from any thread. */
/* clang-format on */
#ifndef RTM_OBSERVERS_GC_H
#define RTM_OBSERVERS_GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/atomic.h"
#include "ground/histogram.h"
#include "vm/events.h"
#include "vm/gcprobe.h"

enum rtm_gc_bracket {
    RTM_GC_CLOSED,
    RTM_GC_AUTOMATIC,
    RTM_GC_FORCED,
    RTM_GC_EMERGENCY,
    RTM_GC_UNSEEN,
};

/* Blocks above this are filled after the allocator gave them out and before the collector runs:
   what they open is an upper bound. */
#define RTM_GC_BIG_BLOCK 16384

#define RTM_GC_RECENT_PAUSES 256

#define RTM_GC_PERCENT_UNKNOWN UINT64_MAX

/* What the VM asks its allocator. The block is gone after a free, so it is kept as a number. */
struct rtm_gc_request {
    uintptr_t block; /* 0: a new one */
    size_t osize, nsize;
};

struct rtm_gc_pause {
    rtm_counter duration_ns;
    rtm_counter end_ticks;
};

struct rtm_gc {
    bool enabled;
    bool has_probe;           /* pauses and cycles are exact */
    bool counts_sentinels;    /* no probe: a finalized sentinel tells each cycle */
    struct lua_State *thread; /* any thread that lives as long as the VM */
    struct rtm_gcprobe probe;

    enum rtm_gc_bracket bracket;
    bool has_run;        /* the collector was seen at work within this bracket */
    bool saw_major;      /* a free within it came while the collector had left the generations */
    bool is_bounded;     /* opened by a big block, or drifted: its time is an upper bound */
    int64_t seen_total;  /* total as of the last allocator call */
    int64_t quiet_total; /* the same while closed, a value that total never has while open: one
                            comparison for both */
    const uint8_t *calm_byte; /* while it has `calm_value`, frees are nothing new: the collector
                                 rests, or is known to work */
    uint8_t calm_value;
    int64_t expected_debt[2]; /* while open: if the VM accounts for the last call, if it does not
                                 (auxlib's buffers) */
    struct rtm_gc_request failed;
    uint64_t opened_ticks;
    unsigned hooks_in_vain; /* since the last pause: openings that no collection followed at once */
    unsigned openings_unarmed; /* openings still to pass without a hook: they come with each call of
                                  a deep recursion, say */
    uint64_t estimate;         /* of the last look: it changes with full cycles only */
    uint64_t cycle_opened_ticks;
    uint64_t cycle_pauses_ns;
    bool in_cycle;
    bool forced_runs;  /* the collector works in the forced call, it does not only change parameters
                        */
    bool was_stopped;  /* by the program, as far as we were told */
    bool cycle_is_due; /* a cycle ended and the callbacks have not been told */

    rtm_counter cycles_automatic, cycles_forced;
    rtm_counter cycles_emergency; /* of the automatic ones: after an allocation that failed */
    rtm_counter cycles_minor, cycles_major;
    rtm_counter pauses;  /* all of them, timed or not */
    rtm_counter untimed; /* of these: seen only when they were over */
    struct rtm_histogram_time exact, bounded, forced;
    rtm_counter goal_bytes, live_bytes;
    rtm_counter last_end_ticks, last_duration_ns, last_pauses_ns;
    rtm_counter percent; /* as last read; RTM_GC_PERCENT_UNKNOWN */
    struct rtm_gc_pause
        recent[RTM_GC_RECENT_PAUSES]; /* ring; newest at (recent_count - 1) % size */
    rtm_counter recent_count;
};

/* Nothing watched, all figures zero, in zeroed storage. */
void rtm_gc_init(struct rtm_gc *gc);

/* Starts to watch a VM, of which `thread` lives as long as it does; counters go on from where they
   are. `main_thread` may be NULL where the VM does not tell it. Runs: VM thread. */
void rtm_gc_start(struct rtm_gc *gc, struct lua_State *thread, struct lua_State *main_thread);
void rtm_gc_stop(struct rtm_gc *gc);

/* True if an allocator call that grows the heap by `grown` bytes (or not, if 0 or less) needs
   rtm_gc_before and rtm_gc_after around it; false for nearly all. Inline:
   bench/programs/binary_trees.lua. Runs: allocator. */
static inline bool rtm_gc_concerns_growth(const struct rtm_gc *gc, int64_t grown)
{
    return gc->probe.account->debt + grown > 0 || gc->probe.account->total != gc->quiet_total;
}

/* The same for a call that frees a block. Within a run of the collector that is known already,
   frees are its daily work. Inline: as above. */
static inline bool rtm_gc_concerns_free(const struct rtm_gc *gc)
{
    return *gc->calm_byte != gc->calm_value;
}

/* Before and after the real allocator call. `after` returns true where a hook at the VM's next step
   is wanted. Runs: allocator. */
void rtm_gc_before(struct rtm_gc *gc, const struct rtm_gc_request *request);
bool rtm_gc_after(struct rtm_gc *gc, const struct rtm_gc_request *request, bool has_failed);

/* The hook that `after` wanted could not be armed: the pause ends with a later event, and is an
   upper bound. Runs: allocator. */
void rtm_gc_note_unhooked(struct rtm_gc *gc);

/* The VM has reached an instruction: closes a pause that is over. Runs: VM thread, in a hook. */
void rtm_gc_on_hook(struct rtm_gc *gc);

/* Around a call of the collector that the program makes. `begin` returns false where the call is
   nested in another one (a finalizer's), and then `end` must not be called. `step_kb` is the size
   of a step. Runs: VM thread. */
bool rtm_gc_begin_forced(struct rtm_gc *gc, enum rtm_collect_what what, int step_kb);
void rtm_gc_end_forced(struct rtm_gc *gc, enum rtm_collect_what what);

/* A sentinel was finalized: one cycle ended, on VMs without a probe. Runs: VM thread, in a
   finalizer. */
void rtm_gc_on_sentinel(struct rtm_gc *gc);

/* Reads the collector's percentage (vm/gccontrol.h) for other threads, to which it is told as it
   was read last: here, when a cycle ends, and after collectgarbage. False where it is not known.
   Runs: VM thread. */
bool rtm_gc_read_percent(struct rtm_gc *gc, struct lua_State *L, int64_t *percent);

/* True once after each cycle. */
bool rtm_gc_take_cycle(struct rtm_gc *gc);

#endif
