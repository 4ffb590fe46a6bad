#include "core/pages.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/context.h"
#include "core/metrics.h"
#include "core/seen.h"
#include "encoders/html.h"
#include "os/clock.h"

static void write_text(struct rtm_buffer *out, const char *text)
{
    rtm_html_write_text(out, text, strlen(text));
}

static void begin_page(struct rtm_buffer *out, const char *title, const char *style)
{
    rtm_buffer_append_text(out, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                                "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    write_text(out, title);
    rtm_buffer_append_text(out, "</title>\n<link rel=\"stylesheet\" href=\"");
    write_text(out, style);
    rtm_buffer_append_text(out, "\">\n<h1>");
    write_text(out, title);
    rtm_buffer_append_text(out, "</h1>\n");
}

static void write_cell(struct rtm_buffer *out, const char *text)
{
    rtm_buffer_append_text(out, "<td>");
    write_text(out, text);
    rtm_buffer_append_text(out, "</td>");
}

/* --- the index: pages --- */

void rtm_pages_begin_index(struct rtm_buffer *out)
{
    begin_page(out, "rtmetrics", "style.css");
    rtm_buffer_append_text(out, "<h2>Pages</h2>\n<table>\n"
                                "<tr><th>page</th><th>class</th><th>what it shows</th></tr>\n");
}

void rtm_pages_write_link(struct rtm_buffer *out, const struct rtm_route *route,
                          const char *class_name)
{
    rtm_buffer_append_text(out, "<tr><td><a href=\"");
    write_text(out, route->path + 1);
    rtm_buffer_append_text(out, "\">");
    write_text(out, route->path);
    rtm_buffer_append_text(out, "</a></td>");
    write_cell(out, class_name);
    write_cell(out, route->help);
    rtm_buffer_append_text(out, "</tr>\n");
}

/* --- the index: VMs --- */

enum { TEXT_MAX = 96 };

/* With one decimal, and a point in every locale. */
static void print_tenths(char text[TEXT_MAX], double value, const char *unit)
{
    uint64_t tenths = (uint64_t)(value * 10 + 0.5);
    snprintf(text, TEXT_MAX, "%" PRIu64 ".%u %s", tenths / 10, (unsigned)(tenths % 10), unit);
}

static void print_seconds(char text[TEXT_MAX], double seconds)
{
    if (seconds < 1)
        snprintf(text, TEXT_MAX, "%u ms", (unsigned)(seconds * 1e3 + 0.5));
    else if (seconds < 120)
        print_tenths(text, seconds, "s");
    else if (seconds < 7200)
        print_tenths(text, seconds / 60, "min");
    else
        print_tenths(text, seconds / 3600, "h");
}

static void print_ago(char text[TEXT_MAX], bool is_known, double seconds)
{
    char time[TEXT_MAX];
    print_seconds(time, seconds);
    if (is_known)
        snprintf(text, TEXT_MAX, "%.32s ago", time);
    else
        snprintf(text, TEXT_MAX, "not known");
}

/* Between two looks: the moment is known within bounds. */
static void print_alloc(char text[TEXT_MAX], const struct rtm_seen *seen)
{
    char least[TEXT_MAX], most[TEXT_MAX];
    print_seconds(least, seen->alloc_least_s);
    print_seconds(most, seen->alloc_most_s);
    if (!seen->knows_alloc)
        snprintf(text, TEXT_MAX, "not known");
    else if (seen->alloc_least_s <= 0)
        snprintf(text, TEXT_MAX, "within the last %.32s", most);
    else
        snprintf(text, TEXT_MAX, "%.32s to %.32s ago", least, most);
}

static void print_bytes(char text[TEXT_MAX], uint64_t bytes)
{
    if (bytes < 1024)
        snprintf(text, TEXT_MAX, "%" PRIu64 " B", bytes);
    else if (bytes < 1 << 20)
        print_tenths(text, (double)bytes / 1024, "KiB");
    else if (bytes < 1 << 30)
        print_tenths(text, (double)bytes / (1 << 20), "MiB");
    else
        print_tenths(text, (double)bytes / (1 << 30), "GiB");
}

static void print_count(char text[TEXT_MAX], uint64_t count)
{
    snprintf(text, TEXT_MAX, "%" PRIu64, count);
}

static void write_figure(struct rtm_buffer *out, struct rtm_metrics_reading *reading,
                         const char *name, void (*print)(char text[TEXT_MAX], uint64_t value))
{
    rtm_metric_id id;
    struct rtm_metric_value value = {.kind = RTM_METRIC_BAD};
    char text[TEXT_MAX] = "not known";
    if (rtm_metrics_find(name, &id))
        rtm_metrics_read(reading, id, &value);
    if (value.kind == RTM_METRIC_UINT64)
        print(text, value.uint64);
    write_cell(out, text);
}

static void write_seen(struct rtm_buffer *out, struct rtm_context *cx)
{
    struct rtm_seen seen;
    char text[TEXT_MAX];
    rtm_seen_look(cx, rtm_clock_monotonic_ns(), &seen);
    print_ago(text, seen.knows_switch, seen.switch_ago_s);
    write_cell(out, text);
    print_alloc(text, &seen);
    write_cell(out, text);
    print_ago(text, seen.knows_cycle, seen.cycle_ago_s);
    write_cell(out, text);
}

static void write_vm(struct rtm_buffer *out, struct rtm_metrics_reading *reading,
                     struct rtm_context *cx)
{
    char text[TEXT_MAX];
    reading->cx = cx;
    print_count(text, cx->number);
    rtm_buffer_append_text(out, "<tr>");
    write_cell(out, text);
    write_figure(out, reading, "/memory/classes/heap/objects:bytes", print_bytes);
    write_figure(out, reading, "/sched/coroutines:coroutines", print_count);
    write_seen(out, cx);
    rtm_buffer_append_text(out, "</tr>\n");
}

void rtm_pages_write_vms(struct rtm_buffer *out, const struct rtm_visit *visit)
{
    struct rtm_metrics_reading reading;
    rtm_metrics_begin_visit(&reading, visit);
    rtm_buffer_append_text(
        out, "</table>\n<h2>Lua VMs</h2>\n"
             "<p>No VM is asked for this page: it tells what each was last seen to do, also while "
             "one is stuck. Load it again for closer bounds.</p>\n<table>\n"
             "<tr><th>VM</th><th>heap</th><th>coroutines</th><th>last switch</th>"
             "<th>last allocation or free</th><th>last collector cycle</th></tr>\n");
    for (struct rtm_context *cx = visit->first; cx; cx = cx->next)
        write_vm(out, &reading, cx);
    if (!visit->first)
        rtm_buffer_append_text(out, "<tr><td colspan=\"6\">none is observed</td></tr>\n");
}

void rtm_pages_end_index(struct rtm_buffer *out)
{
    rtm_buffer_append_text(out, "</table>\n");
}

/* --- profiles --- */

static void write_count(struct rtm_buffer *out, const struct rtm_profile_row *profile)
{
    char text[TEXT_MAX];
    print_count(text, profile->count ? profile->count() : 0);
    rtm_buffer_append_text(out, "<tr>");
    write_cell(out, text);
    rtm_buffer_append_text(out, "<td><a href=\"");
    write_text(out, profile->name);
    rtm_buffer_append_text(out, "?debug=1\">");
    write_text(out, profile->name);
    rtm_buffer_append_text(out, "</a></td></tr>\n");
}

static void write_description(struct rtm_buffer *out, const struct rtm_profile_row *profile)
{
    rtm_buffer_append_text(out, "<dt>");
    write_text(out, profile->name);
    rtm_buffer_append_text(out, "</dt><dd>");
    write_text(out, profile->help);
    rtm_buffer_append_text(out, "</dd>\n");
}

void rtm_pages_write_profiles(struct rtm_buffer *out, const struct rtm_profile_row *const *profiles,
                              size_t count)
{
    begin_page(out, "/debug/pprof/", "../../style.css");
    rtm_buffer_append_text(out, "<p><a href=\"../../\">All pages</a></p>\n");
    if (!count) {
        rtm_buffer_append_text(out, "<p>There are no profiles in this version.</p>\n");
        return;
    }
    rtm_buffer_append_text(out, "<p>Add <code>debug=1</code> to a URL for text to read.</p>\n"
                                "<table>\n<tr><th>Count</th><th>Profile</th></tr>\n");
    for (size_t i = 0; i < count; i++)
        write_count(out, profiles[i]);
    rtm_buffer_append_text(out, "</table>\n<h2>Profile Descriptions</h2>\n<dl>\n");
    for (size_t i = 0; i < count; i++)
        write_description(out, profiles[i]);
    rtm_buffer_append_text(out, "</dl>\n");
}

/* --- style --- */

void rtm_pages_write_style(struct rtm_buffer *out)
{
    rtm_buffer_append_text(
        out, ":root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }\n"
             "body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }\n"
             "h1 { font-size: 1.5rem; }\n"
             "h2 { font-size: 1.15rem; margin-top: 2rem; }\n"
             "table { border-collapse: collapse; }\n"
             "th, td { padding: .25rem 1.25rem .25rem 0; text-align: left; "
             "vertical-align: top; }\n"
             "th { border-bottom: 1px solid; font-weight: 600; }\n"
             "dt { font-weight: 600; }\n"
             "dd { margin: 0 0 .5rem; }\n");
}
