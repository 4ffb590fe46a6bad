/* All VMs as a visitor reads them. `core` is the library itself, to be put into
   package.preload["rtmetrics.core"], so that the VM under test and the probe are of one piece. */
#include <string.h>

#include "core/agent_stats.h"
#include "core/context.h"
#include "core/contexts.h"
#include "core/metrics.h"
#include "core/runtime.h"
#include "core/seen.h"
#include "vm/compat.h"

enum { MAX_BYTES = 64 << 20 };

int luaopen_rtmetrics_core(lua_State *L);

static void preload_core(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_rtmetrics_core);
    lua_setfield(L, -2, "rtmetrics.core");
    lua_pop(L, 2);
}

static void run_code(lua_State *L, lua_State *vm, const char *code)
{
    if (luaL_loadstring(vm, code) != 0 || lua_pcall(vm, 0, 0, 0) != 0)
        luaL_error(L, "%s", lua_tostring(vm, -1));
}

/* open(code): another VM, in which the code has run; run(vm, code); close(vm) */
static int probe_open(lua_State *L)
{
    const char *code = luaL_checkstring(L, 1);
    lua_State *vm = luaL_newstate();
    if (!vm)
        return luaL_error(L, "no memory");
    luaL_openlibs(vm);
    preload_core(vm);
    run_code(L, vm, code);
    lua_pushlightuserdata(L, vm);
    return 1;
}

static int probe_run(lua_State *L)
{
    run_code(L, lua_touserdata(L, 1), luaL_checkstring(L, 2));
    return 0;
}

static int probe_close(lua_State *L)
{
    lua_close(lua_touserdata(L, 1));
    return 0;
}

/* render_all([openmetrics]): the page */
static int probe_render_all(lua_State *L)
{
    enum rtm_accept_format format = lua_toboolean(L, 1) ? RTM_ACCEPT_OPENMETRICS : RTM_ACCEPT_TEXT;
    struct rtm_buffer page;
    struct rtm_visit visit;
    rtm_buffer_init(&page, MAX_BYTES);
    rtm_contexts_begin_visit(&visit);
    rtm_metrics_render_all(&visit, format, &page);
    rtm_contexts_end_visit(&visit);
    if (page.failed)
        lua_pushnil(L);
    else
        lua_pushlstring(L, page.bytes, page.length);
    rtm_buffer_fini(&page);
    return 1;
}

static struct rtm_context *find_vm(const struct rtm_visit *visit, unsigned number)
{
    struct rtm_context *cx = visit->first;
    while (cx && cx->number != number)
        cx = cx->next;
    return cx;
}

/* read(name[, number]): what a visitor reads of the VM of that number, or of the process; nil where
   it is bad; of a histogram its sum */
static int probe_read(lua_State *L)
{
    struct rtm_visit visit;
    struct rtm_metrics_reading reading;
    struct rtm_metric_value value = {.kind = RTM_METRIC_BAD};
    rtm_metric_id id;
    if (!rtm_metrics_find(luaL_checkstring(L, 1), &id))
        return luaL_argerror(L, 1, "no such metric");
    rtm_contexts_begin_visit(&visit);
    rtm_metrics_begin_visit(&reading, &visit);
    reading.cx = find_vm(&visit, (unsigned)lua_tointeger(L, 2));
    rtm_metrics_read(&reading, id, &value);
    rtm_contexts_end_visit(&visit);
    if (value.kind == RTM_METRIC_UINT64)
        lua_pushnumber(L, (lua_Number)value.uint64);
    else if (value.kind == RTM_METRIC_FLOAT64)
        lua_pushnumber(L, value.float64);
    else if (value.kind == RTM_METRIC_HISTOGRAM)
        lua_pushnumber(L, value.histogram.sum);
    else
        lua_pushnil(L);
    return 1;
}

/* is_of_process(name) */
static int probe_is_of_process(lua_State *L)
{
    rtm_metric_id id;
    if (!rtm_metrics_find(luaL_checkstring(L, 1), &id))
        return luaL_argerror(L, 1, "no such metric");
    lua_pushboolean(L, rtm_metrics_is_of_process(id));
    return 1;
}

static void set_seconds(lua_State *L, const char *key, bool is_known, double seconds)
{
    if (!is_known)
        return;
    lua_pushnumber(L, seconds);
    lua_setfield(L, -2, key);
}

/* look(number, now): what is seen of that VM at a monotonic time in seconds */
static int probe_look(lua_State *L)
{
    struct rtm_visit visit;
    struct rtm_seen seen = {0};
    uint64_t now_ns = (uint64_t)(luaL_checknumber(L, 2) * 1e9);
    rtm_contexts_begin_visit(&visit);
    struct rtm_context *cx = find_vm(&visit, (unsigned)luaL_checkinteger(L, 1));
    if (cx)
        rtm_seen_look(cx, now_ns, &seen);
    rtm_contexts_end_visit(&visit);
    lua_newtable(L);
    set_seconds(L, "switch_ago", seen.knows_switch, seen.switch_ago_s);
    set_seconds(L, "cycle_ago", seen.knows_cycle, seen.cycle_ago_s);
    set_seconds(L, "alloc_least", seen.knows_alloc, seen.alloc_least_s);
    set_seconds(L, "alloc_most", seen.knows_alloc, seen.alloc_most_s);
    return 1;
}

/* tear(number, bucket, count): what a visitor meets between two stores of the VM, which counts a
   forced collection before it adds its time to the sum. Gives the bucket's bounds. */
static int probe_tear(lua_State *L)
{
    struct rtm_visit visit;
    size_t bucket = (size_t)luaL_checkinteger(L, 2);
    rtm_contexts_begin_visit(&visit);
    struct rtm_context *cx = find_vm(&visit, (unsigned)luaL_checkinteger(L, 1));
    if (cx)
        rtm_atomic_add(&cx->gc.forced.counts[bucket], (uint64_t)luaL_checkinteger(L, 3));
    rtm_contexts_end_visit(&visit);
    lua_pushnumber(L, rtm_histogram_time_bounds()[bucket]);
    lua_pushnumber(L, rtm_histogram_time_bounds()[bucket + 1]);
    return 2;
}

static int probe_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)rtm_runtime_monotonic_ns() / 1e9);
    return 1;
}

/* serve(requests): the agent's figures, as if one ran */
static int probe_serve(lua_State *L)
{
    rtm_atomic_set(&rtm_agent_stats.running, 1);
    rtm_atomic_set(&rtm_agent_stats.requests, (uint64_t)luaL_checknumber(L, 1));
    return 0;
}

static const luaL_Reg functions[] = {
    {"core", luaopen_rtmetrics_core},
    {"open", probe_open},
    {"run", probe_run},
    {"close", probe_close},
    {"render_all", probe_render_all},
    {"read", probe_read},
    {"is_of_process", probe_is_of_process},
    {"look", probe_look},
    {"tear", probe_tear},
    {"now", probe_now},
    {"serve", probe_serve},
    {NULL, NULL},
};

int luaopen_contexts_probe(lua_State *L);

int luaopen_contexts_probe(lua_State *L)
{
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
