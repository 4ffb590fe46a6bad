#include "ground/histogram.h"

#include <math.h>
#include <pthread.h>

static double time_bounds[RTM_HISTOGRAM_TIME_COUNTS + 1];
static double size_bounds[RTM_HISTOGRAM_SIZE_COUNTS + 1];
uint8_t rtm_histogram_small[RTM_HISTOGRAM_SMALL_STEPS];
static pthread_once_t init_once = PTHREAD_ONCE_INIT;

/* The smallest value of bucket `index`: the inverse of rtm_histogram_index. */
static double lower_bound(unsigned index, unsigned shift)
{
    unsigned super = index / 4, sub = index % 4;
    if (super == 0)
        return ldexp(sub, (int)shift);
    return ldexp(4 + sub, (int)(shift + super - 1));
}

static void init_tables(void)
{
    time_bounds[0] = -INFINITY;
    for (unsigned i = 0; i <= RTM_HISTOGRAM_TIME_SUPERS * 4; i++)
        time_bounds[i + 1] = lower_bound(i, RTM_HISTOGRAM_TIME_SHIFT) / 1e9;
    time_bounds[RTM_HISTOGRAM_TIME_COUNTS] = INFINITY;
    for (unsigned i = 0; i <= RTM_HISTOGRAM_SIZE_SUPERS * 4; i++)
        size_bounds[i] = lower_bound(i, RTM_HISTOGRAM_SIZE_SHIFT) + 1;
    size_bounds[RTM_HISTOGRAM_SIZE_COUNTS] = INFINITY;
    for (unsigned step = 0; step < RTM_HISTOGRAM_SMALL_STEPS; step++)
        rtm_histogram_small[step] =
            (uint8_t)rtm_histogram_index((uint64_t)step << RTM_HISTOGRAM_SIZE_SHIFT,
                                         RTM_HISTOGRAM_SIZE_SHIFT, RTM_HISTOGRAM_SIZE_SUPERS);
}

void rtm_histogram_init(void)
{
    pthread_once(&init_once, init_tables);
}

const double *rtm_histogram_time_bounds(void)
{
    return time_bounds;
}

const double *rtm_histogram_size_bounds(void)
{
    return size_bounds;
}
