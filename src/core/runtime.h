/* What a program asks of the runtime beside metrics: collections, collector parameters, callbacks,
   recent pauses, clocks. The bindings' door to vm/, os/ and the observers. */
#ifndef RTM_CORE_RUNTIME_H
#define RTM_CORE_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "ground/error.h"

struct lua_State;
struct rtm_context;

/* A full collection, counted and timed as forced; false inside a finalizer, where none can run.
   Raises what a finalizer raises (before 5.4). Runs: VM thread. */
bool rtm_runtime_collect(struct rtm_context *cx, struct lua_State *L);

/* A full collection; then malloc gives what it can back to the system. `*released`: there was
 * something. Runs: VM thread. */
bool rtm_runtime_free_os_memory(struct rtm_context *cx, struct lua_State *L, bool *released,
                                struct rtm_error *err) RTM_MUST_USE;

/* Sets the collector's percentage (vm/gccontrol.h); false where the previous one is not known.
 * Runs: VM thread. */
bool rtm_runtime_set_percent(struct rtm_context *cx, struct lua_State *L, int percent,
                             int64_t *previous);

/* Collects all that is dead, and keeps the collector from running and callbacks from being called
   until `release`, so that whatever is not freed is alive. False inside a finalizer. Raises what a
   finalizer raises (before 5.4); `release` is due then as well. Runs: VM thread. */
struct rtm_runtime_hold {
    bool was_stopped, ran_callbacks;
};
bool rtm_runtime_hold_dead(struct rtm_context *cx, struct lua_State *L,
                           struct rtm_runtime_hold *hold);
void rtm_runtime_release_dead(struct rtm_context *cx, struct lua_State *L,
                              const struct rtm_runtime_hold *hold);

/* Adds the function at the stack's top to what is called after each cycle, popping it; a number to
   remove it by. Runs: VM thread. */
int rtm_runtime_add_callback(struct rtm_context *cx, struct lua_State *L);
void rtm_runtime_remove_callback(struct rtm_context *cx, struct lua_State *L, int reference);

/* The pause `index` of the last 256, the newest is 0: its length, and its end in Unix time. False
   where there is none. Runs: any. */
bool rtm_runtime_recent_pause(const struct rtm_context *cx, unsigned index, double *duration_s,
                              double *end_s);

/* To be called where figures are asked for: once a second, compares the clock that measures
   durations with the system's. `checked_ns` is the caller's, 0 at first. Runs: any ordinary thread.
 */
void rtm_runtime_check_clock(uint64_t *checked_ns);

/* The Unix time, in seconds, of a moment that is known in clock ticks. Runs: any. */
double rtm_runtime_wall_of(uint64_t ticks);

uint64_t rtm_runtime_monotonic_ns(void);
uint64_t rtm_runtime_wall_ns(void);

/* How this VM is observed, in words; static texts. Runs: VM thread. */
struct rtm_runtime_about {
    const char *vm, *clock, *clock_reason;
    const char *gc_mode;   /* "incremental", "generational", "unknown" */
    const char *allocator; /* "stock", "foreign", "not watched" */
};
void rtm_runtime_describe(const struct rtm_context *cx, struct rtm_runtime_about *about);

#endif
