#include "bindings/lmemstats.h"

#include "bindings/largs.h"
#include "core/context.h"
#include "core/memstats.h"
#include "core/runtime.h"

static void set_field(lua_State *L, struct rtm_metrics_reading *reading, size_t index)
{
    struct rtm_metric_value value;
    const char *name = rtm_memstats_read(reading, index, &value);
    if (value.kind == RTM_METRIC_UINT64)
        rtm_largs_set_integer(L, name, value.uint64);
    else if (value.kind == RTM_METRIC_FLOAT64)
        rtm_largs_set_number(L, name, value.float64);
}

static void set_classes(lua_State *L, const struct rtm_memstats_sizes *sizes)
{
    lua_createtable(L, (int)sizes->count, 0);
    for (size_t i = 0; i < sizes->count; i++) {
        lua_createtable(L, 0, 3);
        rtm_largs_set_number(L, "size", sizes->bounds[i + 1] - 1);
        rtm_largs_set_integer(L, "mallocs", sizes->mallocs[i]);
        rtm_largs_set_integer(L, "frees", sizes->frees[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "by_size");
}

static int memstats(lua_State *L)
{
    struct rtm_metrics_reading reading;
    struct rtm_memstats_sizes sizes;
    struct rtm_context *cx = rtm_largs_context(L);
    rtm_runtime_check_clock(&cx->clock_checked_ns);
    rtm_metrics_begin(&reading, cx);
    lua_newtable(L);
    for (size_t i = 0; i < rtm_memstats_count(); i++)
        set_field(L, &reading, i);
    if (rtm_memstats_read_sizes(&reading, &sizes))
        set_classes(L, &sizes);
    return 1;
}

static const luaL_Reg natives[] = {{"memstats", memstats}, {NULL, NULL}};

void rtm_lmemstats_register(lua_State *L, struct rtm_context *cx)
{
    rtm_largs_register(L, natives, cx);
}
