#include "data/series_spec.h"

#include <math.h>
#include <string.h>

#include "ground/memory.h"

static const char *const type_names[] = {"counter", "gauge", "histogram"};
static const char total[] = "_total";

static bool ends_with(struct rtm_label_text text, const char *end)
{
    size_t length = strlen(end);
    return text.length >= length && memcmp(text.bytes + text.length - length, end, length) == 0;
}

/* What follows the family in the names of a type's samples; "" is the family itself. */
static const char *const suffixes[][5] = {
    [RTM_SERIES_COUNTER] = {"", "_total", NULL},
    [RTM_SERIES_GAUGE] = {"", NULL},
    [RTM_SERIES_HISTOGRAM] = {"", "_bucket", "_count", "_sum", NULL},
};

static char joined_at(struct rtm_label_text text, const char *end, size_t i)
{
    return i < text.length ? text.bytes[i] : end[i - text.length];
}

/* Are the two names, each with what follows it, the same text? */
static bool is_joined(struct rtm_label_text a, const char *a_end, struct rtm_label_text b,
                      const char *b_end)
{
    size_t length = a.length + strlen(a_end);
    if (length != b.length + strlen(b_end))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (joined_at(a, a_end, i) != joined_at(b, b_end, i))
            return false;
    }
    return true;
}

bool rtm_series_spec_clashes(struct rtm_label_text family, enum rtm_series_type type,
                             const struct rtm_series_description *other)
{
    struct rtm_label_text taken = {other->family, strlen(other->family)};
    for (const char *const *mine = suffixes[type]; *mine; mine++) {
        for (const char *const *theirs = suffixes[other->type]; *theirs; theirs++) {
            if (is_joined(family, *mine, taken, *theirs))
                return true;
        }
    }
    return false;
}

static bool is_text(struct rtm_label_text text, const char *sought)
{
    return text.length == strlen(sought) && memcmp(text.bytes, sought, text.length) == 0;
}

static bool refuse(struct rtm_error *err, const char *what, struct rtm_label_text text,
                   const char *why)
{
    int shown = text.length < 80 ? (int)text.length : 80;
    return rtm_error_set(err, "%s \"%.*s\": %s", what, shown, text.bytes, why);
}

static bool check_name(const struct rtm_series_spec *spec, struct rtm_error *err)
{
    static const char *const kept[] = {"lua_", "process_", "rtmetrics_"};
    struct rtm_label_text family = rtm_series_spec_family(spec);
    if (!rtm_label_is_name(family, true))
        return refuse(err, "metric name", spec->name, "must match [a-zA-Z_:][a-zA-Z0-9_:]*");
    if (spec->name.length > RTM_SERIES_NAME_MAX)
        return refuse(err, "metric name", spec->name, "longer than 200 bytes");
    for (size_t i = 0; i < RTM_COUNT_OF(kept); i++) {
        if (family.length >= strlen(kept[i]) && memcmp(family.bytes, kept[i], strlen(kept[i])) == 0)
            return refuse(err, "metric name", spec->name,
                          "lua_, process_ and rtmetrics_ begin the runtime's own names");
    }
    return true;
}

static bool check_label(const struct rtm_series_spec *spec, size_t index, struct rtm_error *err)
{
    struct rtm_label_text label = spec->labels[index];
    if (!rtm_label_is_name(label, false))
        return refuse(err, "label name", label, "must match [a-zA-Z_][a-zA-Z0-9_]*");
    if (label.length > RTM_SERIES_NAME_MAX)
        return refuse(err, "label name", label, "longer than 200 bytes");
    if ((label.length >= 2 && memcmp(label.bytes, "__", 2) == 0) || is_text(label, "le") ||
        is_text(label, "vm"))
        return refuse(err, "label name", label, "reserved");
    for (size_t i = 0; i < index; i++) {
        if (label.length == spec->labels[i].length &&
            memcmp(label.bytes, spec->labels[i].bytes, label.length) == 0)
            return refuse(err, "label name", label, "given twice");
    }
    return true;
}

static bool check_bounds(const struct rtm_series_spec *spec, struct rtm_error *err)
{
    for (size_t i = 0; i < spec->bound_count; i++) {
        if (!isfinite(spec->bounds[i]) || (i && spec->bounds[i] <= spec->bounds[i - 1]))
            return refuse(err, "buckets of", spec->name, "must be finite numbers that rise");
    }
    return true;
}

struct rtm_label_text rtm_series_spec_family(const struct rtm_series_spec *spec)
{
    struct rtm_label_text family = spec->name;
    if (spec->type == RTM_SERIES_COUNTER && ends_with(family, total))
        family.length -= sizeof total - 1;
    return family;
}

bool rtm_series_spec_check(const struct rtm_series_spec *spec, struct rtm_error *err)
{
    RTM_ASSERT(spec->label_count <= RTM_LABEL_COUNT_MAX);
    RTM_ASSERT(spec->bound_count <= RTM_SERIES_BOUNDS_MAX);
    if (!check_name(spec, err) || !check_bounds(spec, err))
        return false;
    for (size_t i = 0; i < spec->label_count; i++) {
        if (!check_label(spec, i, err))
            return false;
    }
    return true;
}

bool rtm_series_spec_is(const struct rtm_series_spec *spec,
                        const struct rtm_series_description *metric)
{
    if (metric->type != spec->type || metric->label_count != spec->label_count ||
        metric->bound_count != spec->bound_count ||
        !is_text(rtm_series_spec_family(spec), metric->family))
        return false;
    for (size_t i = 0; i < spec->label_count; i++) {
        if (!is_text(spec->labels[i], metric->labels[i]))
            return false;
    }
    for (size_t i = 0; i < spec->bound_count; i++) {
        if (metric->bounds[i] != spec->bounds[i])
            return false;
    }
    return true;
}

bool rtm_series_spec_fits(const struct rtm_series_spec *spec,
                          const struct rtm_series_description *metric, struct rtm_error *err)
{
    if (rtm_series_spec_is(spec, metric) ||
        !rtm_series_spec_clashes(rtm_series_spec_family(spec), spec->type, metric))
        return true;
    return rtm_error_set(err, "metric name \"%.*s\": taken by the %s \"%s\", which differs",
                         (int)spec->name.length, spec->name.bytes, type_names[metric->type],
                         metric->family);
}

/* One block holds the description and all that it points to. */
struct layout {
    size_t labels, bounds, texts, bytes;
};

static struct layout lay_out(const struct rtm_series_spec *spec)
{
    struct layout at = {.labels = sizeof(struct rtm_series_description)};
    at.bounds = at.labels + spec->label_count * sizeof(char *);
    at.texts = at.bounds + spec->bound_count * sizeof(double);
    at.bytes = at.texts + spec->name.length + 1;
    for (size_t i = 0; i < spec->label_count; i++)
        at.bytes += spec->labels[i].length + 1;
    /* Each byte that is not UTF-8 grows to three. */
    size_t help = 3 * spec->help.length;
    at.bytes += (help < RTM_SERIES_HELP_MAX ? help : RTM_SERIES_HELP_MAX) + 1;
    return at;
}

static char *copy_text(char **at, struct rtm_label_text text)
{
    char *copy = *at;
    memcpy(copy, text.bytes, text.length);
    copy[text.length] = 0;
    *at += text.length + 1;
    return copy;
}

/* NUL would end a help text early: it has no meaning there. */
static void copy_help(char *out, struct rtm_label_text help)
{
    size_t length = help.length ? rtm_label_clean(out, RTM_SERIES_HELP_MAX, help) : 0;
    for (size_t i = 0; i < length; i++) {
        if (!out[i])
            out[i] = ' ';
    }
    out[length] = 0;
}

struct rtm_series_description *rtm_series_spec_describe(const struct rtm_series_spec *spec,
                                                        size_t *bytes)
{
    struct layout at = lay_out(spec);
    char *block = rtm_memory_alloc(at.bytes);
    if (!block)
        return NULL;
    *bytes += at.bytes;
    char *texts = block + at.texts;
    char **labels = (char **)(void *)(block + at.labels);
    double *bounds = (double *)(void *)(block + at.bounds);
    for (size_t i = 0; i < spec->label_count; i++)
        labels[i] = copy_text(&texts, spec->labels[i]);
    if (spec->bound_count)
        memcpy(bounds, spec->bounds, spec->bound_count * sizeof *bounds);
    struct rtm_series_description *metric = (void *)block;
    metric->type = spec->type;
    metric->label_count = (uint32_t)spec->label_count;
    metric->bound_count = (uint32_t)spec->bound_count;
    metric->labels = (const char *const *)labels;
    metric->bounds = bounds;
    metric->family = copy_text(&texts, rtm_series_spec_family(spec));
    metric->help = texts;
    copy_help(texts, spec->help);
    return metric;
}
