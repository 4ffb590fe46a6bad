#include "core/routes.h"

#include "core/contexts.h"
#include "core/metrics.h"
#include "core/pages.h"
#include "core/profiles.h"
#include "core/vars.h"
#include "encoders/accept.h"
#include "encoders/gzip.h"
#include "encoders/prometheus.h"

enum {
    PAGE_MAX = 64 << 20,
    LINE_MAX_BYTES = 4096,
    GZIP_MIN = 1024, /* less is one packet anyway */
};

#define READ_ONLY (RTM_ROUTE_GET | RTM_ROUTE_HEAD)

/* Writes the page at the end of `out`, whose failure is looked at afterwards; gives the
   Content-Type. */
typedef const char *(*writer)(const struct rtm_route_request *request, struct rtm_buffer *out);

struct row {
    struct rtm_route route;
    bool is_hidden; /* from the index */
    writer write;
    const char *location; /* leads there instead */
    const char *vary;
};

static const char text_type[] = "text/plain; charset=utf-8";
static const char html_type[] = "text/html; charset=utf-8";

/* --- pages --- */

static enum rtm_accept_format choose_format(const struct rtm_route_request *request)
{
    return rtm_accept_choose(request->accept, request->accept ? strlen(request->accept) : 0);
}

static const char *write_metrics(const struct rtm_route_request *request, struct rtm_buffer *out)
{
    struct rtm_visit visit;
    enum rtm_accept_format format = choose_format(request);
    rtm_contexts_begin_visit(&visit);
    rtm_metrics_render_all(&visit, format, out);
    rtm_contexts_end_visit(&visit);
    return rtm_prometheus_content_type(format);
}

static const char *write_healthz(const struct rtm_route_request *request, struct rtm_buffer *out)
{
    (void)request;
    rtm_buffer_append_text(out, "ok\n");
    return text_type;
}

static const char *write_vars(const struct rtm_route_request *request, struct rtm_buffer *out)
{
    struct rtm_visit visit;
    (void)request;
    rtm_contexts_begin_visit(&visit);
    rtm_vars_write(&visit, out);
    rtm_contexts_end_visit(&visit);
    return "application/json; charset=utf-8";
}

static const char *write_profiles(const struct rtm_route_request *request, struct rtm_buffer *out)
{
    size_t count;
    const struct rtm_profile_row *const *profiles = rtm_profiles_list(&count);
    (void)request;
    rtm_pages_write_profiles(out, profiles, count);
    return html_type;
}

static const char *write_style(const struct rtm_route_request *request, struct rtm_buffer *out)
{
    (void)request;
    rtm_pages_write_style(out);
    return "text/css; charset=utf-8";
}

static const char *write_index(const struct rtm_route_request *request, struct rtm_buffer *out);

/* --- the table --- */

static const struct row table[] = {
    {.route = {"/", "This index: the pages, and what each VM was last seen to do.",
               RTM_ROUTE_METRICS, READ_ONLY},
     .is_hidden = true,
     .write = write_index,
     .vary = "Accept-Encoding"},
    {.route = {"/metrics",
               "All metrics, the program's own included, as Prometheus or OpenMetrics text.",
               RTM_ROUTE_METRICS, READ_ONLY},
     .write = write_metrics,
     .vary = "Accept, Accept-Encoding"},
    {.route = {"/debug/vars", "All metrics of the runtime and memstats, as JSON.",
               RTM_ROUTE_METRICS, READ_ONLY},
     .write = write_vars,
     .vary = "Accept-Encoding"},
    {.route = {"/debug/pprof/", "The profiles that there are.", RTM_ROUTE_PROFILE, READ_ONLY},
     .write = write_profiles,
     .vary = "Accept-Encoding"},
    {.route = {"/healthz", "Says ok while the process answers.", RTM_ROUTE_METRICS, READ_ONLY},
     .write = write_healthz},
    {.route = {"/debug/pprof", "Leads to /debug/pprof/.", RTM_ROUTE_PROFILE, READ_ONLY},
     .is_hidden = true,
     .location = "pprof/"},
    {.route = {"/style.css", "How the pages for people look.", RTM_ROUTE_METRICS, READ_ONLY},
     .is_hidden = true,
     .write = write_style},
};

static const char *write_index(const struct rtm_route_request *request, struct rtm_buffer *out)
{
    struct rtm_visit visit;
    (void)request;
    rtm_pages_begin_index(out);
    for (size_t i = 0; i < RTM_COUNT_OF(table); i++) {
        const struct rtm_route *route = &table[i].route;
        if (!table[i].is_hidden)
            rtm_pages_write_link(out, route, rtm_routes_class_name(route->class));
    }
    rtm_contexts_begin_visit(&visit);
    rtm_pages_write_vms(out, &visit);
    rtm_contexts_end_visit(&visit);
    rtm_pages_end_index(out);
    return html_type;
}

static const struct row *find_row(const char *path)
{
    for (size_t i = 0; i < RTM_COUNT_OF(table); i++) {
        if (strcmp(table[i].route.path, path) == 0)
            return &table[i];
    }
    return NULL;
}

static const char *allow_text(unsigned methods)
{
    if (methods == READ_ONLY)
        return "GET, HEAD";
    return methods == RTM_ROUTE_POST ? "POST" : "GET, HEAD, POST";
}

/* --- responses --- */

static void begin(struct rtm_route_response *response, int status, size_t cap)
{
    response->status = status;
    response->header_count = 0;
    rtm_buffer_init(&response->body, cap);
    rtm_routes_add_header(response, "X-Content-Type-Options", "nosniff");
    rtm_routes_add_header(response, "Content-Security-Policy",
                          "default-src 'none'; style-src 'self'; base-uri 'none'; "
                          "form-action 'none'; frame-ancestors 'none'");
    rtm_routes_add_header(response, "Cache-Control", "no-store");
    rtm_routes_add_header(response, "Referrer-Policy", "no-referrer");
}

/* Where that cannot be, the page goes as it is. */
static void compress(struct rtm_route_response *response)
{
    struct rtm_buffer packed;
    rtm_buffer_init(&packed, PAGE_MAX);
    if (!rtm_gzip_write(&packed, response->body.bytes, response->body.length)) {
        rtm_buffer_fini(&packed);
        return;
    }
    rtm_buffer_fini(&response->body);
    response->body = packed;
    rtm_routes_add_header(response, "Content-Encoding", "gzip");
}

static void answer_page(const struct row *row, const struct rtm_route_request *request,
                        struct rtm_route_response *response)
{
    const char *encoding = request->accept_encoding;
    begin(response, 200, PAGE_MAX);
    const char *type = row->write(request, &response->body);
    if (response->body.failed) {
        rtm_routes_release(response);
        rtm_routes_refuse(response, 500, "there is no memory for this page, or it is too long");
        return;
    }
    rtm_routes_add_header(response, "Content-Type", type);
    if (!row->vary)
        return;
    rtm_routes_add_header(response, "Vary", row->vary);
    if (response->body.length >= GZIP_MIN && encoding &&
        rtm_accept_gzip(encoding, strlen(encoding)))
        compress(response);
}

/* --- the contract --- */

size_t rtm_routes_count(void)
{
    return RTM_COUNT_OF(table);
}

const struct rtm_route *rtm_routes_describe(size_t index)
{
    return &table[index].route;
}

const struct rtm_route *rtm_routes_find(const char *path)
{
    const struct row *row = find_row(path);
    return row ? &row->route : NULL;
}

const char *rtm_routes_class_name(enum rtm_route_class class)
{
    static const char *const names[RTM_ROUTE_CLASSES] = {"metrics", "profile", "sensitive",
                                                         "control"};
    return names[class];
}

void rtm_routes_answer(const struct rtm_route_request *request, struct rtm_route_response *response)
{
    const struct row *row = find_row(request->path);
    if (!row) {
        rtm_routes_refuse(response, 404, "there is no such page; / lists those that there are");
    } else if (!(row->route.methods & request->method)) {
        rtm_routes_refuse(response, 405, "this page has no such method");
        rtm_routes_add_header(response, "Allow", allow_text(row->route.methods));
    } else if (row->location) {
        rtm_routes_refuse(response, 301, row->location);
        rtm_routes_add_header(response, "Location", row->location);
    } else {
        answer_page(row, request, response);
    }
}

void rtm_routes_refuse(struct rtm_route_response *response, int status, const char *text)
{
    begin(response, status, LINE_MAX_BYTES);
    rtm_routes_add_header(response, "Content-Type", text_type);
    rtm_buffer_append_text(&response->body, text);
    rtm_buffer_append_char(&response->body, '\n');
    if (response->body.failed)
        rtm_buffer_reset(&response->body); /* the status says enough */
}

void rtm_routes_add_header(struct rtm_route_response *response, const char *name, const char *value)
{
    RTM_ASSERT(response->header_count < RTM_ROUTE_HEADERS_MAX);
    response->headers[response->header_count++] = (struct rtm_route_header){name, value};
}

void rtm_routes_release(struct rtm_route_response *response)
{
    rtm_buffer_fini(&response->body);
}
