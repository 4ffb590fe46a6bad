/* The Prometheus encoder without a VM: metrics that a spec makes up, and content negotiation. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "encoders/prometheus.h"
#include "ground/histogram.h"
#include "ground/memory.h"
#include "vm/compat.h"

enum { BODY_MAX = 256 << 20, METRICS_MAX = 256, BOUNDS_MAX = 64 };

static const char *const formats[] = {"text", "openmetrics", NULL};
static const char *const kinds[] = {"bad", "uint64", "float64", "histogram", NULL};

/* One metric of a spec, with the storage that its histogram needs. */
struct row {
    struct rtm_metric_description description;
    struct rtm_metric_value value;
    const char *extra;
    union {
        struct rtm_histogram_time time;
        struct {
            struct rtm_histogram_size size;
            uint64_t sum_bytes;
        };
        struct {
            double bounds[BOUNDS_MAX];
            rtm_counter counts[BOUNDS_MAX];
        } own;
    };
};

static const char *text_field(lua_State *L, const char *name, const char *otherwise)
{
    lua_getfield(L, -1, name);
    const char *text = lua_isnil(L, -1) ? otherwise : lua_tostring(L, -1);
    lua_pop(L, 1); /* the spec's table still holds the string */
    return text;
}

static double number_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    double number = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return number;
}

static bool flag_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

static int kind_of(const char *name)
{
    for (int i = 0; kinds[i]; i++) {
        if (strcmp(kinds[i], name) == 0)
            return i;
    }
    return RTM_METRIC_BAD;
}

/* times = {nanoseconds...} or sizes = {bytes...}: recorded as the observers do. */
static void fill_known(lua_State *L, struct row *row, bool time)
{
    int count = (int)rtm_compat_rawlen(L, -1);
    rtm_histogram_init();
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        uint64_t value = (uint64_t)lua_tonumber(L, -1);
        if (time)
            rtm_histogram_time_record(&row->time, value);
        else
            rtm_histogram_size_record(&row->size, value);
        if (!time)
            row->sum_bytes += value;
        lua_pop(L, 1);
    }
    struct rtm_metric_histogram *histogram = &row->value.histogram;
    histogram->bounds = time ? rtm_histogram_time_bounds() : rtm_histogram_size_bounds();
    histogram->counts = time ? row->time.counts : row->size.counts;
    histogram->count = time ? RTM_HISTOGRAM_TIME_COUNTS : RTM_HISTOGRAM_SIZE_COUNTS;
    histogram->sum =
        time ? (double)rtm_atomic_get(&row->time.sum_ns) / 1e9 : (double)row->sum_bytes;
}

/* bounds = {...}, counts = {...}, sum = number: a layout that the encoder does not know. */
static void fill_own(lua_State *L, struct row *row)
{
    lua_getfield(L, -1, "counts");
    size_t count = rtm_compat_rawlen(L, -1);
    luaL_argcheck(L, count < BOUNDS_MAX, 2, "too many buckets");
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        row->own.counts[i] = (uint64_t)lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_getfield(L, -1, "bounds");
    for (size_t i = 0; i <= count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        row->own.bounds[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    row->value.histogram = (struct rtm_metric_histogram){row->own.bounds, row->own.counts, count,
                                                         number_field(L, "sum")};
}

static void fill_histogram(lua_State *L, struct row *row)
{
    static const char *const known[] = {"times", "sizes"};
    for (int i = 0; i < 2; i++) {
        lua_getfield(L, -1, known[i]);
        if (lua_istable(L, -1))
            fill_known(L, row, i == 0);
        bool done = lua_istable(L, -1);
        lua_pop(L, 1);
        if (done)
            return;
    }
    fill_own(L, row);
}

static void fill_row(lua_State *L, struct row *row)
{
    row->description = (struct rtm_metric_description){
        .name = text_field(L, "name", "/spec/metric:things"),
        .help = text_field(L, "help", "A thing."),
        .kind = (enum rtm_metric_kind)kind_of(text_field(L, "kind", "uint64")),
        .cumulative = flag_field(L, "cumulative"),
        .family = text_field(L, "family", NULL),
        .labels = text_field(L, "labels", NULL),
        .scale = number_field(L, "scale"),
    };
    row->extra = text_field(L, "extra", NULL);
    row->value.kind = flag_field(L, "bad") ? RTM_METRIC_BAD : row->description.kind;
    if (row->value.kind == RTM_METRIC_UINT64)
        row->value.uint64 = (uint64_t)number_field(L, "value");
    else if (row->value.kind == RTM_METRIC_FLOAT64)
        row->value.float64 = number_field(L, "value");
    else if (row->value.kind == RTM_METRIC_HISTOGRAM)
        fill_histogram(L, row);
}

static int fill_rows(lua_State *L, int index, struct row *rows)
{
    int count = (int)rtm_compat_rawlen(L, index);
    luaL_argcheck(L, count <= METRICS_MAX, index, "too many metrics");
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, index, i + 1);
        fill_row(L, &rows[i]);
        lua_pop(L, 1);
    }
    return count;
}

static size_t fill_sources(lua_State *L, int index, struct rtm_prometheus_source *sources)
{
    size_t count = lua_isnoneornil(L, index) ? 0 : rtm_compat_rawlen(L, index);
    luaL_argcheck(L, count <= 8, index, "too many sets");
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        lua_getfield(L, -1, "set");
        sources[i].set = lua_touserdata(L, -1);
        lua_pop(L, 1);
        sources[i].labels = text_field(L, "labels", NULL);
        lua_pop(L, 1);
    }
    return count;
}

struct document {
    enum rtm_accept_format format;
    struct row *rows;
    int row_count;
    struct rtm_prometheus_source sources[8];
    size_t source_count;
};

static void encode(const struct document *document, struct rtm_buffer *out)
{
    struct rtm_prometheus text;
    rtm_prometheus_begin(&text, out, document->format);
    for (int i = 0; i < document->row_count; i++)
        rtm_prometheus_write_metric(&text, &document->rows[i].description, &document->rows[i].value,
                                    document->rows[i].extra);
    rtm_prometheus_write_series(&text, document->sources, document->source_count);
    rtm_prometheus_end(&text);
}

static struct document read_document(lua_State *L)
{
    struct document document = {.format =
                                    (enum rtm_accept_format)luaL_checkoption(L, 1, NULL, formats)};
    luaL_checktype(L, 2, LUA_TTABLE);
    document.rows = lua_newuserdata(L, METRICS_MAX * sizeof *document.rows);
    memset(document.rows, 0, METRICS_MAX * sizeof *document.rows);
    document.row_count = fill_rows(L, 2, document.rows);
    document.source_count = fill_sources(L, 3, document.sources);
    return document;
}

/* render(format, metrics, sources [, cap]) -> body, or nil where the buffer failed. */
static int render(lua_State *L)
{
    lua_settop(L, 4);
    struct document document = read_document(L);
    struct rtm_buffer out;
    rtm_buffer_init(&out, (size_t)luaL_optnumber(L, 4, BODY_MAX));
    encode(&document, &out);
    if (out.failed)
        lua_pushnil(L);
    else
        lua_pushlstring(L, out.bytes, out.length);
    rtm_buffer_fini(&out);
    return 1;
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* time(format, metrics, sources, rounds) -> microseconds of the fastest round, bytes. */
static int time_render(lua_State *L)
{
    lua_settop(L, 4);
    struct document document = read_document(L);
    int rounds = (int)luaL_checknumber(L, 4);
    double best = 1e12;
    size_t bytes = 0;
    for (int i = 0; i < rounds; i++) {
        struct rtm_buffer out;
        double start = now_us();
        rtm_buffer_init(&out, BODY_MAX);
        encode(&document, &out);
        bytes = out.length;
        rtm_buffer_fini(&out);
        double spent = now_us() - start;
        best = spent < best ? spent : best;
    }
    lua_pushnumber(L, best);
    lua_pushnumber(L, (lua_Number)bytes);
    return 2;
}

static int fail_after(lua_State *L)
{
    rtm_memory_fail_after((uint64_t)luaL_checknumber(L, 1), (uint64_t)luaL_checknumber(L, 2));
    return 0;
}

/* choose(accept or nil) -> "text" or "openmetrics", the content type. */
static int choose(lua_State *L)
{
    size_t length = 0;
    const char *accept = luaL_optlstring(L, 1, NULL, &length);
    enum rtm_accept_format format = rtm_accept_choose(accept, length);
    lua_pushstring(L, formats[format]);
    lua_pushstring(L, rtm_prometheus_content_type(format));
    return 2;
}

__attribute__((visibility("default"))) int luaopen_prometheus_probe(lua_State *L);

int luaopen_prometheus_probe(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"render", render}, {"time", time_render}, {"fail_after", fail_after},
        {"choose", choose}, {NULL, NULL},
    };
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
