/* Every coroutine of one VM: which runs, which wait, since when, born where. Fed by births and
   deaths (the allocator), and by switches (our coroutine.resume and wrap, and C callers of
   lua_resume). The coroutine that runs is known, never guessed: a switch that went past us is
   noticed at the next event that names the running thread, and counted.

   The main thread has a record, but is not counted as a coroutine. Single writer: the thread that
   runs the VM; counters may be read from any thread. */
#ifndef RTM_OBSERVERS_SCHED_H
#define RTM_OBSERVERS_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/coroutine.h"
#include "data/site.h"
#include "ground/atomic.h"
#include "ground/histogram.h"
#include "ground/pointer_map.h"
#include "ground/pool.h"
#include "os/clock.h"

struct rtm_sched_recent_site {
    const void *key;  /* vm/call_site.h */
    uint64_t gc_runs; /* what it was true of */
    uint32_t site;
};

struct rtm_sched {
    bool enabled;
    bool sees_births;                   /* the allocator tells new threads, and their ends */
    size_t thread_offset, thread_bytes; /* how a thread stands in its block */
    struct rtm_coroutine main;
    struct rtm_coroutine *current;
    rtm_counter switched_ticks; /* when `current` got or regained control */
    struct rtm_pointer_map by_thread;
    struct rtm_pool records;
    struct rtm_site_table sites;
    struct rtm_sched_recent_site recent_sites[32]; /* by key */
    uint64_t last_id;

    rtm_counter created, dead;
    rtm_counter found;   /* of created: older than the observer, met later */
    rtm_counter started; /* of created: got control at least once */
    rtm_counter dead_unstarted;
    rtm_counter depth;                /* coroutines that run or wait for one that they resumed */
    rtm_counter switches;             /* times a coroutine got control */
    rtm_counter missed;               /* switches that went past us */
    rtm_counter dropped;              /* coroutines not recorded for want of memory */
    struct rtm_histogram_time slices; /* how long coroutines ran from resume to yield or end */
};

/* Starts with `thread` as what runs now. `main_thread` lives as long as the VM and is not counted:
   the main thread, or another one where the VM does not tell it (5.1 and LuaJIT, required in a
   coroutine). Runs: VM thread. */
void rtm_sched_start(struct rtm_sched *sched, struct lua_State *thread,
                     struct lua_State *main_thread);

/* Forgets all coroutines; cumulative counters stay. Runs: VM thread. */
void rtm_sched_stop(struct rtm_sched *sched);

/* A block of a new thread was handed out. `gc_runs` changes with each run of the collector; 0 where
   that is not known. Runs: allocator. */
void rtm_sched_birth(struct rtm_sched *sched, const char *block, uint64_t gc_runs);

/* A block of a thread's size is given back; finds out itself whether it is one. Runs: allocator. */
void rtm_sched_free(struct rtm_sched *sched, const char *block);

/* A thread was created where the allocator does not tell. Runs: VM thread. */
void rtm_sched_add(struct rtm_sched *sched, struct lua_State *thread, uint64_t gc_runs);

/* The running thread is `thread`, says an event: corrects the record if a switch went past us.
 * Runs: VM thread. */
void rtm_sched_sync(struct rtm_sched *sched, struct lua_State *thread);

/* The record of a thread that `from`, which runs now, is about to resume with `nargs` arguments on
   the thread's stack already; made if it is new. NULL where the VM will refuse, or without memory
   (then counted as missed). A finished thread on which C code has put a new function starts a new
   life. Runs: VM thread. */
struct rtm_coroutine *rtm_sched_prepare(struct rtm_sched *sched, struct lua_State *from,
                                        struct lua_State *thread, int nargs);

/* Around the closing, by the thread `by`, of a suspended or dead coroutine, whose pending __close
   metamethods run on its own thread. `begin` returns false where there is nothing to note, and then
   `end` must not be called. Runs: VM thread. */
bool rtm_sched_begin_close(struct rtm_sched *sched, struct lua_State *by, struct lua_State *thread);
void rtm_sched_end_close(struct rtm_sched *sched, struct lua_State *thread);

/* Control goes from the running coroutine to `co`. Inline: bench/programs/pingpong.lua. Runs: VM
 * thread. */
static inline void rtm_sched_enter(struct rtm_sched *sched, struct rtm_coroutine *co)
{
    uint64_t now = rtm_clock_ticks();
    struct rtm_coroutine *from = sched->current;
    from->slice_ticks += now - rtm_atomic_get(&sched->switched_ticks);
    from->state = RTM_COROUTINE_NORMAL;
    if (co->switches++ == 0)
        rtm_atomic_add(&sched->started, 1);
    co->resumer = from;
    co->slice_ticks = 0;
    co->switched_ticks = now;
    co->state = RTM_COROUTINE_RUNNING;
    sched->current = co;
    rtm_atomic_set(&sched->switched_ticks, now);
    rtm_atomic_add(&sched->depth, 1);
    rtm_atomic_add(&sched->switches, 1);
}

/* Control comes back from `co`, which is `state` now, to its resumer. Inline: as above. Runs: VM
 * thread. */
static inline void rtm_sched_leave(struct rtm_sched *sched, struct rtm_coroutine *co,
                                   enum rtm_coroutine_state state)
{
    uint64_t now = rtm_clock_ticks();
    struct rtm_coroutine *to = co->resumer;
    co->slice_ticks += now - rtm_atomic_get(&sched->switched_ticks);
    co->run_ticks += co->slice_ticks;
    rtm_histogram_time_record(&sched->slices, rtm_clock_to_ns(co->slice_ticks));
    co->resumer = NULL;
    co->switched_ticks = now;
    co->state = (uint8_t)state;
    to->state = RTM_COROUTINE_RUNNING;
    sched->current = to;
    rtm_atomic_set(&sched->switched_ticks, now);
    rtm_atomic_set(&sched->depth, rtm_atomic_get(&sched->depth) - 1);
    if (state == RTM_COROUTINE_DEAD)
        rtm_atomic_add(&sched->dead, 1);
}

/* Control came back from `thread`, entered before: like leave, also when coroutines that it resumed
   past us are still believed to run, or when tracking was stopped and started in between. Runs: VM
   thread. */
void rtm_sched_suspend(struct rtm_sched *sched, struct lua_State *thread,
                       enum rtm_coroutine_state state);

/* The VM has refused to run `thread`, entered before, which is in `state`: takes that back. Runs:
   VM thread. */
void rtm_sched_refuse(struct rtm_sched *sched, struct lua_State *thread,
                      enum rtm_coroutine_state state);

/* Counts by state. Runs: any. */
struct rtm_sched_census {
    uint64_t created, dead, live, running, normal, suspended, never_started;
};
struct rtm_sched_census rtm_sched_census(const struct rtm_sched *sched);

/* Calls `visit` for the record of each coroutine, dead ones that are not collected yet too. Runs:
 * VM thread. */
void rtm_sched_visit(const struct rtm_sched *sched,
                     void (*visit)(const struct rtm_coroutine *co, void *to), void *to);

#endif
