/* THE table of metrics: name, meaning, how each is read. The documentation, the listing, the
   reading and the exporters are made from it. */
#ifndef RTM_CORE_METRICS_H
#define RTM_CORE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/metric.h"
#include "encoders/accept.h"
#include "ground/buffer.h"

struct rtm_context;

typedef unsigned rtm_metric_id; /* place in the table */

size_t rtm_metrics_count(void);
const struct rtm_metric_description *rtm_metrics_describe(rtm_metric_id id);

/* Spellings that a Go tool would use: the id's canonical name, or NULL at the end of the list. */
struct rtm_metric_alias {
    const char *name, *canonical;
};
const struct rtm_metric_alias *rtm_metrics_aliases(size_t *count);

/* One reading of several metrics: each source outside the VM is asked at most once in it. */
struct rtm_metrics_reading {
    struct rtm_context *cx;
    uint64_t now_ns; /* 0: not looked yet */
};

/* What metric `id` reads now; kind RTM_METRIC_BAD where it cannot be known. Runs: VM thread. */
void rtm_metrics_read(struct rtm_metrics_reading *reading, rtm_metric_id id,
                      struct rtm_metric_value *value);

/* All metrics and the program's own series, as Prometheus reads them, at the end of `out`. Runs: VM
 * thread. */
void rtm_metrics_render(struct rtm_context *cx, enum rtm_accept_format format,
                        struct rtm_buffer *out);

#endif
