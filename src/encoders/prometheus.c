#include "encoders/prometheus.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/histogram.h"

enum { STEPS_MAX = 256, NUMBER_MAX = 32, LABELS_MAX = 1 << 16 };

/* One `le` and the histogram's buckets below it. */
struct step {
    uint16_t upto; /* number of the bucket after the last one */
    uint8_t length;
    bool whole; /* OpenMetrics wants a fraction, "1.0" */
    char text[NUMBER_MAX];
};

/* The finite `le` of a histogram, rising. */
struct grid {
    size_t count;
    struct step steps[STEPS_MAX];
};

/* --- numbers --- */

/* The significant digits of the shortest decimal that reads back as `value`, and the power of ten
   of the first. */
static size_t find_digits(double value, char digits[NUMBER_MAX], int *exponent)
{
    char text[NUMBER_MAX];
    for (int precision = 14; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, fabs(value));
        if (strtod(text, NULL) == fabs(value))
            break;
    }
    size_t count = 0;
    const char *p = text;
    for (; *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') /* passes over the point, or a locale's comma */
            digits[count++] = *p;
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    *exponent = atoi(p + 1);
    return count;
}

static size_t put_scientific(char *out, const char *digits, size_t count, int exponent)
{
    size_t length = 0;
    out[length++] = digits[0];
    if (count > 1) {
        out[length++] = '.';
        memcpy(out + length, digits + 1, count - 1);
        length += count - 1;
    }
    return length + (size_t)snprintf(out + length, NUMBER_MAX - length, "e%c%02d",
                                     exponent < 0 ? '-' : '+', abs(exponent));
}

static size_t put_plain(char *out, const char *digits, size_t count, int exponent)
{
    size_t length = 0;
    for (int place = exponent > 0 ? exponent : 0; place >= 0 || exponent - place < (int)count;
         place--) {
        int index = exponent - place;
        if (place == -1)
            out[length++] = '.';
        out[length++] = index >= 0 && index < (int)count ? digits[index] : '0';
    }
    return length;
}

/* OpenMetrics calls this form canonical for `le`; it is the one of Go's %g: 0.0001, 100000, 1e+06.
 */
static void put_bound(struct step *step, double bound)
{
    char digits[NUMBER_MAX] = {'0'}, *out = step->text;
    int exponent;
    size_t count = find_digits(bound, digits, &exponent);
    bool scientific = exponent < -4 || exponent >= 6;
    if (bound < 0)
        *out++ = '-';
    out += (scientific ? put_scientific : put_plain)(out, digits, count, exponent);
    step->length = (uint8_t)(out - step->text);
    step->whole = !scientific && exponent >= (int)count - 1;
}

/* --- grids --- */

static void add_step(struct grid *grid, size_t upto, double bound)
{
    struct step *step = &grid->steps[grid->count++];
    step->upto = (uint16_t)upto;
    put_bound(step, bound);
}

/* The `le` of bounds that are lower inclusive: of the positive ones, those that are `factor` apart
   and not above `limit`. Values are whole numbers of 1 / per_unit; per_unit 0: any numbers. */
static void build_grid(struct grid *grid, const double *bounds, size_t count, double per_unit,
                       double factor, double limit)
{
    double wanted = 0;
    grid->count = 0;
    for (size_t i = 1; i < count && grid->count < STEPS_MAX; i++) {
        double below = nextafter(bounds[i], -INFINITY);
        if (per_unit > 0)
            below = (floor(bounds[i] * per_unit + 0.5) - 1) / per_unit;
        if (!(bounds[i] > 0) || below < wanted || below > limit)
            continue;
        add_step(grid, i, below);
        wanted = below * factor;
    }
}

static struct grid time_grid, size_grid;
static pthread_once_t grids_once = PTHREAD_ONCE_INIT;

static void build_grids(void)
{
    build_grid(&time_grid, rtm_histogram_time_bounds(), RTM_HISTOGRAM_TIME_COUNTS, 1e9, 10, 10);
    build_grid(&size_grid, rtm_histogram_size_bounds(), RTM_HISTOGRAM_SIZE_COUNTS, 1, 2, DBL_MAX);
}

/* The grid of a layout of ours; of another, all its bounds, built in `own`. */
static const struct grid *find_grid(const struct rtm_metric_histogram *histogram, struct grid *own)
{
    pthread_once(&grids_once, build_grids);
    if (histogram->bounds == rtm_histogram_time_bounds())
        return &time_grid;
    if (histogram->bounds == rtm_histogram_size_bounds())
        return &size_grid;
    build_grid(own, histogram->bounds, histogram->count, 0, 1, DBL_MAX);
    return own;
}

/* --- headers --- */

static bool is_openmetrics(const struct rtm_prometheus *text)
{
    return text->format == RTM_ACCEPT_OPENMETRICS;
}

/* Appends `bytes` with a backslash before each backslash, quote (where wanted) and line feed. */
static void write_escaped(struct rtm_buffer *out, const char *bytes, size_t length, bool quotes)
{
    size_t start = 0;
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        if (c != '\\' && c != '\n' && !(c == '"' && quotes))
            continue;
        rtm_buffer_append(out, bytes + start, i - start);
        rtm_buffer_append_char(out, '\\');
        rtm_buffer_append_char(out, c == '\n' ? 'n' : c);
        start = i + 1;
    }
    rtm_buffer_append(out, bytes + start, length - start);
}

static void write_header_line(struct rtm_prometheus *text, const char *keyword, const char *family,
                              const char *suffix)
{
    rtm_buffer_append_text(text->out, keyword);
    rtm_buffer_append_text(text->out, family);
    rtm_buffer_append_text(text->out, suffix);
    rtm_buffer_append_char(text->out, ' ');
}

/* The unit in a family's name, or NULL: the base units of Prometheus and OpenMetrics. */
static const char *find_unit(const char *family)
{
    static const char *const units[] = {"seconds", "bytes", "ratio",   "percent", "celsius",
                                        "meters",  "volts", "amperes", "joules",  "grams"};
    const char *last = strrchr(family, '_');
    for (size_t i = 0; last && i < RTM_COUNT_OF(units); i++) {
        if (strcmp(last + 1, units[i]) == 0)
            return units[i];
    }
    return NULL;
}

static void write_header(struct rtm_prometheus *text, const char *family, const char *type,
                         const char *help)
{
    bool openmetrics = is_openmetrics(text);
    const char *suffix = !openmetrics && strcmp(type, "counter") == 0 ? "_total" : "";
    if (*help) {
        write_header_line(text, "# HELP ", family, suffix);
        write_escaped(text->out, help, strlen(help), openmetrics);
        rtm_buffer_append_char(text->out, '\n');
    }
    write_header_line(text, "# TYPE ", family, suffix);
    rtm_buffer_append_text(text->out, type);
    rtm_buffer_append_char(text->out, '\n');
    const char *unit = openmetrics ? find_unit(family) : NULL;
    if (unit) {
        write_header_line(text, "# UNIT ", family, "");
        rtm_buffer_append_text(text->out, unit);
        rtm_buffer_append_char(text->out, '\n');
    }
}

/* --- samples --- */

/* A sample without its labels would be another sample. */
static void end_labels(struct rtm_prometheus *text)
{
    if (text->labels.failed)
        text->out->failed = true;
}

static void add_label_text(struct rtm_prometheus *text, const char *labels)
{
    if (!labels || !*labels)
        return;
    if (text->labels.length)
        rtm_buffer_append_char(&text->labels, ',');
    rtm_buffer_append_text(&text->labels, labels);
}

/* A sample's line up to its value. */
static void begin_sample(struct rtm_prometheus *text, const char *family, const char *suffix)
{
    rtm_buffer_append_text(text->out, family);
    rtm_buffer_append_text(text->out, suffix);
    if (text->labels.length) {
        rtm_buffer_append_char(text->out, '{');
        rtm_buffer_append(text->out, text->labels.bytes, text->labels.length);
        rtm_buffer_append_char(text->out, '}');
    }
    rtm_buffer_append_char(text->out, ' ');
}

static void write_uint_sample(struct rtm_prometheus *text, const char *family, const char *suffix,
                              uint64_t value)
{
    begin_sample(text, family, suffix);
    rtm_buffer_append_uint(text->out, value);
    rtm_buffer_append_char(text->out, '\n');
}

static void write_sample(struct rtm_prometheus *text, const char *family, const char *suffix,
                         double value)
{
    begin_sample(text, family, suffix);
    rtm_buffer_append_double(text->out, value);
    rtm_buffer_append_char(text->out, '\n');
}

static void write_bucket(struct rtm_prometheus *text, const char *family, const char *le,
                         size_t length, uint64_t count)
{
    struct rtm_buffer *out = text->out;
    rtm_buffer_append_text(out, family);
    rtm_buffer_append(out, "_bucket{", 8);
    if (text->labels.length) {
        rtm_buffer_append(out, text->labels.bytes, text->labels.length);
        rtm_buffer_append_char(out, ',');
    }
    rtm_buffer_append(out, "le=\"", 4);
    rtm_buffer_append(out, le, length);
    rtm_buffer_append(out, "\"} ", 3);
    rtm_buffer_append_uint(out, count);
    rtm_buffer_append_char(out, '\n');
}

static void write_step(struct rtm_prometheus *text, const char *family, const struct step *step,
                       uint64_t count)
{
    char le[NUMBER_MAX + 2];
    size_t length = step->length;
    memcpy(le, step->text, length);
    if (step->whole && is_openmetrics(text)) {
        le[length++] = '.';
        le[length++] = '0';
    }
    write_bucket(text, family, le, length, count);
}

/* `counts` are each bucket's own. OpenMetrics has no sum where it would not be a counter. */
static void write_histogram(struct rtm_prometheus *text, const char *family,
                            const struct grid *grid, const uint64_t *counts, size_t count,
                            double sum)
{
    uint64_t total = 0;
    size_t bucket = 0;
    for (size_t i = 0; i < grid->count; i++) {
        for (; bucket < grid->steps[i].upto; bucket++)
            total += counts[bucket];
        write_step(text, family, &grid->steps[i], total);
    }
    for (; bucket < count; bucket++)
        total += counts[bucket];
    write_bucket(text, family, "+Inf", 4, total);
    bool negative = grid->count && grid->steps[0].text[0] == '-';
    if (is_openmetrics(text) && (negative || !(sum >= 0)))
        return;
    write_sample(text, family, "_sum", sum);
    write_uint_sample(text, family, "_count", total);
}

/* --- the runtime's metrics --- */

static void write_runtime_histogram(struct rtm_prometheus *text, const char *family,
                                    const struct rtm_metric_histogram *histogram)
{
    uint64_t counts[STEPS_MAX];
    struct grid own;
    const struct grid *grid = find_grid(histogram, &own);
    size_t count = histogram->count < STEPS_MAX ? histogram->count : STEPS_MAX;
    RTM_ASSERT(count == histogram->count);
    for (size_t i = 0; i < count; i++)
        counts[i] = rtm_atomic_get(&histogram->counts[i]);
    write_histogram(text, family, grid, counts, count, histogram->sum);
}

static const char *find_type(const struct rtm_metric_description *metric)
{
    if (metric->kind == RTM_METRIC_HISTOGRAM)
        return "histogram";
    return metric->cumulative ? "counter" : "gauge";
}

static bool is_writable(const struct rtm_metric_description *metric,
                        const struct rtm_metric_value *value)
{
    if (value->kind == RTM_METRIC_FLOAT64 && metric->cumulative)
        return value->float64 >= 0;
    return value->kind != RTM_METRIC_BAD;
}

/* Nanoseconds that are scaled to seconds need no floating point. */
static void write_uint(struct rtm_prometheus *text, const char *family, const char *suffix,
                       uint64_t value, double scale)
{
    begin_sample(text, family, suffix);
    if (scale == 1)
        rtm_buffer_append_uint(text->out, value);
    else if (scale == 1e-9)
        rtm_buffer_append_fixed(text->out, value, 9);
    else
        rtm_buffer_append_double(text->out, (double)value * scale);
    rtm_buffer_append_char(text->out, '\n');
}

static void write_value(struct rtm_prometheus *text, const struct rtm_metric_description *metric,
                        const struct rtm_metric_value *value)
{
    double scale = metric->scale != 0 ? metric->scale : 1;
    const char *suffix = metric->cumulative ? "_total" : "";
    switch (value->kind) {
    case RTM_METRIC_UINT64:
        write_uint(text, metric->family, suffix, value->uint64, scale);
        break;
    case RTM_METRIC_FLOAT64:
        write_sample(text, metric->family, suffix, value->float64 * scale);
        break;
    case RTM_METRIC_HISTOGRAM:
        write_runtime_histogram(text, metric->family, &value->histogram);
        break;
    case RTM_METRIC_BAD:
        break;
    }
}

void rtm_prometheus_write_metric(struct rtm_prometheus *text,
                                 const struct rtm_metric_description *metric,
                                 const struct rtm_metric_value *value, const char *extra)
{
    if (!is_writable(metric, value))
        return;
    if (!text->family || strcmp(text->family, metric->family) != 0) {
        write_header(text, metric->family, find_type(metric),
                     metric->family_help ? metric->family_help : metric->help);
        text->family = metric->family;
    }
    rtm_buffer_reset(&text->labels);
    add_label_text(text, extra);
    add_label_text(text, metric->labels);
    end_labels(text);
    write_value(text, metric, value);
}

/* --- users' series --- */

static const char *const series_types[] = {
    [RTM_SERIES_COUNTER] = "counter",
    [RTM_SERIES_GAUGE] = "gauge",
    [RTM_SERIES_HISTOGRAM] = "histogram",
};

/* What stays the same over the series of a family in one VM. */
struct family_writer {
    struct rtm_prometheus *text;
    const char *extra;
    bool has_header;
    bool has_grid;
    struct grid grid;
};

static void add_labels(struct rtm_prometheus *text, const struct rtm_series_reading *reading)
{
    for (uint32_t i = 0; i < reading->metric->label_count; i++) {
        add_label_text(text, reading->metric->labels[i]);
        rtm_buffer_append(&text->labels, "=\"", 2);
        write_escaped(&text->labels, reading->labels[i].bytes, reading->labels[i].length, true);
        rtm_buffer_append_char(&text->labels, '"');
    }
}

static const struct grid *user_grid(struct family_writer *writer,
                                    const struct rtm_series_description *metric)
{
    if (!writer->has_grid) {
        writer->grid.count = 0;
        for (uint32_t i = 0; i < metric->bound_count; i++)
            add_step(&writer->grid, i + 1, metric->bounds[i]);
        writer->has_grid = true;
    }
    return &writer->grid;
}

static void write_reading(void *user, const struct rtm_series_reading *reading)
{
    struct family_writer *writer = user;
    struct rtm_prometheus *text = writer->text;
    const struct rtm_series_description *metric = reading->metric;
    if (!writer->has_header)
        write_header(text, metric->family, series_types[metric->type], metric->help);
    writer->has_header = true;
    rtm_buffer_reset(&text->labels);
    add_label_text(text, writer->extra);
    add_labels(text, reading);
    end_labels(text);
    if (metric->type == RTM_SERIES_HISTOGRAM)
        write_histogram(text, metric->family, user_grid(writer, metric), reading->counts,
                        metric->bound_count + 1, reading->value);
    else
        write_sample(text, metric->family, metric->type == RTM_SERIES_COUNTER ? "_total" : "",
                     reading->value);
}

/* The VM waits for the lock under which its series are written: a long document, whose memory may
   have to be copied, is to grow before. */
static void make_room(struct rtm_buffer *out)
{
    size_t room = out->length / 8;
    if (room <= out->cap - out->length)
        rtm_buffer_reserve(out, room);
}

static void write_family(struct rtm_prometheus *text, const struct rtm_prometheus_source *sources,
                         size_t count, const struct rtm_series_family *family)
{
    struct family_writer writer;
    writer.text = text;
    writer.has_header = false;
    for (size_t i = 0; i < count; i++) {
        writer.extra = sources[i].labels;
        writer.has_grid = false; /* each VM may have buckets of its own */
        uint32_t index = rtm_series_find(sources[i].set, family);
        if (index == RTM_SERIES_NONE)
            continue;
        make_room(text->out);
        rtm_series_read(sources[i].set, index, write_reading, &writer);
    }
}

/* Have earlier VMs a family of this name, then written already, or one whose samples clash? */
static bool is_taken(const struct rtm_prometheus_source *sources, size_t count,
                     const struct rtm_series_family *family)
{
    for (size_t i = 0; i < count; i++) {
        if (rtm_series_has_clash(sources[i].set, family))
            return true;
    }
    return false;
}

void rtm_prometheus_write_series(struct rtm_prometheus *text,
                                 const struct rtm_prometheus_source *sources, size_t count)
{
    struct rtm_series_family family;
    for (size_t i = 0; i < count; i++) {
        for (uint32_t m = 0; rtm_series_describe(sources[i].set, m, &family); m++) {
            if (!is_taken(sources, i, &family))
                write_family(text, sources + i, count - i, &family);
        }
    }
}

/* --- the document --- */

const char *rtm_prometheus_content_type(enum rtm_accept_format format)
{
    return format == RTM_ACCEPT_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

void rtm_prometheus_begin(struct rtm_prometheus *text, struct rtm_buffer *out,
                          enum rtm_accept_format format)
{
    *text = (struct rtm_prometheus){.out = out, .format = format};
    rtm_buffer_init(&text->labels, LABELS_MAX);
}

void rtm_prometheus_end(struct rtm_prometheus *text)
{
    if (is_openmetrics(text))
        rtm_buffer_append_text(text->out, "# EOF\n");
    rtm_buffer_fini(&text->labels);
}
