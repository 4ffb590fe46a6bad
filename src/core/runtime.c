#include "core/runtime.h"

#include "core/context.h"
#include "os/clock.h"
#include "os/malloc_stats.h"
#include "vm/alloc.h"
#include "vm/callback.h"
#include "vm/collect_lua.h"
#include "vm/gccontrol.h"
#include "vm/vm.h"

bool rtm_runtime_collect(struct rtm_context *cx, struct lua_State *L)
{
    return rtm_collect_lua_run(L, &cx->owner);
}

bool rtm_runtime_free_os_memory(struct rtm_context *cx, struct lua_State *L, bool *released,
                                struct rtm_error *err)
{
    rtm_runtime_collect(cx, L);
    return rtm_malloc_stats_trim(released, err);
}

/* Stop and restart move the collector's account without a collection: announced, so that they are
   not taken for one. */
static void announce(struct rtm_context *cx, struct lua_State *L, enum rtm_collect_what what,
                     void (*change)(struct lua_State *L))
{
    bool is_announced = cx->owner.events->on_collect_begin(&cx->owner, what, 0);
    change(L);
    if (is_announced)
        cx->owner.events->on_collect_end(&cx->owner, what, L);
}

bool rtm_runtime_set_percent(struct rtm_context *cx, struct lua_State *L, int percent,
                             int64_t *previous)
{
    bool is_known = rtm_gc_read_percent(&cx->gc, L, previous);
    if (percent < 0) {
        announce(cx, L, RTM_COLLECT_STOP, rtm_gccontrol_stop);
        return is_known;
    }
    rtm_gccontrol_write(L, cx->gc.has_probe ? &cx->gc.probe : NULL, percent);
    if (!is_known || *previous == RTM_GCCONTROL_OFF)
        announce(cx, L, RTM_COLLECT_RESTART, rtm_gccontrol_restart);
    rtm_gc_read_percent(&cx->gc, L, &(int64_t){0});
    return is_known;
}

bool rtm_runtime_hold_dead(struct rtm_context *cx, struct lua_State *L,
                           struct rtm_runtime_hold *hold)
{
    int64_t percent = 0;
    if (rtm_vm_collector(L) == RTM_VM_COLLECTOR_BUSY)
        return false;
    bool is_known = rtm_gc_read_percent(&cx->gc, L, &percent);
    hold->was_stopped = is_known && percent == RTM_GCCONTROL_OFF;
    hold->ran_callbacks = cx->runs_callbacks;
    cx->runs_callbacks = true; /* they would make garbage, and with it a cycle that is half swept */
    announce(cx, L, RTM_COLLECT_STOP, rtm_gccontrol_stop);
    bool has_run = rtm_runtime_collect(cx, L);
    rtm_gccontrol_stop(L); /* 5.1: a full collection lifts the stop */
    return has_run;
}

void rtm_runtime_release_dead(struct rtm_context *cx, struct lua_State *L,
                              const struct rtm_runtime_hold *hold)
{
    cx->runs_callbacks = hold->ran_callbacks;
    if (!hold->was_stopped)
        announce(cx, L, RTM_COLLECT_RESTART, rtm_gccontrol_restart);
}

int rtm_runtime_add_callback(struct rtm_context *cx, struct lua_State *L)
{
    int reference = rtm_callback_add(L);
    cx->callbacks++;
    return reference;
}

void rtm_runtime_remove_callback(struct rtm_context *cx, struct lua_State *L, int reference)
{
    rtm_callback_remove(L, reference);
    cx->callbacks--;
}

void rtm_runtime_check_clock(uint64_t *checked_ns)
{
    uint64_t now_ns = rtm_clock_coarse_ns();
    if (now_ns - *checked_ns < RTM_CLOCK_NS_PER_S)
        return;
    *checked_ns = now_ns;
    rtm_clock_check();
}

double rtm_runtime_wall_of(uint64_t ticks)
{
    uint64_t ago_ns = rtm_clock_to_ns(rtm_clock_ticks() - ticks);
    return (double)(rtm_clock_wall_ns() - ago_ns) / 1e9;
}

bool rtm_runtime_recent_pause(const struct rtm_context *cx, unsigned index, double *duration_s,
                              double *end_s)
{
    uint64_t count = rtm_atomic_get(&cx->gc.recent_count);
    if (index >= count || index >= RTM_GC_RECENT_PAUSES)
        return false;
    const struct rtm_gc_pause *pause = &cx->gc.recent[(count - 1 - index) % RTM_GC_RECENT_PAUSES];
    *duration_s = (double)rtm_atomic_get(&pause->duration_ns) / 1e9;
    *end_s = rtm_runtime_wall_of(rtm_atomic_get(&pause->end_ticks));
    return true;
}

uint64_t rtm_runtime_monotonic_ns(void)
{
    return rtm_clock_monotonic_ns();
}

uint64_t rtm_runtime_wall_ns(void)
{
    return rtm_clock_wall_ns();
}

static const char *gc_mode(const struct rtm_context *cx)
{
    if (!rtm_vm_traits()->has_generational)
        return "incremental";
    if (!cx->gc.has_probe)
        return "unknown";
    return cx->gc.probe.is_generational ? "generational" : "incremental";
}

void rtm_runtime_describe(const struct rtm_context *cx, struct rtm_runtime_about *about)
{
    *about = (struct rtm_runtime_about){.vm = rtm_vm_traits()->name,
                                        .clock = rtm_clock_source(),
                                        .clock_reason = rtm_clock_reason(),
                                        .gc_mode = gc_mode(cx),
                                        .allocator = !cx->alloc            ? "not watched"
                                                     : cx->alloc->is_stock ? "stock"
                                                                           : "foreign"};
}
