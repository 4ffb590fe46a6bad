/* THE table of metrics: name, meaning, how each is read. The documentation, the listing, the
   reading and the exporters are made from it. */
#ifndef RTM_CORE_METRICS_H
#define RTM_CORE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/metric.h"
#include "encoders/accept.h"
#include "ground/atomic.h"
#include "ground/buffer.h"

struct rtm_context;
struct rtm_process;
struct rtm_visit;

typedef unsigned rtm_metric_id; /* place in the table */

size_t rtm_metrics_count(void);
const struct rtm_metric_description *rtm_metrics_describe(rtm_metric_id id);

/* Spellings that a Go tool would use: the id's canonical name, or NULL at the end of the list. */
struct rtm_metric_alias {
    const char *name, *canonical;
};
const struct rtm_metric_alias *rtm_metrics_aliases(size_t *count);

/* True for a figure of the process: the same from all its VMs, told once. */
bool rtm_metrics_is_of_process(rtm_metric_id id);

/* The metric of this canonical name; false where there is none. Runs: any. */
bool rtm_metrics_find(const char *name, rtm_metric_id *id);

enum { RTM_METRICS_COUNTS_MAX = 256 };

/* One reading of several metrics: each source outside the VM is asked at most once in it. */
struct rtm_metrics_reading {
    struct rtm_context *cx;      /* whose figures are read; NULL: only the process's */
    struct rtm_process *process; /* NULL: not observed */
    unsigned observed;           /* RTM_OBSERVES_* of any VM, where `cx` is NULL */
    bool is_visit;               /* the VM goes on meanwhile */
    uint64_t now_ns;             /* 0: not looked yet */
    rtm_counter counts[RTM_METRICS_COUNTS_MAX]; /* of a histogram that was read in a visit */
};

/* Starts a reading of one VM, on its thread. Runs: VM thread. */
void rtm_metrics_begin(struct rtm_metrics_reading *reading, struct rtm_context *cx);

/* Starts a reading in a visit: of the process at first; of a VM once `cx` is set to one of the
   visit's, and of another when that is. Runs: any thread, in a visit. */
void rtm_metrics_begin_visit(struct rtm_metrics_reading *reading, const struct rtm_visit *visit);

/* What metric `id` reads now; kind RTM_METRIC_BAD where it cannot be known. A histogram is valid
   until the next read, and its sum is one that its counts can have. Runs: where it began. */
void rtm_metrics_read(struct rtm_metrics_reading *reading, rtm_metric_id id,
                      struct rtm_metric_value *value);

/* All metrics and the program's own series of one VM, as Prometheus reads them, at the end of
   `out`. Runs: VM thread. */
void rtm_metrics_render(struct rtm_context *cx, enum rtm_accept_format format,
                        struct rtm_buffer *out);

/* The same of all VMs. Where there are several, samples of a VM carry vm="its number"; what is of
   the process stands there once, without. Runs: any thread, in a visit. */
void rtm_metrics_render_all(const struct rtm_visit *visit, enum rtm_accept_format format,
                            struct rtm_buffer *out);

#endif
