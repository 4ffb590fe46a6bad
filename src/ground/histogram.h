/* Log-linear histograms with four linear sub-buckets per power of two, as Go's runtime/metrics has
   them for times (golang/go, src/runtime/histogram.go), and the same shape over sizes. The layout
   is fixed at compile time: a value finds its bucket in a few instructions. One writer, any number
   of readers. */
#ifndef RTM_GROUND_HISTOGRAM_H
#define RTM_GROUND_HISTOGRAM_H

#include <stddef.h>

#include "ground/atomic.h"

/* Times: [-Inf,0), then 40 powers of two from 64 ns steps up to 2^47 ns, then [2^47 ns, +Inf).
 * Bounds in seconds. */
#define RTM_HISTOGRAM_TIME_SHIFT 6
#define RTM_HISTOGRAM_TIME_SUPERS 40
#define RTM_HISTOGRAM_TIME_COUNTS (RTM_HISTOGRAM_TIME_SUPERS * 4 + 2)

/* Sizes: [1,17), [17,33), [33,49), [49,65), [65,81) ... up to 2^33 bytes, then the rest. Bounds in
 * bytes. */
#define RTM_HISTOGRAM_SIZE_SHIFT 4
#define RTM_HISTOGRAM_SIZE_SUPERS 28
#define RTM_HISTOGRAM_SIZE_COUNTS (RTM_HISTOGRAM_SIZE_SUPERS * 4 + 1)

struct rtm_histogram_time {
    rtm_counter counts[RTM_HISTOGRAM_TIME_COUNTS];
    rtm_counter sum_ns;
};

struct rtm_histogram_size {
    rtm_counter counts[RTM_HISTOGRAM_SIZE_COUNTS]; /* the sum is kept by who records */
};

/* Index of `value` in a layout without underflow bucket; `supers * 4` is the overflow bucket. */
static inline unsigned rtm_histogram_index(uint64_t value, unsigned shift, unsigned supers)
{
    if (value < (UINT64_C(4) << shift))
        return (unsigned)(value >> shift);
    unsigned bits = 64u - (unsigned)__builtin_clzll(value);
    unsigned super = bits - (shift + 2);
    if (super >= supers)
        return supers * 4;
    return super * 4 + (unsigned)((value >> (bits - 3)) & 3);
}

/* The bucket of each step of 16 bytes up to 1 KiB, where nearly all blocks are; filled by
 * rtm_histogram_init. */
#define RTM_HISTOGRAM_SMALL_STEPS 64
extern uint8_t rtm_histogram_small[RTM_HISTOGRAM_SMALL_STEPS] __attribute__((visibility("hidden")));

/* To be called once before anything is recorded. Runs: any thread. */
void rtm_histogram_init(void);

/* Inline for the allocator and the coroutine switch: bench/binary_trees.lua and bench/pingpong.lua.
 */
static inline void rtm_histogram_time_record(struct rtm_histogram_time *histogram, uint64_t ns)
{
    unsigned index =
        1 + rtm_histogram_index(ns, RTM_HISTOGRAM_TIME_SHIFT, RTM_HISTOGRAM_TIME_SUPERS);
    rtm_atomic_add(&histogram->counts[index], 1);
    rtm_atomic_add(&histogram->sum_ns, ns);
}

static inline void rtm_histogram_size_record(struct rtm_histogram_size *histogram, uint64_t bytes)
{
    uint64_t step = (bytes - 1) >> RTM_HISTOGRAM_SIZE_SHIFT;
    unsigned index =
        RTM_LIKELY(step < RTM_HISTOGRAM_SMALL_STEPS)
            ? rtm_histogram_small[step]
            : rtm_histogram_index(bytes - 1, RTM_HISTOGRAM_SIZE_SHIFT, RTM_HISTOGRAM_SIZE_SUPERS);
    rtm_atomic_add(&histogram->counts[index], 1);
}

/* The bounds of each layout, one more than its counts; constant once rtm_histogram_init has run.
   Bucket i holds the values in [bounds[i], bounds[i+1]). Runs: any thread. */
const double *rtm_histogram_time_bounds(void);
const double *rtm_histogram_size_bounds(void);

#endif
