/* The counters, gauges and histograms that a program registers for itself: per VM one set, in it
   metrics, in a metric one series for each set of label values that was used.
   Bounded: the number of metrics, of series in a metric and of series in all has a cap. No series
   is ever evicted. An update whose labels would need a series beyond the caps (or memory that is
   refused) goes to the metric's overflow series, in which every label has the value
   RTM_SERIES_OVERFLOW, so that sums over the metric stay right; a gauge that is set, not added to,
   has no such sum, and its update is dropped. Both are counted.
   Threads: one writer, the VM's thread, whose updates take no lock: what belongs together in a
   histogram is read again if it was written meanwhile. The lock guards which series there are; a
   reader holds it for a few series at a time. */
#ifndef RTM_DATA_SERIES_H
#define RTM_DATA_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/label.h"
#include "data/series_spec.h"
#include "ground/atomic.h"
#include "ground/error.h"
#include "ground/lock.h"

#define RTM_SERIES_OVERFLOW "_overflow"
#define RTM_SERIES_NONE UINT32_MAX

struct rtm_series_limits {
    uint32_t metrics;
    uint32_t series_per_metric;
    uint32_t series; /* in all metrics; overflow series and metrics without labels do not count */
};

#define RTM_SERIES_LIMITS_DEFAULT ((struct rtm_series_limits){500, 1000, 20000})

struct rtm_series_metric;
struct rtm_series_cursor;

struct rtm_series_set {
    struct rtm_lock lock;
    struct rtm_series_limits limits;
    struct rtm_series_metric **metrics;
    uint32_t metric_count;
    uint32_t labelled;                 /* series that count for the cap */
    struct rtm_series_cursor *cursors; /* readers between two steps */
    bool closed;                       /* the VM's thread only */
    rtm_counter series;                /* now, overflow series included */
    rtm_counter bytes;                 /* of memory, now */
    rtm_counter overflowed;            /* updates that went to an overflow series */
    rtm_counter dropped;               /* updates that went nowhere */
};

/* What a series is at the moment, as a reader gets it. */
struct rtm_series_reading {
    const struct rtm_series_description *metric;
    double value; /* a histogram's sum */
    struct rtm_label_text labels[RTM_LABEL_COUNT_MAX];
    uint64_t counts[RTM_SERIES_BOUNDS_MAX + 1]; /* each bucket's own, not cumulative */
};

/* A metric's name and type, copied. */
struct rtm_series_family {
    enum rtm_series_type type;
    char name[RTM_SERIES_NAME_MAX + 1];
};

typedef void (*rtm_series_reader)(void *user, const struct rtm_series_reading *reading);

/* An empty set in the caller's storage; allocates nothing. Runs: VM thread. */
void rtm_series_init(struct rtm_series_set *set, struct rtm_series_limits limits);

/* Frees all series and closes the set: later updates do nothing, readers find nothing. The storage
   of the set itself must stay while the VM or a reader may still call. Runs: VM thread. */
void rtm_series_fini(struct rtm_series_set *set);

/* Frees the set's lock of threads that a fork did not copy; the values stay. Runs: a forked child.
 */
void rtm_series_after_fork(struct rtm_series_set *set);

/* May a metric like this be registered? False, with the reason, is the caller's mistake: what
   rtm_series_spec_check refuses, and a name whose samples another metric has. Runs: VM thread. */
bool rtm_series_check(const struct rtm_series_set *set, const struct rtm_series_spec *spec,
                      struct rtm_error *err) RTM_MUST_USE;

/* Registers a metric that rtm_series_check has passed, and returns its id; the same name, type,
   labels and bounds again give the same id. RTM_SERIES_NONE: a cap, no memory or a closed set.
   Runs: VM thread. */
uint32_t rtm_series_register(struct rtm_series_set *set, const struct rtm_series_spec *spec,
                             struct rtm_error *err);

/* The metric, or NULL where the id is none or the set is closed. Runs: VM thread. */
const struct rtm_series_description *rtm_series_get(const struct rtm_series_set *set, uint32_t id);

/* Updates; `key` holds as many values as the metric has labels, and the id is one that
   rtm_series_get knows. Add: counter (amount >= 0) or gauge. Assign: gauge. Observe: histogram,
   finite. Remove forgets one series, reset all of a metric. Runs: VM thread. */
void rtm_series_add(struct rtm_series_set *set, uint32_t id, const struct rtm_label_key *key,
                    double amount);
void rtm_series_assign(struct rtm_series_set *set, uint32_t id, const struct rtm_label_key *key,
                       double value);
void rtm_series_observe(struct rtm_series_set *set, uint32_t id, const struct rtm_label_key *key,
                        double value);
void rtm_series_remove(struct rtm_series_set *set, uint32_t id, const struct rtm_label_key *key);
void rtm_series_reset(struct rtm_series_set *set, uint32_t id);

/* Copies name and type of metric number `index`; false beyond the last. Ids are such numbers.
   Runs: any thread. */
bool rtm_series_describe(struct rtm_series_set *set, uint32_t index,
                         struct rtm_series_family *family);

/* The number of the metric of this name and type, or RTM_SERIES_NONE. Runs: any thread. */
uint32_t rtm_series_find(struct rtm_series_set *set, const struct rtm_series_family *family);

/* Has the set a metric, the same or another, whose samples have names of this family's? Runs: any
   thread. */
bool rtm_series_has_clash(struct rtm_series_set *set, const struct rtm_series_family *family);

/* Hands each series of a metric to `reader`, oldest first, with the lock held for a few at a time;
   what the reader gets is valid until it returns. The reader calls nothing of this header.
   Runs: any thread. */
void rtm_series_read(struct rtm_series_set *set, uint32_t index, rtm_series_reader reader,
                     void *user);

#endif
