#include "bindings/lmetrics.h"

#include <stdbool.h>
#include <string.h>

#include "bindings/largs.h"
#include "core/context.h"
#include "core/metrics.h"
#include "core/runtime.h"
#include "encoders/prometheus.h"

static const char *const kind_names[] = {
    [RTM_METRIC_BAD] = "bad",
    [RTM_METRIC_UINT64] = "uint64",
    [RTM_METRIC_FLOAT64] = "float64",
    [RTM_METRIC_HISTOGRAM] = "float64-histogram",
};

/* --- describe --- */

static void push_aliases(lua_State *L)
{
    size_t count;
    const struct rtm_metric_alias *aliases = rtm_metrics_aliases(&count);
    lua_createtable(L, 0, (int)count);
    for (size_t i = 0; i < count; i++)
        rtm_largs_set_string(L, aliases[i].name, aliases[i].canonical);
}

/* The table's rows as Lua tables, and the aliases by name. `family` and `labels` are for the
   documentation. */
static int describe(lua_State *L)
{
    lua_newtable(L);
    for (rtm_metric_id id = 0; id < rtm_metrics_count(); id++) {
        const struct rtm_metric_description *metric = rtm_metrics_describe(id);
        lua_createtable(L, 0, 7);
        rtm_largs_set_string(L, "name", metric->name);
        rtm_largs_set_string(L, "description", metric->help);
        rtm_largs_set_string(L, "kind", kind_names[metric->kind]);
        rtm_largs_set_string(L, "unit", strchr(metric->name, ':') + 1);
        lua_pushboolean(L, metric->cumulative);
        lua_setfield(L, -2, "cumulative");
        rtm_largs_set_string(L, "family", metric->family);
        rtm_largs_set_string(L, "labels", metric->labels);
        lua_rawseti(L, -2, (int)id + 1);
    }
    push_aliases(L);
    return 2;
}

/* --- read --- */

/* Whatever a reading touches is at hand in upvalues, so that nothing is looked up by text and
 * nothing is made. */
enum {
    UP_CONTEXT = 1,
    UP_INDEX, /* name to id + 1, aliases too */
    UP_NAME,
    UP_VALUE,
    UP_KIND,
    UP_COUNTS,
    UP_BUCKETS,
    UP_BOUNDS, /* id + 1 to the bounds of that histogram: a table of its own for each metric */
    UP_KINDS,  /* four of them, in the order of enum rtm_metric_kind */
    UP_LAST = UP_KINDS + RTM_METRIC_HISTOGRAM,
};

/* The stack of a reading: those of them that each sample needs, where they are reached fastest. */
enum { AT_SAMPLES = 1, AT_INDEX, AT_NAME, AT_VALUE, AT_KIND, AT_SAMPLE };

static void get_field(lua_State *L, int table, int key)
{
    lua_pushvalue(L, lua_upvalueindex(key));
    lua_rawget(L, table);
}

static void set_count(lua_State *L, int counts, size_t bucket, uint64_t count)
{
    rtm_compat_pushint(L, count);
    lua_rawseti(L, counts, (int)bucket + 1);
}

/* Counts never fall: what is zero now was zero in the table that an earlier reading of the same
   metric made, and need not be written. */
static void write_counts(lua_State *L, int counts, const struct rtm_metric_histogram *values)
{
    for (size_t i = 0; i < values->count; i++) {
        uint64_t count = rtm_atomic_get(&values->counts[i]);
        if (count)
            set_count(L, counts, i, count);
    }
}

/* Pushes the counts of the sample's own histogram if it is one of this metric, as its bounds tell.
 */
static bool push_own_counts(lua_State *L, rtm_metric_id id)
{
    lua_pushvalue(L, AT_VALUE);
    lua_rawget(L, AT_SAMPLE);
    if (lua_istable(L, -1)) {
        int histogram = lua_gettop(L);
        lua_rawgeti(L, lua_upvalueindex(UP_BOUNDS), (int)id + 1);
        get_field(L, histogram, UP_BUCKETS);
        bool fits = lua_istable(L, -1) && lua_rawequal(L, -1, -2);
        get_field(L, histogram, UP_COUNTS);
        if (fits && lua_istable(L, -1))
            return true;
    }
    lua_settop(L, AT_SAMPLE);
    return false;
}

static void push_bounds(lua_State *L, rtm_metric_id id, const struct rtm_metric_histogram *values)
{
    lua_rawgeti(L, lua_upvalueindex(UP_BOUNDS), (int)id + 1);
    if (lua_istable(L, -1))
        return;
    lua_pop(L, 1);
    lua_createtable(L, (int)values->count + 1, 0);
    for (size_t i = 0; i <= values->count; i++) {
        lua_pushnumber(L, values->bounds[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, lua_upvalueindex(UP_BOUNDS), (int)id + 1);
}

static void make_histogram(lua_State *L, rtm_metric_id id,
                           const struct rtm_metric_histogram *values)
{
    lua_pushvalue(L, AT_VALUE);
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, lua_upvalueindex(UP_BUCKETS));
    push_bounds(L, id, values);
    lua_rawset(L, -3);
    lua_pushvalue(L, lua_upvalueindex(UP_COUNTS));
    lua_createtable(L, (int)values->count, 0);
    for (size_t i = 0; i < values->count; i++)
        set_count(L, lua_gettop(L), i, 0);
    lua_rawset(L, -3);
    lua_rawset(L, AT_SAMPLE);
    lua_settop(L, AT_SAMPLE);
}

static void set_histogram(lua_State *L, rtm_metric_id id, const struct rtm_metric_histogram *values)
{
    if (!push_own_counts(L, id)) {
        make_histogram(L, id, values);
        push_own_counts(L, id);
    }
    write_counts(L, lua_gettop(L), values);
    lua_settop(L, AT_SAMPLE);
}

static void set_value(lua_State *L, rtm_metric_id id, const struct rtm_metric_value *value)
{
    if (value->kind == RTM_METRIC_HISTOGRAM) {
        set_histogram(L, id, &value->histogram);
        return;
    }
    lua_pushvalue(L, AT_VALUE);
    if (value->kind == RTM_METRIC_UINT64)
        rtm_compat_pushint(L, value->uint64);
    else if (value->kind == RTM_METRIC_FLOAT64)
        lua_pushnumber(L, value->float64);
    else
        lua_pushnil(L);
    lua_rawset(L, AT_SAMPLE);
}

/* Fills the sample at its place on the stack. */
static void read_sample(lua_State *L, struct rtm_metrics_reading *reading)
{
    struct rtm_metric_value value = {.kind = RTM_METRIC_BAD};
    lua_pushvalue(L, AT_NAME);
    lua_rawget(L, AT_SAMPLE);
    lua_rawget(L, AT_INDEX);
    lua_Integer place = lua_tointeger(L, -1);
    rtm_metric_id id = (rtm_metric_id)(place - 1);
    if (RTM_LIKELY(place))
        rtm_metrics_read(reading, id, &value);
    set_value(L, id, &value);
    lua_pushvalue(L, AT_KIND);
    lua_pushvalue(L, lua_upvalueindex(UP_KINDS + (int)value.kind));
    lua_rawset(L, AT_SAMPLE);
}

/* Replaces the list of names at index 1 by a list of samples. */
static void make_samples(lua_State *L)
{
    int count = (int)rtm_compat_rawlen(L, 1);
    lua_createtable(L, count, 0);
    for (int i = 1; i <= count; i++) {
        lua_createtable(L, 0, 3);
        lua_pushvalue(L, lua_upvalueindex(UP_NAME));
        lua_rawgeti(L, 1, i);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1,
                      "a list of names or of samples expected");
        lua_rawset(L, -3);
        lua_rawseti(L, 2, i);
    }
    lua_replace(L, 1);
}

static int read(lua_State *L)
{
    struct rtm_context *cx = rtm_largs_context(L);
    struct rtm_metrics_reading reading;
    luaL_checktype(L, 1, LUA_TTABLE);
    rtm_runtime_check_clock(&cx->clock_checked_ns);
    rtm_metrics_begin(&reading, cx);
    lua_settop(L, AT_SAMPLES);
    lua_rawgeti(L, AT_SAMPLES, 1);
    bool has_names = lua_type(L, -1) == LUA_TSTRING;
    lua_settop(L, AT_SAMPLES);
    if (has_names)
        make_samples(L);
    for (int upvalue = UP_INDEX; upvalue <= UP_KIND; upvalue++)
        lua_pushvalue(L, lua_upvalueindex(upvalue));
    int count = (int)rtm_compat_rawlen(L, AT_SAMPLES);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, AT_SAMPLES, i);
        luaL_argcheck(L, lua_istable(L, AT_SAMPLE), 1, "a list of names or of samples expected");
        read_sample(L, &reading);
        lua_settop(L, AT_KIND);
    }
    lua_settop(L, AT_SAMPLES);
    return 1;
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
    lua_newtable(L); /* UP_BOUNDS */
    for (enum rtm_metric_kind kind = RTM_METRIC_BAD; kind <= RTM_METRIC_HISTOGRAM; kind++)
        lua_pushstring(L, kind_names[kind]);
    lua_pushcclosure(L, read, UP_LAST);
}

/* --- render --- */

/* 5.1 and LuaJIT may collect before they copy the text, and a finalizer that renders would change
   it: it is refused. Protected, so that the refusal ends also if there is no memory for the string.
 */
static int push_text(lua_State *L)
{
    const struct rtm_buffer *text = lua_touserdata(L, 1);
    lua_pushlstring(L, text->bytes, text->length);
    return 1;
}

static bool render_text(struct rtm_context *cx, enum rtm_accept_format format,
                        struct rtm_error *err)
{
    if (cx->is_rendering)
        return rtm_error_set(err, "cannot render the metrics: a rendering is under way");
    rtm_buffer_reset(&cx->text);
    rtm_metrics_render(cx, format, &cx->text);
    if (cx->text.failed)
        return rtm_error_set(err, "cannot render the metrics: no memory, or more than %zu bytes",
                             cx->text.cap);
    return true;
}

static int render(lua_State *L)
{
    struct rtm_context *cx = rtm_largs_context(L);
    size_t length = 0;
    const char *accept = luaL_optlstring(L, 1, NULL, &length);
    enum rtm_accept_format format = rtm_accept_choose(accept, length);
    struct rtm_error err;
    rtm_runtime_check_clock(&cx->clock_checked_ns);
    lua_pushcfunction(L, push_text);
    lua_pushlightuserdata(L, &cx->text);
    if (!render_text(cx, format, &err))
        return rtm_largs_failure(L, &err);
    cx->is_rendering = true;
    int status = lua_pcall(L, 1, 1, 0);
    cx->is_rendering = false;
    if (status != LUA_OK)
        return lua_error(L);
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
