/* Metrics as the text that Prometheus scrapes: text format 0.0.4 or OpenMetrics 1.0. The caller
   begins, writes the metrics in the order of their families, then the users' series, and ends; the
   output buffer keeps the first failure.
   Runtime histograms have many buckets, whose bounds are lower inclusive. They are merged into
   fewer, as Prometheus' Go client does: times in steps of at least 10 up to 10 s, sizes in steps
   of 2. `le` is upper inclusive, so it is the greatest value that its buckets can hold: as times
   are whole nanoseconds and sizes whole bytes, that is one nanosecond or one byte below the next
   bucket's bound, and no count is on the wrong side. Runs: any thread. */
#ifndef RTM_ENCODERS_PROMETHEUS_H
#define RTM_ENCODERS_PROMETHEUS_H

#include "data/metric.h"
#include "data/series.h"
#include "encoders/accept.h"
#include "ground/buffer.h"

struct rtm_prometheus {
    struct rtm_buffer *out;
    struct rtm_buffer labels; /* of the samples being written, without braces */
    const char *family;       /* whose header was written last; borrowed */
    enum rtm_accept_format format;
};

/* One VM's series and what tells them from another VM's: label text such as vm="2", or NULL. */
struct rtm_prometheus_source {
    struct rtm_series_set *set;
    const char *labels;
};

/* The Content-Type of a format. */
const char *rtm_prometheus_content_type(enum rtm_accept_format format);

/* Starts a document at the end of `out`, which is borrowed until the end. */
void rtm_prometheus_begin(struct rtm_prometheus *text, struct rtm_buffer *out,
                          enum rtm_accept_format format);

/* Writes what the metric reads, after the header of its family where the last one was another. A
   value that is bad, or a counter that is negative or not a number, is left out. A histogram is in
   its base unit already: its scale is 1. `extra` is label text for all samples (vm="2") or NULL. */
void rtm_prometheus_write_metric(struct rtm_prometheus *text,
                                 const struct rtm_metric_description *metric,
                                 const struct rtm_metric_value *value, const char *extra);

/* Writes all users' series of `count` VMs, those of one family together. A family whose type or
   samples clash with an earlier VM's is left out. */
void rtm_prometheus_write_series(struct rtm_prometheus *text,
                                 const struct rtm_prometheus_source *sources, size_t count);

/* Ends the document; `out` has failed if anything was refused. */
void rtm_prometheus_end(struct rtm_prometheus *text);

#endif
