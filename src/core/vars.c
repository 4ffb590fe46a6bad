#include "core/vars.h"

#include <stdio.h>

#include "core/context.h"
#include "core/memstats.h"
#include "core/metrics.h"
#include "encoders/json.h"

/* A reading of a VM, or of the process, and where it goes. */
struct page {
    struct rtm_json json;
    struct rtm_metrics_reading reading;
};

static void write_histogram(struct rtm_json *json, const struct rtm_metric_histogram *histogram)
{
    rtm_json_open(json, '{');
    rtm_json_write_name(json, "counts");
    rtm_json_open(json, '[');
    for (size_t i = 0; i < histogram->count; i++)
        rtm_json_write_uint(json, rtm_atomic_get(&histogram->counts[i]));
    rtm_json_close(json, ']');
    rtm_json_write_name(json, "buckets");
    rtm_json_open(json, '[');
    for (size_t i = 0; i <= histogram->count; i++)
        rtm_json_write_double(json, histogram->bounds[i]);
    rtm_json_close(json, ']');
    rtm_json_close(json, '}');
}

static void write_value(struct rtm_json *json, const struct rtm_metric_value *value)
{
    switch (value->kind) {
    case RTM_METRIC_UINT64:
        rtm_json_write_uint(json, value->uint64);
        break;
    case RTM_METRIC_FLOAT64:
        rtm_json_write_double(json, value->float64);
        break;
    case RTM_METRIC_HISTOGRAM:
        write_histogram(json, &value->histogram);
        break;
    case RTM_METRIC_BAD:
        rtm_json_write_null(json);
        break;
    }
}

static void write_metrics(struct page *page, bool of_process)
{
    for (rtm_metric_id id = 0; id < rtm_metrics_count(); id++) {
        struct rtm_metric_value value;
        if (rtm_metrics_is_of_process(id) != of_process)
            continue;
        rtm_metrics_read(&page->reading, id, &value);
        rtm_json_write_name(&page->json, rtm_metrics_describe(id)->name);
        write_value(&page->json, &value);
    }
}

static void write_class(struct rtm_json *json, const struct rtm_memstats_sizes *sizes, size_t index)
{
    rtm_json_open(json, '{');
    rtm_json_write_name(json, "size");
    rtm_json_write_double(json, sizes->bounds[index + 1] - 1);
    rtm_json_write_name(json, "mallocs");
    rtm_json_write_uint(json, sizes->mallocs[index]);
    rtm_json_write_name(json, "frees");
    rtm_json_write_uint(json, sizes->frees[index]);
    rtm_json_close(json, '}');
}

static void write_sizes(struct page *page)
{
    struct rtm_memstats_sizes sizes;
    rtm_json_write_name(&page->json, "by_size");
    if (!rtm_memstats_read_sizes(&page->reading, &sizes)) {
        rtm_json_write_null(&page->json);
        return;
    }
    rtm_json_open(&page->json, '[');
    for (size_t i = 0; i < sizes.count; i++)
        write_class(&page->json, &sizes, i);
    rtm_json_close(&page->json, ']');
}

static void write_memstats(struct page *page)
{
    rtm_json_write_name(&page->json, "memstats");
    rtm_json_open(&page->json, '{');
    for (size_t i = 0; i < rtm_memstats_count(); i++) {
        struct rtm_metric_value value;
        rtm_json_write_name(&page->json, rtm_memstats_read(&page->reading, i, &value));
        write_value(&page->json, &value);
    }
    write_sizes(page);
    rtm_json_close(&page->json, '}');
}

static void write_vm(struct page *page, struct rtm_context *cx)
{
    page->reading.cx = cx;
    write_metrics(page, false);
    write_memstats(page);
}

static void write_vms(struct page *page, struct rtm_context *first)
{
    rtm_json_write_name(&page->json, "vms");
    rtm_json_open(&page->json, '{');
    for (struct rtm_context *cx = first; cx; cx = cx->next) {
        char number[16];
        snprintf(number, sizeof number, "%u", cx->number);
        rtm_json_write_name(&page->json, number);
        rtm_json_open(&page->json, '{');
        write_vm(page, cx);
        rtm_json_close(&page->json, '}');
    }
    rtm_json_close(&page->json, '}');
}

void rtm_vars_write(const struct rtm_visit *visit, struct rtm_buffer *out)
{
    struct page page;
    rtm_json_begin(&page.json, out);
    rtm_metrics_begin_visit(&page.reading, visit);
    rtm_json_open(&page.json, '{');
    write_metrics(&page, true);
    if (visit->has_labels)
        write_vms(&page, visit->first);
    else if (visit->first)
        write_vm(&page, visit->first);
    rtm_json_close(&page.json, '}');
    rtm_buffer_append_char(out, '\n');
}
