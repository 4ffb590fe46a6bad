#include "core/memstats.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum { FIELDS = 15, ALLOCS_BY_SIZE = FIELDS, FREES_BY_SIZE, NAMES };

#define GC_SECONDS "/cpu/classes/gc/total:cpu-seconds"

/* `metric` is shown as it is, but for the share of the CPU time. */
static const struct {
    const char *name, *metric;
    bool is_fraction;
} fields[NAMES] = {
    {"alloc_bytes", "/memory/classes/heap/objects:bytes", false},
    {"total_alloc_bytes", "/gc/heap/allocs:bytes", false},
    {"freed_bytes", "/gc/heap/frees:bytes", false},
    {"sys_bytes", "/memory/classes/total:bytes", false},
    {"mallocs", "/gc/heap/allocs:blocks", false},
    {"frees", "/gc/heap/frees:blocks", false},
    {"next_gc_bytes", "/gc/heap/goal:bytes", false},
    {"live_bytes", "/gc/heap/live:bytes", false},
    {"last_gc", "/gc/last-cycle/end:unix-seconds", false},
    {"num_gc", "/gc/cycles/total:gc-cycles", false},
    {"num_forced_gc", "/gc/cycles/forced:gc-cycles", false},
    {"num_pauses", "/gc/pauses:pauses", false},
    {"pause_total", GC_SECONDS, false},
    {"pause_bounded_total", "/cpu/classes/gc/bounded:cpu-seconds", false},
    {"gc_cpu_fraction", GC_SECONDS, true},
    [ALLOCS_BY_SIZE] = {NULL, "/gc/heap/allocs-by-size:bytes", false},
    [FREES_BY_SIZE] = {NULL, "/gc/heap/frees-by-size:bytes", false},
};

static rtm_metric_id ids[NAMES];
static pthread_once_t ids_once = PTHREAD_ONCE_INIT;

static void find_ids(void)
{
    for (size_t i = 0; i < NAMES; i++) {
        bool is_there = rtm_metrics_find(fields[i].metric, &ids[i]);
        RTM_ASSERT(is_there);
        (void)is_there; /* a spec reads them all */
    }
}

static void read_metric(struct rtm_metrics_reading *reading, size_t index,
                        struct rtm_metric_value *value)
{
    pthread_once(&ids_once, find_ids);
    rtm_metrics_read(reading, ids[index], value);
}

/* Of the process's CPU time until now; the metric of that time may be a second old. */
static void divide_by_cpu(struct rtm_metric_value *value)
{
    double cpu_s = (double)clock() / CLOCKS_PER_SEC;
    if (!(cpu_s > 0))
        value->kind = RTM_METRIC_BAD;
    else if (value->kind == RTM_METRIC_FLOAT64)
        value->float64 /= cpu_s;
}

size_t rtm_memstats_count(void)
{
    return FIELDS;
}

const char *rtm_memstats_read(struct rtm_metrics_reading *reading, size_t index,
                              struct rtm_metric_value *value)
{
    read_metric(reading, index, value);
    if (fields[index].is_fraction)
        divide_by_cpu(value);
    return fields[index].name;
}

static bool copy_counts(struct rtm_metrics_reading *reading, size_t index,
                        struct rtm_memstats_sizes *sizes, uint64_t *counts)
{
    struct rtm_metric_value value;
    read_metric(reading, index, &value);
    if (value.kind != RTM_METRIC_HISTOGRAM)
        return false;
    sizes->bounds = value.histogram.bounds;
    sizes->count = value.histogram.count;
    for (size_t i = 0; i < sizes->count; i++)
        counts[i] = rtm_atomic_get(&value.histogram.counts[i]);
    return true;
}

bool rtm_memstats_read_sizes(struct rtm_metrics_reading *reading, struct rtm_memstats_sizes *sizes)
{
    return copy_counts(reading, ALLOCS_BY_SIZE, sizes, sizes->mallocs) &&
           copy_counts(reading, FREES_BY_SIZE, sizes, sizes->frees);
}
