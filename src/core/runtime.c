#include "core/runtime.h"

#include "core/context.h"
#include "os/clock.h"
#include "os/malloc_stats.h"
#include "vm/alloc.h"
#include "vm/callback.h"
#include "vm/collect_lua.h"
#include "vm/gccontrol.h"
#include "vm/vm.h"

void rtm_runtime_collect(struct rtm_context *cx, struct lua_State *L)
{
    rtm_collect_lua_run(L, &cx->owner);
}

bool rtm_runtime_free_os_memory(struct rtm_context *cx, struct lua_State *L, bool *released,
                                struct rtm_error *err)
{
    rtm_collect_lua_run(L, &cx->owner);
    return rtm_malloc_stats_trim(released, err);
}

static const struct rtm_gcprobe *probe_of(const struct rtm_context *cx)
{
    return cx->gc.has_probe ? &cx->gc.probe : NULL;
}

bool rtm_runtime_pause_collector(struct lua_State *L)
{
    bool was_running = rtm_vm_collector(L) == RTM_VM_COLLECTOR_READY;
    if (was_running)
        rtm_gccontrol_stop(L);
    return was_running;
}

/* A restart moves the collector's account without a collection: announced, so that it is not taken
 * for one. */
void rtm_runtime_resume_collector(struct rtm_context *cx, struct lua_State *L)
{
    bool is_announced = cx->owner.events->on_collect_begin(&cx->owner, RTM_COLLECT_RESTART, 0);
    rtm_gccontrol_restart(L);
    if (is_announced)
        cx->owner.events->on_collect_end(&cx->owner, RTM_COLLECT_RESTART, L);
}

bool rtm_runtime_set_percent(struct rtm_context *cx, struct lua_State *L, int percent,
                             int64_t *previous)
{
    bool is_known = rtm_gccontrol_read(L, probe_of(cx), previous);
    if (percent < 0) {
        rtm_gccontrol_stop(L);
        return is_known;
    }
    rtm_gccontrol_write(L, probe_of(cx), percent);
    if (!is_known || *previous == RTM_GCCONTROL_OFF)
        rtm_runtime_resume_collector(cx, L);
    return is_known;
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

bool rtm_runtime_recent_pause(const struct rtm_context *cx, unsigned index, double *duration_s,
                              double *end_s)
{
    uint64_t count = rtm_atomic_get(&cx->gc.recent_count);
    if (index >= count || index >= RTM_GC_RECENT_PAUSES)
        return false;
    const struct rtm_gc_pause *pause = &cx->gc.recent[(count - 1 - index) % RTM_GC_RECENT_PAUSES];
    *duration_s = (double)rtm_atomic_get(&pause->duration_ns) / 1e9;
    *end_s = (double)rtm_atomic_get(&pause->end_wall_ns) / 1e9;
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
