/* What a metric is (its description, a constant) and what it reads now (its value). The meaning is
   Go's runtime/metrics; the name has the form /path/name:unit. */
#ifndef RTM_DATA_METRIC_H
#define RTM_DATA_METRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/atomic.h"

enum rtm_metric_kind {
    RTM_METRIC_BAD, /* unknown name, or a value that cannot be known on this VM or kernel */
    RTM_METRIC_UINT64,
    RTM_METRIC_FLOAT64,
    RTM_METRIC_HISTOGRAM,
};

struct rtm_metric_description {
    const char *name; /* "/gc/heap/allocs:bytes" */
    const char *help; /* one sentence that ends with a full stop */
    enum rtm_metric_kind kind;
    bool cumulative; /* never falls while the VM (or process) lives */
    /* How Prometheus sees it: the family's name with its unit, without `_total`; constant labels or
       NULL (kind="table"); what the value is multiplied with to get Prometheus' base unit (0 means
       1). Rows of one family stand next to each other. */
    const char *family;
    const char *labels;
    double scale;
    const char
        *family_help; /* of a family of several rows, in its first one; NULL: `help` is enough */
};

/* Borrowed from the observer, alive as long as the VM is observed; read with rtm_atomic_get. */
struct rtm_metric_histogram {
    const double
        *bounds; /* count + 1 of them, rising; the first may be -Inf, the last may be +Inf */
    const rtm_counter *counts;
    size_t count;
    double sum; /* of all recorded values, exact, in the metric's unit */
};

struct rtm_metric_value {
    enum rtm_metric_kind kind;
    union {
        uint64_t uint64;
        double float64;
        struct rtm_metric_histogram histogram;
    };
};

#endif
