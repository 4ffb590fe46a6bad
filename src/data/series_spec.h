/* What a user's metric shall be, and which wishes are refused: names and labels that Prometheus
   does not take, names of our own, and names whose samples another metric has. Runs: any thread. */
#ifndef RTM_DATA_SERIES_SPEC_H
#define RTM_DATA_SERIES_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/label.h"
#include "ground/error.h"

#define RTM_SERIES_NAME_MAX 200
#define RTM_SERIES_HELP_MAX 1024 /* bytes; longer help is cut */
#define RTM_SERIES_BOUNDS_MAX 128

enum rtm_series_type {
    RTM_SERIES_COUNTER,
    RTM_SERIES_GAUGE,
    RTM_SERIES_HISTOGRAM,
};

/* What is asked for. Texts are borrowed for the call. */
struct rtm_series_spec {
    enum rtm_series_type type;
    struct rtm_label_text name;
    struct rtm_label_text help; /* length 0: none */
    size_t label_count;
    size_t bound_count;
    struct rtm_label_text labels[RTM_LABEL_COUNT_MAX];
    double bounds[RTM_SERIES_BOUNDS_MAX]; /* upper inclusive, rising, finite */
};

/* What a metric is; constant once registered. */
struct rtm_series_description {
    enum rtm_series_type type;
    uint32_t label_count;
    uint32_t bound_count;
    const char *family; /* the name; a counter's without `_total` */
    const char *help;   /* valid UTF-8; "" where there is none */
    const char *const *labels;
    const double *bounds;
};

/* Is the wish sound by itself? False, with the reason, for a name or label that Prometheus refuses,
   one that we keep for ourselves (prefixes lua_, process_, rtmetrics_; labels `vm`, `le` and what
   begins with two underscores), and for bounds that do not rise. */
bool rtm_series_spec_check(const struct rtm_series_spec *spec, struct rtm_error *err) RTM_MUST_USE;

/* Does this metric have the same name, type, labels and bounds? */
bool rtm_series_spec_is(const struct rtm_series_spec *spec,
                        const struct rtm_series_description *metric);

/* False, with the reason, where the metric is another one but some of its samples would have the
   same name (a gauge `x_count` beside a histogram `x`). For a wish that passed the check. */
bool rtm_series_spec_fits(const struct rtm_series_spec *spec,
                          const struct rtm_series_description *metric,
                          struct rtm_error *err) RTM_MUST_USE;

/* Would a family of this name and type have a sample of the same name as the metric? */
bool rtm_series_spec_clashes(struct rtm_label_text family, enum rtm_series_type type,
                             const struct rtm_series_description *metric);

/* The name without a counter's `_total`; borrowed from the spec. */
struct rtm_label_text rtm_series_spec_family(const struct rtm_series_spec *spec);

/* The metric that the spec asks for, in one block that the caller frees; NULL without memory. Adds
   its size to `bytes`. */
struct rtm_series_description *rtm_series_spec_describe(const struct rtm_series_spec *spec,
                                                        size_t *bytes) RTM_MUST_USE;

#endif
