#include "bindings/lmetrics.h"

#include <stdbool.h>
#include <string.h>

#include "bindings/largs.h"
#include "core/context.h"
#include "core/metrics.h"
#include "encoders/prometheus.h"

static const char *const kind_names[] = {
    [RTM_METRIC_BAD] = "bad",
    [RTM_METRIC_UINT64] = "uint64",
    [RTM_METRIC_FLOAT64] = "float64",
    [RTM_METRIC_HISTOGRAM] = "float64-histogram",
};

/* --- describe --- */

static int describe(lua_State *L)
{
    lua_newtable(L);
    for (rtm_metric_id id = 0; id < rtm_metrics_count(); id++) {
        const struct rtm_metric_description *metric = rtm_metrics_describe(id);
        lua_createtable(L, 0, 5);
        rtm_largs_set_string(L, "name", metric->name);
        rtm_largs_set_string(L, "description", metric->help);
        rtm_largs_set_string(L, "kind", kind_names[metric->kind]);
        rtm_largs_set_string(L, "unit", strchr(metric->name, ':') + 1);
        lua_pushboolean(L, metric->cumulative);
        lua_setfield(L, -2, "cumulative");
        lua_rawseti(L, -2, (int)id + 1);
    }
    return 1;
}

/* --- read --- */

/* Upvalues: whatever a reading touches is at hand without a look-up, and nothing is made. */
enum {
    UP_CONTEXT = 1,
    UP_INDEX, /* name to id + 1, aliases too */
    UP_NAME,
    UP_VALUE,
    UP_KIND,
    UP_COUNTS,
    UP_BUCKETS,
    UP_TIME_BOUNDS,
    UP_SIZE_BOUNDS,
    UP_KINDS, /* four of them, in the order of enum rtm_metric_kind */
    UP_LAST = UP_KINDS + RTM_METRIC_HISTOGRAM,
};

/* table[key] = value at the stack's top, popped; the key is an upvalue. */
static void set_field(lua_State *L, int table, int key)
{
    lua_pushvalue(L, lua_upvalueindex(key));
    lua_insert(L, -2);
    lua_rawset(L, table);
}

static void get_field(lua_State *L, int table, int key)
{
    lua_pushvalue(L, lua_upvalueindex(key));
    lua_rawget(L, table);
}

/* Pushes {counts, buckets}: the sample's own where it has one of the right size. */
static void push_histogram_table(lua_State *L, int sample, size_t count, int bounds)
{
    get_field(L, sample, UP_VALUE);
    if (lua_istable(L, -1)) {
        int histogram = lua_gettop(L);
        get_field(L, histogram, UP_BUCKETS);
        bool fits = lua_rawequal(L, -1, lua_upvalueindex(bounds));
        get_field(L, histogram, UP_COUNTS);
        fits = fits && lua_istable(L, -1);
        lua_pop(L, 2);
        if (fits)
            return;
    }
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    int histogram = lua_gettop(L);
    lua_createtable(L, (int)count, 0);
    set_field(L, histogram, UP_COUNTS);
    lua_pushvalue(L, lua_upvalueindex(bounds));
    set_field(L, histogram, UP_BUCKETS);
}

static void push_histogram(lua_State *L, int sample, const struct rtm_metric_histogram *values)
{
    int bounds = values->count == RTM_HISTOGRAM_TIME_COUNTS ? UP_TIME_BOUNDS : UP_SIZE_BOUNDS;
    push_histogram_table(L, sample, values->count, bounds);
    get_field(L, lua_gettop(L), UP_COUNTS);
    for (size_t i = 0; i < values->count; i++) {
        rtm_compat_pushint(L, rtm_atomic_get(&values->counts[i]));
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_pop(L, 1);
}

static void push_value(lua_State *L, int sample, const struct rtm_metric_value *value)
{
    switch (value->kind) {
    case RTM_METRIC_UINT64:
        rtm_compat_pushint(L, value->uint64);
        break;
    case RTM_METRIC_FLOAT64:
        lua_pushnumber(L, value->float64);
        break;
    case RTM_METRIC_HISTOGRAM:
        push_histogram(L, sample, &value->histogram);
        break;
    default:
        lua_pushnil(L);
        break;
    }
}

/* Fills the sample at the stack's top. */
static void read_sample(lua_State *L, struct rtm_metrics_reading *reading)
{
    struct rtm_metric_value value = {.kind = RTM_METRIC_BAD};
    int sample = lua_gettop(L);
    get_field(L, sample, UP_NAME);
    if (lua_isnil(L, -1))
        luaL_error(L, "a sample has no name");
    lua_rawget(L, lua_upvalueindex(UP_INDEX));
    lua_Integer place = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (place)
        rtm_metrics_read(reading, (rtm_metric_id)(place - 1), &value);
    push_value(L, sample, &value);
    set_field(L, sample, UP_VALUE);
    lua_pushvalue(L, lua_upvalueindex(UP_KINDS + (int)value.kind));
    set_field(L, sample, UP_KIND);
}

/* Replaces the list of names at index 1 by a list of samples. */
static void make_samples(lua_State *L)
{
    int count = (int)rtm_compat_rawlen(L, 1);
    lua_createtable(L, count, 0);
    for (int i = 1; i <= count; i++) {
        lua_createtable(L, 0, 3);
        lua_rawgeti(L, 1, i);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1,
                      "a list of names or of samples expected");
        set_field(L, 3, UP_NAME);
        lua_rawseti(L, 2, i);
    }
    lua_replace(L, 1);
}

static int read(lua_State *L)
{
    struct rtm_metrics_reading reading = {.cx = rtm_largs_context(L)};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_rawgeti(L, 1, 1);
    bool has_names = lua_type(L, -1) == LUA_TSTRING;
    lua_settop(L, 1);
    if (has_names)
        make_samples(L);
    int count = (int)rtm_compat_rawlen(L, 1);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        luaL_argcheck(L, lua_istable(L, -1), 1, "a list of names or of samples expected");
        read_sample(L, &reading);
        lua_settop(L, 1);
    }
    return 1;
}

static void push_bounds(lua_State *L, const double *bounds, size_t count)
{
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushnumber(L, bounds[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_index(lua_State *L)
{
    size_t alias_count;
    const struct rtm_metric_alias *aliases = rtm_metrics_aliases(&alias_count);
    lua_newtable(L);
    for (rtm_metric_id id = 0; id < rtm_metrics_count(); id++) {
        lua_pushinteger(L, (lua_Integer)id + 1);
        lua_setfield(L, -2, rtm_metrics_describe(id)->name);
    }
    for (size_t i = 0; i < alias_count; i++) {
        lua_getfield(L, -1, aliases[i].canonical);
        lua_setfield(L, -2, aliases[i].name);
    }
}

static void push_read(lua_State *L, struct rtm_context *cx)
{
    lua_pushlightuserdata(L, cx);
    push_index(L);
    lua_pushliteral(L, "name");
    lua_pushliteral(L, "value");
    lua_pushliteral(L, "kind");
    lua_pushliteral(L, "counts");
    lua_pushliteral(L, "buckets");
    push_bounds(L, rtm_histogram_time_bounds(), RTM_HISTOGRAM_TIME_COUNTS + 1);
    push_bounds(L, rtm_histogram_size_bounds(), RTM_HISTOGRAM_SIZE_COUNTS + 1);
    for (enum rtm_metric_kind kind = RTM_METRIC_BAD; kind <= RTM_METRIC_HISTOGRAM; kind++)
        lua_pushstring(L, kind_names[kind]);
    lua_pushcclosure(L, read, UP_LAST);
}

/* --- render --- */

static int render(lua_State *L)
{
    struct rtm_context *cx = rtm_largs_context(L);
    size_t length = 0;
    const char *accept = luaL_optlstring(L, 1, NULL, &length);
    enum rtm_accept_format format = rtm_accept_choose(accept, length);
    rtm_buffer_reset(&cx->text);
    rtm_metrics_render(cx, format, &cx->text);
    if (cx->text.failed) {
        struct rtm_error err;
        rtm_error_set(&err, "cannot render the metrics: no memory, or more than %zu bytes",
                      cx->text.cap);
        return rtm_largs_failure(L, &err);
    }
    lua_pushlstring(L, cx->text.bytes, cx->text.length);
    lua_pushstring(L, rtm_prometheus_content_type(format));
    return 2;
}

static const luaL_Reg natives[] = {{"describe", describe}, {"render", render}, {NULL, NULL}};

void rtm_lmetrics_register(lua_State *L, struct rtm_context *cx)
{
    luaL_checkstack(L, UP_LAST + 4, NULL);
    rtm_largs_register(L, natives, cx);
    push_read(L, cx);
    lua_setfield(L, -2, "read");
}
