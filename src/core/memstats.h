/* Figures of the heap and the collector gathered under the names of rt.memstats(), after Go's
   runtime.MemStats: THE list of its fields, for Lua and for JSON. */
#ifndef RTM_CORE_MEMSTATS_H
#define RTM_CORE_MEMSTATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/metrics.h"

size_t rtm_memstats_count(void);

/* The name of a field, and what it reads now: a number, or bad. Runs: as rtm_metrics_read. */
const char *rtm_memstats_read(struct rtm_metrics_reading *reading, size_t index,
                              struct rtm_metric_value *value);

/* Blocks allocated and freed by size: class i holds sizes from bounds[i] up to below bounds[i + 1].
 */
struct rtm_memstats_sizes {
    const double *bounds; /* count + 1 of them, the last is +Inf; static */
    size_t count;
    uint64_t mallocs[RTM_METRICS_COUNTS_MAX], frees[RTM_METRICS_COUNTS_MAX];
};

/* False where they are not known. Runs: as rtm_metrics_read. */
bool rtm_memstats_read_sizes(struct rtm_metrics_reading *reading, struct rtm_memstats_sizes *sizes);

#endif
