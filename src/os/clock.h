/* The one place that knows clocks. Durations are measured in ticks: of the CPU's counter where the
   kernel itself trusts it and lets us read it, of CLOCK_MONOTONIC elsewhere. The counter is checked
   against CLOCK_MONOTONIC and given up for good when it stepped or drifted.

   Ticks are for differences only: rtm_clock_to_ns(later - earlier). Their unit stays the same when
   the counter is given up, so that sums of ticks stay right. The two sources count 2^63 apart: a
   difference with one end in each, like a negative one, is 2^62 or more, and is taken for 0.
   No thread-local storage, no lock at reading. */
#ifndef RTM_OS_CLOCK_H
#define RTM_OS_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ground/check.h"

#define RTM_CLOCK_NS_PER_S UINT64_C(1000000000)

/* Of clock.c, shown for the inline functions alone. */
struct rtm_clock_state {
    _Atomic uint64_t ns_per_tick; /* 32.32 fixed point, one word: a reader never sees half of it */
    _Atomic bool counting;        /* ticks come from the CPU's counter */
};

extern struct rtm_clock_state rtm_clock_state __attribute__((visibility("hidden")));

/* Chooses the source and measures the counter's rate for about a millisecond; later calls return at
   once. Without it ticks are those of CLOCK_MONOTONIC. Runs: any thread, not a signal handler. */
void rtm_clock_init(void);

/* Compares the counter with CLOCK_MONOTONIC, refines its rate, and gives it up on a step or drift;
   to be called about once a second, from ordinary code. Does nothing within 10 ms of the last
   comparison or while another thread compares. Runs: any thread, not a signal handler. */
void rtm_clock_check(void);

/* "tsc", "cntvct" or "monotonic": where ticks come from now. Static text. Runs: any. */
const char *rtm_clock_source(void);

/* Why that source, in words. Static text. Runs: any. */
const char *rtm_clock_reason(void);

/* Ticks of CLOCK_MONOTONIC, in the unit of the counter, 2^63 away from it. Runs: any. */
uint64_t rtm_clock_slow_ticks(void);

#if defined(__x86_64__)
static inline uint64_t rtm_clock_hardware(void)
{
    return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
static inline uint64_t rtm_clock_hardware(void)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}
#else
static inline uint64_t rtm_clock_hardware(void)
{
    return 0;
}
#endif

#ifdef RTM_TEST_SEAMS
/* The CPU's counter, as disturbed by rtm_clock_seam_disturb. Runs: any. */
uint64_t rtm_clock_counter(void);
#else
static inline uint64_t rtm_clock_counter(void)
{
    return rtm_clock_hardware();
}
#endif

/* The time now, in ticks from an arbitrary origin. Not ordered with the memory accesses around it.
   Inline for the coroutine switch: bench/pingpong.lua. Runs: any. */
static inline uint64_t rtm_clock_ticks(void)
{
    if (RTM_LIKELY(atomic_load_explicit(&rtm_clock_state.counting, memory_order_relaxed)))
        return rtm_clock_counter();
    return rtm_clock_slow_ticks();
}

/* Nanoseconds in a difference (or sum of differences) of ticks; 0 for 2^62 and more, UINT64_MAX
   where the result does not fit. Inline for the coroutine switch: bench/pingpong.lua. Runs: any. */
static inline uint64_t rtm_clock_to_ns(uint64_t ticks)
{
    if (RTM_UNLIKELY(ticks >> 62))
        return 0;
    uint64_t rate = atomic_load_explicit(&rtm_clock_state.ns_per_tick, memory_order_relaxed);
    unsigned __int128 ns = ((unsigned __int128)ticks * rate) >> 32;
    return RTM_UNLIKELY(ns >> 64) ? UINT64_MAX : (uint64_t)ns;
}

/* Nanoseconds of CLOCK_MONOTONIC, of CLOCK_REALTIME since 1970, and of CPU time that the calling
   thread has used; 0 where the kernel refuses. Runs: any. */
uint64_t rtm_clock_monotonic_ns(void);
uint64_t rtm_clock_coarse_ns(
    void); /* CLOCK_MONOTONIC_COARSE: to a tick of the kernel, at a third of the cost */
uint64_t rtm_clock_wall_ns(void);
uint64_t rtm_clock_thread_cpu_ns(void);

#ifdef RTM_TEST_SEAMS
/* Test builds only: choose the source anew, as at the first call; have `name` stand for the
   kernel's clocksource (NULL: the real one; borrowed); move the counter by `ticks` and let it run
   `ppm` too fast. */
void rtm_clock_seam_restart(const char *name);
void rtm_clock_seam_clocksource(const char *name);
void rtm_clock_seam_disturb(int64_t ticks, int64_t ppm);
#endif

#endif
